"""One context of a kubeconfig, on its own and with absolute paths."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaingraph_cli.cluster.access import existing
from chaingraph_cli.errors import Usage

CONFIG: dict[str, Any] = {
    "current-context": "dev",
    "clusters": [
        {"name": "dev-cluster", "cluster": {"server": "https://dev:6443", "certificate-authority": "pki/ca.crt"}},
        {"name": "prod-cluster", "cluster": {"server": "https://prod:6443"}},
    ],
    "users": [
        {"name": "dev-user", "user": {"client-certificate": "/etc/dev.crt", "client-key": "dev.key"}},
        {"name": "prod-user", "user": {"exec": {"command": "./bin/login", "args": ["x"]}}},
        {"name": "path-user", "user": {"exec": {"command": "login"}}},
    ],
    "contexts": [
        {"name": "dev", "context": {"cluster": "dev-cluster", "user": "dev-user", "namespace": "team"}},
        {"name": "prod", "context": {"cluster": "prod-cluster", "user": "prod-user"}},
        {"name": "path", "context": {"cluster": "prod-cluster", "user": "path-user"}},
        {"name": "torn", "context": {"cluster": "gone", "user": "dev-user"}},
    ],
}
HERE = Path("/home/me/.kube/config")


def test_isolated_context_has_absolute_file_paths() -> None:
    name, content = existing.isolate([(HERE, CONFIG)], None)
    assert (name, content["current-context"]) == ("dev", "dev")
    assert content["clusters"] == [
        {
            "name": "dev-cluster",
            "cluster": {"server": "https://dev:6443", "certificate-authority": "/home/me/.kube/pki/ca.crt"},
        }
    ]
    assert content["users"][0]["user"] == {
        "client-certificate": "/etc/dev.crt",
        "client-key": "/home/me/.kube/dev.key",
    }
    assert content["contexts"][0]["context"]["namespace"] == "team"


@pytest.mark.parametrize(("context", "command"), [("prod", "/home/me/.kube/bin/login"), ("path", "login")])
def test_only_a_command_with_a_slash_is_relative_to_the_file(context: str, command: str) -> None:
    _, content = existing.isolate([(HERE, CONFIG)], context)
    assert content["users"][0]["user"]["exec"]["command"] == command


def test_first_of_several_kubeconfigs_wins() -> None:
    other = {**CONFIG, "current-context": "prod", "clusters": [{"name": "dev-cluster", "cluster": {"server": "no"}}]}
    name, content = existing.isolate([(HERE, CONFIG), (Path("/etc/kube/config"), other)], None)
    assert name == "dev"
    assert content["clusters"][0]["cluster"]["server"] == "https://dev:6443"


@pytest.mark.parametrize(
    ("context", "said"),
    [("staging", "no context named 'staging'"), ("torn", "no cluster named 'gone'")],
)
def test_missing_context_or_cluster_is_named_with_known_ones(context: str, said: str) -> None:
    with pytest.raises(Usage) as raised:
        existing.isolate([(HERE, CONFIG)], context)
    assert said in raised.value.message
    assert "Use one of: dev" in raised.value.hint


def test_copied_kubeconfig_is_private_to_its_owner(tmp_path: Path) -> None:
    source = tmp_path / "config"
    source.write_text(yaml.safe_dump(CONFIG))
    assert existing.copy_context(source, "prod", to=tmp_path / "copy") == "prod"
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert yaml.safe_load((tmp_path / "copy").read_text())["current-context"] == "prod"


def test_kubeconfig_variable_accepts_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/missing:{tmp_path}/config")
    assert existing.copy_context(None, None, to=tmp_path / "copy") == "dev"


@pytest.mark.parametrize(
    ("text", "said"), [("[", "not valid YAML"), ("- a", "not a kubeconfig"), ("{}", "no current context")]
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    source = tmp_path / "config"
    source.write_text(text)
    with pytest.raises(Usage, match=said) as raised:
        existing.copy_context(source, None, to=tmp_path / "copy")
    assert str(source) in raised.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="No such file"):
        existing.copy_context(tmp_path / "none", None, to=tmp_path / "copy")
