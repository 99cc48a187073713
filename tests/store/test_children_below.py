"""What is below an execution, at any depth, counted by phase."""

from __future__ import annotations

import pytest

from chaingraph_store.children import child_rows
from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.ledger import Ledger
from fixtures.ledger.new_executions import create

pytestmark = pytest.mark.integration


async def put_below(ledger: Ledger, parent: ExecutionId, position: int, phase: str, *, barred: int = 0) -> ExecutionId:
    """A child in this phase, by hand: how it came to it is not the question here."""
    id_ = child_execution_id(parent, position)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_name, flow_revision, inputs, events,"
            " integration, options, queue, priority, start_timeout_s, parent_id, root_id, depth, position, phase,"
            " workflow_id, nodes_total, children_total, children_suppressed)"
            " SELECT %(id)s, namespace, name, flow_name, flow_revision, inputs, events, integration, options, queue,"
            " priority, start_timeout_s, id, root_id, depth + 1, %(position)s, %(phase)s, %(id)s, nodes_total,"
            " %(barred)s, %(barred)s FROM chaingraph.executions WHERE id = %(parent)s",
            {"id": id_, "position": position, "phase": phase, "barred": barred, "parent": parent},
        )
    return id_


async def below(ledger: Ledger, execution: ExecutionId) -> dict[str, int]:
    async with ledger.connection() as connection:
        return await child_rows.below(connection, execution)


async def test_below_counts_descendants_and_excludes_other_trees(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    assert await below(ledger, root) == {}
    first = await put_below(ledger, root, 0, "Completed")
    await put_below(ledger, root, 1, "Failed")
    grandchild = await put_below(ledger, first, 0, "Completed")
    await put_below(ledger, grandchild, 0, "Running")
    stranger = (await create(ledger)).id
    await put_below(ledger, stranger, 0, "Stopped")
    assert await below(ledger, root) == {"Completed": 2, "Failed": 1, "Running": 1}
    assert await below(ledger, first) == {"Completed": 1, "Running": 1}


async def test_below_counts_barred_descendants_separately(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    first = await put_below(ledger, root, 0, "Completed", barred=3)
    await put_below(ledger, first, 0, "Completed", barred=4)
    assert await below(ledger, root) == {"Completed": 2, child_rows.BARRED: 7}
    # Its own are in its row.
    assert await below(ledger, first) == {"Completed": 1, child_rows.BARRED: 4}
