"""One run of an execution: claim it, run the engine over the journal, write its end. Called by the workflow's step.

An attempt takes several runs when it is parked in between. The step may run again after a crash, on any worker: the
claim takes a new owner epoch, the journal's nodes are not run again, and the first worker's writes are refused from
then on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import psycopg
import structlog
from structlog.contextvars import bound_contextvars

from chaingraph_flow import Emission, Engine, FlowError, FlowEvent, FlowOutcome, FlowResult, Progress, Registry, events
from chaingraph_store import pinning, runs
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.executions import TERMINAL_PHASES
from chaingraph_store.ids import ExecutionId, WorkflowId, workflow_id
from chaingraph_store.ledger import Ledger, plain
from chaingraph_store.pinning import Build, PinnedElsewhere
from chaingraph_worker import log_names, metrics, outage
from chaingraph_worker.control import Control
from chaingraph_worker.engine import Limits, engine_of
from chaingraph_worker.flusher import Flusher
from chaingraph_worker.inbox import Inbox
from chaingraph_worker.observer import Observer
from chaingraph_worker.running import RunningAttempt, RunningAttempts
from chaingraph_worker.spawner import Spawner

PARKED: Final = str(FlowOutcome.PARKED)
"""What a run ends with that is paused: another run goes on with the attempt."""
MOVED: Final = "Moved"
"""What a run ends with that is another version's: its next run waits in the queue of that version."""
NOT_OURS: Final = "NotOurs"
"""What a run ends with when there was nothing to run, or somebody else has taken it. DBOS refuses to record it
for a workflow that was handed back or cancelled, so it ends nothing that goes on elsewhere."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every attempt of this process shares."""

    ledger: Ledger
    registry: Registry
    running: RunningAttempts
    application_name: str
    executor_id: str
    build: Build
    flush_seconds: float
    park_seconds: float
    spawner: Spawner
    limits: Limits


async def run_attempt(surroundings: Surroundings, execution: ExecutionId, *, run: int, inbox: Inbox) -> str:
    """Runs the attempt until it ends or is parked.

    Args:
        run: The number of the run, which its workflow's id has too.
        inbox: Brings the commands that come while it runs.

    Returns:
        The phase it ended in, `PARKED`, `MOVED`, or `NOT_OURS`.
    """
    try:
        claim = await _claim(surroundings, execution, workflow_id(execution, run))
    except PinnedElsewhere:
        return await _send_to_its_version(surroundings, execution, workflow_id(execution, run))
    if claim is None:
        _log.info("nothing to run", execution_id=execution, run=run)
        # Its former worker may have been lost between the end and the last child.
        await surroundings.spawner.spawn(execution)
        return NOT_OURS
    log_names.remember(execution, claim.namespace, claim.name)
    with bound_contextvars(
        execution_id=execution, namespace=claim.namespace, name=claim.name, attempt=claim.attempt, run=run
    ):
        observer = Observer(claim)
        run_now = _Run(surroundings, claim, inbox, observer)
        outcome = await run_now.to_end()
        observer.ended(outcome, reason=run_now.end.error_reason, error=run_now.end.error_message)
        if outcome in TERMINAL_PHASES and claim.parent_id is not None:
            surroundings.spawner.ended(claim.parent_id)
        if outcome == FlowOutcome.COMPLETED and run_now.emitted:
            await surroundings.spawner.spawn(execution, run_now.emitted, epoch=claim.epoch)
        return outcome


async def _claim(surroundings: Surroundings, execution: ExecutionId, workflow: WorkflowId) -> runs.Claim | None:
    async def once() -> runs.Claim | None:
        # A claim whose answer was lost is taken again, under a newer epoch.
        async with surroundings.ledger.connection() as connection:
            return await runs.claim(
                connection, execution, workflow=workflow, worker=surroundings.executor_id, build=surroundings.build
            )

    return await outage.persist(once, what=f"claim of {execution}")


async def _send_to_its_version(surroundings: Surroundings, execution: ExecutionId, workflow: WorkflowId) -> str:
    async def once() -> Build | None:
        async with surroundings.ledger.transaction() as connection:
            return await pinning.send(
                connection,
                execution,
                workflow=workflow,
                worker=surroundings.executor_id,
                application_name=surroundings.application_name,
            )

    build = await outage.persist(once, what=f"return of {execution} to its version")
    _log.info("is another version's", execution_id=execution, version=None if build is None else str(build))
    return MOVED


class _Run:
    """The engine of one claim, its flusher and its control, and what ends them."""

    def __init__(self, surroundings: Surroundings, claim: runs.Claim, inbox: Inbox, observer: Observer) -> None:
        self._surroundings = surroundings
        self._claim = claim
        self._inbox = inbox
        self._engine: Engine | None = None
        self._interrupted = ""
        self._refusal: Exception | None = None
        self.end = runs.End("")
        """How it has ended, once that is written."""
        self.emitted: Sequence[Emission] = ()
        """What it has spawned when it has completed."""
        self._flusher = Flusher(
            surroundings.ledger,
            claim,
            interval=surroundings.flush_seconds,
            progress=self._progress,
            control=lambda: self._control.state(),
            refused=self._refused,
            ended=observer.node_ended,
        )
        self._control = Control(
            surroundings.ledger,
            claim,
            inbox,
            self._flusher,
            park_seconds=surroundings.park_seconds,
            interrupt=self.interrupt,
        )

    async def to_end(self) -> str:
        entry = RunningAttempt(self._claim, self.interrupt, self._inbox.hint, self._control.park_at_once)
        self._surroundings.running.add(entry)
        self._flusher.start()
        try:
            end = await self._run_engine()
            await self._control.close()
            return PARKED if end is None else await self._write_end(end)
        except OwnershipLost:
            metrics.OWNERSHIP_LOST.inc()
            _log.info("the attempt is no longer this worker's", interrupted=self._interrupted or None)
            return NOT_OURS
        finally:
            self._surroundings.running.remove(entry)
            await self._control.close()
            await self._flusher.close()

    def interrupt(self, reason: str) -> None:
        """Ends the engine and cancels the nodes in flight. The row was moved on by who asks for it."""
        self._interrupted = reason
        if self._engine is not None:
            self._engine.stop(reason)

    async def _run_engine(self) -> runs.End | None:
        """How it ended; None when it was parked."""
        claim = self._claim
        _log.info("running", resumed=claim.started_before, journaled=len(claim.journal), paused=claim.paused)
        try:
            self._engine = engine_of(
                claim,
                self._surroundings.registry,
                limits=self._surroundings.limits,
                recorder=self._flusher,
                on_control=self._control.changed,
                may_spawn=partial(self._surroundings.spawner.refusal, claim.root_id),
            )
        except FlowError as error:
            return self._failed_outside("FlowInvalid", str(error))
        self._control.steer(self._engine)
        if self._interrupted:
            self._engine.stop(self._interrupted)
        try:
            return self._ended(await self._engine.run())
        except OwnershipLost:
            raise
        except psycopg.DataError as error:
            return self._refused_data(error)
        except Exception as error:  # noqa: BLE001 - a fault of the engine must not leave the execution running for ever
            _log.exception("the engine failed")
            return self._failed_outside("InternalError", f"{type(error).__name__}: {error}")

    def _ended(self, result: FlowResult) -> runs.End | None:
        end = _end(result)
        if end is None or result.outcome is not FlowOutcome.COMPLETED:
            return end
        self.emitted = result.emissions
        return replace(end, children=len(result.emissions))

    async def _write_end(self, end: runs.End) -> str:
        if isinstance(self._refusal, OwnershipLost):
            raise self._refusal
        if self._interrupted and self._refusal is None:
            # From outside, by whoever has moved the row on or handed it back: the end is not ours to write.
            raise OwnershipLost(self._claim.execution_id, self._claim.epoch)
        if self._refusal is not None:
            end = self._refused_data(self._refusal)
        try:
            await self._flusher.finish(end)
        except OwnershipLost:
            raise
        except Exception as error:  # noqa: BLE001 - the end must be written, whatever is wrong with the rest
            _log.exception("the end could not be written with what came before it")
            self._flusher.discard()
            end = self._refused_data(error)
            await self._flusher.finish(end)
        self.end = end
        _log.info("ended", phase=end.phase, reason=end.error_reason or None, error=end.error_message or None)
        return end.phase

    def _refused_data(self, error: Exception) -> runs.End:
        return self._failed_outside(
            "JournalRefused", f"what a node put out could not be written: {plain(str(error)).strip()}"
        )

    def _failed_outside(self, reason: str, message: str) -> runs.End:
        """An end that the engine has not announced."""
        self._flusher.publish(
            FlowEvent(events.FLOW_FAILED, time.time_ns() // 1_000_000, {"error": plain(message), "reason": reason})
        )
        return runs.End("Failed", error_reason=reason, error_message=message)

    def _progress(self) -> Progress:
        if self._engine is None:
            return Progress(total=0, completed=0, failed=0, skipped=0, running=0, current_nodes=())
        return self._engine.progress

    def _refused(self, error: Exception) -> None:
        self._refusal = error
        self.interrupt(str(error))


def _end(result: FlowResult) -> runs.End | None:
    if result.outcome is FlowOutcome.PARKED:
        return None
    outputs: Mapping[str, Any] | None = result.outputs or None
    if result.error is None:
        return runs.End(result.outcome, outputs=outputs)
    return runs.End(
        result.outcome,
        outputs=outputs,
        error_node=result.error.node,
        error_reason=result.error.reason,
        error_message=result.error.message,
    )
