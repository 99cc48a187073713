"""One run of an execution: claim it, run the engine over the journal, write its end.

An attempt takes several runs when it is parked in between. The step may run again after a crash, on any worker: the
claim takes a new owner epoch, the journal's nodes are not run again, and the first worker's writes are rejected from
then on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import orjson
import psycopg
import structlog
from structlog.contextvars import bound_contextvars

from chaingraph_store.attempts import runs
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.executions import TERMINAL_PHASES
from chaingraph_store.ids import ExecutionId, WorkflowId, workflow_id
from chaingraph_store.ledger import Ledger, plain
from chaingraph_store.queue import pinning
from chaingraph_store.queue.pinning import Build, PinnedElsewhere
from chaingraph_store.transient import retry_transient
from chaingraph_worker import log_names, metrics
from chaingraph_worker.attempts.assigning import assignment_of, limits_of
from chaingraph_worker.attempts.calling import Calling
from chaingraph_worker.attempts.control import Control
from chaingraph_worker.attempts.flusher import Flusher
from chaingraph_worker.attempts.inbox import CommandInbox
from chaingraph_worker.attempts.observer import RunObserver
from chaingraph_worker.attempts.running import RunningAttempt, RunningAttempts
from chaingraph_worker.attempts.spawner import Spawner
from chaingraph_worker.runner.assignment import RunnerLimits
from chaingraph_worker.runner.endings import INTERNAL_ERROR, INVALID, NODE_KILLED
from chaingraph_worker.secrets.reading import SecretReader
from chaingraph_worker.supervision import killed
from chaingraph_worker.supervision.children import Children
from chaingraph_worker.supervision.connections import ConnectionShares
from chaingraph_worker.supervision.engine import EngineEnd, EngineReport, RemoteEngine, RunnerLost
from chaingraph_worker.supervision.pool import Pool

COMPLETED: Final = "Completed"
PARKED: Final = "Parked"
"""The result of a paused run: another run continues the attempt."""
MOVED: Final = "Moved"
"""The result of a run that belongs to another version: its next run waits in the queue of that version."""
RUNNER_LOST: Final = "RunnerLost"
"""The result of a run whose runner was killed or crashed: it is claimed again, and continues in another runner."""
NOT_OURS: Final = "NotOurs"
"""The result of a run when there was nothing to run, or another process took it. DBOS does not record it for a workflow
that was handed back or cancelled, so it ends nothing that continues elsewhere."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunDependencies:
    """The dependencies that all attempts of this process share."""

    ledger: Ledger
    pool: Pool
    running: RunningAttempts
    application_name: str
    executor_id: str
    build: Build
    flush_seconds: float
    park_seconds: float
    spawner: Spawner
    limits: RunnerLimits
    connections: ConnectionShares
    secrets: SecretReader = field(default_factory=SecretReader)


async def run_attempt(dependencies: RunDependencies, execution: ExecutionId, *, run: int, inbox: CommandInbox) -> str:
    """Run the attempt until it ends or is parked.

    Args:
        run: the number of the run, which is also part of its workflow's id.
        inbox: receives the commands that come during the run.

    Returns:
        The phase it ended in, `PARKED`, `MOVED`, or `NOT_OURS`.
    """
    lost = killed.KilledRecord()
    while True:
        try:
            claim = await _claim(dependencies, execution, workflow_id(execution, run))
        except PinnedElsewhere:
            return await _send_to_its_version(dependencies, execution, workflow_id(execution, run))
        if claim is None:
            _log.info("nothing to run", execution_id=execution, run=run)
            # Its former worker may have been lost between the end and the last child.
            await dependencies.spawner.spawn(execution)
            return NOT_OURS
        outcome = await _run_claim(dependencies, claim, inbox, lost)
        if outcome != RUNNER_LOST:
            return outcome


async def _run_claim(
    dependencies: RunDependencies, claim: runs.Claim, inbox: CommandInbox, lost: killed.KilledRecord
) -> str:
    log_names.remember(claim.execution_id, claim.namespace, claim.name)
    with bound_contextvars(
        execution_id=claim.execution_id,
        namespace=claim.namespace,
        name=claim.name,
        attempt=claim.attempt,
        run=claim.run,
    ):
        observer = RunObserver(claim)
        with dependencies.connections.grant(claim.namespace) as connections:
            run_now = _Run(dependencies, claim, inbox, observer, lost, connections=connections)
            outcome = await run_now.to_end()
        observer.ended(outcome, reason=run_now.end.error_reason, error=run_now.end.error_message)
        if outcome == "Failed" and run_now.has_called:
            dependencies.spawner.ended(claim.execution_id)
        if outcome in TERMINAL_PHASES and claim.parent_id is not None:
            dependencies.spawner.ended(claim.parent_id, awaited=claim.called)
        if outcome == COMPLETED and run_now.children is not None:
            await dependencies.spawner.spawn(claim.execution_id, run_now.children, epoch=claim.epoch)
        return outcome


async def _claim(dependencies: RunDependencies, execution: ExecutionId, workflow: WorkflowId) -> runs.Claim | None:
    async def once() -> runs.Claim | None:
        # A claim whose answer was lost is repeated, under a newer epoch.
        async with dependencies.ledger.connection() as connection:
            return await runs.claim(
                connection, execution, workflow=workflow, worker=dependencies.executor_id, build=dependencies.build
            )

    return await retry_transient(once, what=f"claim of {execution}")


async def _send_to_its_version(dependencies: RunDependencies, execution: ExecutionId, workflow: WorkflowId) -> str:
    async def once() -> Build | None:
        async with dependencies.ledger.transaction() as connection:
            return await pinning.send(
                connection,
                execution,
                workflow=workflow,
                worker=dependencies.executor_id,
                application_name=dependencies.application_name,
            )

    build = await retry_transient(once, what=f"return of {execution} to its version")
    version = None if build is None else str(build)
    _log.info("execution belongs to another worker version", execution_id=execution, version=version)
    return MOVED


class _Run:
    """The engine of one claim, its flusher and its control, and everything that ends them."""

    def __init__(
        self,
        dependencies: RunDependencies,
        claim: runs.Claim,
        inbox: CommandInbox,
        observer: RunObserver,
        lost: killed.KilledRecord,
        *,
        connections: int,
    ) -> None:
        """Create it. `connections`: HTTP connections that it may have open at once."""
        self._dependencies = dependencies
        self._claim = claim
        self._inbox = inbox
        self._lost = lost
        self._interrupted = ""
        self._refusal: Exception | None = None
        self.end = runs.AttemptEnd("")
        """How it has ended, once that is written."""
        self.children: Children | None = None
        """The children that it spawns when it has completed."""
        self._flusher = Flusher(
            dependencies.ledger,
            claim,
            interval=dependencies.flush_seconds,
            progress=self._progress,
            control=lambda: self._control.state(),
            refused=self._refused,
            ended=observer.node_ended,
            congested=self._congested,
            application_name=dependencies.application_name,
            spacing_ms=dependencies.spawner.spacing_ms,
        )
        self._control = Control(
            dependencies.ledger,
            claim,
            inbox,
            self._flusher,
            park_seconds=dependencies.park_seconds,
            interrupt=self.interrupt,
            calling=lambda: self._calling.busy,
            look_at_calls=lambda: self._calling.look(),
        )
        self._engine = RemoteEngine(
            assignment_of(claim, limits_of(claim, dependencies.limits, connections), lost),
            self._flusher,
            on_control=self._control.changed,
            may_spawn=partial(dependencies.spawner.refusal, claim.root_id),
            secret=dependencies.secrets.read,
            on_calls=lambda calls, stopped: self._calling.take(calls, stopped),
        )
        self._calling = Calling(
            dependencies.ledger,
            claim,
            self._flusher,
            dependencies.spawner.call_limits(dependencies.limits.max_children),
            ended=self._engine.child_ended,
            in_flight=lambda: self._engine.ends_in_flight,
            settle=partial(dependencies.spawner.ended, claim.execution_id, awaited=True),
            broken=self._refused,
        )

    @property
    def has_called(self) -> bool:
        """Whether its nodes have called executions, which its failure has stopped."""
        return self._flusher.has_called

    async def to_end(self) -> str:
        entry = RunningAttempt(
            self._claim,
            self.interrupt,
            self._inbox.hint,
            self._control.park_at_once,
            self._calling.look,
            self._control.look_at_signals,
        )
        self._dependencies.running.add(entry)
        self._control.steer(self._engine)
        self._flusher.start()
        try:
            try:
                end = await self._run_engine()
            except RunnerLost as lost:
                return await self._lose(lost)
            self._calling.close()
            await self._control.close()
            return PARKED if end is None else await self._write_end(end)
        except OwnershipLost:
            metrics.OWNERSHIP_LOST.inc()
            _log.info("the attempt no longer belongs to this worker", interrupted=self._interrupted or None)
            return NOT_OURS
        finally:
            self._dependencies.running.remove(entry)
            self._calling.close()
            await self._control.close()
            await self._flusher.close()

    def interrupt(self, reason: str) -> None:
        """End the engine and cancel running nodes. The caller has moved the row on."""
        self._interrupted = reason
        self._engine.stop(reason)

    async def _run_engine(self) -> runs.AttemptEnd | None:
        """Run the engine. Returns how it ended; None when it was parked."""
        claim = self._claim
        _log.info("running", resumed=claim.started_before, journaled=claim.nodes_ended, paused=claim.paused)
        try:
            return self._ended(await self._engine.run(self._dependencies.pool))
        except (OwnershipLost, RunnerLost):
            raise
        except psycopg.DataError as error:
            return self._refused_data(error)
        except Exception as error:  # noqa: BLE001 - an error of the engine must not leave the execution running forever
            _log.exception("the engine failed")
            return self._failed_outside("InternalError", f"{type(error).__name__}: {error}")

    def _ended(self, end: EngineEnd) -> runs.AttemptEnd | None:
        if end.outcome == PARKED:
            return None
        if end.outcome == INVALID:
            return self._failed_outside(end.error_reason or "FlowInvalid", end.error_message)
        if end.outcome == INTERNAL_ERROR:
            return self._failed_outside("InternalError", end.error_message)
        self.children = end.children
        return runs.AttemptEnd(
            end.outcome,
            outputs=end.outputs,
            error_node=end.error_node,
            error_reason=end.error_reason,
            error_message=end.error_message,
            error_details=end.error_cause,
            children=0 if end.children is None else len(end.children.emitted),
        )

    async def _lose(self, lost: RunnerLost) -> str:
        """Record the runner's reports, and the tries that its loss costs the responsible nodes."""
        refusal: str | None = None
        if not (self._interrupted or self._refusal):
            metrics.RUNNERS_LOST.labels(lost.ended.cause).inc()
            state = self._engine.state
            _log.warning("runner lost", cause=lost.ended.cause, reason=lost.ended.message, nodes=lost.suspects)
            refusal = self._lost.add(
                lost.ended,
                lost.suspects,
                lost.last,
                state.tries,
                stuck=lost.stuck,
                progressed=state.ended > self._engine.ended_before,
                now_ms=time.time_ns() // 1_000_000,
            )
        await self._control.close()
        if refusal is not None:
            return await self._write_end(self._failed_outside(NODE_KILLED, refusal))
        if self._interrupted or self._refusal:
            return await self._write_end(runs.AttemptEnd("Stopped"))
        # The next claim reads what is written here.
        self._engine.count_time()
        self._flusher.hurry()
        await self._flusher.settled()
        return RUNNER_LOST

    async def _write_end(self, end: runs.AttemptEnd) -> str:
        if isinstance(self._refusal, OwnershipLost):
            raise self._refusal
        if self._interrupted and self._refusal is None:
            # Interrupted from outside: the row was moved on or handed back, and the end is not ours to write.
            raise OwnershipLost(self._claim.execution_id, self._claim.epoch)
        if self._refusal is not None:
            end = self._refused_data(self._refusal)
        try:
            await self._flusher.finish(end)
        except OwnershipLost:
            raise
        except Exception as error:  # noqa: BLE001 - the end must be written, whatever is wrong with the rest
            _log.exception("cannot write the end together with pending events")
            self._flusher.discard()
            end = self._refused_data(error)
            await self._flusher.finish(end)
        self.end = end
        _log.info("ended", phase=end.phase, reason=end.error_reason or None, error=end.error_message or None)
        return end.phase

    def _refused_data(self, error: Exception) -> runs.AttemptEnd:
        return self._failed_outside("JournalRefused", f"cannot write the output of a node: {plain(str(error)).strip()}")

    def _failed_outside(self, reason: str, message: str) -> runs.AttemptEnd:
        """Build an end that the engine has not published."""
        data = orjson.dumps({"error": plain(message), "reason": reason})
        self._flusher.take([], [EngineReport("flow:failed", time.time_ns() // 1_000_000, data)])
        return runs.AttemptEnd("Failed", error_reason=reason, error_message=message)

    def _progress(self) -> runs.AttemptProgress:
        now = self._engine.state
        return runs.AttemptProgress(
            now.total,
            now.completed,
            now.failed,
            now.skipped,
            now.running,
            now.current_nodes,
            now.running_nodes,
            now.waiting,
        )

    def _refused(self, error: Exception) -> None:
        self._refusal = error
        self.interrupt(str(error))

    def _congested(self, congested: bool) -> None:
        if congested:
            self._engine.hold_back()
        else:
            self._engine.go_on()
