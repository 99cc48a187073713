"""`chaingraph-operator remove-workers`: delete a release's worker Deployments and wait until their Pods are gone.

The chart keeps these Deployments over upgrades, so Helm does not remove them. The chart runs this command before it
removes the rest. The deletion is in the foreground: a Deployment is gone once its Pods are, so workers have drained and
handed back their unfinished executions. Rights: deployments list and delete.

Exit codes: 0 when all are gone, 1 when some are left, 2 for invalid settings.
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
    """The settings of `remove-workers`, besides the Kubernetes configuration (KUBECONFIG)."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    worker_namespace: str = Field(
        validation_alias="CHAINGRAPH_WORKER_NAMESPACE", min_length=1, description="Namespace of the workers."
    )
    release: str = Field(
        validation_alias="CHAINGRAPH_RELEASE",
        min_length=1,
        description="Release whose workers are removed, as in their label app.kubernetes.io/instance.",
    )
    wait_seconds: float = Field(
        default=120,
        ge=0,
        validation_alias="CHAINGRAPH_REMOVE_WAIT_SECONDS",
        description="How long to wait for the worker Pods to terminate, in seconds. Longer than their drain timeout.",
    )


def main() -> None:
    """Run the command and exit with its exit code."""
    try:
        settings = RemovalSettings()
    except ValidationError as error:
        refuse(error, RemovalSettings, component="operator")
    logs.configure(settings.log_level, component="operator")
    try:
        left = asyncio.run(_run(settings))
    except ClusterError as error:
        _log.critical("cannot remove the workers", error=str(error))
        sys.exit(1)
    if left:
        _log.critical(
            "some workers are left: they are still draining, or a finalizer blocks their deletion",
            deployments=left,
            seconds=settings.wait_seconds,
        )
        sys.exit(1)
    _log.info("all workers removed", namespace=settings.worker_namespace, release=settings.release)


async def _run(settings: RemovalSettings) -> list[str]:
    api = KubernetesApi(await load(), connections=1, may_write=lambda: None)
    try:
        return await remove(
            api, namespace=settings.worker_namespace, release=settings.release, within=settings.wait_seconds
        )
    finally:
        await api.close()


async def remove(api: KubernetesApi, *, namespace: str, release: str, within: float) -> list[str]:
    """Delete the release's worker Deployments, and wait for their end.

    Returns:
        The names of those left after `within` seconds.

    Raises:
        ApiError: the API server refuses, or does not answer in that time.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            left = await _delete_all(api, namespace, release)
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            _log.warning("API server unavailable, retrying", error=str(error))
        else:
            if not left or time.monotonic() > deadline:
                return left
        await asyncio.sleep(_LOOK_SECONDS)


async def _delete_all(api: KubernetesApi, namespace: str, release: str) -> list[str]:
    """Delete the Deployments that are not being deleted yet. Returns the names of all."""
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
