"""The verbs on parents and on children, with and without a resource: what is shown, waited for, stopped and refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaingraph_cli.execution import Execution, describe
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.gateway.event_stream import Event
from chaingraph_cli.render.details import details, next_steps
from chaingraph_cli.render.event_lines import event_line, log_lines
from fixtures.ledger.written_log import Written
from fixtures.plugin.plugin import Plugin
from fixtures.processes.gateway import GatewayProcess
from fixtures.processes.terminal import in_terminal

TREE = {"type": "TreeSucceeded", "lastTransitionTime": "2026-11-24T02:00:00Z"}
OPEN = TREE | {"status": "Unknown", "reason": "ChildrenActive", "message": "3 children: 1 running, 2 completed"}
WELL = TREE | {"status": "True", "reason": "AllCompleted", "message": "3 of 3 descendants completed"}
ILL = TREE | {"status": "False", "reason": "SomeFailed", "message": "3 descendants: 2 completed, 1 failed"}
CUT = TREE | {"status": "False", "reason": "TreeStopped", "message": "3 descendants: 2 completed, 1 stopped"}
CHILDREN = {"total": 3, "running": 1, "completed": 2}


def parent(*conditions: Any, observed: int = 2, spec: dict[str, Any] | None = None, **status: Any) -> Execution:
    shown = {"phase": "Completed", "children": CHILDREN, "executionID": "EX1", "observedGeneration": observed, **status}
    return Execution(
        {
            "metadata": {"name": "one", "generation": 2},
            "spec": spec or {},
            "status": shown | {"conditions": list(conditions)},
        }
    )


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (parent(OPEN), "completed; 3 children: 1 running, 2 completed"),
        (parent(WELL), "completed"),
        (parent(ILL), "completed; 3 descendants: 2 completed, 1 failed"),
    ],
)
def test_standing_of_a_parent_includes_its_tree(shown: Execution, words: str) -> None:
    assert describe(shown) == words


@pytest.mark.parametrize(
    ("shown", "outcome"),
    [
        (parent(OPEN), None),
        (parent(), None),
        (parent(WELL), ("completed; 3 of 3 descendants completed", 0)),
        (parent(WELL, children=None), ("completed", 0)),
        (parent(ILL), ("completed; 3 descendants: 2 completed, 1 failed", 1)),
        (
            parent(TREE | {"status": "False", "reason": "NodeFailed"}, phase="Failed", error={"message": "broke"}),
            ("failed: broke", 1),
        ),
        (parent(ILL, observed=1, spec={"retry": {"token": "t"}}), None),
    ],
)
def test_tree_outcome_is_reached_when_the_tree_ends(shown: Execution, outcome: tuple[str, int] | None) -> None:
    found = outcomes.reached("tree")(shown)
    assert (None if found is None else (found.text, found.code)) == outcome


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (parent(OPEN), None),
        (parent(CUT, observed=1), None),
        (parent(CUT), 0),
        (parent(ILL), 3),
        (parent(phase="Stopped", children=None), 0),
    ],
)
def test_stop_outcome_waits_for_the_tree(shown: Execution, code: int | None) -> None:
    found = outcomes.stopped(shown)
    assert (None if found is None else found.code) == code


def test_next_steps_of_a_parent_depend_on_its_tree() -> None:
    assert [words for words, _ in next_steps(parent(OPEN))] == [("tree", "one", "--watch"), ("stop", "one")]
    assert [words for words, _ in next_steps(parent(OPEN, spec={"children": {"onStop": "Continue"}}))] == [
        ("tree", "one", "--watch")
    ]
    assert [words for words, _ in next_steps(parent(WELL))] == [("tree", "one")]
    refused = guards.stop(parent(OPEN, spec={"children": {"onStop": "Continue"}}))
    assert refused is not None
    assert "onStop: Continue" in refused.why


def test_details_of_a_parent_show_children_and_tree() -> None:
    shown = details(
        parent(OPEN, parentRef={"name": "zero", "executionID": "EX0"}), typed=lambda *words: " ".join(words)
    )
    assert "Children:     3: 1 running, 2 completed\n" in shown
    assert "Parent:       zero\n" in shown
    assert "TreeSucceeded   Unknown   ChildrenActive" in shown


def event(type_: str, **data: Any) -> Event:
    return Event(7, type_, "2026-11-24T02:03:04.500Z", data, "")


def test_events_of_children_name_the_child_first() -> None:
    ids = {"childExecutionId": "EX2", "parentExecutionId": "EX1", "rootExecutionId": "EX1"}
    spawned = event("child:spawned", **ids, name="one-0", position=0, eventName="order", eventData={"id": 7})
    assert event_line(spawned).split()[2:] == [
        "child:spawned",
        "one-0",
        "position=0",
        "eventName=order",
        'eventData={"id":',
        "7}",
    ]
    failed = event("child:failed", **ids, name="one-0", position=0, phase="Failed", error="disk\nfull")
    assert [line.partition("  -  ")[2] for line in log_lines(failed)] == ["child one-0 FAILED: disk", "full"]
    stopped = event("child:failed", name="one-0", phase="Stopped", error="enough")
    assert log_lines(stopped)[0].endswith("child one-0 was stopped: enough")


@pytest.mark.integration
def test_wait_for_a_tree_shows_progress_and_outcome(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Completed", "children": CHILDREN, "conditions": [OPEN]})
    plugin.create("two", status={"phase": "Completed", "children": CHILDREN, "conditions": [WELL]})

    def end() -> None:
        plugin.kubectl("wait", "--for=jsonpath={.status.phase}=Completed", "cgx/one")
        plugin.show("one", children={"running": 0, "failed": 1}, conditions=[ILL])

    assert plugin("wait", "two", "--for", "tree").stdout == (
        "execution.chaingraph.dev/two completed; 3 of 3 descendants completed\n"
    )
    late = plugin("wait", "one", "--for", "tree", "--timeout", "200ms")
    assert late.returncode == 124
    assert late.stderr.splitlines() == [
        "one is completed; 3 children: 1 running, 2 completed",
        "Error: Timed out after 0.2 s: one is completed; 3 children: 1 running, 2 completed.",
        "Increase --timeout to wait longer.",
    ]
    ending = plugin.meanwhile(end)
    done = plugin("wait", "one", "two", "--for", "tree", "--timeout", "60s")
    ending.join()
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines())[0].endswith("one completed; 3 descendants: 2 completed, 1 failed")


@pytest.mark.integration
def test_tree_progress_on_a_terminal_is_one_transient_line(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Completed", "children": CHILDREN, "conditions": [OPEN]})
    command = ("kubectl-chaingraph", "wait", "one", "--for", "tree", "-n", plugin.namespace)
    with in_terminal(*command, environment=plugin.environment) as terminal:
        terminal.until("one is completed; 3 children: 1 running")
        plugin.show("one", conditions=[OPEN | {"message": "3 children: 3 completed"}])
        terminal.until("one is completed; 3 children: 3 completed")
        plugin.show("one", conditions=[WELL])
        code, lines = terminal.end()
    assert (code, lines) == (0, ["execution.chaingraph.dev/one completed; 3 of 3 descendants completed"])


@pytest.mark.integration
def test_stop_accepts_a_completed_execution_with_an_open_tree(plugin: Plugin) -> None:
    plugin.create("one", status={"phase": "Completed", "children": CHILDREN, "conditions": [OPEN]})
    plugin.create("done", status={"phase": "Completed", "children": CHILDREN, "conditions": [ILL]})

    def operator() -> None:
        plugin.kubectl("wait", "--for=jsonpath={.spec.stop}=true", "cgx/one", "--timeout=30s")
        plugin.show("one", children={"running": 0, "stopped": 1}, conditions=[CUT])

    working = plugin.meanwhile(operator)
    done = plugin("stop", "one", "--wait")
    working.join()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "execution.chaingraph.dev/one stop requested for its active child and everything below",
        "execution.chaingraph.dev/one completed; 3 descendants: 2 completed, 1 stopped",
    ]
    refused = plugin("stop", "done")
    assert refused.returncode == 3
    assert "done has already completed." in refused.stderr


@pytest.mark.integration
async def test_child_without_a_resource_is_shown_by_name_and_by_id(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    root = await written.execution("orders")
    await root.complete(children=1)
    child = await written.execution("orders-0", parent=root, shown=False)
    await child.fail("load")
    for name in ("orders-0", child.id):
        done = plugin("get", name)
        assert done.returncode == 0, done.stderr
        for words in ("Name:         orders-0\n", "Parent:       orders\n", "Phase:        Failed\n"):
            assert words in done.stdout
        assert "Resource:     none (read-only)\n" in done.stdout
        assert f"kubectl chaingraph nodes orders-0 -n {plugin.namespace}" in done.stdout
        assert "retry" not in done.stdout
        assert json.loads(plugin("get", name, "-o", "json").stdout)["executionID"] == child.id
        assert plugin("get", name, "-o", "name").stdout == "orders-0\n"
        assert plugin("get", name, "-o", "wide", "--no-headers").stdout.split()[:2] == ["orders-0", "Failed"]
        assert "flow:failed" in plugin("events", name).stdout
        assert plugin("nodes", name, "--no-headers").returncode == 0
        assert "the flow FAILED" in plugin("logs", name).stdout
        assert plugin("tree", name, "-o", "name").stdout == "orders-0\n"


@pytest.mark.integration
async def test_edit_without_a_resource_is_refused_with_alternatives(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    root = await written.execution("orders")
    await root.complete(children=1)
    child = await written.execution("orders-0", parent=root, shown=False)
    grandchild = await written.execution("orders-0-0", parent=child, shown=False)
    where = f"-n {plugin.namespace}"
    for arguments in (("stop", grandchild.name), ("stop", grandchild.id), ("wait", grandchild.name)):
        done = plugin(*arguments)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.splitlines() == [
            "Error: Execution 'orders-0-0' is read-only: it has no Kubernetes resource "
            "(its parent has spec.children.resources: None).",
            f"Show it: kubectl chaingraph get orders-0-0 {where}",
            f"Stop everything below 'orders': kubectl chaingraph stop orders {where}",
            f"Wait for everything below it: kubectl chaingraph wait orders --for tree {where}",
        ]
    assert "has no Kubernetes resource" in plugin("breakpoints", "list", "orders-0").stderr
    several = plugin("pause", "orders-0", "nobody")
    assert several.returncode == 4
    assert "'orders-0' is read-only" in several.stderr
    assert "Execution 'nobody' not found" in several.stderr
    named = plugin("stop", root.id)
    assert named.returncode == 4
    assert f"is an execution id; this command needs a name: 'orders' in namespace '{plugin.namespace}'" in (
        named.stderr
    )
    async with root.ledger.transaction() as connection:
        await connection.execute("UPDATE chaingraph.executions SET resources = 'Create' WHERE id = %s", (child.id,))
    assert "has not been created yet.\nTry again in a moment." in plugin("stop", "orders-0").stderr
    # One whose resource was deleted is as one that never was.
    missing = f"Execution 'orders' not found in namespace '{plugin.namespace}'."
    assert missing in plugin("stop", "orders").stderr
    assert missing in plugin("get", "orders").stderr


@pytest.mark.integration
def test_missing_name_without_a_gateway_is_reported_missing(plugin: Plugin) -> None:
    done = plugin("stop", "orders-0")
    assert done.returncode == 4
    assert f"Execution 'orders-0' not found in namespace '{plugin.namespace}'." in done.stderr
    done = plugin("stop", "EX" + "A" * 24)
    assert done.returncode == 4
    assert "is an execution id; this command needs a name." in done.stderr
