"""What happens to an execution just before kubectl's watch of it begins is not missed."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chaingraph_cli.cluster import binaries
from chaingraph_cli.errors import NotFound
from chaingraph_cli.plugin import outcomes, waiting
from chaingraph_cli.plugin.execution import Execution
from chaingraph_cli.plugin.kubectl import Kubectl
from fixtures.cluster.control_plane import ControlPlane
from fixtures.plugin.plugin import Plugin
from fixtures.processes.proxy import MakeProxy

pytestmark = pytest.mark.integration


class Gate:
    """Holds the requests that begin a watch until `meanwhile` was done."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def pass_by(self, chunk: bytes) -> None:
        if b"watch=true" in chunk:
            self.reached.set()
            assert self.open.wait(60)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def readable(control_plane: ControlPlane) -> Iterator[str]:
    """A URL at which the API server is spoken to without TLS."""
    program = str(binaries.ensure(["kubectl"])["kubectl"])
    command = [program, f"--kubeconfig={control_plane.kubeconfig}", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip().rpartition(':')[2]}"
        process.terminate()


@pytest.fixture
def gated(gate: Gate, plugin: Plugin, make_proxy: MakeProxy, readable: str) -> Plugin:
    """The commands, with the gate between kubectl and the API server."""
    server = make_proxy(readable, watch=gate.pass_by).url
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "gated", "cluster": {"server": server}}],
        "contexts": [{"name": "gated", "context": {"cluster": "gated", "user": ""}}],
        "current-context": "gated",
    }
    file = plugin.folder / "gated.kubeconfig"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    plugin.environment["KUBECONFIG"] = str(file)
    return plugin


def test_wait_sees_an_end_before_its_watch_begins(gate: Gate, gated: Plugin) -> None:
    gated.create("one", status={"phase": "Running"})

    def end() -> None:
        assert gate.reached.wait(60)
        gated.show("one", phase="Completed")
        gate.open.set()

    ending = gated.meanwhile(end)
    done = gated("wait", "one", "--timeout", "30s")
    ending.join()
    assert (done.stdout, done.stderr) == ("execution.chaingraph.dev/one completed\n", "")
    assert done.returncode == 0


def test_wait_sees_a_deletion_before_its_watch_begins(gate: Gate, gated: Plugin) -> None:
    gated.create("one", status={"phase": "Running"})

    def delete() -> None:
        assert gate.reached.wait(60)
        gated.kubectl("delete", "cgx", "one")
        gate.open.set()

    deleting = gated.meanwhile(delete)
    done = gated("wait", "one", "--timeout", "30s")
    deleting.join()
    assert "execution.chaingraph.dev/one was deleted while it was waited for" in done.stderr
    assert done.returncode == 4


@pytest.mark.parametrize("others", [(), ("two", "three")], ids=["alone", "among others"])
@pytest.mark.parametrize("again", [False, True], ids=["gone", "another of its name"])
def test_wait_finds_a_deletion_missed_by_its_watch(
    again: bool, others: tuple[str, ...], plugin: Plugin, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_REREAD_SECONDS", 0.5)
    for name in ("one", *others):
        plugin.create(name, status={"phase": "Running"})
    before = [Execution(plugin.get(name)) for name in ("one", *others)]
    plugin.kubectl("delete", "cgx", "one")
    if again:
        plugin.create("one", status={"phase": "Running"})
    program = str(binaries.ensure(["kubectl"])["kubectl"])
    kubectl = Kubectl(program, (f"--kubeconfig={control_plane.kubeconfig}", f"--namespace={plugin.namespace}"))
    with pytest.raises(NotFound, match="one was deleted while it was waited for"):
        waiting.await_outcomes(kubectl, before, outcomes.ended, timeout=30)


def test_wait_allows_deletion_of_an_ended_execution(gate: Gate, gated: Plugin) -> None:
    for name in ("one", "two"):
        gated.create(name, status={"phase": "Running"})

    def end() -> None:
        assert gate.reached.wait(60)
        gated.show("one", phase="Completed")
        gated.kubectl("delete", "cgx", "one")
        gate.open.set()
        gated.show("two", phase="Completed")

    ending = gated.meanwhile(end)
    done = gated("wait", "one", "two", "--timeout", "30s")
    ending.join()
    lines = [f"execution.chaingraph.dev/{name} completed" for name in ("one", "two")]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")
    assert done.returncode == 0
