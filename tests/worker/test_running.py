"""The attempts that run in a process: one execution may have two of them, and what is not heard is looked for."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.attempts.runs import Claim
from chaingraph_store.commands import retrying, stopping
from chaingraph_store.ledger import CONTROL, Ledger
from chaingraph_worker.attempts import running as running_module
from chaingraph_worker.attempts.running import RunningAttempt, RunningAttempts
from fixtures.ledger.new_executions import APP, create
from fixtures.ledger.worker_by_hand import StartWorker


async def nothing(_until: int) -> None:
    pass


def _attempt(claim: Claim, interrupted: list[int]) -> RunningAttempt:
    return RunningAttempt(
        claim, lambda _: interrupted.append(claim.run), lambda _: None, lambda: None, lambda: None, nothing
    )


async def test_later_run_interrupts_earlier_run_not_yet_stopped(ledger: Ledger, start_worker: StartWorker) -> None:
    """Stopped and retried at once, it may be back here before anybody has looked at the row."""
    worker = await start_worker()
    new = await create(ledger)
    interrupted: list[int] = []
    running = RunningAttempts(ledger)
    former = _attempt(await worker.claim(new.id), interrupted)
    running.add(former)
    async with ledger.transaction() as connection:
        assert await stopping.stop(connection, new.id, reason="by hand")
        again = retrying.RetryRequest(token="1", from_start=False, paused=False, options={})
        assert await retrying.retry(connection, new.id, again, generation=2, application_name=APP) is True
    running.add(_attempt(await worker.claim(new.id), interrupted))
    assert interrupted == [1]
    running.remove(former)
    assert len(running) == 1, "the later one"


async def test_listener_polls_rows_despite_constant_notifications(
    ledger: Ledger, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notification of a command may have come just before its attempt was known here."""
    monkeypatch.setattr(running_module, "_LOOK_SECONDS", 0.3)
    worker = await start_worker()
    loud, silent = [await worker.claim((await create(ledger)).id) for _ in range(2)]
    attempts, hinted = RunningAttempts(ledger), asyncio.Event()
    attempts.add(RunningAttempt(loud, lambda _: None, lambda _: None, lambda: None, lambda: None, nothing))
    attempts.add(RunningAttempt(silent, lambda _: None, lambda _: hinted.set(), lambda: None, lambda: None, nothing))
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET control_seq = control_seq + 1 WHERE id = %s", (silent.execution_id,)
        )
        listening = asyncio.create_task(attempts.listen())
        async with asyncio.timeout(30):
            await asyncio.sleep(0.2)  # it has looked at all of them at its beginning
            hinted.clear()
            while not hinted.is_set():
                await connection.execute("SELECT pg_notify(%s, %s)", (CONTROL, loud.execution_id))
                await asyncio.sleep(0.02)
    listening.cancel()
    await asyncio.wait([listening])


async def test_notification_between_claim_and_run_is_not_lost(
    ledger: Ledger, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "_LOOK_SECONDS", 60.0)
    worker = await start_worker()
    claim = await worker.claim((await create(ledger)).id)
    attempts, hinted = RunningAttempts(ledger), asyncio.Event()
    listening = asyncio.create_task(attempts.listen())
    async with ledger.connection() as connection, asyncio.timeout(20):
        await connection.execute(
            "UPDATE chaingraph.executions SET control_seq = control_seq + 1 WHERE id = %s", (claim.execution_id,)
        )
        for _ in range(10):  # until it listens for sure, and longer
            await connection.execute("SELECT pg_notify(%s, %s)", (CONTROL, claim.execution_id))
            await asyncio.sleep(0.1)
        attempts.add(RunningAttempt(claim, lambda _: None, lambda _: hinted.set(), lambda: None, lambda: None, nothing))
        await hinted.wait()
    listening.cancel()
    await asyncio.wait([listening])
