"""Real worker processes on a real PostgreSQL; executions are created as the operator creates them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import bind_inputs, revision
from chaingraph_store import creation, executions
from chaingraph_store.creation import NewExecution
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.ledger import Ledger

APP = "chaingraph-executor"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(database_url, application_name="tests", pool_size=6)
    await ledger.open()
    yield ledger
    await ledger.close()


async def create(
    ledger: Ledger,
    flow: dict[str, Any],
    *,
    inputs: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    events: list[dict[str, Any]] | None = None,
    held: bool = False,
    start_timeout_seconds: int = 300,
    queue: str = "chaingraph-executions",
) -> ExecutionId:
    uid = str(uuid.uuid4())
    spec = FlowSpec.model_validate(flow)
    bound, faults = bind_inputs(spec.inputs, inputs or {})
    assert not faults
    new = NewExecution(
        id=execution_id(uid),
        uid=uid,
        namespace="team",
        name=f"run-{uid[:8]}",
        flow_name="",
        flow_revision=revision(spec),
        flow_spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        nodes_total=len(spec.nodes),
        inputs=bound,
        events=events or [],
        integration={},
        options=options or {},
        queue=queue,
        priority=0,
        start_timeout_seconds=start_timeout_seconds,
        held=held,
    )
    async with ledger.transaction() as connection:
        assert await creation.create(connection, new, application_name=APP)
    return new.id


async def row_of(ledger: Ledger, execution: ExecutionId) -> ExecutionRow:
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, execution)
    assert row is not None
    return row


async def wait_for(
    ledger: Ledger, execution: ExecutionId, condition: Callable[[ExecutionRow], bool], *, within: float = 30
) -> ExecutionRow:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        row = await row_of(ledger, execution)
        if condition(row):
            return row
        await asyncio.sleep(0.02)
    pytest.fail(f"not within {within} s; the row is {row}")


async def ended(ledger: Ledger, execution: ExecutionId, *, within: float = 30) -> ExecutionRow:
    return await wait_for(ledger, execution, lambda row: row.ended, within=within)
