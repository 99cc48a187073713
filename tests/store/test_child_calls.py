"""Calls and `onExit` in the ledger: large ends come a few at a time, and a full namespace keeps no other waiting."""

from __future__ import annotations

import pytest

from chaingraph_store.children import calling, exits
from chaingraph_store.children.calling import NewCall
from chaingraph_store.ids import ExecutionId, called_execution_id, called_name
from chaingraph_store.ledger import Ledger
from fixtures.ledger.moves import claimed
from fixtures.ledger.new_executions import APP, create
from fixtures.ledger.shares import many, set_policy

pytestmark = pytest.mark.integration


async def called(ledger: Ledger, parent: ExecutionId, count: int) -> list[ExecutionId]:
    await claimed(ledger, parent)
    calls = [
        NewCall(id_, called_name("p", f"a[{number}]", id_), f"a[{number}]", "1.1", "", "", 1, b"{}")
        for number in range(count)
        for id_ in [called_execution_id(parent, f"a[{number}]", "1.1")]
    ]
    async with ledger.transaction() as connection:
        assert not await calling.create(connection, parent, calls, spacing_ms=100, application_name=APP)
        assert not await calling.create(connection, parent, calls, spacing_ms=100, application_name=APP)
    return [each.id for each in calls]


async def end(ledger: Ledger, ids: list[ExecutionId], size: int) -> None:
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET phase = 'Completed', finished_at = now(),"
            " outputs = json_build_object('x', repeat('x', %s)) WHERE id = ANY(%s)",
            (size, ids),
        )


async def batches(ledger: Ledger, ids: list[ExecutionId]) -> list[int]:
    left, sizes = list(ids), []
    while left:
        async with ledger.connection() as connection:
            found = await calling.ended(connection, left)
        if not found:
            break
        sizes.append(len(found))
        left = [each for each in left if each not in found]
    return sizes


async def test_ends_of_calls_are_read_in_bounded_batches(ledger: Ledger) -> None:
    parent = (await create(ledger)).id
    ids = await called(ledger, parent, 120)
    assert await batches(ledger, ids) == []
    await end(ledger, ids, 10)
    assert await batches(ledger, ids) == [50, 50, 20]
    await end(ledger, ids[:5], 3 * 1024 * 1024)
    assert await batches(ledger, ids[:5]) == [1] * 5


async def test_full_namespace_keeps_no_other_exit_waiting(ledger: Ledger) -> None:
    full = await many(ledger, "full", exits.BATCH + 5)
    other = (await create(ledger, namespace="other")).id
    await set_policy(ledger, "full", max_waiting=0)
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET phase = 'Failed', finished_at = now(), exit_subflow = 's',"
            " exit_timeout_s = 60 WHERE id = ANY(%s)",
            ([*full, other],),
        )
    made = await exits.create_due(ledger, spacing_ms=100, application_name=APP)
    assert [each.parent for each in made] == [other]
    assert await exits.create_due(ledger, spacing_ms=100, application_name=APP) == []


@pytest.mark.parametrize(
    ("parent", "call", "name"),
    [
        ("etl", "pages[12]", "etl-pages-12-cccccc"),
        ("a.b", "_", "a.b-cccccc"),
        (f"{'a' * 37}.{'b' * 25}", "Deploy_to.check[3]", f"{'a' * 37}-deploy-to-check-3-cccccc"),
    ],
)
def test_name_of_a_call_is_that_of_an_object(parent: str, call: str, name: str) -> None:
    assert called_name(parent, call, ExecutionId("EX" + "C" * 24)) == name
    assert len(name) <= 63
