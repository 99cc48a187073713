"""Build the components of one operator and connect them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from chaingraph_crds import names
from chaingraph_crds.execution_status import ExecutionPhase
from chaingraph_operator.decide import status_events
from chaingraph_operator.errors import PartEnded
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.api_metrics import ApiMetrics
from chaingraph_operator.kube.controller import Controller
from chaingraph_operator.kube.event_recorder import EventRecorder
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.status_writer import Status, StatusWriter
from chaingraph_operator.kube.watching import Watch
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.leader.cluster_guard import ClusterGuard
from chaingraph_operator.loops.changes import ChangeFeed
from chaingraph_operator.loops.child_completion import ChildCompletion
from chaingraph_operator.loops.pruning import Pruning
from chaingraph_operator.loops.queue_metrics import QueueMetrics
from chaingraph_operator.loops.recovery import LostWorkerRecovery
from chaingraph_operator.loops.sweep import Sweep
from chaingraph_operator.loops.unseen_deletions import UnseenDeletions
from chaingraph_operator.loops.worker_deployments import WorkerDeployments
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.reconcile.child_resources import IN_FLIGHT, ChildResources
from chaingraph_operator.reconcile.commands import Commands
from chaingraph_operator.reconcile.creation import Creation
from chaingraph_operator.reconcile.deletion import Deletion
from chaingraph_operator.reconcile.display import Display
from chaingraph_operator.reconcile.executions import ExecutionReconciler
from chaingraph_operator.reconcile.flow_names import FlowNames
from chaingraph_operator.reconcile.flows import FlowReconciler, Flows
from chaingraph_operator.reconcile.retry_facts import RetryFactsReader
from chaingraph_operator.reconcile.signal_nodes import SignalNodes
from chaingraph_operator.reconcile.snapshot import Snapshots
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_operator.reconcile.ttl import TtlExpiry
from chaingraph_operator.reconcile.worker_registry import WorkerRegistry
from chaingraph_operator.settings import Settings
from chaingraph_operator.tenancy import namespaces
from chaingraph_operator.tenancy.accounting import Accounting
from chaingraph_operator.tenancy.admission import Admission
from chaingraph_operator.tenancy.namespaces import Namespaces
from chaingraph_operator.validation.checks import FlowChecks, ValidationBudget
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.pool_figures import PoolMetrics
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.health import LedgerHealth
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import visibility
from chaingraph_store.upkeep.operators import Fence

_log = structlog.get_logger(__name__)
_FLOW_WORKERS = 2
_LONGEST_RETRY = 15.0
_EXTRA_CONNECTIONS = 8 + IN_FLIGHT
"""Connections to the API server besides those of the status writers: Events, deletions, lists, children."""


class Operator:
    """All components of one operator. `run` ends only with an exception; `drain` prepares a requested shutdown.

    Args:
        may_write: called before each write to the API server.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        access: ClusterAccess,
        ledger: Ledger,
        fence: Fence,
        health: LedgerHealth,
        metrics: Metrics,
        may_write: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._health = health
        self._metrics = metrics
        flow_queue: WorkQueue[Key] = WorkQueue(max_delay=_LONGEST_RETRY)
        queue: WorkQueue[Key] = WorkQueue(max_delay=_LONGEST_RETRY)
        self._api = KubernetesApi(access, connections=settings.status_writers + _EXTRA_CONNECTIONS, may_write=may_write)
        self._events = EventRecorder(self._api, instance=settings.pod_name, metrics=metrics)
        self._api.observe(ApiMetrics(metrics.registry).answered)
        self._triggers = ExecutionTriggers(queue)
        self._checks = FlowChecks(
            ValidationBudget(settings.flow_check_cpu_seconds, settings.flow_check_memory_mb), metrics=metrics
        )
        self._flows = Flows(flow_queue, wake=self._triggers.wake, checks=self._checks)
        self._worker_registry = WorkerRegistry(
            ledger, catalogue_changed=self._flows.use, queues_changed=self._triggers.wake_waiting
        )
        self._flow_writer = StatusWriter(
            names.FLOW_PLURAL,
            self._api,
            self._flows.cache,
            writers=_FLOW_WORKERS,
            changed=flow_queue.add,
            written=self._flow_written,
            metrics=metrics,
        )
        self._queue = queue
        self._writer = StatusWriter(
            names.EXECUTION_PLURAL,
            self._api,
            self._triggers.cache,
            writers=settings.status_writers,
            changed=queue.add,
            written=self._execution_written,
            metrics=metrics,
        )
        self._flow_names = FlowNames(self._flows, ledger, namespaces=settings.namespaces, metrics=metrics)
        flow_reconciler = FlowReconciler(self._flows, self._flow_writer, validated=self._flow_names.changed)
        self._namespaces = Namespaces(
            self._api,
            ledger,
            defaults=settings.namespace_defaults,
            seconds=settings.namespace_seconds,
            announce=partial(self._events.post, namespaces.KIND, api_version="v1"),
            changed=lambda name: self._admission.changed(name),
        )
        metrics.invalid_policies(lambda: self._namespaces.invalid)
        self._admission = Admission(ledger, self._namespaces, wake=self._triggers.wake)
        self._accounting = Accounting(ledger, self._namespaces, seconds=settings.accounting_seconds)
        reconciler = self._execution_reconciler(queue, ledger)
        self._controllers = [
            Controller(names.FLOW_KIND, flow_queue, flow_reconciler.reconcile, workers=_FLOW_WORKERS, metrics=metrics),
            Controller(
                names.EXECUTION_KIND,
                queue,
                reconciler.reconcile,
                workers=settings.reconcile_workers,
                metrics=metrics,
            ),
        ]
        self._families = ChildCompletion(ledger, metrics, application_name=settings.application_name)
        self._child_resources = ChildResources(
            ledger=ledger,
            api=self._api,
            triggers=self._triggers,
            announce=partial(self._events.post, names.EXECUTION_KIND),
            namespaces=settings.namespaces,
            per_second=settings.child_resources_per_second,
            busy=lambda: self._writer.backlog > settings.status_writers,
            metrics=metrics,
        )
        self._feed = ChangeFeed(ledger, self._row_changed)
        metrics.registry.register(PoolMetrics("chaingraph_operator", ledger.pool_stats))
        self._backlog = QueueMetrics(
            ledger, application_name=settings.application_name, metrics=metrics, queues=settings.metric_queues
        )
        self._lost_workers = LostWorkerRecovery(ledger, application_name=settings.application_name)
        self._worker_deployments: WorkerDeployments | None = None
        if settings.worker_namespace:
            self._worker_deployments = WorkerDeployments(
                ledger,
                self._api,
                namespace=settings.worker_namespace,
                release=settings.release,
                pools=settings.worker_pools,
                application_name=settings.application_name,
                announce=partial(self._events.post, "Deployment", api_version="apps/v1"),
                metrics=metrics,
            )
        self.guard = ClusterGuard(
            ledger=ledger, fence=fence, api=self._api, access=access, adopt=settings.adopt_cluster
        )
        self._sweep = Sweep(
            ledger=ledger,
            api=self._api,
            triggers=self._triggers,
            flows=self._flows,
            flow_names=self._flow_names,
            guard=self.guard,
            pruning=Pruning(
                ledger=ledger, namespaces=settings.namespaces, keep=settings.ledger_retention, metrics=metrics
            ),
            unseen=UnseenDeletions(ledger, namespaces=settings.namespaces, metrics=metrics),
            namespaces=settings.namespaces,
            interval=settings.sweep_seconds,
            metrics=metrics,
        )
        self.started = asyncio.Event()
        self.watch = Watch(
            access,
            namespaces=settings.namespaces,
            unreadable=lambda kind: metrics.unreadable.labels(kind).inc(),
        )
        self.watch.register(names.FLOW_PLURAL, self._flows)
        self.watch.register(names.EXECUTION_PLURAL, self._triggers)
        for phase in ExecutionPhase:
            metrics.executions(phase, partial(self._triggers.cache.count, phase))

    @property
    def api(self) -> KubernetesApi:
        return self._api

    async def prepare(self) -> None:
        """Load the workers' node types before the first reconciliation: without them no Flow can be validated."""
        await self._worker_registry.refresh()

    def _execution_reconciler(self, queue: WorkQueue[Key], ledger: Ledger) -> ExecutionReconciler:
        """Build the reconciler of Executions with its parts."""
        application_name = self._settings.application_name
        ttl = TtlExpiry(self._api, queue, self._metrics, now=ledger.now, note=partial(visibility.note_expired, ledger))
        signal_nodes = SignalNodes(ledger, lambda: self._flows.catalogue)
        retry_facts = RetryFactsReader(ledger, self._api, self._flows)
        snapshots = Snapshots(self._triggers.cache, self._api, ledger, self._namespaces, signal_nodes, retry_facts)
        creation = Creation(ledger, self._namespaces, application_name=application_name)
        return ExecutionReconciler(
            triggers=self._triggers,
            queue=queue,
            flows=self._flows,
            api=self._api,
            writer=self._writer,
            ttl=ttl,
            snapshots=snapshots,
            creation=creation,
            commands=Commands(
                ledger,
                application_name=application_name,
                announce=partial(self._events.post, names.EXECUTION_KIND),
            ),
            deletion=Deletion(
                triggers=self._triggers,
                snapshots=snapshots,
                creation=creation,
                ledger=ledger,
                flows=self._flows,
                writer=self._writer,
                ttl=ttl,
                namespaces=self._namespaces,
                admission=self._admission,
            ),
            display=Display(
                triggers=self._triggers, ledger=ledger, writer=self._writer, worker_registry=self._worker_registry
            ),
            admission=self._admission,
        )

    async def run(self) -> None:
        """Run every component except the watch. A component never ends by itself.

        Raises:
            PartEnded: a component ended.
        """
        retried: dict[str, Callable[[], Awaitable[None]]] = {
            "feed": self._feed.follow,
            "worker_registry": self._worker_registry.follow,
            "flow names": self._flow_names.run,
            "families search": self._families.search,
            "families": self._families.settle,
            "child resources": self._child_resources.run,
            "lost workers": self._lost_workers.run,
            "sweep": self._sweep.run,
            "backlog": self._backlog.run,
            "namespaces": self._namespaces.run,
            "admission": self._admission.run,
            "accounting": self._accounting.run,
        }
        if self._worker_deployments is not None:
            retried["worker deployments"] = self._worker_deployments.run
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "status writer": self._writer.run,
            "flow status writer": self._flow_writer.run,
            "event poster": self._events.run,
            "ledger probe": self._health.probe,
            "flow checks": self._checks.run,
            "resync": self._resync,
            "feed listener": self._feed.listen,
            "worker_registry listener": self._worker_registry.listen,
            **{name: partial(self._health.retry, name, part) for name, part in retried.items()},
        }
        for number, controller in enumerate(self._controllers):
            parts[f"controller {number}"] = controller.run
        async with asyncio.TaskGroup() as group:
            for name, part in parts.items():
                group.create_task(_endless(name, part), name=name)
            # The components start tasks of their own as soon as they get their first turn.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.started.set()

    async def drain(self, seconds: float) -> None:
        """Write known statuses before a requested shutdown, for at most this many seconds."""
        await self._writer.flush(seconds / 2)
        await self._events.flush(seconds / 2)

    async def close(self) -> None:
        await self._api.close()

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            self._flows.resync()
            self._triggers.resync()

    def _row_changed(self, row: ExecutionRow) -> None:
        self._triggers.changed(row)
        self._families.changed(row)
        self._child_resources.changed(row)

    def _execution_written(self, key: Key, before: Status, after: Status) -> None:
        for announcement in status_events.of_execution(before, after):
            self._events.post(names.EXECUTION_KIND, key, announcement)
        self._observe_lag(before, after)
        if "completionTime" in after and "completionTime" not in before:
            self._metrics.executions_ended.labels(key.namespace, after["phase"]).inc()
        cached = self._triggers.cache.get(key)
        if cached is not None and cached.finished:
            # Reconcile once more for retention, and to release the cached object.
            self._queue.add(key)

    def _observe_lag(self, before: Status, after: Status) -> None:
        for moment in ("startTime", "completionTime"):
            if moment in after and moment not in before:
                happened = datetime.fromisoformat(after[moment])
                self._metrics.status_lag.observe(max(0.0, (datetime.now(UTC) - happened).total_seconds()))

    def _flow_written(self, key: Key, before: Status, after: Status) -> None:
        for announcement in status_events.of_flow(before, after):
            self._events.post(names.FLOW_KIND, key, announcement)


async def _endless(name: str, part: Callable[[], Awaitable[None]]) -> None:
    await part()
    raise PartEnded(f"component {name!r} stopped unexpectedly")
