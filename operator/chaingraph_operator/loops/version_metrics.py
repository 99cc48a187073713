"""The worker versions as metrics, as last found by `worker_deployments`."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from chaingraph_operator.decide.rollout import Rollout, State
from chaingraph_store.queue.pinning import Builds


class VersionMetrics:
    """The latest findings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._found: tuple[Rollout, Builds] | None = None
        registry.register(self)

    def found(self, rollout: Rollout, builds: Builds) -> None:
        self._found = rollout, builds

    def nothing_found(self) -> None:
        """Record that there are no Deployments, or that their current versions are unknown."""
        self._found = None

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics for Prometheus."""
        versions = GaugeMetricFamily(
            "chaingraph_operator_worker_versions",
            "Live workers of each version with a Deployment, by state: current; superseded (serving until the current "
            "version can); retired (finishing its running executions).",
            labels=["pool", "version", "state"],
        )
        pinned = GaugeMetricFamily(
            "chaingraph_operator_pinned_executions",
            "Executions that are running on a worker version, or waiting for one of its workers.",
            labels=["pool", "version"],
        )
        if self._found is not None:
            rollout, builds = self._found
            for build, state in rollout.states.items():
                workers, load = builds.workers.get(build), builds.loads.get(build)
                versions.add_metric([build.pool, build.version, State(state)], workers.live if workers else 0)
                pinned.add_metric([build.pool, build.version], load.total if load else 0)
        return versions, pinned
