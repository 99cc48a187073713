"""Credentials of the kubeconfig's user: a token, a client certificate, or those of an exec plugin.

The kubeconfig comes from `kubectl config view --minify --flatten --raw`, so that kubectl finds and merges the files.
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
    """Credentials of a request; fields are empty if there is no token or no certificate (PEM).

    Attributes:
        until: when to read them again; None for never.
    """

    token: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    until: datetime | None = field(default=None, compare=False)


class Login:
    """Keeps credentials current for a command that may run longer than a token lives.

    As in client-go, a token file is read again, and an exec plugin runs again once its credentials expire or are
    rejected.

    Args:
        read: reads the current credentials.

    Raises:
        Usage, Unreachable: as `credentials_of`; so do its methods.
    """

    def __init__(self, read: Callable[[], Credentials]) -> None:
        self._read = read
        self._given = read()

    def credentials(self) -> Credentials:
        """Return the current credentials."""
        if self._given.until is not None and self._given.until <= datetime.now(UTC):
            self._given = self._read()
        return self._given

    def others(self) -> bool:
        """Read the credentials again after a rejection; returns whether they have changed."""
        rejected, self._given = self._given, self._read()
        return self._given != rejected


@dataclass(frozen=True)
class Context:
    """The current context of the kubeconfig.

    Attributes:
        namespace: of the context; `default` if it has none.
        user, cluster: their entries, without the names.
        user_name: the name of the user's entry.
    """

    namespace: str
    user: Mapping[str, Any]
    cluster: Mapping[str, Any]
    user_name: str


def context_of(config: Mapping[str, Any]) -> Context:
    """Return the context of a minified kubeconfig; in a Pod without a kubeconfig, its service account.

    Raises:
        Usage: there is no context.
    """
    contexts = config.get("contexts") or ()
    if not contexts:
        if (_IN_POD / "token").exists():
            namespace = (_IN_POD / "namespace").read_text(encoding="utf-8").strip()
            return Context(namespace, {"tokenFile": str(_IN_POD / "token")}, {}, "the Pod's service account")
        raise Usage(
            "The kubeconfig has no current context.",
            "Set one: --context CONTEXT, or kubectl config use-context CONTEXT",
        )
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
    """Return the credentials in client-go's order: certificate and token of the kubeconfig, else of the exec plugin.

    Raises:
        Usage: the user has none that the gateway supports.
        Unreachable: the exec plugin failed.
    """
    user, name = context.user, context.user_name
    for unsupported in ("as", "username", "auth-provider"):
        if user.get(unsupported):
            raise Usage(
                f"User {name!r} of the kubeconfig has {unsupported!r}, which the gateway does not support.",
                "It supports tokens, client certificates and exec plugins. Use another context: --context CONTEXT",
            )
    token = _token(user)
    certificate = _decoded(user.get("client-certificate-data"), "client-certificate-data", name)
    key = _decoded(user.get("client-key-data"), "client-key-data", name)
    if token or certificate:
        return Credentials(token, certificate, key, name, datetime.now(UTC) if user.get("tokenFile") else None)
    if user.get("exec"):
        return _executed(user["exec"], context)
    raise Usage(
        f"User {name!r} of the kubeconfig has no token, client certificate or exec plugin.",
        "The gateway needs one of them. Use another context: --context CONTEXT",
    )


def _token(user: Mapping[str, Any]) -> str:
    file = user.get("tokenFile")
    if file:
        try:
            found = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Usage(f"Cannot read tokenFile {file} of the kubeconfig: {error.strerror}.") from error
        if found:
            return found
    return str(user.get("token") or "")


def _decoded(data: object, field: str, name: str) -> str:
    if not data:
        return ""
    try:
        return base64.b64decode(str(data), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Usage(f"{field} of user {name!r} in the kubeconfig is not base64-encoded PEM.") from error


def _executed(plugin: Mapping[str, Any], context: Context) -> Credentials:
    """Run an exec plugin as client-go does."""
    version = str(plugin.get("apiVersion", ""))
    if version not in _EXEC_VERSIONS:
        raise Usage(
            f"Unsupported apiVersion {version!r} of the exec plugin of user {context.user_name!r}.",
            f"Supported: {', '.join(_EXEC_VERSIONS)}",
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
        hint = str(plugin.get("installHint") or "Install it, or use another context: --context CONTEXT")
        raise Unreachable(f"Cannot run exec plugin {command[0]!r}: {error.strerror}.", hint) from error
    if done.returncode != 0:
        raise Unreachable(
            f"Exec plugin {command[0]!r} failed with exit code {done.returncode}.", "See its output above."
        )
    return _given(done.stdout, version, command[0], context.user_name)


def _cluster(context: Context) -> dict[str, Any]:
    """Return the cluster in the form of an ExecCredential."""
    cluster = context.cluster
    fields = {
        "server": "server",
        "tls-server-name": "tls-server-name",
        "insecure-skip-tls-verify": "insecure-skip-tls-verify",
        "certificate-authority-data": "certificate-authority-data",
        "proxy-url": "proxy-url",
    }
    info = {shown: cluster[field] for field, shown in fields.items() if cluster.get(field)}
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return info


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
        raise Unreachable(f"Exec plugin {command!r} did not print an ExecCredential with a status.") from error
    if content.get("apiVersion") != version:
        raise Unreachable(
            f"Exec plugin {command!r} returned apiVersion {content.get('apiVersion')!r}, expected {version!r}."
        )
    if not given.token and not given.certificate:
        raise Unreachable(f"Exec plugin {command!r} returned neither a token nor a client certificate.")
    return given
