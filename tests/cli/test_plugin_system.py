"""The verbs on executions that really run: operator, worker and gateway as processes, driven by the commands alone."""

from __future__ import annotations

import json

import pytest
import yaml

from fixtures.plugin.plugin import Plugin
from fixtures.processes.gateway import GatewayProcess, RunGateway
from fixtures.processes.system import System
from fixtures.trees.families import FAN_OUT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CHAIN = yaml.safe_dump(
    {
        "nodes": [{"id": each, "type": "Sleep", "inputs": {"milliseconds": 20}} for each in "abcd"],
        "edges": [{"from": f"{one}.__success", "to": f"{next_}.__execute"} for one, next_ in ("ab", "bc", "cd")],
    }
)
SLOW = yaml.safe_dump({"nodes": [{"id": "a", "type": "work.Work", "inputs": {"milliseconds": 600_000}}]})

ORDERS = yaml.safe_dump(FAN_OUT)
SLOW_ORDERS = yaml.safe_dump(
    {
        **FAN_OUT,
        "nodes": [*FAN_OUT["nodes"], {"id": "work", "type": "work.Work", "inputs": {"milliseconds": 600_000}}],
        "edges": [*FAN_OUT["edges"], {"from": "item.__success", "to": "work.__execute"}],
    }
)


def said(plugin: Plugin, *arguments: str, input: str | None = None) -> str:
    """The last line that a command prints; it must end well."""
    done = plugin(*arguments, input=input)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout.splitlines()[-1]


def test_execution_is_stepped_from_breakpoint_to_breakpoint(plugin: Plugin, system: System) -> None:
    said(plugin, "create", "-f", "-", "--name", "one", "--breakpoint", "b", input=CHAIN)
    name = "execution.chaingraph.dev/one"
    paused = said(plugin, "wait", "one", "--for", "paused", "--timeout", "60s")
    assert paused == f"{name} paused at a breakpoint before 'b'"
    assert plugin("pause", "one").returncode == 3
    assert said(plugin, "step", "one", "--wait") == f"{name} paused before 'c'"
    assert "breakpoints set; " in said(plugin, "breakpoints", "add", "one", "d", "--wait")
    assert said(plugin, "resume", "one", "--wait").startswith(f"{name} resumed; ")
    assert "before 'd'" in said(plugin, "wait", "one", "--for", "paused", "--timeout", "60s")
    assert "Next:\n" in plugin("get", "one").stdout
    assert said(plugin, "step", "one", "--wait") == f"{name} completed"
    assert plugin("resume", "one").returncode == 3


def test_execution_is_created_paused_started_and_stopped(plugin: Plugin, system: System) -> None:
    name = "execution.chaingraph.dev/one"
    first = said(plugin, "create", "-f", "-", "--name", "one", "--paused", "--wait", "--timeout", "60s", input=SLOW)
    assert first == f"{name} created and not started"
    assert said(plugin, "start", "one", "--wait").startswith(f"{name} started; ")
    assert plugin("start", "one").returncode == 3
    plugin.kubectl("wait", "--for=jsonpath={.status.nodes.running}=1", "cgx/one", "--timeout=60s")
    # The node in flight does not end, and the pause waits for it.
    slow = plugin("pause", "one", "--wait", "--timeout", "1s")
    assert slow.returncode == 124
    stopped = said(plugin, "stop", "one", "--reason", "wrong input", "--wait")
    assert stopped.startswith(f"{name} stopped: wrong input; interrupted: 'a' since 20")
    assert plugin("stop", "one").returncode == 3
    assert said(plugin, "retry", "one", "--wait").startswith(f"{name} retried: attempt 2 ")
    assert said(plugin, "stop", "one", "--wait").startswith(f"{name} stopped")
    assert "1         Stopped" in plugin("get", "one").stdout


def test_execution_that_expires_at_once_has_its_true_outcome(plugin: Plugin, system: System) -> None:
    ends = {"completes": ("Text", {"value": "x"}, 0), "fails": ("Fail", {"message": "no"}, 1)}
    for name, (type_, inputs, code) in [*ends.items()] * 3:
        flow = {"nodes": [{"id": "a", "type": type_, "inputs": inputs}]}
        manifest = {
            "apiVersion": "chaingraph.dev/v1alpha1",
            "kind": "Execution",
            "metadata": {"generateName": f"{name}-"},
            "spec": {"ttlSecondsAfterFinished": 0, "flow": flow},
        }
        done = plugin("create", "-f", "-", "--wait", "--timeout", "60s", input=json.dumps(manifest))
        assert (done.returncode, done.stderr) == (code, ""), done.stdout


def test_failure_shows_in_the_exit_code_and_the_logs(plugin: Plugin, system: System, run_gateway: RunGateway) -> None:
    gateway = run_gateway()
    where = ("--gateway", gateway.url, "--gateway-ca", str(gateway.ca))
    broken = yaml.safe_dump({"nodes": [{"id": "typed", "type": "ToNumber", "inputs": {"text": "abc"}}]})
    done = plugin("create", "-f", "-", "--name", "one", "--follow", *where, input=broken)
    assert done.returncode == 1
    logged = plugin("logs", "one", *where).stdout
    assert "  typed  FAILED: " in logged
    assert plugin("wait", "one", "--for", "completed").returncode == 1


def cells(plugin: Plugin, *arguments: str) -> list[list[str]]:
    """The cells of a table without its header."""
    done = plugin(*arguments, "--no-headers")
    assert done.returncode == 0, done.stderr
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in done.stdout.splitlines()]


def test_tree_is_shown_from_its_creation_to_its_end(plugin: Plugin, system: System, gateway: GatewayProcess) -> None:
    arguments = ("create", "-f", "-", "--name", "orders", "--input", "items=[1, 2, 3]", "--wait", "tree")
    last = said(plugin, *arguments, "--timeout", "120s", input=ORDERS)
    assert last == "execution.chaingraph.dev/orders completed; 3 of 3 descendants completed"
    tree = cells(plugin, "tree", "orders")
    assert [each[:2] for each in tree] == [
        ["orders", "Completed"],
        *(["├─ orders-0", "Completed"], ["├─ orders-1", "Completed"], ["└─ orders-2", "Completed"]),
    ]
    assert tree[0][-1] == "3: 3 completed"
    assert [each[-1] for each in cells(plugin, "roots")] == ["3: 3 completed"]
    assert plugin("tree", "orders", "--watch").returncode == 0
    events = [line.split()[2:4] for line in plugin("events", "orders", "-f").stdout.splitlines()]
    assert [each for each in events if each[0] == "child:spawned"] == [
        ["child:spawned", f"orders-{number}"] for number in range(3)
    ]
    assert len([each for each in events if each[0] == "child:completed"]) == 3
    child = plugin("get", "orders-1").stdout
    assert "Parent:       orders\n" in child
    assert "Outputs:\n  got: 2\n" in child
    assert "Children:     3: 3 completed\n" in plugin("get", "orders").stdout
    assert plugin("stop", "orders").returncode == 3


def test_stop_reaches_children_that_only_the_ledger_has(
    plugin: Plugin, system: System, gateway: GatewayProcess
) -> None:
    manifest = {
        "apiVersion": "chaingraph.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": "orders"},
        "spec": {"flow": yaml.safe_load(SLOW_ORDERS), "children": {"resources": "None"}, "inputs": {"items": [1, 2]}},
    }
    assert said(plugin, "create", "-f", "-", "--wait", "--timeout", "60s", input=json.dumps(manifest)).startswith(
        "execution.chaingraph.dev/orders completed"
    )
    plugin.kubectl("wait", "--for=jsonpath={.status.children.running}=2", "cgx/orders", "--timeout=60s")
    refused = plugin("stop", "orders-1")
    assert refused.returncode == 4
    assert f"kubectl chaingraph stop orders -n {plugin.namespace}" in refused.stderr
    assert cells(plugin, "tree", "orders-1")[0][:2] == ["orders-1", "Running"]
    assert any(cell.startswith("work ") for cell in cells(plugin, "tree", "orders")[1])
    done = plugin("stop", "orders", "--reason", "wrong input", "--wait")
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.endswith("stop requested for its 2 active children and everything below")
    assert "2 stopped" in last
    assert plugin("wait", "orders", "--for", "tree").returncode == 1
    assert [each[:2] for each in cells(plugin, "tree", "orders")[1:]] == [
        ["├─ orders-0", "Stopped"],
        ["└─ orders-1", "Stopped"],
    ]
    assert "child orders-0 was stopped" in plugin("logs", "orders", "-f").stdout
    assert plugin("tree", "orders", "-w").returncode == 1
