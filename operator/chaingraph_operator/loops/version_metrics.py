"""The versions of the workers as metrics, as `worker_deployments` has found them last."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from chaingraph_operator.decide.rollout import Rollout, State
from chaingraph_store.queue.pinning import Builds


class VersionMetrics:
    """What was found last."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._found: tuple[Rollout, Builds] | None = None
        registry.register(self)

    def found(self, rollout: Rollout, builds: Builds) -> None:
        self._found = rollout, builds

    def nothing_found(self) -> None:
        """There are no Deployments, or nothing says which of them are current."""
        self._found = None

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets."""
        versions = GaugeMetricFamily(
            "chaingraph_operator_worker_versions",
            "Live workers of each version that has a Deployment, by what the version is: current; superseded, while "
            "the current one cannot serve yet; retired, which ends what it has begun.",
            labels=["pool", "version", "state"],
        )
        pinned = GaugeMetricFamily(
            "chaingraph_operator_pinned_executions",
            "Executions that a version of the workers runs, or that wait for one of its workers.",
            labels=["pool", "version"],
        )
        if self._found is not None:
            rollout, builds = self._found
            for build, state in rollout.states.items():
                workers, load = builds.workers.get(build), builds.loads.get(build)
                versions.add_metric([build.pool, build.version, State(state)], workers.live if workers else 0)
                pinned.add_metric([build.pool, build.version], load.total if load else 0)
        return versions, pinned
