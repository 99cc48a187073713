"""How the kubeconfig's user shows who they are: every way that kubectl knows, and what is wrong with others."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from chaingraph_cli.errors import CliError, Unreachable, Usage
from chaingraph_cli.gateway.credentials import Credentials, Login, context_of, credentials_of

CLUSTER = {"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="}


def given(user: dict[str, Any], *, namespace: str | None = "prod") -> Credentials:
    context = {"cluster": "here", "user": "ada"} | ({"namespace": namespace} if namespace else {})
    return credentials_of(
        context_of(
            {
                "contexts": [{"name": "c", "context": context}],
                "clusters": [{"name": "here", "cluster": CLUSTER}],
                "users": [{"name": "ada", "user": user}],
            }
        )
    )


def plugin(folder: Path, prints: str, *, code: int = 0, **fields: Any) -> dict[str, Any]:
    """A user with an exec plugin: a script that keeps what it is told, and prints an answer."""
    script = folder / "get-token"
    (folder / "answer").write_text(prints, encoding="utf-8")
    script.write_text(
        f'#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" > {folder}/told\necho "$1 $EXTRA" > {folder}/arguments\n'
        f"cat {folder}/answer\nexit {code}\n",
        encoding="utf-8",
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "args": ["token"],
            "env": [{"name": "EXTRA", "value": "more"}],
            "interactiveMode": "Never",
        }
        | fields
    }


def credential(version: str = "v1", **status: str) -> str:
    return json.dumps(
        {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential", "status": status}
    )


def test_token_file_wins_over_token(tmp_path: Path) -> None:
    assert given({"token": "abc"}).token == "abc"
    file = tmp_path / "token"
    file.write_text("def\n", encoding="utf-8")
    assert given({"token": "abc", "tokenFile": str(file)}).token == "def"
    with pytest.raises(Usage, match=r"Cannot read tokenFile .*: No such file"):
        given({"tokenFile": str(tmp_path / "none")})


def test_client_certificate_is_read_from_the_kubeconfig() -> None:
    data = {f"client-{name}-data": base64.b64encode(name.encode()).decode() for name in ("certificate", "key")}
    assert given(data) == Credentials(certificate="certificate", key="key", user="ada")
    with pytest.raises(Usage, match="client-key-data of user 'ada'"):
        given(data | {"client-key-data": "?"})


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_exec_plugin_is_run_as_kubectl_runs_it(tmp_path: Path, version: str) -> None:
    api = f"client.authentication.k8s.io/{version}"
    user = plugin(tmp_path, credential(version, token="xyz"), apiVersion=api, provideClusterInfo=True)
    assert given(user) == Credentials(token="xyz", user="ada")
    assert (tmp_path / "arguments").read_text(encoding="utf-8") == "token more\n"
    told = json.loads((tmp_path / "told").read_text(encoding="utf-8"))
    assert told == {"apiVersion": api, "kind": "ExecCredential", "spec": {"interactive": False, "cluster": CLUSTER}}


def test_an_exec_plugin_may_give_a_certificate(tmp_path: Path) -> None:
    answer = credential(clientCertificateData="PEM", clientKeyData="KEY")
    assert given(plugin(tmp_path, answer)) == Credentials(certificate="PEM", key="KEY", user="ada")


@pytest.mark.parametrize(
    ("prints", "fields", "words"),
    [
        ("nonsense", {}, "did not print an ExecCredential"),
        ("{}", {}, "did not print an ExecCredential"),
        (credential("v1beta1", token="a"), {}, "expected 'client.authentication.k8s.io/v1'"),
        (credential(), {}, "returned neither a token nor a client certificate"),
        ("", {"code": 3}, "failed with exit code 3"),
        (
            "",
            {"command": "/nowhere/get-token", "installHint": "brew install it"},
            "Cannot run exec plugin '/nowhere/get-token': No such file",
        ),
    ],
)
def test_exec_plugin_without_a_credential_is_reported(
    tmp_path: Path, prints: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(Unreachable, match=words) as error:
        given(plugin(tmp_path, prints, **fields))
    assert error.value.hint == "brew install it" or "installHint" not in fields


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({}, "has no token, client certificate or exec plugin"),
        ({"username": "ada", "password": "x"}, "'username', which the gateway does not support"),
        ({"as": "root", "token": "abc"}, "'as', which the gateway does not support"),
        ({"exec": {"apiVersion": "v2", "command": "x"}}, "Unsupported apiVersion 'v2'"),
    ],
)
def test_unsupported_user_is_rejected(user: dict[str, Any], words: str) -> None:
    with pytest.raises(CliError, match=words):
        given(user)


def test_token_file_is_read_again_for_every_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first", encoding="utf-8")
    login = Login(lambda: given({"tokenFile": str(file)}))
    file.write_text("second", encoding="utf-8")
    assert login.credentials().token == "second"
    assert not login.others()
    file.write_text("third", encoding="utf-8")
    assert login.others()
    assert login.credentials().token == "third"


@pytest.mark.parametrize(
    ("until", "runs"),
    [
        ({}, 1),
        ({"expirationTimestamp": "2999-01-01T00:00:00Z"}, 1),
        ({"expirationTimestamp": "2020-01-01T00:00:00Z"}, 3),
    ],
)
def test_exec_plugin_is_run_again_when_its_token_expires(tmp_path: Path, until: dict[str, str], runs: int) -> None:
    user = plugin(tmp_path, credential(token="a", **until))
    count = 0

    def read() -> Credentials:
        nonlocal count
        count += 1
        return given(user)

    login = Login(read)
    assert [login.credentials().token for _ in range(2)] == ["a", "a"]
    assert count == runs
    # Refused, whatever the plugin had said of the time.
    assert not login.others()
    plugin(tmp_path, credential(token="b", **until))
    assert login.others()
    assert login.credentials().token == "b"


def test_invalid_expiry_time_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="did not print an ExecCredential"):
        given(plugin(tmp_path, credential(token="a", expirationTimestamp="soon")))


def test_context_is_required_and_namespace_has_a_default() -> None:
    with pytest.raises(Usage, match="no current context"):
        context_of({})
    assert context_of({"contexts": [{"name": "c", "context": {"user": "ada"}}]}).namespace == "default"
