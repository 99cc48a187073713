"""`kubectl chaingraph tree`: what it draws, how it changes on a terminal and in a pipe, and how it ends."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
import yaml

from chaingraph_cli.render import children
from chaingraph_cli.render.tree_rows import Row
from chaingraph_cli.render.tree_watch import most_telling
from chaingraph_cli.verbs.tree import drawn
from chaingraph_store.ids import ExecutionId, child_execution_id, child_name, execution_id
from fixtures import soak
from fixtures.ledger.written_log import Written, WrittenLog
from fixtures.plugin.plugin import Plugin
from fixtures.processes.gateway import GatewayProcess
from fixtures.processes.proxy import MakeProxy
from fixtures.processes.terminal import in_terminal


def row(name: str, parent: Row | None = None, *, phase: str = "Completed", **changes: Any) -> Row:
    made: Row = {
        "executionID": execution_id(name),
        "name": name,
        "flow": "report",
        "parentID": parent["executionID"] if parent else None,
        "phase": phase,
        "attempt": 1,
        "currentNodes": [],
        "error": None,
        "createdTime": "2026-11-24T02:00:00.000Z",
        "durationSeconds": 1.5,
        "children": {"total": 0},
    }
    return {**made, **changes}


def family_tree() -> list[Row]:
    root = row("a", children={"total": 3, "Completed": 1, "Failed": 1, "Pending": 1, "open": 2})
    first = row("a-0", root, children={"total": 1, "Running": 1, "open": 1})
    second = row("a-1", root, phase="Failed", error={"node": "load", "reason": "NodeFailed", "message": "disk\nfull"})
    third = row("a-2", root, phase="Pending", durationSeconds=None)
    deep = row("a-0-0", first, phase="Running", currentNodes=["x", "y", "z", "w"])
    return [root, first, second, third, deep]


def test_tree_is_drawn_with_phases_and_counts() -> None:
    assert drawn(family_tree()).splitlines() == [
        "NAME          PHASE       DURATION   NODE      CHILDREN",
        "a             Completed   1.5s       <none>    3: 1 pending, 1 completed, 1 failed",
        "├─ a-0        Completed   1.5s       <none>    1: 1 running",
        "│  └─ a-0-0   Running     1.5s       x,y,z,…   <none>",
        "├─ a-1        Failed      1.5s       load      <none>",
        "└─ a-2        Pending     <none>     <none>    <none>",
    ]
    wide = drawn(family_tree(), wide=True, headers=False).splitlines()
    assert wide[3].split()[-5:] == ["report", "1", execution_id("a-1"), "2026-11-24T02:00:00.000Z", "disk"]
    unknown = row("b", phase="Failed", error={"node": "", "reason": "FlowNotFound", "message": "no Flow 'x'"})
    assert drawn([unknown], headers=False).split()[3] == "(FlowNotFound)"


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, ""),
        ({"total": 0}, ""),
        ({"total": 30, "Completed": 28, "Failed": 2, "open": 1}, "30: 28 completed, 2 failed"),
        ({"total": 5, "Completed": 1, "Pending": 2, "Barred": 2}, "5: 2 pending, 1 completed, 2 never spawned"),
        # As the status of a resource has them.
        ({"total": 5, "pending": 0, "completed": 3, "stopped": 1}, "5: 3 completed, 1 stopped, 1 never spawned"),
    ],
)
def test_child_counts_are_shown_in_few_words(counts: dict[str, int], text: str) -> None:
    assert children.counted(counts) == text


def test_partial_tree_prefers_active_then_failed_executions() -> None:
    root = row("a")
    rows = [root, *(row(f"a-{number}", root) for number in range(50))]
    rows[30] = row("a-29", root, phase="Failed")
    rows[40] = row("a-39", root, phase="Running")
    deep = row("a-39-0", rows[40], phase="Paused")
    names = [each["name"] for each in most_telling([*rows, deep], 6)]
    assert names == ["a", "a-0", "a-1", "a-29", "a-39", "a-39-0"]


def test_row_with_omitted_ancestors_hangs_on_the_nearest() -> None:
    chain = [row("c")]
    for number in range(100):
        chain.append(row(f"c{number}", chain[-1], phase="Running" if number == 99 else "Completed"))
    lines = drawn(most_telling(chain, 4), headers=False).splitlines()
    assert [line.split()[-5] for line in lines] == ["c", "c0", "c1", "c99"]
    assert "└─ … c99" in lines[-1]
    assert len(lines) == 4


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak.seeds(*range(20)))
def test_partial_tree_fits_is_connected_and_keeps_its_order(seed: int) -> None:
    choice = random.Random(seed)
    rows = [row("r")]
    for number in range(choice.randint(0, 200)):
        parent = choice.choice(rows)
        rows.append(row(f"r{number}", parent, phase=choice.choice(["Completed", "Failed", "Running", "Pending"])))
    room = choice.randint(1, 60)
    chosen = most_telling(rows, room)
    assert len(chosen) == min(room, len(rows))
    known = {each["executionID"] for each in chosen}
    assert chosen[0] is rows[0]
    assert all(each["parentID"] in known for each in chosen[1:])
    order = [each["executionID"] for each in rows]
    places = [order.index(each["executionID"]) for each in chosen]
    assert places == sorted(places)
    left_out = [each["phase"] for each in rows if each["executionID"] not in known]
    if "Running" in left_out:
        # Nothing was preferred to what is active but what that is below.
        above = {each["parentID"] for each in rows}
        assert all(each["phase"] == "Running" or each["executionID"] in above for each in chosen)


async def planted(written: Written) -> tuple[WrittenLog, list[WrittenLog]]:
    """One that has completed, and two of its three children, which run."""
    root = await written.execution("orders")
    await root.complete(children=3)
    children = [await written.execution(f"orders-{number}", parent=root) for number in range(2)]
    await children[0].append("node:started", nodes=["load"])
    return root, children


@pytest.mark.integration
async def test_tree_shows_running_and_failed_nodes(gateway: GatewayProcess, plugin: Plugin, written: Written) -> None:
    root, children = await planted(written)
    await children[1].complete(children=1)
    deep = await written.execution("orders-1-0", parent=children[1], shown=False)
    await deep.fail("extract")
    lines = [line.split("  ") for line in plugin("tree", "orders", "--no-headers").stdout.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert [[*each[:2], *each[3:]] for each in cells] == [
        ["orders", "Completed", "<none>", "3: 1 pending, 1 running, 1 completed"],
        ["├─ orders-0", "Running", "load", "<none>"],
        ["└─ orders-1", "Completed", "<none>", "1: 1 failed"],
        ["└─ orders-1-0", "Failed", "extract", "<none>"],
    ]
    assert plugin("tree", "orders", "--depth", "1", "-o", "name").stdout.split() == ["orders", "orders-0", "orders-1"]
    assert plugin("tree", deep.id, "-o", "name").stdout.split() == ["orders-1-0"]
    assert plugin("tree", "orders-1-0", "-o", "name").stdout.split() == ["orders-1-0"]
    shown = yaml.safe_load(plugin("tree", root.id, "-o", "yaml").stdout)
    assert [each["name"] for each in shown["executions"]] == ["orders", "orders-0", "orders-1", "orders-1-0"]
    wrong = plugin("tree", "orders", "--depth", "few")
    assert wrong.returncode == 2
    assert "invalid number of levels 'few'" in wrong.stderr
    nobody = plugin("tree", execution_id("nobody"))
    assert nobody.returncode == 4
    assert f"execution {execution_id('nobody')} not found" in nobody.stderr


@pytest.mark.integration
async def test_piped_watch_prints_each_change_and_ends_with_the_tree(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    root, children = await planted(written)
    watching = asyncio.create_task(asyncio.to_thread(plugin, "tree", "orders", "--watch"))
    await asyncio.sleep(3)
    await children[0].complete()
    await root.settle()
    await asyncio.sleep(3)
    children.append(await written.execution("orders-2", parent=root))
    for each in children[1:]:
        await each.complete()
    await root.settle()
    done = await watching
    assert done.returncode == 0, done.stderr
    lines = [line.split()[:2] for line in done.stdout.splitlines()]
    assert lines[:4] == [
        ["NAME", "PHASE"],
        ["orders", "Completed"],
        ["orders-0", "Running"],
        ["orders-1", "Running"],
    ]
    assert ["orders-0", "Completed"] in lines[4:]
    assert lines[-2:] == [["orders-1", "Completed"], ["orders-2", "Completed"]]
    assert done.stdout.splitlines()[-3].endswith("3: 3 completed")
    assert done.stderr.startswith(
        "Note: Execution 'orders' no longer exists. Showing the deleted execution of that name"
    )


@pytest.mark.integration
async def test_json_watch_exit_code_includes_undisplayed_depths(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    root = await written.execution("orders")
    await root.complete(children=1)
    child = await written.execution("orders-0", parent=root)
    await child.complete(children=1)
    grandchild = await written.execution("orders-0-0", parent=child)
    await grandchild.fail("load")
    watching = asyncio.create_task(
        asyncio.to_thread(plugin, "tree", "orders", "-w", "--depth", "1", "-o", "json", program="chaingraph")
    )
    await asyncio.sleep(3)
    await child.settle()
    done = await watching
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["name"] for each in rows[:2]] == ["orders", "orders-0"]
    assert {each["name"] for each in rows} == {"orders", "orders-0"}
    assert rows[-1]["children"] == {"total": 1, "Failed": 1}


@pytest.mark.integration
async def test_watch_resumes_after_a_gateway_outage(
    gateway: GatewayProcess, plugin: Plugin, written: Written, make_proxy: MakeProxy
) -> None:
    proxy = make_proxy(gateway.url)
    root, children = await planted(written)
    arguments = ("tree", "orders", "--watch", "--gateway", proxy.url)
    watching = asyncio.create_task(asyncio.to_thread(plugin, *arguments))
    await asyncio.sleep(3)
    proxy.cut()
    await asyncio.sleep(2)
    children.append(await written.execution("orders-2", parent=root))
    for each in children:
        await each.complete()
    await root.settle()
    proxy.restore()
    done = await watching
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[:2] == ["orders-2", "Completed"]


@pytest.mark.integration
async def test_terminal_watch_redraws_the_tree_in_place_to_fit(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    root = await written.execution("orders")
    await root.complete(children=40)
    children = [await written.execution(f"orders-{number}", parent=root) for number in range(40)]
    for each in children[:30]:
        await each.complete()
    command = ("kubectl-chaingraph", "tree", "orders", "--watch", "-n", plugin.namespace)
    with in_terminal(*command, environment=plugin.environment, lines=12, columns=60) as terminal:
        lines = the_tree(await asyncio.to_thread(terminal.until, "… and "))
        assert [line.split()[0] for line in lines[:2]] == ["NAME", "orders"]
        assert lines[2].startswith("├─ orders-30   Running")
        assert "… and 32 more: 2 running, 30 completed" in lines
        assert len([line for line in lines if line]) == 11
        await children[35].fail("load")
        for number in range(40):
            if number != 35:
                await children[number].complete()
        lines = the_tree(await asyncio.to_thread(terminal.until, "orders-35   Failed"))
        assert len([line for line in lines if line]) == 11
        await root.settle()
        code, left = await asyncio.to_thread(terminal.end)
    left = the_tree(left)
    assert code == 1
    assert "… and 32 more: 32 completed" in left[-1]
    assert len(left) == 11


def the_tree(lines: list[str]) -> list[str]:
    """The tree, without the note above it that there is no resource."""
    return lines[next(number for number, line in enumerate(lines) if line.startswith("NAME")) :]


@pytest.mark.integration
async def test_ctrl_c_ends_a_watch_without_a_word(gateway: GatewayProcess, plugin: Plugin, written: Written) -> None:
    await planted(written)
    command = ("kubectl-chaingraph", "tree", "orders", "-w", "-n", plugin.namespace)
    with in_terminal(*command, environment=plugin.environment) as terminal:
        await asyncio.to_thread(terminal.until, "orders-1")
        terminal.press(b"\x03")
        code, lines = await asyncio.to_thread(terminal.end)
    assert code == 130
    assert [line for line in lines if line not in ("^C",)][-1].startswith("└─ orders-1")


@pytest.mark.integration
async def test_a_tree_of_thousands_is_read_page_after_page(
    gateway: GatewayProcess, plugin: Plugin, written: Written
) -> None:
    root = await written.execution("orders")
    await grow(root, 2500)
    done = plugin("tree", "orders", "-o", "name")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["orders", *(f"orders-{number}" for number in range(2500))]


async def grow(root: WrittenLog, number: int) -> None:
    """So many children, all completed and counted."""
    ids = [child_execution_id(ExecutionId(root.id), position) for position in range(number)]
    async with root.ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, parent_id, root_id, depth,"
            " position, phase, workflow_id) SELECT entry.id, e.namespace, entry.name, e.flow_revision, e.queue, e.id,"
            " e.id, 1, entry.number - 1, 'Completed', entry.id FROM chaingraph.executions e,"
            " unnest(%s::text[], %s::text[]) WITH ORDINALITY AS entry (id, name, number) WHERE e.id = %s",
            (ids, [child_name(root.name, position, id_) for position, id_ in enumerate(ids)], root.id),
        )
        await connection.execute(
            "UPDATE chaingraph.executions SET children_total = %(n)s, children_spawned = %(n)s WHERE id = %(id)s",
            {"n": number, "id": root.id},
        )
