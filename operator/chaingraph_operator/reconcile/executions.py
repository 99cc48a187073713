"""The reconciler of Executions: read a snapshot, plan, carry out the plan, show the status.

Each reconciliation starts from the current state, so neither its trigger nor the number of repetitions matters.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final

import orjson
import structlog

from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_operator.decide.actions import (
    Adopt,
    Command,
    Create,
    FlowView,
    Missing,
    ObserveGeneration,
    Plan,
    RefuseRetry,
    Retry,
    Verdict,
    Wait,
)
from chaingraph_operator.decide.flow_status import Validated
from chaingraph_operator.decide.plan import plan, unconfirmed
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.cache import Cached
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.status_writer import StatusWriter
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.reconcile.commands import Commands
from chaingraph_operator.reconcile.creation import Creation
from chaingraph_operator.reconcile.deletion import Deletion
from chaingraph_operator.reconcile.display import Display
from chaingraph_operator.reconcile.flows import Flows
from chaingraph_operator.reconcile.snapshot import Snapshot, Snapshots
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_operator.reconcile.ttl import TtlExpiry
from chaingraph_operator.tenancy.admission import QUOTA_EXCEEDED, Admission
from chaingraph_runtime.cluster_errors import NotFound
from chaingraph_store.errors import ConflictingRevision
from chaingraph_store.executions import ExecutionRow

_log = structlog.get_logger(__name__)
_LOOK_AGAIN_SECONDS: Final = 1.0
"""Seconds after a creation, by which the change feed should have brought its first change."""
_CONFLICT_SECONDS: Final = 60.0
"""Seconds after a revision in the ledger was found to have other content."""
_LARGE: Final = 64 * 1024
"""Specs of at least this many bytes are planned in a thread. A Flow takes about a kilobyte per node."""
_MOST_COMMANDS: Final = 5
"""Commands per reconciliation. A spec can request one of each kind; any more come with the next reconciliation."""


class Next(Enum):
    """The next step after a decision that is not a verdict."""

    PLAN_AGAIN = 1
    """The decision was carried out: plan again from the current row."""
    LEAVE = 2
    """Something newer is coming: show nothing in this reconciliation."""


class ExecutionReconciler:
    """Carries out plans."""

    def __init__(
        self,
        *,
        triggers: ExecutionTriggers,
        queue: WorkQueue[Key],
        flows: Flows,
        api: KubernetesApi,
        writer: StatusWriter,
        ttl: TtlExpiry,
        snapshots: Snapshots,
        creation: Creation,
        commands: Commands,
        deletion: Deletion,
        display: Display,
        admission: Admission,
    ) -> None:
        self._triggers = triggers
        self._cache = triggers.cache
        self._queue = queue
        self._flows = flows
        self._api = api
        self._writer = writer
        self._ttl = ttl
        self._snapshots = snapshots
        self._creation = creation
        self._commands = commands
        self._deletion = deletion
        self._display = display
        self._admission = admission

    async def reconcile(self, key: Key) -> None:
        """Reconcile one execution. Raises every error; the controller retries."""
        cached = self._cache.get(key)
        row = self._triggers.rows.pop(key, None)
        if cached is None:
            return
        if cached.gone:
            await self._deletion.finish(cached)
        elif cached.finished and (row is None or row.change_seq <= cached.change_seq):
            await self._expire(cached)
        else:
            await self._advance(cached, row)

    async def _expire(self, cached: Cached) -> None:
        """Apply the TTL of an execution whose status shows its end."""
        if not cached.partial:
            self._ttl.consider(cached.key, cached.spec_object(), cached.status_object())
            self._cache.shrink(cached.key)
            self._writer.forget(cached.key)
        await self._ttl.apply(cached.key)

    async def _advance(self, cached: Cached, row: ExecutionRow | None) -> None:
        snapshot = await self._snapshots.read(cached, row)
        if snapshot is None:
            return
        if snapshot.unreadable is not None:
            await self._show_unreadable(snapshot)
            return
        snapshot, result = await self._carry_out(snapshot)
        if result is Next.LEAVE:
            return
        verdict = result if isinstance(result, Verdict) else None
        self._wait(snapshot, verdict)
        await self._display.show(snapshot, verdict)
        if snapshot.cached.finished:
            # A row that came while its end was being shown: the time set then may have been dropped for this turn.
            self._ttl.consider(snapshot.key, snapshot.cached.spec_object(), snapshot.cached.status_object())
            await self._ttl.apply(snapshot.key)

    async def _carry_out(self, snapshot: Snapshot) -> tuple[Snapshot, Verdict | Next | None]:
        """Plan and carry out until no command is left. Returns the verdict, and the snapshot it is about."""
        decision = await self._plan(snapshot)
        if isinstance(decision, RefuseRetry):
            # A row from the change feed may be outdated: the execution may have ended since.
            snapshot = await self._snapshots.with_fresh_row(snapshot)
            decision = await self._plan(snapshot)
        confirmed = False
        for _ in range(_MOST_COMMANDS):
            result = await self._apply(decision, snapshot, confirmed=confirmed)
            if result is not Next.PLAN_AGAIN:
                return snapshot, result
            confirmed = confirmed or isinstance(decision, Command)
            snapshot = await self._snapshots.with_fresh_row(snapshot)
            decision = await self._plan(snapshot)
        self._queue.add(snapshot.key)
        return snapshot, _verdict(decision)

    async def _apply(self, decision: Plan, snapshot: Snapshot, *, confirmed: bool) -> Verdict | Next | None:
        """Carry out one decision.

        Args:
            confirmed: whether this reconciliation has already confirmed with the API server that the spec is current.
        """
        if isinstance(decision, Create):
            return await self._create(decision, snapshot)
        if isinstance(decision, Adopt):
            adopted = await self._creation.adopt(decision, snapshot.key)
            return Next.PLAN_AGAIN if adopted else _verdict(unconfirmed(snapshot.spec, snapshot.status))
        if not isinstance(decision, Command):
            return _verdict(decision)
        asks = isinstance(decision, ObserveGeneration) or not confirmed
        if asks and not await self._is_current(snapshot.cached):
            return Next.LEAVE
        if isinstance(decision, Retry):
            # Its former end must not expire it.
            self._ttl.forget(snapshot.key)
        await self._commands.carry_out(decision, snapshot.key)
        return Next.PLAN_AGAIN

    async def _create(self, decision: Create, snapshot: Snapshot) -> Verdict | Next | None:
        key = snapshot.key
        refused = await self._admission.refusal(key, decision.new)
        if refused is not None:
            return refused
        try:
            created = await self._creation.create(decision.new, snapshot.cached)
        except ConflictingRevision as conflict:
            _log.error("cannot create the execution", error=str(conflict))
            self._queue.add_after(key, _CONFLICT_SECONDS)
            return Wait(names.CONFLICTING_REVISION, str(conflict), stalled=True)
        if not created:
            return Next.PLAN_AGAIN  # another operator was faster
        if snapshot.spec.flow is not None:
            view = self._view(snapshot.spec, snapshot.cached)
            self._commands.warn_of_flow(key, view.warnings if isinstance(view, Validated) else ())
        self._queue.add_after(key, _LOOK_AGAIN_SECONDS)
        return Next.LEAVE

    async def _is_current(self, cached: Cached) -> bool:
        """Whether the API server has exactly our version of the spec. A newer one is cached for the next
        reconciliation.

        A command of an outdated spec has no effect once a later generation was observed. But an operator that is
        behind, or cut off from the API server, may be the first to act. Only this check shows whether generations
        really went back.
        """
        if cached.deleting:
            return True
        try:
            body = await self._api.get(names.EXECUTION_PLURAL, cached.key)
        except NotFound:
            return False  # the watch reports it, or the sweep
        metadata = body["metadata"]
        if (metadata["uid"], metadata["generation"]) == (cached.key.uid, cached.generation):
            return "deletionTimestamp" not in metadata
        self._triggers.observed(body)
        return False

    def _wait(self, snapshot: Snapshot, verdict: Verdict | None) -> None:
        """Register the execution with whatever it waits for: a Flow, node types, or room in its namespace's quota."""
        over_quota = isinstance(verdict, Wait) and verdict.reason == QUOTA_EXCEEDED
        if not over_quota:
            self._admission.forget(snapshot.key)
        if snapshot.signals is not None and not snapshot.signals.complete:
            self._flows.wait_for_types(snapshot.key)
        if not isinstance(verdict, Wait) or over_quota or snapshot.spec.spawned_by is not None:
            return
        if snapshot.spec.flow_ref is not None:
            self._flows.wait_for(snapshot.key, snapshot.key.namespace, snapshot.spec.flow_ref.name)
        else:
            self._flows.wait_for_types(snapshot.key)

    async def _plan(self, snapshot: Snapshot) -> Plan:
        spec, cached, row = snapshot.spec, snapshot.cached, snapshot.row
        # Validating a large inline flow takes a while, so it is skipped for running executions.
        needed = row is None and spec.spawned_by is None
        view = self._view(spec, cached) if needed else None
        if isinstance(view, Validated) and view.valid and _takes_long(view, len(cached.spec)):
            # Inputs are read, compared with their schemas, copied and measured, and the flow is serialized: tens of
            # milliseconds, hence a thread. An execution that has to wait must not miss any change meanwhile, and is
            # planned quickly.
            return await asyncio.to_thread(plan, spec, snapshot.meta, snapshot.status, row, view)
        if snapshot.signals is not None or snapshot.retry is not None:
            # A payload may be a megabyte, and is compared with a schema. A retry may compare two large flows.
            facts = (snapshot.signals, snapshot.retry)
            return await asyncio.to_thread(plan, spec, snapshot.meta, snapshot.status, row, view, *facts)
        return plan(spec, snapshot.meta, snapshot.status, row, view)

    def _view(self, spec: ExecutionSpec, cached: Cached) -> FlowView:
        key = cached.key
        if spec.flow_ref is None:
            assert spec.flow is not None, "the model requires exactly one of flowRef and flow"
            text = orjson.dumps(cached.spec_object()["flow"], option=orjson.OPT_SORT_KEYS)
            return self._flows.validate_inline(key, text, spec.flow)
        name = spec.flow_ref.name
        return self._flows.validation(key.namespace, name) or Missing(name, self._flows.similar(key.namespace, name))

    async def _show_unreadable(self, snapshot: Snapshot) -> None:
        """Ignore the spec. A running execution continues and shows it, a new one waits or is refused."""
        why = snapshot.unreadable
        assert why is not None
        self._admission.forget(snapshot.key)
        _log.error("cannot read the spec of an execution", reason=why.reason, why=why.why)
        finished = snapshot.status.phase is not None and snapshot.status.phase.finished
        await self._display.show(snapshot, None if snapshot.row is not None or finished else why.verdict)


def _verdict(decision: Plan) -> Verdict | None:
    return decision if isinstance(decision, Verdict) else None


def _takes_long(view: Validated, length: int) -> bool:
    """Whether planning a new execution may take more than some milliseconds. `length` is that of its spec, as JSON."""
    patterns = any(each.schema_ is not None for each in view.spec.inputs)
    # A short flow with subflows may have thousands of nodes, in calls.
    return patterns or bool(view.spec.subflows) or max(length, 1024 * len(view.spec.nodes)) > _LARGE
