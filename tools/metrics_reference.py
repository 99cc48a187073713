"""The reference of all metrics as Markdown, from the registries of the processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from chaingraph_gateway.metrics import Metrics as GatewayMetrics
from chaingraph_operator.kube.api_metrics import ApiMetrics
from chaingraph_operator.loops.queue_metrics import QueueMetrics
from chaingraph_operator.loops.version_metrics import VersionMetrics
from chaingraph_operator.metrics import Metrics as OperatorMetrics
from chaingraph_runtime.pool_figures import PoolMetrics
from chaingraph_store.ledger import Ledger
from chaingraph_worker import metrics as worker_metrics

OURS: Final = "chaingraph_"
_INTRODUCTION: Final = """\
# Metrics

<!-- Generated from the code by `make generate`. Do not edit. -->

Operator, workers and gateway serve them at `/metrics` of their health port, in Prometheus's text format, together
with `process_*` and `python_*` of the process itself. A histogram has `_bucket`, `_sum` and `_count`. How to scrape
them, and the alerts, dashboard and traces made of them: [Monitor ChainGraph](../how-to/see-what-it-does.md).

Labels have few values. Names and ids of executions are in no label: logs and traces have them.
"""
_OPERATOR_NOTE: Final = """
Of several operators one leads. `chaingraph_queue_*` and `chaingraph_children_*` are served by that one alone, so a sum
over all operators is right; they are left out while PostgreSQL does not answer.
"""


@dataclass(frozen=True, order=True)
class Described:
    """A metric as `/metrics` says it: `name` is that of its TYPE line, a counter's with `_total`."""

    name: str
    type: str
    labels: tuple[str, ...]
    documentation: str


def of_worker() -> list[Described]:
    """Every metric of a worker."""
    pool = PoolMetrics("chaingraph_worker", dict)
    return described([*_collectors(worker_metrics.REGISTRY_OF_WORKER), pool])


def of_operator() -> list[Described]:
    """Every metric of an operator."""
    metrics = OperatorMetrics()
    metrics.queue_depth("", float)
    metrics.ledger_up(float)
    metrics.leader(float)
    metrics.executions("", float)
    metrics.invalid_policies(float)
    ApiMetrics(metrics.registry)
    QueueMetrics(Ledger("postgresql://host/name", application_name=""), application_name="", metrics=metrics)
    VersionMetrics(metrics.registry)
    metrics.registry.register(PoolMetrics("chaingraph_operator", dict))
    return described(_collectors(metrics.registry))


def of_gateway() -> list[Described]:
    """Every metric of a gateway."""
    metrics = GatewayMetrics()
    metrics.registry.register(PoolMetrics("chaingraph_gateway", dict))
    return described(_collectors(metrics.registry))


def _collectors(registry: CollectorRegistry) -> list[Collector]:
    # There is no public way to its collectors, and a metric without values does not tell its labels otherwise.
    return list(registry._collector_to_names)


def described(collectors: Iterable[Collector]) -> list[Described]:
    """What these collectors say of themselves, but for what the client library adds."""
    found = set()
    for collector in collectors:
        for metric in collector.collect():
            if metric.name.startswith(OURS):
                labels = getattr(collector, "_labelnames", None) or getattr(metric, "_labelnames", None) or ()
                name = f"{metric.name}_total" if metric.type == "counter" else metric.name
                found.add(Described(name, metric.type, tuple(labels), metric.documentation))
    return sorted(found)


def markdown() -> str:
    """The page of all metrics."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Operator\n" + _OPERATOR_NOTE + "\n" + _table(of_operator()),
            "## Worker\n\n" + _table(of_worker()),
            "## Gateway\n\n" + _table(of_gateway()),
        ]
    )


def _table(metrics: Iterable[Described]) -> str:
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for each in metrics:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.name}` | {each.type} | {labels} | {each.documentation.rstrip('.')} |")
    return "\n".join(lines) + "\n"
