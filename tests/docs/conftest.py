"""A folder as a person has it who reads the documentation: the checkout's examples, its commands, kubectl."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaingraph_cli.upstream import binaries
from fixtures.docs.shell import OpenShell, Shell
from fixtures.paths import ROOT


@pytest.fixture
def open_shell(tmp_path: Path) -> Iterator[OpenShell]:
    """Opens a shell in such a folder; a cluster that its commands left running is ended with it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    commands = [Path(sys.executable).parent, binaries.ensure(["kubectl"])["kubectl"].parent]
    with ExitStack() as open_:

        def open_one(environment: dict[str, str]) -> Shell:
            path = os.pathsep.join([*map(str, commands), os.environ["PATH"]])
            return open_.enter_context(Shell(folder, {**os.environ, "PATH": path, **environment}))

        yield open_one
    for state in folder.glob(".chaingraph*"):
        subprocess.run([str(commands[0] / "chaingraph"), "down", "--state", str(state), "--delete"], check=False)
