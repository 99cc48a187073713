"""Details, journal, tree and list, as the gateway answers."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.ledger.written_log import Written, WrittenLog
from fixtures.processes.gateway import GatewayProcess, People, RunGateway

pytestmark = pytest.mark.integration


async def test_details_and_journal_show_one_execution(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    log = await written.execution()
    await written.execution("child", parent=log)
    await log.append("flow:started", "flow:completed", phase="Completed")
    answer = await gateway.ask(f"/namespaces/{people.namespace}/executions/nightly", people.admin)
    details: dict[str, Any] = answer.json()
    assert details["executionID"] == log.id
    assert (details["phase"], details["attempt"], details["attempts"]) == ("Completed", 1, [])
    assert (details["nextEventIndex"], details["children"]) == (2, {"total": 1, "Running": 1, "open": 1})
    assert details["completionTime"].endswith("Z")
    # Its inputs hold what people give to flows, secrets among it.
    assert "hidden" not in answer.text
    record = '"startedAt": 1000, "finishedAt": %d, "error": "%s", "reason": "%s", "attempts": 2, "emissions": []'
    await written.journal(
        log,
        [
            ("second", "failed", "{" + record % (2500, "no\\u0000pe", "NodeFailed") + ', "outputs": {}}'),
            ("first", "completed", "{" + record % (1200, "", "") + ', "outputs": {"token": "t"}}'),
        ],
    )
    journal = (await gateway.ask(f"/executions/{log.id}/journal", people.admin)).json()
    assert journal["executionID"] == log.id
    assert journal["nodes"] == [
        {
            "node": "first",
            "attempt": 1,
            "outcome": "completed",
            "startTime": "1970-01-01T00:00:01.000Z",
            "completionTime": "1970-01-01T00:00:01.200Z",
            "durationSeconds": 0.2,
            "tries": 2,
            "reason": "",
            "error": "",
        },
        {
            "node": "second",
            "attempt": 1,
            "outcome": "failed",
            "startTime": "1970-01-01T00:00:01.000Z",
            "completionTime": "1970-01-01T00:00:02.500Z",
            "durationSeconds": 1.5,
            "tries": 2,
            "reason": "NodeFailed",
            "error": "no\x00pe",
        },
    ]
    whole = (await gateway.ask(f"/executions/{log.id}/journal?outputs=true", people.admin)).json()
    assert [each["outputs"] for each in whole["nodes"]] == [{"token": "t"}, {}]


async def test_name_refers_to_its_newest_execution(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    await written.execution()
    newest = await written.execution()
    found = (await gateway.ask(f"/namespaces/{people.namespace}/executions/nightly", people.admin)).json()
    assert found["executionID"] == newest.id


async def pages(gateway: GatewayProcess, people: People, log: WrittenLog, limit: int, **params: Any) -> list[Any]:
    """All executions of a tree, page after page."""
    found: list[dict[str, Any]] = []
    params["limit"] = limit
    while True:
        page = (await gateway.ask(f"/executions/{log.id}/tree", people.admin, params=params)).json()
        assert len(page["executions"]) <= limit
        found += page["executions"]
        if page["cursor"] is None:
            return found
        params["cursor"] = page["cursor"]


async def test_tree_is_paged_level_by_level(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    root = await written.execution("root")
    children = [await written.execution(f"child-{number}", parent=root) for number in range(3)]
    grandchildren = [await written.execution(f"grandchild-{number}", parent=children[2]) for number in range(2)]
    await written.execution("stranger")
    await written.execution("elsewhere", namespace="elsewhere", parent=root)

    whole = await pages(gateway, people, root, 100)
    assert [each["executionID"] for each in whole] == [each.id for each in (root, *children, *grandchildren)]
    assert [each["depth"] for each in whole] == [0, 1, 1, 1, 2, 2]
    assert [each["position"] for each in whole] == [None, 0, 1, 2, 0, 1]
    assert [each["children"]["total"] for each in whole] == [4, 0, 0, 2, 0, 0]
    assert whole[-1]["parentID"] == children[2].id
    assert await pages(gateway, people, root, 1) == whole
    assert await pages(gateway, people, root, 2) == whole
    below = [each["executionID"] for each in await pages(gateway, people, children[2], 2)]
    assert below == [each.id for each in (children[2], *grandchildren)]
    assert [each["name"] for each in await pages(gateway, people, root, 1, depth=1)] == [
        "root",
        "child-0",
        "child-1",
        "child-2",
    ]
    assert [each["name"] for each in await pages(gateway, people, root, 1, depth=0)] == ["root"]


async def test_tree_shows_phase_counts_and_error_of_each(
    run_gateway: RunGateway, people: People, written: Written
) -> None:
    gateway = run_gateway()
    root = await written.execution("root")
    await root.complete(children=5)
    done, failed, runs = [await written.execution(f"root-{number}", parent=root) for number in range(3)]
    await done.complete()
    await failed.fail("load")
    await runs.append("node:started", nodes=[f"node-{number}" for number in range(12)])
    await root.settle()
    rows = await pages(gateway, people, root, 100)
    # Two of five are still to be made; three are open.
    assert rows[0]["children"] == {"total": 5, "Completed": 1, "Failed": 1, "Running": 1, "Pending": 2, "open": 3}
    assert [each["phase"] for each in rows] == ["Completed", "Completed", "Failed", "Running"]
    assert rows[2]["error"] == {"node": "load", "reason": "NodeFailed", "message": ""}
    assert rows[1]["error"] is None
    assert rows[3]["currentNodes"] == [f"node-{number}" for number in range(10)]
    assert rows[3]["uid"]
    ended = await pages(gateway, people, root, 1, phase="Failed,Completed")
    assert [each["name"] for each in ended] == ["root", "root-0", "root-1"]
    assert [each["name"] for each in await pages(gateway, people, root, 100, phase="Running")] == ["root-2"]


async def test_roots_are_listed_newest_first(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    made = [await written.execution(f"run-{number}", flow=f"flow-{number % 2}") for number in range(5)]
    await written.execution("child", parent=made[0])
    await written.execution("other", namespace="default")
    await written.execution("former", namespace="long-gone")

    async def ids(**params: Any) -> tuple[list[str], str | None]:
        page = (await gateway.ask("/executions", people.admin, params=params)).json()
        return [each["executionID"] for each in page["executions"]], page["cursor"]

    newest_first = [each.id for each in reversed(made)]
    assert await ids(namespace=people.namespace) == (newest_first, None)
    assert await ids(namespace=people.namespace, flow="flow-1") == ([made[3].id, made[1].id], None)
    first, cursor = await ids(namespace=people.namespace, limit=3)
    rest, end = await ids(namespace=people.namespace, limit=3, cursor=cursor)
    assert (first + rest, end) == (newest_first, None)
    assert len((await ids())[0]) == 6, "of namespaces that exist"
    await made[2].fail("load", phase="Stopped")
    assert await ids(namespace=people.namespace, phase="Failed,Stopped") == ([made[2].id], None)


async def test_roots_count_all_executions_below_them(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    root = await written.execution("root")
    child = await written.execution("root-0", parent=root)
    await child.complete(children=3)
    grandchild = await written.execution("root-0-0", parent=child)
    await grandchild.fail("load")
    async with grandchild.ledger.transaction() as connection:
        await connection.execute("UPDATE chaingraph.executions SET children_suppressed = 1 WHERE id = %s", (child.id,))
    await written.execution("alone")
    page = (await gateway.ask("/executions", people.admin, params={"namespace": people.namespace})).json()
    assert [(each["name"], each["below"]) for each in page["executions"]] == [
        ("alone", {"total": 0}),
        ("root", {"total": 4, "Completed": 1, "Failed": 1, "Pending": 1, "Barred": 1}),
    ]
    assert page["executions"][1]["children"] == {"total": 1, "Completed": 1, "open": 1}


async def test_a_child_names_its_parent(run_gateway: RunGateway, people: People, written: Written) -> None:
    gateway = run_gateway()
    root = await written.execution("root")
    child = await written.execution("root-0", parent=root, shown=False)
    async with child.ledger.transaction() as connection:
        await connection.execute("UPDATE chaingraph.executions SET flow_revision = NULL WHERE id = %s", (child.id,))
    details = (await gateway.ask(f"/namespaces/{people.namespace}/executions/root-0", people.admin)).json()
    assert (details["parentID"], details["parentName"], details["position"]) == (root.id, "root", 0)
    assert (details["uid"], details["resources"], details["flowRevision"]) == (None, "None", None)
    assert details["children"] == {"total": 0}


async def test_unknown_paths_and_bad_parameters_are_rejected(run_gateway: RunGateway, people: People) -> None:
    gateway = run_gateway()
    nowhere = await gateway.ask("/flows", people.admin)
    assert (nowhere.status_code, nowhere.json()["reason"]) == (404, "NotFound")
    assert "/executions/ID" in nowhere.json()["message"]
    async with gateway.client(people.admin) as client:
        changed = await client.post("/executions")
    assert (changed.status_code, changed.headers["Allow"]) == (405, "GET")
    assert "only reads" in changed.json()["message"]
    for path, field in (
        ("/executions?limit=0", "limit"),
        ("/executions?limit=101", "limit"),
        ("/executions?phase=Done", "phase"),
        ("/executions?cursor=x", "cursor"),
        ("/executions?namespace=A", "namespace"),
        ("/executions?flow=A", "flow"),
        ("/namespaces/A/executions/b", "namespace"),
        ("/namespaces/a/executions/B%00", "name"),
    ):
        answer = await gateway.ask(path, people.admin)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
