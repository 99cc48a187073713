"""How the kubeconfig's user shows who they are: a token, a client certificate, or what an exec plugin gives. Pure but
for the exec plugin and the files that a kubeconfig names.

Read from `kubectl config view --minify --flatten --raw`, so that KUBECONFIG with several files, --context and all
else about finding them are kubectl's.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import Unreachable, Usage

_EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_IN_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Credentials:
    """Who asks. PEM texts are empty when there is no certificate; `token` is empty when there is no token.

    Attributes:
        until: when others are to be asked for, such as those of a file that is kept up to date; None for never.
    """

    token: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    until: datetime | None = field(default=None, compare=False)


class Login:
    """The kubeconfig's user for as long as a command goes on asking, which may be longer than a token lives.

    As in client-go, a file is read again, an exec plugin is run again when what it gave has expired or was refused.

    Args:
        read: reads the credentials that there are now.

    Raises:
        Usage, Unreachable: as `credentials_of`; so do its methods.
    """

    def __init__(self, read: Callable[[], Credentials]) -> None:
        self._read = read
        self._given = read()

    def credentials(self) -> Credentials:
        """Those to ask with now."""
        if self._given.until is not None and self._given.until <= datetime.now(UTC):
            self._given = self._read()
        return self._given

    def others(self) -> bool:
        """After a refusal: whether there are others than those that were refused."""
        refused, self._given = self._given, self._read()
        return self._given != refused


@dataclass(frozen=True)
class Context:
    """The kubeconfig's current context.

    Attributes:
        namespace: of the context, `default` if it says none.
        user, cluster: their entries, without their names.
        user_name: the name of the user's entry.
    """

    namespace: str
    user: Mapping[str, Any]
    cluster: Mapping[str, Any]
    user_name: str


def context_of(config: Mapping[str, Any]) -> Context:
    """The context that is left in a minified kubeconfig; in a Pod without a kubeconfig, its service account.

    Raises:
        Usage: there is no context.
    """
    contexts = config.get("contexts") or ()
    if not contexts:
        if (_IN_POD / "token").exists():
            namespace = (_IN_POD / "namespace").read_text(encoding="utf-8").strip()
            return Context(namespace, {"tokenFile": str(_IN_POD / "token")}, {}, "the Pod's service account")
        raise Usage("The kubeconfig has no current context.", "Choose one: --context, or kubectl config use-context")
    context = contexts[0].get("context") or {}
    return Context(
        str(context.get("namespace") or "default"),
        _named(config.get("users"), context.get("user"), "user"),
        _named(config.get("clusters"), context.get("cluster"), "cluster"),
        str(context.get("user", "")),
    )


def _named(entries: Any, name: object, what: str) -> Mapping[str, Any]:
    for each in entries or ():
        if each.get("name") == name:
            return each.get(what) or {}
    return {}


def credentials_of(context: Context) -> Credentials:
    """The credentials, in client-go's order: a certificate and a token of the kubeconfig, else the exec plugin's.

    Raises:
        Usage: the user has none that the gateway takes.
        Unreachable: the exec plugin gave none.
    """
    user, name = context.user, context.user_name
    for unknown in ("as", "username", "auth-provider"):
        if user.get(unknown):
            raise Usage(
                f"The user {name!r} of the kubeconfig has {unknown!r}, which the gateway does not know.",
                "It takes tokens, client certificates and exec plugins. Choose another context: --context",
            )
    token = _token(user)
    certificate = _decoded(user.get("client-certificate-data"), "client-certificate-data", name)
    key = _decoded(user.get("client-key-data"), "client-key-data", name)
    if token or certificate:
        return Credentials(token, certificate, key, name, datetime.now(UTC) if user.get("tokenFile") else None)
    if user.get("exec"):
        return _executed(user["exec"], context)
    raise Usage(
        f"The user {name!r} of the kubeconfig has neither a token, nor a client certificate, nor an exec plugin.",
        "The gateway has to know who asks. Choose another context: --context",
    )


def _token(user: Mapping[str, Any]) -> str:
    file = user.get("tokenFile")
    if file:
        try:
            found = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Usage(f"The kubeconfig's tokenFile {file} cannot be read: {error.strerror}.") from error
        if found:
            return found
    return str(user.get("token") or "")


def _decoded(data: object, field: str, name: str) -> str:
    if not data:
        return ""
    try:
        return base64.b64decode(str(data), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Usage(f"{field} of the user {name!r} in the kubeconfig is no PEM text in base64.") from error


def _executed(plugin: Mapping[str, Any], context: Context) -> Credentials:
    """What an exec plugin gives, run as client-go runs it."""
    version = str(plugin.get("apiVersion", ""))
    if version not in _EXEC_VERSIONS:
        raise Usage(
            f"The exec plugin of the user {context.user_name!r} has the apiVersion {version!r}.",
            f"It may be one of: {', '.join(_EXEC_VERSIONS)}",
        )
    command = [str(plugin.get("command", "")), *map(str, plugin.get("args") or ())]
    environment = os.environ | {str(each["name"]): str(each["value"]) for each in plugin.get("env") or ()}
    interactive = plugin.get("interactiveMode", "IfAvailable") != "Never" and sys.stdin.isatty()
    info: dict[str, Any] = {
        "apiVersion": version,
        "kind": "ExecCredential",
        "spec": {"interactive": interactive},
    }
    if plugin.get("provideClusterInfo"):
        info["spec"]["cluster"] = _cluster(context)
    try:
        done = subprocess.run(
            command,
            env=environment | {"KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        hint = str(plugin.get("installHint") or "Install it, or choose another context: --context")
        raise Unreachable(f"The exec plugin {command[0]!r} cannot be run: {error.strerror}.", hint) from error
    if done.returncode != 0:
        raise Unreachable(
            f"The exec plugin {command[0]!r} ended with exit code {done.returncode}.", "What it said stands above."
        )
    return _given(done.stdout, version, command[0], context.user_name)


def _cluster(context: Context) -> dict[str, Any]:
    """The cluster as an exec plugin is told of it."""
    cluster = context.cluster
    fields = {
        "server": "server",
        "tls-server-name": "tls-server-name",
        "insecure-skip-tls-verify": "insecure-skip-tls-verify",
        "certificate-authority-data": "certificate-authority-data",
        "proxy-url": "proxy-url",
    }
    told = {shown: cluster[field] for field, shown in fields.items() if cluster.get(field)}
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            told["config"] = extension.get("extension")
    return told


def _given(output: bytes, version: str, command: str, name: str) -> Credentials:
    try:
        content = json.loads(output)
        status = content["status"]
        expires = status.get("expirationTimestamp")
        given = Credentials(
            str(status.get("token") or ""),
            str(status.get("clientCertificateData") or ""),
            str(status.get("clientKeyData") or ""),
            name,
            datetime.fromisoformat(expires).astimezone(UTC) if expires else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable(f"The exec plugin {command!r} printed no ExecCredential with a status.") from error
    if content.get("apiVersion") != version:
        raise Unreachable(
            f"The exec plugin {command!r} answered in {content.get('apiVersion')!r}, and was asked in {version!r}."
        )
    if not given.token and not given.certificate:
        raise Unreachable(f"The exec plugin {command!r} gave neither a token nor a certificate.")
    return given
