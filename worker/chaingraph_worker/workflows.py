"""The two DBOS workflows. Registered by `application`.

`run_execution` is an attempt in three phases. Announce and await the start: the announcement was written with the
execution's row, and a run is only enqueued once its START_SIGNAL came, with the enqueue itself or to its hold. Run:
the flow as ONE durable step, whose first transaction marks the row Running under a new owner epoch and whose last
one writes the end. Clean up: nothing outlives the step. See docs/decisions/0002.

`hold_execution` is the wait for START_SIGNAL. It runs on a queue without limits, so that waiting holds no run slot.
"""

from __future__ import annotations

from dbos import DBOS

from chaingraph_store import creation, stopping
from chaingraph_store.dispatch import HOLD_WORKFLOW, RUN_WORKFLOW, START_TOPIC
from chaingraph_store.ids import ExecutionId, workflow_id
from chaingraph_worker import outage
from chaingraph_worker.attempt import Surroundings, run_attempt


def register(surroundings: Surroundings, *, application_name: str) -> None:
    """Registers the workflows and their steps with DBOS. Once a process, before its launch."""

    @DBOS.step(name="run_flow")
    async def run_flow(execution: str, attempt: int) -> str:
        execution_id = ExecutionId(execution)
        return await run_attempt(
            surroundings, execution_id, attempt=attempt, workflow=workflow_id(execution_id, attempt)
        )

    # Recoveries are counted and limited by the hand-back, which knows a lost worker from a drained one.
    @DBOS.workflow(name=RUN_WORKFLOW, max_recovery_attempts=None)
    async def run_execution(execution: str, attempt: int) -> str:
        return await run_flow(execution, attempt)

    @DBOS.step(name="release")
    async def release(execution: str) -> bool:
        async def once() -> bool:
            async with surroundings.ledger.transaction() as connection:
                return await creation.release(connection, ExecutionId(execution), application_name=application_name)

        return await outage.persist(once, what="release")

    @DBOS.step(name="fail_unstarted")
    async def fail_unstarted(execution: str, timeout_seconds: int) -> bool:
        async def once() -> bool:
            async with surroundings.ledger.transaction() as connection:
                return await stopping.fail_unstarted(
                    connection,
                    ExecutionId(execution),
                    reason="StartTimeout",
                    message=f"Execution start timeout: no START_SIGNAL within {timeout_seconds} s; "
                    "set spec.paused to false in time, or raise spec.startTimeoutSeconds",
                )

        return await outage.persist(once, what="start timeout")

    @DBOS.workflow(name=HOLD_WORKFLOW, max_recovery_attempts=None)
    async def hold_execution(execution: str, timeout_seconds: int) -> str:
        signal = await DBOS.recv_async(START_TOPIC, timeout_seconds)
        if signal is None:
            await fail_unstarted(execution, timeout_seconds)
            return "StartTimeout"
        await release(execution)
        return "Started"
