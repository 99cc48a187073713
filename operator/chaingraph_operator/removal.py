"""`chaingraph-operator remove-workers`: deletes a release's worker Deployments and waits until their Pods are gone.

The chart keeps them over upgrades, so nothing else would take them away; it calls this before it removes the rest. They
are deleted in the foreground: a Deployment is gone once its Pods are, so workers have drained and handed back what they
could not end. Rights: deployments list and delete.

Exit codes: 0 when all are gone, 1 when some are left, 2 for settings that cannot be right.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

import structlog
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.loops.worker_deployments import worker_selector
from chaingraph_runtime import logs
from chaingraph_runtime.cluster_access import load
from chaingraph_runtime.cluster_errors import ClusterError, NotFound, Unavailable
from chaingraph_runtime.environment import LoggingSettings
from chaingraph_runtime.settings import refuse

COMMAND: Final = "remove-workers"
_LOOK_SECONDS: Final = 1.0
_log = structlog.get_logger("chaingraph_operator.removal")


class RemovalSettings(LoggingSettings):
    """What `remove-workers` reads beside the Kubernetes configuration (KUBECONFIG)."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    worker_namespace: str = Field(
        validation_alias="CHAINGRAPH_WORKER_NAMESPACE", min_length=1, description="the namespace of the workers"
    )
    release: str = Field(
        validation_alias="CHAINGRAPH_RELEASE",
        min_length=1,
        description="the release whose workers are removed, as in their label app.kubernetes.io/instance",
    )
    wait_seconds: float = Field(
        default=120,
        ge=0,
        validation_alias="CHAINGRAPH_REMOVE_WAIT_SECONDS",
        description="seconds for which it is waited that they go; longer than their Pods may take to drain",
    )


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    try:
        settings = RemovalSettings()
    except ValidationError as error:
        refuse(error, RemovalSettings, component="operator")
    logs.configure(settings.log_level, component="operator")
    try:
        left = asyncio.run(_run(settings))
    except ClusterError as error:
        _log.critical("could not remove the workers", error=str(error))
        sys.exit(1)
    if left:
        _log.critical(
            "some are not gone yet: they go on draining, or a finalizer holds them",
            deployments=left,
            seconds=settings.wait_seconds,
        )
        sys.exit(1)
    _log.info("no workers are left", namespace=settings.worker_namespace, release=settings.release)


async def _run(settings: RemovalSettings) -> list[str]:
    api = KubernetesApi(await load(), connections=1, may_write=lambda: None)
    try:
        return await remove(
            api, namespace=settings.worker_namespace, release=settings.release, within=settings.wait_seconds
        )
    finally:
        await api.close()


async def remove(api: KubernetesApi, *, namespace: str, release: str, within: float) -> list[str]:
    """Deletes the release's worker Deployments, and waits for their end.

    Returns:
        The names of those that are left after `within` seconds.

    Raises:
        ApiError: the API server refuses, or does not answer at the end of that time.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            left = await _delete_all(api, namespace, release)
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            _log.warning("the API server is away, trying again", error=str(error))
        else:
            if not left or time.monotonic() > deadline:
                return left
        await asyncio.sleep(_LOOK_SECONDS)


async def _delete_all(api: KubernetesApi, namespace: str, release: str) -> list[str]:
    """Deletes those that are not going yet. The names of all that there were."""
    found = await api.list_deployments(namespace, worker_selector(release))
    for each in found:
        metadata = each["metadata"]
        if "deletionTimestamp" in metadata:
            continue
        try:
            await api.delete_deployment(namespace, metadata["name"], uid=metadata["uid"], foreground=True)
        except NotFound:
            continue
        _log.info("removes", deployment=metadata["name"], namespace=namespace)
    return [each["metadata"]["name"] for each in found]
