"""The input of one reconciliation of an Execution: its resource, its row, and its allowed spec."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide.actions import ObjectMeta
from chaingraph_operator.decide.ignored import Ignored, Reason
from chaingraph_operator.decide.retry_cut import RetryFacts
from chaingraph_operator.decide.signals import SignalFacts
from chaingraph_operator.decide.unreadable import UnreadableSpec, read
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.cache import Cached, ObjectCache
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.reconcile.retry_facts import RetryFactsReader
from chaingraph_operator.reconcile.signal_nodes import SignalNodes
from chaingraph_operator.tenancy.admission import priority_problem
from chaingraph_operator.tenancy.namespaces import Namespaces
from chaingraph_runtime.cluster_errors import NotFound
from chaingraph_store import executions, signals
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An Execution at one moment.

    Attributes:
        spec: as its namespace allows it.
        status: as last written.
        row: the ledger's row, or None.
        ignored: the parts of the spec that have no effect.
        signals: what is needed to decide about `spec.signals`; None without a row, or when the spec has none.
        retry: what is needed to decide about a retry with `node` or `flowRevision: Latest`; None without one.
        unreadable: why the spec cannot be read. Then `spec` only says whether the row stays paused.
    """

    cached: Cached
    meta: ObjectMeta
    spec: ExecutionSpec
    status: ExecutionStatus
    row: ExecutionRow | None
    ignored: tuple[Ignored, ...] = field(default=())
    unreadable: UnreadableSpec | None = None
    signals: SignalFacts | None = None
    retry: RetryFacts | None = None

    @property
    def key(self) -> Key:
        return self.cached.key


class Snapshots:
    """Reads snapshots."""

    def __init__(
        self,
        cache: ObjectCache,
        api: KubernetesApi,
        ledger: Ledger,
        namespaces: Namespaces,
        signal_nodes: SignalNodes,
        retry_facts: RetryFactsReader,
    ) -> None:
        self._cache = cache
        self._api = api
        self._ledger = ledger
        self._namespaces = namespaces
        self._signal_nodes = signal_nodes
        self._retry_facts = retry_facts

    async def read(self, cached: Cached, row: ExecutionRow | None) -> Snapshot | None:
        """Read a snapshot; None when the resource is gone.

        Args:
            row: from the change feed. It is read again when the status shows a later one.
        """
        if cached.partial:
            whole = await self._whole(cached)
            if whole is None:
                return None
            cached = whole
        if row is None or row.change_seq < cached.change_seq:
            row = await self.row(cached.key.uid)
        meta = ObjectMeta(cached.key.uid, cached.key.namespace, cached.key.name, cached.generation, cached.deleting)
        status = ExecutionStatus.fitting(cached.status_object())
        spec = read(cached)
        if isinstance(spec, UnreadableSpec):
            nothing = ExecutionSpec.model_construct(paused=row is not None and row.wants_pause)
            return Snapshot(cached, meta, nothing, status, row, (spec.ignored,), spec)
        spec, ignored = await self._allowed(spec, row)
        signals_ = await self._signals(spec, row)
        retry = await self._retry_facts.of(cached.key, spec, row)
        return Snapshot(cached, meta, spec, status, row, ignored, signals=signals_, retry=retry)

    async def with_fresh_row(self, snapshot: Snapshot) -> Snapshot:
        """Return the same snapshot with the current row."""
        row = await self.row(snapshot.meta.uid)
        retry = await self._retry_facts.of(snapshot.key, snapshot.spec, row)
        return replace(snapshot, row=row, signals=await self._signals(snapshot.spec, row), retry=retry)

    async def row(self, uid: str) -> ExecutionRow | None:
        """Return the row of the resource with this UID."""
        async with self._ledger.connection() as connection:
            return await executions.by_uid(connection, uid)

    async def _signals(self, spec: ExecutionSpec, row: ExecutionRow | None) -> SignalFacts | None:
        if row is None or not spec.signals:
            return None
        async with self._ledger.connection() as connection:
            known = await signals.known(connection, row.id, [each.id for each in spec.signals])
        nodes, complete = await self._signal_nodes.of(row.flow_revision or "", row.subflow)
        return SignalFacts(known, nodes, complete)

    async def _whole(self, cached: Cached) -> Cached | None:
        try:
            body = await self._api.get(names.EXECUTION_PLURAL, cached.key)
        except NotFound:
            return None
        self._cache.observe(body)
        found = self._cache.get(cached.key)
        return None if found is None or found.partial else found

    async def _allowed(
        self, spec: ExecutionSpec, row: ExecutionRow | None
    ) -> tuple[ExecutionSpec, tuple[Ignored, ...]]:
        """Return the spec without a forbidden change of the priority, and the resulting condition."""
        if row is None or spec.priority == row.priority:
            return spec, ()
        policy = (await self._namespaces.get(row.namespace)).policy
        problem = priority_problem(policy, spec.priority, row.namespace)
        if problem is None:
            return spec, ()
        message = f"{problem}. The execution keeps priority {row.priority}"
        return spec.model_copy(update={"priority": row.priority}), (Ignored(Reason.PRIORITY_TOO_HIGH, message),)
