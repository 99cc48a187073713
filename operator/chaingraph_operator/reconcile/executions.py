"""The reconciler of Executions: sees what the plan says, carries it out in one transaction, and shows the status.

`intake` brings it the keys. Each reconciliation begins from what is there, so it does not matter what woke it, or how
often.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import orjson
import structlog

from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide.flow_status import Validated
from chaingraph_operator.decide.ignored import Ignored, Reason, of_active
from chaingraph_operator.decide.plan import (
    DELETED,
    Adopt,
    Command,
    Create,
    FlowView,
    Missing,
    ObjectMeta,
    ObserveGeneration,
    Plan,
    RefuseRetry,
    Retry,
    Verdict,
    Wait,
    plan,
    unconfirmed,
)
from chaingraph_operator.decide.status import execution_status
from chaingraph_operator.decide.unreadable import UnreadableSpec, read
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.cache import Cached
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.status_writer import StatusWriter
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.reconcile import child_counts, traces
from chaingraph_operator.reconcile.commands import Commands
from chaingraph_operator.reconcile.flow_nodes import FlowNodes
from chaingraph_operator.reconcile.flows import Flows
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_operator.reconcile.ttl import TtlExpiry
from chaingraph_operator.reconcile.worker_registry import WorkerRegistry
from chaingraph_operator.tenancy.admission import QUOTA_EXCEEDED, Admission, priority_problem
from chaingraph_operator.tenancy.namespaces import Namespaces
from chaingraph_runtime.cluster_errors import NotFound
from chaingraph_store import executions
from chaingraph_store.children import child_rows
from chaingraph_store.commands import creation, stopping
from chaingraph_store.commands.creation import NewExecution
from chaingraph_store.errors import ConflictingRevision
from chaingraph_store.executions import TERMINAL_PHASES, ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import visibility

_log = structlog.get_logger(__name__)
_LOOK_AGAIN_SECONDS: Final = 1.0
"""After a creation, when the feed should long have brought its first change."""
_CONFLICT_SECONDS: Final = 60.0
"""After a revision of the ledger was found to have another content."""
_LARGE: Final = 64 * 1024
"""Bytes of a spec, at a kilobyte a node of its Flow, from which it is not planned in the event loop."""
_MOST_COMMANDS: Final = 5
"""In one turn: one of each kind is the most that a spec can ask for at once. What is over comes with the next turn."""


class ExecutionReconciler:
    """Carries out plans."""

    def __init__(
        self,
        *,
        intake: ExecutionTriggers,
        queue: WorkQueue[Key],
        flows: Flows,
        ledger: Ledger,
        api: KubernetesApi,
        writer: StatusWriter,
        retention: TtlExpiry,
        namespaces: Namespaces,
        worker_registry: WorkerRegistry,
        commands: Commands,
        admission: Admission,
        application_name: str,
    ) -> None:
        self._intake = intake
        self._cache = intake.cache
        self._queue = queue
        self._flows = flows
        self._ledger = ledger
        self._api = api
        self._writer = writer
        self._retention = retention
        self._namespaces = namespaces
        self._workforce = worker_registry
        self._commands = commands
        self._admission = admission
        self._application_name = application_name
        self._flow_nodes = FlowNodes(ledger)

    async def reconcile(self, key: Key) -> None:
        """Brings one execution a step further. Raises whatever keeps it from that; the controller tries again."""
        cached = self._cache.get(key)
        row = self._intake.rows.pop(key, None)
        if cached is None:
            return
        if cached.gone:
            await self._clear(cached)
        elif cached.finished and (row is None or row.change_seq <= cached.change_seq):
            await self._settle(cached)
        else:
            await self._unfinished(cached, row)

    async def _clear(self, cached: Cached) -> None:
        """The resource is gone: what still runs of it, and of all that is below it, is stopped."""
        key = cached.key
        row = await self._row(key.uid)
        if row is None and await self._adopt_late(cached):
            row = await self._row(key.uid)
        if row is not None:
            self._intake.forget_children(row.id)
            if not row.ended or row.children_total:
                await self._delete(row.id)
            if not self._retention.has_expired(key):
                await self._hide(row)
        self._namespaces.forget(key.namespace)
        self._cache.drop(key)
        self._flows.forget(key)
        self._writer.forget(key)
        self._retention.forget(key)
        self._admission.forget(key)

    async def _delete(self, execution: ExecutionId) -> None:
        async with self._ledger.transaction() as connection:
            stopped = await stopping.stop(connection, execution, reason=DELETED, deleted=True)
        if stopped:
            _log.info("stopped, with what is below it: the resource was deleted", execution_id=execution)

    async def _hide(self, row: ExecutionRow) -> None:
        """Somebody deleted the resource: nobody is shown the execution any more. What has expired stays readable."""
        async with self._ledger.transaction() as connection:
            parent = None if row.parent_id is None else await executions.by_id(connection, row.parent_id)
            above = None if parent is None or parent.uid is None else self._cache.key_of(parent.uid)
            # A parent that is being deleted at this moment counts as there, unless it has expired.
            exists = above is not None and not self._retention.has_expired(above)
            await visibility.hide(connection, row.id, parent_exists=exists)

    async def _adopt_late(self, cached: Cached) -> bool:
        """Binds a child's resource that was deleted before it could be bound: else another one would be made."""
        said = {} if cached.partial else cached.spec_object().get("spawnedBy") or {}
        if not said:
            return False
        return await self._adopt(
            Adopt(ExecutionId(said["executionID"]), ExecutionId(said["parentExecutionID"])), cached.key
        )

    async def _settle(self, cached: Cached) -> None:
        """It has ended and says so: only its retention is left to do."""
        if not cached.partial:
            self._retention.consider(cached.key, cached.spec_object(), cached.status_object())
            self._cache.shrink(cached.key)
            self._writer.forget(cached.key)
        await self._retention.apply(cached.key)

    async def _unfinished(self, cached: Cached, row: ExecutionRow | None) -> None:
        if cached.partial:
            whole = await self._whole(cached)
            if whole is None:
                return
            cached = whole
        meta = ObjectMeta(cached.key.uid, cached.key.namespace, cached.key.name, cached.generation, cached.deleting)
        if row is None or row.change_seq < cached.change_seq:
            row = await self._row(meta.uid)
        status = ExecutionStatus.fitting(cached.status_object())
        spec = read(cached)
        if isinstance(spec, UnreadableSpec):
            await self._unreadable(cached, meta, status, row, spec)
            return
        spec, too_high = await self._allowed(spec, row)
        decision = await self._plan(spec, cached, meta, status, row)
        if isinstance(decision, RefuseRetry):
            # A row that the feed brought may be older than what the person has seen: it may have ended since.
            row = await self._row(meta.uid)
            decision = await self._plan(spec, cached, meta, status, row)
        confirmed = False
        for _ in range(_MOST_COMMANDS):
            if isinstance(decision, Create):
                refused = await self._admission.refusal(cached.key, decision.new)
                if refused is not None:
                    decision = refused
                    break
                try:
                    created = await self._create(decision.new, cached, spec)
                except ConflictingRevision as conflict:
                    _log.error("not created", error=str(conflict))
                    decision = Wait(names.CONFLICTING_REVISION, str(conflict), stalled=True)
                    self._queue.add_after(cached.key, _CONFLICT_SECONDS)
                    break
                if created:
                    self._queue.add_after(cached.key, _LOOK_AGAIN_SECONDS)
                    return
                # It was there already: another operator, or one that is cut off from us, was faster.
            elif isinstance(decision, Adopt):
                if not await self._adopt(decision, cached.key):
                    decision = unconfirmed(spec, status)
                    break
            elif isinstance(decision, Command):
                if (isinstance(decision, ObserveGeneration) or not confirmed) and not await self._is_current(cached):
                    return
                confirmed = True
                await self._command(decision, cached.key)
            else:
                break
            row = await self._row(meta.uid)
            decision = await self._plan(spec, cached, meta, status, row)
        else:
            self._queue.add(cached.key)
        verdict = decision if isinstance(decision, Verdict) else None
        if not isinstance(verdict, Wait) or verdict.reason != QUOTA_EXCEEDED:
            self._admission.forget(cached.key)
        if isinstance(verdict, Wait):
            self._wait(cached.key, spec, verdict.reason)
        ignored = [*too_high, *(await self._ignored(spec, row) if row is not None else ())]
        await self._show(cached, meta, spec, row, verdict, status, ignored=ignored)
        if cached.finished:
            # A row that came while its end was being settled: the time set then may have been dropped for this turn.
            self._retention.consider(cached.key, cached.spec_object(), cached.status_object())
            await self._retention.apply(cached.key)

    async def _is_current(self, cached: Cached) -> bool:
        """Whether the API server has the very spec that we have. What is newer is taken in, for the next turn.

        A command of an old spec does nothing once a later one was obeyed. But an operator that is behind, or cut off
        from the API server, may be the first to act; and only this shows whether generations have really gone back.
        """
        if cached.deleting:
            return True
        try:
            body = await self._api.get(names.EXECUTION_PLURAL, cached.key)
        except NotFound:
            return False  # the watch tells, or the sweep
        metadata = body["metadata"]
        if (metadata["uid"], metadata["generation"]) == (cached.key.uid, cached.generation):
            return "deletionTimestamp" not in metadata
        self._intake.observed(body)
        return False

    async def _command(self, command: Command, key: Key) -> None:
        if isinstance(command, Retry):
            # It is not to be deleted for having ended before.
            self._retention.forget(key)
        await self._commands.carry_out(command, key)

    async def _allowed(self, spec: ExecutionSpec, row: ExecutionRow | None) -> tuple[ExecutionSpec, list[Ignored]]:
        """The spec without an edit of the priority that its namespace may not make, and what is said of that."""
        if row is None or spec.priority == row.priority:
            return spec, []
        policy = (await self._namespaces.get(row.namespace)).policy
        problem = priority_problem(policy, spec.priority, row.namespace)
        if problem is None:
            return spec, []
        message = f"{problem}. It keeps the priority {row.priority}"
        return spec.model_copy(update={"priority": row.priority}), [Ignored(Reason.PRIORITY_TOO_HIGH, message)]

    async def _ignored(self, spec: ExecutionSpec, row: ExecutionRow) -> list[Ignored]:
        asks = spec.options.breakpoints and not row.ended and row.flow_revision is not None
        nodes = await self._flow_nodes.of(row.flow_revision) if asks and row.flow_revision else frozenset[str]()
        return of_active(spec, row, nodes or spec.options.breakpoints)

    def _wait(self, key: Key, spec: ExecutionSpec, reason: str) -> None:
        if spec.spawned_by is not None or reason == QUOTA_EXCEEDED:
            return
        if spec.flow_ref is not None:
            self._flows.wait_for(key, key.namespace, spec.flow_ref.name)
        else:
            self._flows.wait_for_types(key)

    async def _create(self, new: NewExecution, cached: Cached, spec: ExecutionSpec) -> bool:
        began = time.time_ns()
        new = replace(new, namespace_uid=await self._namespaces.uid(new.namespace))
        async with self._ledger.transaction() as connection:
            created = await creation.create(connection, new, application_name=self._application_name)
        if created:
            _log.info("created", execution_id=new.id, flow=new.flow_name, revision=new.flow_revision, held=new.held)
            if spec.flow is not None:
                validated = self._view(spec, cached)
                self._commands.warn_of_flow(cached.key, validated.warnings if isinstance(validated, Validated) else ())
            traces.created(new, began=began, applied_by=cached.traceparent)
        return created

    async def _adopt(self, asked: Adopt, key: Key) -> bool:
        """Binds the resource to the child that it says it stands for; False when the ledger says otherwise."""
        async with self._ledger.transaction() as connection:
            adopted = await child_rows.adopt(
                connection, asked.id, parent=asked.parent, uid=key.uid, namespace=key.namespace, name=key.name
            )
        if adopted:
            _log.debug("adopted the resource of a child", execution_id=asked.id)
        return adopted

    async def _row(self, uid: str) -> ExecutionRow | None:
        async with self._ledger.connection() as connection:
            return await executions.by_uid(connection, uid)

    async def _whole(self, cached: Cached) -> Cached | None:
        try:
            body = await self._api.get(names.EXECUTION_PLURAL, cached.key)
        except NotFound:
            return None
        self._cache.observe(body)
        found = self._cache.get(cached.key)
        return None if found is None or found.partial else found

    async def _plan(
        self, spec: ExecutionSpec, cached: Cached, meta: ObjectMeta, status: ExecutionStatus, row: ExecutionRow | None
    ) -> Plan:
        # Checking an inline flow takes a while when it is large, so it is not done for what runs.
        needed = row is None and spec.spawned_by is None
        view = self._view(spec, cached) if needed else None
        if isinstance(view, Validated) and view.valid and max(len(cached.spec), 1024 * len(view.spec.nodes)) > _LARGE:
            # Inputs are read, copied and measured, the flow is written out: tens of milliseconds, which go to a thread.
            # Of what has to wait nothing may be missed meanwhile, and it takes no time.
            return await asyncio.to_thread(plan, spec, meta, status, row, view)
        return plan(spec, meta, status, row, view)

    def _view(self, spec: ExecutionSpec, cached: Cached) -> FlowView:
        key = cached.key
        if spec.flow_ref is None:
            assert spec.flow is not None, "the model takes exactly one of flowRef and flow"
            text = orjson.dumps(cached.spec_object()["flow"], option=orjson.OPT_SORT_KEYS)
            return self._flows.validate_inline(key, text, spec.flow)
        name = spec.flow_ref.name
        return self._flows.validation(key.namespace, name) or Missing(name, self._flows.similar(key.namespace, name))

    async def _unreadable(
        self, cached: Cached, meta: ObjectMeta, status: ExecutionStatus, row: ExecutionRow | None, error: UnreadableSpec
    ) -> None:
        """Ignore its spec. A running execution continues, and says so; a new one waits, or is refused."""
        self._admission.forget(cached.key)
        _log.error("cannot read the spec of an execution", reason=error.reason, why=error.why)
        nothing = ExecutionSpec.model_construct(paused=row is not None and row.wants_pause)
        finished = status.phase is not None and status.phase.finished
        verdict = None if row is not None or finished else error.verdict
        await self._show(cached, meta, nothing, row, verdict, status, ignored=[error.ignored])

    async def _show(
        self,
        cached: Cached,
        meta: ObjectMeta,
        spec: ExecutionSpec,
        row: ExecutionRow | None,
        verdict: Verdict | None,
        previous: ExecutionStatus,
        *,
        ignored: Sequence[Ignored] = (),
    ) -> None:
        if cached.deleting and row is None:
            return
        if row is not None:
            # Before the children are read, so that no change of theirs falls in between.
            self._intake.follow_children(row, cached.key)
            self._cache.mark_seq(cached.key, row.change_seq)
        family = await child_counts.read(self._ledger, row)
        shown = execution_status(
            meta,
            spec,
            row,
            verdict,
            previous,
            now=datetime.now(UTC),
            queue_served=self._workforce.serves(row.queue) if row is not None else None,
            children=family.children,
            below=family.below,
            parent_name=previous.parent_ref.name if spec.spawned_by is None and previous.parent_ref else None,
            ignored=ignored if row is not None else (),
        )
        phase = shown.get("phase")
        # That a retry has begun is shown at once, that something waits only when it still does after a while.
        # Of a child, the same goes for its run: there are thousands, and most are over before anybody could look.
        quiet = {"Pending"} if spec.spawned_by is None else {"Pending", "Running"}
        urgent = phase != cached.phase and (phase not in quiet or cached.phase in TERMINAL_PHASES)
        tree_has_ended = row is not None and row.children_total > 0 and row.tree_ended and not cached.finished
        self._writer.submit(cached.key, shown, urgent=urgent or tree_has_ended)
