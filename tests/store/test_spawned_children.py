"""What a child is made of: what it inherits, its name, any payload, and the flow that its event names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaingraph_store import events
from chaingraph_store.children import spawning
from chaingraph_store.children.spawning import MAX_EVENT_DATA
from chaingraph_store.flows import flow_names
from chaingraph_store.flows.flow_names import Content, Named
from chaingraph_store.ids import child_execution_id, child_name
from chaingraph_store.ledger import Ledger
from chaingraph_worker.runner.children import inherited
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import workflows
from fixtures.ledger.new_executions import APP, create
from fixtures.trees.children import complete, complete_and_spawn, emission
from fixtures.trees.forest import forest, settle_all, spawn_batch

pytestmark = pytest.mark.integration


async def columns(ledger: Ledger, execution: str, *names: str) -> tuple[Any, ...]:
    """Columns of an execution's row, JSON as it was written."""
    chosen = ", ".join(
        f"{name}::text" if name in ("inputs", "events", "integration", "options") else name for name in names
    )
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            f"SELECT {chosen} FROM chaingraph.executions WHERE id = %s".encode(), (execution,)
        )
        row = await cursor.fetchone()
    assert row is not None
    return row


# -- what a child is made of -------------------------------------------------------------------------------------------


async def test_child_inherits_settings_of_its_parent(ledger: Ledger) -> None:
    root = await create(
        ledger,
        inputs={"city": "Łódź", "n": 2**70},
        events=[{"name": "mine", "payload": 1}],
        integration={"archai": {"agentID": "A", "messageID": "M", "n": None}, "external": {"messageID": "kept"}},
        options={"maxConcurrency": 7, "flowTimeoutSeconds": 1.5},
        breakpoints=["a"],
        queue="other",
        priority=-3,
        on_stop="Continue",
        resources="None",
        start_timeout_seconds=11,
        step="s",
        resume="r",
        retry="t",
    )
    (child,) = await complete_and_spawn(ledger, root.id, [emission("hello", {"a": [1, None]})])
    row = await row_of(ledger, child)
    assert (row.parent_id, row.root_id, row.depth, row.uid) == (root.id, root.id, 1, None)
    assert (row.flow_name, row.flow_revision, row.phase, row.attempt) == (
        root.flow_name,
        root.flow_revision,
        "Pending",
        1,
    )
    assert (row.breakpoints, row.on_stop, row.queue) == (["a"], "Continue", "other")
    assert (row.step_token, row.resume_token, row.retry_token, row.used_tokens) == ("", "", "", [])
    assert await columns(ledger, child, "position", "priority", "resources", "start_timeout_s", "nodes_total") == (
        0,
        -3,
        "None",
        11,
        1,
    )
    inputs, made_of, integration, options = await columns(ledger, child, "inputs", "events", "integration", "options")
    assert json.loads(inputs) == {"city": "Łódź", "n": 2**70}
    assert json.loads(made_of) == [{"name": "hello", "payload": {"a": [1, None]}}]
    assert json.loads(integration) == {"archai": {"agentID": "A", "n": None}, "external": {"messageID": "kept"}}
    assert json.loads(options) == {"maxConcurrency": 7, "flowTimeoutSeconds": 1.5}
    (grandchild,) = await complete_and_spawn(ledger, child, 1)
    row = await row_of(ledger, grandchild)
    assert (row.parent_id, row.root_id, row.depth, row.name) == (child, root.id, 2, "nightly-0-0")
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT queue_name, priority, name, application_name FROM dbos.workflow_status WHERE workflow_uuid = %s",
            (grandchild,),
        )
        assert await cursor.fetchone() == ("other", 1003, "run_execution", APP)
        cursor = await connection.execute(
            "SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = %s", (grandchild,)
        )
        given = await cursor.fetchone()
        log = await events.read(connection, grandchild)
    assert given is not None
    assert json.loads(given[0])["positionalArgs"] == [grandchild, 1]
    assert [(each.index, each.type) for each in log] == [(-1, "execution:created")]
    assert log[0].data == {
        "executionId": grandchild,
        "namespace": "team",
        "name": "nightly-0-0",
        "flow": {"name": "report", "revision": root.flow_revision, "nodes": 1},
        "rootExecutionId": root.id,
        "parentExecutionId": child,
        "depth": 2,
    }


@pytest.mark.parametrize(
    ("integration", "expected"),
    [
        ({}, {}),
        ({"archai": {"messageID": "M"}}, {"archai": {}}),
        ({"archai": {"messageID": None, "a": 1}, "messageID": 2}, {"archai": {"a": 1}, "messageID": 2}),
        ({"archai": "text"}, {"archai": "text"}),
        ({"archai": None, "x": {"archai": {"messageID": 1}}}, {"archai": None, "x": {"archai": {"messageID": 1}}}),
    ],
)
def test_inherited_integration_drops_parent_message_id(integration: dict[str, Any], expected: dict[str, Any]) -> None:
    before = json.dumps(integration)
    assert inherited(integration) == expected
    assert json.dumps(integration) == before, "the parent's own is left as it is"


@pytest.mark.parametrize("name", ["n", "a" * 61, "a" * 62, "a" * 63, "x." * 126 + "y", f"{'b' * 39}-.-cc{'d' * 30}"])
async def test_child_names_fit_a_label_and_are_unique(ledger: Ledger, name: str) -> None:
    root = await create(ledger, name=name)
    children = await complete_and_spawn(ledger, root.id, 12)
    named = [(await row_of(ledger, child)).name for child in children]
    assert named == [child_name(name, position, child) for position, child in enumerate(children)]
    assert len(set(named)) == 12
    assert all(len(each) <= 63 and each[0].isalnum() and each[-1].isalnum() for each in named)


async def test_spawn_allows_child_name_already_in_use(ledger: Ledger) -> None:
    root = await create(ledger)
    await create(ledger, name="nightly-0")
    (child,) = await complete_and_spawn(ledger, root.id, 1)
    assert (await row_of(ledger, child)).name == "nightly-0", "whose resource it becomes is the operator's matter"


def _deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


PAYLOADS: dict[str, Any] = {
    "null": None,
    "false": False,
    "empty": "",
    "number": 12345678901234567890123,
    "float": 1e300,
    "NUL": "a\x00b\\u0000",
    "surrogate": "\ud800 alone \udfff",
    "emoji": "🦜" * 1000,
    "keys": {"": 1, "\x00": 2, "\ud800": 3, "a'b\"c": "'; DROP TABLE x; --"},
    "percent": "%s %(id)s %%",
    "deep": _deep(200),
    "deeper": _deep(900),
    "1 MiB": "x" * (1 << 20),
    "many": list(range(100_000)),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
async def test_payload_reaches_child_unchanged(ledger: Ledger, payload: Any) -> None:
    root = (await create(ledger)).id
    (child,) = await complete_and_spawn(ledger, root, [emission("it's\x00\ud800", payload)])
    (made_of,) = await columns(ledger, child, "events")
    assert json.loads(made_of) == [{"name": "it's\x00\ud800", "payload": payload}]
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT data::text FROM chaingraph.events WHERE execution_id = %s AND type = 'child:spawned'", (root,)
        )
        row = await cursor.fetchone()
    assert row is not None
    said = json.loads(row[0])
    assert (said["childExecutionId"], said["position"], said["eventName"]) == (child, 0, "it's\x00\ud800")
    size = len(json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size <= MAX_EVENT_DATA // 2:
        assert said["eventData"] == payload
        assert "eventDataBytes" not in said
    elif size > MAX_EVENT_DATA:
        assert "eventData" not in said
        assert said["eventDataBytes"] >= size


@pytest.mark.parametrize(("length", "shown"), [(MAX_EVENT_DATA - 2, True), (MAX_EVENT_DATA - 1, False)])
async def test_the_parents_log_shows_payloads_up_to_a_limit(ledger: Ledger, length: int, shown: bool) -> None:
    root = (await create(ledger)).id
    await complete_and_spawn(ledger, root, [emission("e", "x" * length)])
    async with ledger.connection() as connection:
        log = await events.read(connection, root, from_index=0)
    data = log[-1].data
    assert (data.get("eventData"), data.get("eventDataBytes")) == (
        ("x" * length, None) if shown else (None, length + 2)
    )


# -- flows by name -----------------------------------------------------------------------------------------------------


async def test_spawn_uses_current_revision_of_named_flow(ledger: Ledger) -> None:
    root = await create(ledger, breakpoints=["a"])
    async with ledger.connection() as connection:
        other = Content({"nodes": [{"id": n} for n in "abc"]}, {"n": "\x00"})
        await flow_names.publish(connection, ("team", "other"), Named("feedfeedfeedfeed", 3), other)
        await flow_names.publish(
            connection, ("elsewhere", "strange"), Named("beefbeefbeefbeef", 1), Content({"nodes": [{"id": "a"}]}, {})
        )
        problem = "it needs the input x, and a child is given none"
        await flow_names.publish(connection, ("team", "broken"), Named(None, 0, problem, "InvalidInputs"), None)
    emitted = [
        emission("e", n, flow)
        for n, flow in enumerate(("other", "", "strange", "broken", "no\x00\ud800'such", "report"))
    ]
    await complete(ledger, root.id, children=len(emitted))
    batch = await spawn_batch(ledger, root.id, emitted)
    assert batch == spawning.Batch(6, 4)
    children = [child_execution_id(root.id, position) for position in range(6)]
    rows = [await row_of(ledger, child) for child in children]
    assert [(row.phase, row.flow_name, row.flow_revision) for row in rows] == [
        ("Pending", "other", "feedfeedfeedfeed"),
        ("Pending", "report", root.flow_revision),
        ("Failed", "strange", None),
        ("Failed", "broken", None),
        ("Failed", "no\\x00\\ud800'such", None),
        ("Failed", "report", None),
    ]
    assert [row.error_message for row in rows[2:]] == [
        "Flow 'strange' not found in namespace 'team', named by an event of 'nightly'",
        "Flow 'broken' in namespace 'team', named by an event of 'nightly', cannot run: it needs the input"
        " x, and a child is given none",
        "Flow E'no\\\\x00\\\\ud800''such' not found in namespace 'team', named by an event of 'nightly'",
        "Flow 'report' not found in namespace 'team', named by an event of 'nightly'",
    ]
    assert [row.error_reason for row in rows[2:]] == ["FlowNotFound", "InvalidInputs", "FlowNotFound", "FlowNotFound"]
    assert [(row.breakpoints, row.nodes_total) for row in rows[:4]] == [([], 3), (["a"], 1), ([], 0), ([], 0)]
    assert [json.loads((await columns(ledger, child, "inputs"))[0]) for child in children[:3]] == [
        {"n": "\x00"},
        {"city": "Seattle"},
        {},
    ]
    async with ledger.connection() as connection:
        log = await events.read(connection, children[3])
    assert [(each.index, each.type) for each in log] == [(-1, "execution:created"), (0, "flow:failed")]
    assert log[1].data == {"error": rows[3].error_message, "reason": "InvalidInputs"}
    assert set(await workflows(ledger)) == {root.id, *children[:2]}
    await settle_all(ledger)
    found = await forest(ledger)
    found.check()
    assert (await row_of(ledger, root.id)).children_active == 2
    failed = [data for _, kind, data in found.logs[root.id] if kind == "child:failed"]
    assert [each["reason"] for each in failed] == ["FlowNotFound", "InvalidInputs", "FlowNotFound", "FlowNotFound"]


async def test_flow_change_between_batches_affects_later_batch_only(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=201)
    emitted = [emission("e", n, "other") for n in range(201)]
    async with ledger.connection() as connection:
        await flow_names.publish(connection, ("team", "other"), Named("1" * 16, 1), Content({"nodes": []}, {}))
    await spawn_batch(ledger, root, emitted)
    async with ledger.connection() as connection:
        await flow_names.publish(connection, ("team", "other"), Named("2" * 16, 1), Content({"nodes": []}, {}))
    await spawn_batch(ledger, root, emitted)
    revisions = [(await row_of(ledger, child_execution_id(root, n))).flow_revision for n in (0, 199, 200)]
    assert revisions == ["1" * 16, "1" * 16, "2" * 16]
