"""The attempts that run in a process, when one execution has two of them: the former is winding down."""

from __future__ import annotations

from chaingraph_store import retrying, stopping
from chaingraph_store.ledger import Ledger
from chaingraph_store.runs import Claim
from chaingraph_worker.running import RunningAttempt, RunningAttempts
from fixtures.new_executions import APP, create
from fixtures.worker_by_hand import StartWorker


def _attempt(claim: Claim, interrupted: list[int]) -> RunningAttempt:
    return RunningAttempt(claim, lambda _: interrupted.append(claim.run), lambda _: None, lambda: None)


async def test_a_later_run_interrupts_one_that_has_not_heard_of_its_stop(
    ledger: Ledger, start_worker: StartWorker
) -> None:
    """Stopped and retried at once, it may be back here before anybody has looked at the row."""
    worker = await start_worker()
    new = await create(ledger)
    interrupted: list[int] = []
    running = RunningAttempts(ledger)
    former = _attempt(await worker.claim(new.id), interrupted)
    running.add(former)
    async with ledger.transaction() as connection:
        assert await stopping.stop(connection, new.id, reason="by hand")
        again = retrying.Retry(token="1", from_start=False, paused=False, options={})
        assert await retrying.retry(connection, new.id, again, application_name=APP) is True
    running.add(_attempt(await worker.claim(new.id), interrupted))
    assert interrupted == [1]
    running.remove(former)
    assert len(running) == 1, "the later one"
