"""Retire and remove worker Deployments as versions change. Runs in the leading operator, every few seconds.

A ConfigMap of the release has the current version of each pool. Deployments of other versions are retired once the
current one serves, and deleted once none of their executions is left. The deletion applies to the examined version of
the Deployment only: one that a rollback has changed since is kept and examined again.

Off unless CHAINGRAPH_WORKER_NAMESPACE is set. Rights there: deployments list and delete, the ConfigMap get.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from chaingraph_operator.decide.rollout import Deployment, Rollout, decide
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.loops.version_metrics import VersionMetrics
from chaingraph_operator.metrics import Metrics
from chaingraph_runtime.cluster_api import Object
from chaingraph_runtime.cluster_errors import ApiError, Conflict, NotFound
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import pinning
from chaingraph_store.queue.pinning import Build

_log = structlog.get_logger(__name__)
POOL_LABEL: Final = "chaingraph.dev/pool"
VERSION_LABEL: Final = "chaingraph.dev/worker-version"
_LOOK_SECONDS: Final = 2.0

Announce = Callable[[Key, KubernetesEvent], None]


def worker_selector(release: str) -> str:
    """Return the label selector of a release's worker Deployments."""
    return f"app.kubernetes.io/instance={release},app.kubernetes.io/component=worker"


class WorkerDeployments:
    """Manages the Deployments of one release's workers.

    Args:
        namespace: the Deployments' namespace.
        release: the release's name, as in the label `app.kubernetes.io/instance`.
        pools: name of the ConfigMap that has the current version of each pool.
        announce: posts a Kubernetes Event on a Deployment.
    """

    def __init__(
        self,
        ledger: Ledger,
        api: KubernetesApi,
        *,
        namespace: str,
        release: str,
        pools: str,
        application_name: str,
        announce: Announce,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._namespace = namespace
        self._release = release
        self._pools = pools
        self._application_name = application_name
        self._announce = announce
        self._trouble = ""
        self._figures = VersionMetrics(metrics.registry)

    async def run(self) -> None:
        """Check until cancelled. An error of the API server is logged once and retried."""
        while True:
            try:
                await self.look()
                self._trouble = ""
            except ApiError as error:
                if str(error) != self._trouble:
                    _log.warning("cannot manage the worker versions, retrying", error=str(error))
                self._trouble = str(error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> Rollout | None:
        """Check once, and act.

        Returns:
            The findings; None when there are no Deployments, or their current versions are unknown.

        Raises:
            ApiError: see `cluster_errors`.
        """
        # In this order: a rollback changes the ConfigMap before the Deployments. A reader of the old ConfigMap has read
        # the Deployments before they were changed, so a deletion of one of them is rejected.
        found = await self._api.list_deployments(self._namespace, worker_selector(self._release))
        deployments = [each for each in map(_deployment, found) if each is not None]
        current = await self._current() if deployments else None
        if current is None:
            self._figures.nothing_found()
            return None
        async with self._ledger.transaction() as connection:
            builds = await pinning.builds(connection, application_name=self._application_name)
            rollout = decide(current, deployments, builds)
            for build in rollout.serve:
                await pinning.set_retired(connection, build, retired=False)
            for build in rollout.retire:
                await pinning.set_retired(connection, build, retired=True)
        self._tell(rollout, deployments, current)
        for each in rollout.remove:
            await self._remove(each)
        self._figures.found(rollout, builds)
        return rollout

    async def _current(self) -> Mapping[str, str] | None:
        try:
            found = await self._api.config_map(self._namespace, self._pools)
        except NotFound:
            return None
        data: Mapping[str, str] = found.get("data") or {}
        return data

    def _tell(self, rollout: Rollout, deployments: list[Deployment], current: Mapping[str, str]) -> None:
        for each in deployments:
            if each.build in rollout.retire:
                message = (
                    f"Version {each.build.version} is retired and takes no new executions: "
                    f"{_place_of(each.build, current)}"
                )
                self._say(each, "Retired", message)
            elif each.build in rollout.serve:
                self._say(each, "ServesAgain", f"Version {each.build.version} is the current version of its pool again")

    async def _remove(self, deployment: Deployment) -> None:
        try:
            await self._api.delete_deployment(
                self._namespace,
                deployment.name,
                uid=deployment.uid,
                resource_version=deployment.resource_version,
            )
        except (Conflict, NotFound) as error:
            _log.info("the Deployment has changed, not removing it", deployment=deployment.name, error=str(error))
            return
        self._say(deployment, "Removed", f"Version {deployment.build.version} has no executions left")

    def _say(self, deployment: Deployment, reason: str, message: str) -> None:
        _log.info(message, deployment=deployment.name, namespace=self._namespace, pool=deployment.build.pool)
        key = Key(self._namespace, deployment.name, deployment.uid)
        self._announce(key, KubernetesEvent("Normal", reason, message, since=deployment.resource_version))


def _place_of(build: Build, current: Mapping[str, str]) -> str:
    if build.pool in current:
        return f"version {current[build.pool]} of pool {build.pool!r} serves"
    return f"pool {build.pool!r} is no longer part of the release"


def _deployment(found: Object) -> Deployment | None:
    """Convert a Deployment; None for one without pool or version, which is not ours."""
    metadata: Mapping[str, Any] = found["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    if POOL_LABEL not in labels or VERSION_LABEL not in labels:
        return None
    status: Mapping[str, Any] = found.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    up_to_date = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    return Deployment(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        build=Build(labels[POOL_LABEL], labels[VERSION_LABEL]),
        available=up_to_date and conditions.get("Available") == "True",
        going="deletionTimestamp" in metadata,
    )
