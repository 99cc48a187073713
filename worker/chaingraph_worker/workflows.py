"""The two DBOS workflows.

`run_execution` is a run in three phases. First, announce and await the start: the creation event was written with the
execution's row, and a run is only enqueued after its START_SIGNAL, with the enqueue itself or to its hold. Second, run:
the flow is ONE durable step, whose first transaction marks the row Running under a new owner epoch and whose last one
writes the end; beside it the workflow receives COMMAND messages, when notified of some. Third, clean up: nothing
outlives the step. See docs/decisions/0002 and 0003.

`hold_execution` is the wait for START_SIGNAL. It runs on a queue without limits, so that waiting takes no run slot.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from dbos import DBOS

from chaingraph_store.commands import stopping
from chaingraph_store.ids import ExecutionId
from chaingraph_store.queue import releasing
from chaingraph_store.queue.dispatch import COMMAND_TOPIC, HOLD_WORKFLOW, LOOK, RUN_WORKFLOW, START_TOPIC
from chaingraph_store.transient import retry_transient
from chaingraph_worker.attempts.attempt import RunDependencies, run_attempt
from chaingraph_worker.attempts.inbox import CommandInbox
from chaingraph_worker.errors import ForeignExecution

_AT_ONCE: Final = 0.0
"""Timeout for receiving a message, in seconds: a notification is sent after its message is visible."""
_log = structlog.get_logger(__name__)


def _check_own(execution: str) -> None:
    """Check that a workflow acts only on its own execution, whatever its arguments say.

    All workers take holds from one queue. So the workers of a pool, whose database role can write only holds of its own
    executions, could make another worker act on any execution.

    Raises:
        ForeignExecution: the arguments name another execution.
    """
    workflow = DBOS.workflow_id or ""
    if workflow != execution and not workflow.startswith(f"{execution}-"):
        raise ForeignExecution(workflow, execution)


def register(dependencies: RunDependencies, *, application_name: str) -> None:
    """Register the workflows and their steps with DBOS. Once per process, before its launch."""

    @DBOS.step(name="run_flow")
    async def run_flow(execution: str, run: int, inbox: CommandInbox) -> str:
        return await run_attempt(dependencies, ExecutionId(execution), run=run, inbox=inbox)

    # The hand-back counts and limits recoveries, because it can tell a lost worker from a drained one.
    @DBOS.workflow(name=RUN_WORKFLOW, max_recovery_attempts=None)
    async def run_execution(execution: str, run: int) -> str:
        _check_own(execution)
        inbox = CommandInbox()
        # The call draws the step's function id, the first one. Receives have all others, however many there are, so a
        # recovered workflow meets the same kind of operation at each id, independent of timing.
        step = asyncio.create_task(run_flow(execution, run, inbox), name=f"run {execution}")
        step.add_done_callback(lambda _: inbox.close())
        try:
            await _receive_commands(inbox)
        except asyncio.CancelledError:
            step.cancel()
            raise
        finally:
            # Also when DBOS reports from a receive that the workflow is cancelled or handed back: the attempt learns it
            # from the row, and has to end before its workflow does.
            outcome = await step
        return outcome

    @DBOS.step(name="release")
    async def release(execution: str, attempt: int) -> bool:
        async def once() -> bool:
            async with dependencies.ledger.transaction() as connection:
                return await releasing.release(
                    connection, ExecutionId(execution), application_name=application_name, attempt=attempt
                )

        return await retry_transient(once, what="release")

    @DBOS.step(name="fail_unstarted")
    async def fail_unstarted(execution: str, attempt: int) -> float:
        async def once() -> float:
            async with dependencies.ledger.transaction() as connection:
                return await stopping.fail_unstarted(connection, ExecutionId(execution), attempt=attempt)

        return await retry_transient(once, what="start timeout")

    # `timeout_seconds` is that of the creation or the retry: the row has the current one.
    @DBOS.workflow(name=HOLD_WORKFLOW, max_recovery_attempts=None)
    async def hold_execution(execution: str, timeout_seconds: float, attempt: int = 1) -> str:
        _check_own(execution)
        seconds_left = timeout_seconds
        while True:
            signal = await DBOS.recv_async(START_TOPIC, seconds_left)
            if signal not in (None, LOOK):
                await release(execution, attempt)
                return "Started"
            seconds_left = await fail_unstarted(execution, attempt)
            if not seconds_left:
                return stopping.START_TIMEOUT


async def _receive_commands(inbox: CommandInbox) -> None:
    """Pass messages on until the inbox is closed. Only a workflow's main coroutine may call this."""
    while await inbox.called():
        try:
            inbox.take(await DBOS.recv_async(COMMAND_TOPIC, _AT_ONCE))
        except Exception:  # noqa: BLE001 - the flow goes on, and the next look at the row asks again
            _log.exception("cannot receive a command")
            inbox.take(None)
