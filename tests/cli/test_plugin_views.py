"""What people see by name, of executions that wait, of interrupted nodes and of large outputs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from fixtures.plugin.plugin import Done, Plugin
from fixtures.processes.gateway import GatewayProcess
from fixtures.processes.system import System

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FIRST = {"nodes": [{"id": "b", "type": "DebugLog", "inputs": {"message": "the FIRST run"}}]}
SECOND = {"nodes": [{"id": "b", "type": "DebugLog", "inputs": {"message": "the SECOND run"}}]}
SKIPPING = {
    "nodes": [
        {"id": "gate", "type": "Boolean", "inputs": {"value": False}},
        {"id": "stage", "type": "Text", "inputs": {"value": "x"}},
        {"id": "last", "type": "Template", "inputs": {"template": "{{ a }}"}},
    ],
    "edges": [{"from": "gate.value", "to": "stage.__execute"}, {"from": "stage.value", "to": "last.values.a"}],
}
LARGE = {
    "inputs": [{"name": "text", "type": "string"}],
    "outputs": [{"name": "rows", "from": "copy.value"}, {"name": "len", "from": "count.result"}],
    "nodes": [{"id": "copy", "type": "Text"}, {"id": "count", "type": "Length"}],
    "edges": [{"from": "inputs.text", "to": "copy.value"}, {"from": "inputs.text", "to": "count.value"}],
}
TIMED = {"nodes": [{"id": "slow", "type": "work.Work", "inputs": {"milliseconds": 600_000}}]}


def create(plugin: Plugin, name: str, flow: dict[str, Any] | None, **spec: Any) -> None:
    how = {"flow": flow} if flow is not None else {}
    item = {"apiVersion": "chaingraph.dev/v1alpha1", "kind": "Execution", "metadata": {"name": name}}
    plugin.kubectl("create", "-f", "-", input=json.dumps(item | {"spec": {**how, **spec}}))


def flow(plugin: Plugin, name: str, spec: dict[str, Any]) -> None:
    item = {"apiVersion": "chaingraph.dev/v1alpha1", "kind": "Flow", "metadata": {"name": name}, "spec": spec}
    plugin.kubectl("apply", "-f", "-", input=json.dumps(item))


def ok(done: Done) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def into_head(plugin: Plugin, *arguments: str) -> tuple[int, str]:
    """A command whose output nobody reads: its exit code, and what it says on stderr."""
    with plugin.start(*arguments) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        return process.wait(60), process.stderr.read()


def test_a_name_means_the_execution_that_has_it_now(plugin: Plugin, system: System, gateway: GatewayProcess) -> None:
    create(plugin, "nightly", FIRST)
    ok(plugin("wait", "nightly", "--timeout", "60s"))
    assert "the FIRST run" in ok(plugin("logs", "nightly"))
    first = plugin.get("nightly")["status"]["executionID"]
    plugin.kubectl("delete", "cgx", "nightly")
    create(plugin, "nightly", None, flowRef={"name": "later"})
    plugin.kubectl("wait", "--for=jsonpath={.status.phase}=Pending", "cgx/nightly", "--timeout=60s")
    for what in ("logs", "nodes", "events", "tree", "outputs"):
        done = plugin(what, "nightly")
        assert (done.returncode, "FIRST" in done.stdout) == (4, False), done.stdout
        assert "nightly has no events yet: Flow 'later' not found" in done.stderr
        code, complaint = into_head(plugin, what, first)
        assert code in (4, 141), complaint
        assert "Traceback" not in complaint

    # Those that follow it wait for its Flow, and say so; then they see its run to the end.
    verbs = (("logs", "nightly", "-f"), ("events", "nightly", "-f"), ("wait", "nightly"))
    following = {verb: plugin.start(*verb) for verb in verbs}
    for process in following.values():
        assert process.stderr is not None
        assert "nightly has not started: Flow 'later' not found" in process.stderr.readline()
        assert process.poll() is None
    flow(plugin, "later", SECOND)
    for verb, process in following.items():
        out, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, (verb, out, complaint)
    assert "the SECOND run" in ok(plugin("logs", "nightly"))

    plugin.kubectl("delete", "cgx", "nightly")
    gone = plugin("logs", "nightly")
    assert gone.returncode == 4
    assert re.search(
        r"Execution 'nightly' not found in namespace '.*'\. The last execution .* deleted at 20", gone.stderr
    )


def test_interrupted_nodes_are_named_after_a_timeout_and_a_stop(
    plugin: Plugin, system: System, gateway: GatewayProcess
) -> None:
    create(plugin, "timed", TIMED, options={"flowTimeoutSeconds": 3})
    create(plugin, "halted", TIMED)
    plugin.kubectl("wait", "--for=jsonpath={.status.nodes.running}=1", "cgx/halted", "--timeout=60s")
    assert re.search(r"slow +running +\d\S* +try 1 of 1, since 20\S+Z", ok(plugin("nodes", "halted")))
    assert re.search(r"halted +Running +\S+ +slow \d", ok(plugin("tree", "halted")))
    ok(plugin("stop", "halted", "--reason", "enough", "--wait"))
    assert plugin("wait", "timed", "--for", "completed", "--timeout", "60s").returncode == 1
    said = r"; interrupted: 'slow' since 20\d\d-\S+Z \(try 1 of 1\)"
    assert re.search(rf"Reason: +enough{said}", ok(plugin("get", "halted")))
    assert re.search(rf"Error: +the flow timed out after 3 s{said} \(FlowTimeout\)", ok(plugin("get", "timed")))
    for name in ("halted", "timed"):
        assert re.search(r"slow +interrupted +\d\S* +try 1 of 1, since 20", ok(plugin("nodes", name)))


def test_small_outputs_stay_and_large_ones_are_printed_by_the_command_of_the_message(
    plugin: Plugin, system: System, gateway: GatewayProcess
) -> None:
    text = 'é"\\\x1b[2J\n' * 20_000
    create(plugin, "large", LARGE, inputs={"text": text})
    create(plugin, "skips", SKIPPING)
    ok(plugin("wait", "large", "--timeout", "60s"))
    status = plugin.get("large")["status"]
    assert status["outputs"] == {"len": len(text)}
    assert [each["name"] for each in status["omittedOutputs"]] == ["rows"]
    command = status["conditions"][0]["message"].rpartition(": ")[2].split()
    assert command[:2] == ["kubectl", "chaingraph"]
    printed = plugin.run("kubectl-chaingraph", *command[2:])
    assert printed.stdout == text
    assert json.loads(ok(plugin("outputs", "large", "-o", "json"))) == {"rows": text, "len": len(text)}
    assert yaml.safe_load(ok(plugin("outputs", "large", "--output", "rows", "-o", "yaml"))) == text
    assert ok(plugin("outputs", "large", "--output", "len")) == str(len(text))
    table = ok(plugin("outputs", "large")).splitlines()
    assert [line.split()[0] for line in table] == ["OUTPUT", "len", "rows"]
    wrong = plugin("outputs", "large", "--output", "row")
    assert (wrong.returncode, "Did you mean 'rows'?" in wrong.stderr) == (4, True)
    for arguments in (("outputs", "large", "-o", "json"), ("outputs", "large", "--output", "rows")):
        assert into_head(plugin, *arguments) == (141, "")

    ok(plugin("wait", "skips", "--timeout", "60s"))
    logs = ok(plugin("logs", "skips"))
    assert "FAILED" not in logs
    assert "  stage  skipped: __execute: gate.value is not true" in logs
    assert "  last  skipped: values: no value from stage.value: stage was skipped" in logs
