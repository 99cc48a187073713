"""The outcome is the true one, whatever happens to an execution, or to the watch of it, in between."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaingraph_cli.errors import NotFound
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import outcomes, versions, waiting
from chaingraph_cli.kubectl import Kubectl
from chaingraph_cli.upstream import binaries
from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.control_plane import ControlPlane
from fixtures.ledger.new_executions import create
from fixtures.plugin.plugin import FLOW, Plugin
from fixtures.processes.gateway import RunGateway
from fixtures.processes.proxy import MakeProxy
from fixtures.trees.children import complete

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
    assert "execution.chaingraph.dev/one was deleted during the wait" in done.stderr
    assert done.returncode == 4


@pytest.mark.parametrize("others", [(), ("two", "three")], ids=["alone", "among others"])
@pytest.mark.parametrize("again", [False, True], ids=["gone", "another of its name"])
def test_wait_finds_a_deletion_missed_by_its_watch(
    again: bool, others: tuple[str, ...], plugin: Plugin, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_REREAD_SECONDS", 0.5)
    for name in ("one", *others):
        plugin.create(name, status={"phase": "Running"})
    before = [Execution(plugin.get(name)) for name in ("one", *others)]
    plugin.kubectl("delete", "cgx", "one")
    if again:
        plugin.create("one", status={"phase": "Running"})
    program = str(binaries.ensure(["kubectl"])["kubectl"])
    kubectl = Kubectl(program, (f"--kubeconfig={control_plane.kubeconfig}", f"--namespace={plugin.namespace}"))
    with pytest.raises(NotFound, match="one was deleted during the wait"):
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


@pytest.mark.parametrize(("phase", "code"), [("Completed", 0), ("Failed", 1), ("Stopped", 1)])
@pytest.mark.parametrize("verb", ["wait", "create"])
def test_end_and_deletion_before_the_watch_have_the_true_outcome(
    verb: str, phase: str, code: int, gate: Gate, gated: Plugin
) -> None:
    """As with `ttlSecondsAfterFinished: 0`."""
    if verb == "wait":
        gated.create("one", status={"phase": "Running"})

    def end() -> None:
        assert gate.reached.wait(60)
        gated.show("one", phase=phase)
        gated.kubectl("delete", "cgx", "one")
        gate.open.set()

    ending = gated.meanwhile(end)
    arguments = ["wait", "one"] if verb == "wait" else ["create", "-f", "-", "--name", "one", "--wait"]
    done = gated(*arguments, "--timeout", "30s", input=json.dumps(FLOW))
    ending.join()
    assert done.stdout.splitlines()[-1].startswith(f"execution.chaingraph.dev/one {phase.lower()}")
    assert (done.returncode, done.stderr) == (code if verb == "create" else 0, ""), "wait is for any end"


LOSSES = {
    "killed": "kill -KILL $$",
    # A version that the API server does not have any more.
    "out of date": 'path=$(echo "$3" | sed "s/resourceVersion=[0-9]*/resourceVersion=1/"); shift 3;'
    ' exec "$real" get --raw "$path" "$@"',
}


class Broken:
    """A kubectl whose first watch waits until `open` is there, and is lost then."""

    def __init__(self, folder: Path, how: str) -> None:
        self.reached, self.open, self.program = (folder / each for each in ("reached", "open", "kubectl-broken"))
        real = binaries.ensure(["kubectl"])["kubectl"]
        self.program.write_text(
            f"#!/bin/sh\nreal={real}\n"
            f'case "$*" in *watch=true*) if [ ! -e {self.reached} ]; then touch {self.reached}\n'
            f'while [ ! -e {self.open} ]; do sleep 0.05; done\n{LOSSES[how]}\nfi;; esac\nexec "$real" "$@"\n',
            encoding="utf-8",
        )
        self.program.chmod(0o755)

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self.reached.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_outcome_is_true_after_the_watch_was_killed(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Running"})
    broken = Broken(plugin.folder, "killed")

    def end() -> None:
        broken.wait()
        plugin.show("one", phase="Completed")
        plugin.kubectl("delete", "cgx", "one")
        broken.open.touch()

    ending = plugin.meanwhile(end)
    done = plugin("wait", "one", "--timeout", "30s", environment={"KUBECTL": str(broken.program)})
    ending.join()
    assert (done.stdout, done.stderr, done.returncode) == ("execution.chaingraph.dev/one completed\n", "", 0)


async def test_outcome_comes_from_the_ledger_where_the_history_is_lost(
    plugin: Plugin, run_gateway: RunGateway, ledger: Ledger
) -> None:
    gateway = run_gateway()
    plugin.create("one", status={"phase": "Running", "executionID": None})
    uid = str(plugin.get("one")["metadata"]["uid"])
    new = await create(ledger, id=execution_id(uid), uid=uid, namespace=plugin.namespace, name="one")
    await complete(ledger, new.id)
    broken = Broken(plugin.folder, "out of date")

    def end() -> None:
        broken.wait()
        plugin.kubectl("delete", "cgx", "one")
        broken.open.touch()

    ending = plugin.meanwhile(end)
    environment = {
        "KUBECTL": str(broken.program),
        "CHAINGRAPH_GATEWAY": gateway.url,
        "CHAINGRAPH_GATEWAY_CA": str(gateway.ca),
    }
    done = await asyncio.to_thread(plugin, "wait", "one", "--timeout", "30s", environment=environment)
    ending.join()
    assert (done.stdout, done.stderr, done.returncode) == ("execution.chaingraph.dev/one completed\n", "", 0)
