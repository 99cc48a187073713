"""The operator's Prometheus metrics, in a registry of their own. Served at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric

Sample = Callable[[], float]


class _Gauges:
    """Gauges whose values are read at each scrape."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str, str], dict[str, Sample]] = {}

    def add(self, name: str, documentation: str, label: str, value: str, read: Sample) -> None:
        self._read.setdefault((name, documentation, label), {})[value] = read

    def collect(self) -> Iterable[Metric]:
        for (name, documentation, label), series in self._read.items():
            family = GaugeMetricFamily(name, documentation, labels=[label] if label else [])
            for value, read in series.items():
                family.add_metric([value] if label else [], read())
            yield family


class Metrics:
    """All metrics of one operator."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.registry = registry
        self._gauges = _Gauges()
        registry.register(self._gauges)
        self.reconciles = Counter(
            "chaingraph_operator_reconciles",
            "Reconciliations, by kind and result.",
            ["kind", "result"],
            registry=registry,
        )
        self.reconcile_seconds = Histogram(
            "chaingraph_operator_reconcile_seconds",
            "Duration of a reconciliation, by kind.",
            ["kind"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
        self.executions_ended = Counter(
            "chaingraph_operator_executions_ended",
            "Execution resources that were shown as ended, by namespace and phase.",
            # The only metric with namespaces: one operator leads, so each has three series. Prometheus adds a label
            # named `namespace` to every target, hence the prefix.
            ["execution_namespace", "phase"],
            registry=registry,
        )
        self.status_lag = Histogram(
            "chaingraph_operator_status_lag_seconds",
            "Time from the start or end of an execution in the ledger to the patch that shows it.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30),
            registry=registry,
        )
        self.swept = Counter(
            "chaingraph_operator_swept",
            "Executions stopped because their resource was deleted unseen.",
            registry=registry,
        )
        self.families = Counter(
            "chaingraph_operator_families",
            "Number of times that a parent was notified of ended children by the operator.",
            registry=registry,
        )
        self.child_resources = Counter(
            "chaingraph_operator_child_resources",
            "Resources for children: created, adopted, renamed because the name was taken, refused, or failed (error).",
            ["result"],
            registry=registry,
        )
        self.pruned = Counter(
            "chaingraph_operator_pruned",
            "Old executions without a resource that were removed from the ledger.",
            registry=registry,
        )
        self.expired = Counter(
            "chaingraph_operator_expired", "Executions deleted by their ttlSecondsAfterFinished.", registry=registry
        )
        self.flow_checks = Counter(
            "chaingraph_operator_flow_checks",
            "Flow validations, by result: valid, invalid, too complex.",
            ["result"],
            registry=registry,
        )
        self.unreadable = Counter(
            "chaingraph_operator_unreadable",
            "Objects that could not be read, by kind: flows, executions.",
            ["kind"],
            registry=registry,
        )
        self.events_dropped = Counter(
            "chaingraph_operator_events_dropped", "Kubernetes Events that could not be posted.", registry=registry
        )

    def queue_depth(self, queue: str, read: Sample) -> None:
        """Add a queue to the gauge of queue depths."""
        self._gauges.add("chaingraph_operator_queue_depth", "Keys waiting in a queue.", "queue", queue, read)

    def ledger_up(self, read: Sample) -> None:
        """Add the gauge of PostgreSQL's availability."""
        self._gauges.add("chaingraph_operator_ledger_up", "1 while PostgreSQL answers.", "database", "executions", read)

    def invalid_policies(self, read: Sample) -> None:
        """Add the gauge of Namespaces with invalid annotations."""
        self._gauges.add(
            "chaingraph_operator_invalid_policies",
            "Namespaces with executions and invalid annotations, to which defaults apply.",
            "",
            "",
            read,
        )

    def leader(self, read: Sample) -> None:
        """Add the gauge of leadership."""
        self._gauges.add(
            "chaingraph_operator_leader", "1 while this operator leads, 0 while it stands by.", "", "", read
        )

    def executions(self, phase: str, read: Sample) -> None:
        """Add a phase to the gauge of known executions."""
        self._gauges.add("chaingraph_operator_executions", "Known Execution resources, by phase.", "phase", phase, read)
