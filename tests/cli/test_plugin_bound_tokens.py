"""Tokens for the gateway alone: of a file that is written anew, and of a service account."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from chaingraph_cli.errors import Forbidden, Usage
from chaingraph_cli.gateway import bound_tokens
from chaingraph_cli.gateway.credentials import Login


class FakeKubectl:
    def __init__(self, script: str) -> None:
        self.script = script
        self.asked: list[tuple[tuple[str, ...], str]] = []

    def start(self, *arguments: str, namespace: str = "") -> subprocess.Popen[str]:
        self.asked.append((arguments, namespace))
        return subprocess.Popen(["sh", "-c", self.script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def login(kubectl: Any) -> Login:
    read = bound_tokens.reader(kubectl, "prod")
    assert read is not None
    return Login(read)


def test_nothing_is_read_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (bound_tokens.FILE_VARIABLE, bound_tokens.ACCOUNT_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    nobody: Any = None
    assert bound_tokens.reader(nobody, "prod") is None


def test_token_file_is_read_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n", encoding="ascii")
    monkeypatch.setenv(bound_tokens.FILE_VARIABLE, str(file))
    who = login(None)
    assert who.credentials().token == "first"
    file.write_text("second\n", encoding="ascii")
    assert who.credentials().token == "second"
    file.write_text("", encoding="ascii")
    with pytest.raises(Usage, match="is empty"):
        who.credentials()


@pytest.mark.parametrize(("account", "namespace"), [("watcher", "prod"), ("team-a/watcher", "team-a")])
def test_token_is_requested_for_the_audience(monkeypatch: pytest.MonkeyPatch, account: str, namespace: str) -> None:
    monkeypatch.delenv(bound_tokens.FILE_VARIABLE, raising=False)
    monkeypatch.setenv(bound_tokens.ACCOUNT_VARIABLE, account)
    kubectl = FakeKubectl("echo made")
    who = login(kubectl)
    assert (who.credentials().token, who.credentials().certificate) == ("made", "")
    assert kubectl.asked == [
        (("create", "token", "watcher", "--audience=chaingraph-gateway", "--duration=10m"), namespace)
    ]


def test_missing_right_to_request_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(bound_tokens.FILE_VARIABLE, raising=False)
    monkeypatch.setenv(bound_tokens.ACCOUNT_VARIABLE, "watcher")
    refused = "echo 'Error from server (Forbidden): serviceaccounts \"watcher\" is forbidden' >&2; exit 1"
    with pytest.raises(Forbidden):
        login(FakeKubectl(refused))
