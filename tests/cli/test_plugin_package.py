"""`pip install 'chaingraph[cli]'`: the kubectl plugin alone, without the packages of the servers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from chaingraph_cli.main import PLUGIN
from fixtures.plugin.installed import install
from fixtures.plugin.plugin import FLOW, Plugin

pytestmark = pytest.mark.integration

_PACKAGES: Final = ("annotated-types", "pydantic", "pydantic-core", "pyyaml", "typing-extensions", "typing-inspection")
"""All that the plugin brings along: no dbos, kopf or psycopg."""

_HELP: Final = """
from chaingraph_cli.commands import parser_of
from chaingraph_cli.main import PLUGIN
for name, entry in PLUGIN.entries.items():
    parser_of(PLUGIN, name, entry.load()).print_help()
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("cli"), "chaingraph[cli]", _PACKAGES)


def test_every_verb_has_help(programs: Path) -> None:
    listed = subprocess.run(
        [str(programs / "kubectl-chaingraph"), "--help"], capture_output=True, text=True, check=True
    )
    done = subprocess.run([str(programs / "python"), "-c", _HELP], capture_output=True, text=True, check=True)
    for verb in PLUGIN.entries:
        assert f"\n  {verb} " in listed.stdout
        assert f"usage: kubectl chaingraph {verb} " in done.stdout


def test_verbs_reach_the_api_server(programs: Path, plugin: Plugin) -> None:
    plugin.environment["PATH"] = os.pathsep.join([str(programs), plugin.environment["PATH"]])
    verb = ("kubectl", "chaingraph", "-n", plugin.namespace)
    created = plugin.run(*verb, "create", "-f", "-", "--name=one", input=yaml.safe_dump(FLOW))
    assert (created.returncode, created.stdout, created.stderr) == (0, "one\n", "")
    assert plugin.run(*verb, "pause", "one").returncode == 0
    assert plugin.spec("one")["paused"]
    assert "name: one" in plugin.run(*verb, "get", "-o", "yaml").stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["chaingraph", "up"], "local"),
        (["chaingraph", "demo"], "local"),
        (["chaingraph", "status"], "local"),
        (["chaingraph", "erase", "--all-of=team-a", "--reason=gone", "--yes"], "server"),
        (["chaingraph-worker"], "server"),
        (["chaingraph-operator"], "server"),
        (["chaingraph-gateway"], "server"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_missing_extra_names_the_command_that_installs_it(
    programs: Path, tmp_path: Path, command: list[str], extra: str
) -> None:
    done = subprocess.run(
        [str(programs / command[0]), *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    error, remedy = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert error.startswith(f"Error: {' '.join(command[:2])} needs the Python package")
    assert remedy == f"Install it: pip install 'chaingraph[{extra}]'"
