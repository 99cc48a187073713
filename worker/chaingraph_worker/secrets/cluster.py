"""The Secrets of a cluster, read from its API server at each use. Nothing is kept.

Imported only by a worker that reads Secrets: the client for Kubernetes takes a second to import.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from chaingraph_crds.secret_references import ALLOW_LABEL
from chaingraph_runtime import cluster_access
from chaingraph_runtime.cluster_api import ClusterApi
from chaingraph_runtime.cluster_errors import ApiError, NoCluster, NotFound, Unavailable
from chaingraph_worker.errors import SecretReason, SecretRefused, StartRefused

_CONNECTIONS: Final = 8
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5, sock_connect=3)
_PAUSES: Final = (0.2, 1.0)
"""Seconds before each repetition of a request that the API server did not answer."""


class ClusterSecrets:
    """Reads Secrets with the worker's own rights."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self._places = asyncio.Semaphore(_CONNECTIONS)

    @classmethod
    async def open(cls) -> ClusterSecrets:
        """Take the credentials of the environment.

        Raises:
            StartRefused: there are none.
        """
        try:
            access = await cluster_access.load()
        except NoCluster as error:
            raise StartRefused(f"CHAINGRAPH_SECRET_NAMESPACES is set, but {error}") from error
        api = ClusterApi(access, connections=_CONNECTIONS, user_agent="chaingraph-worker", timeout=_TIMEOUT)
        return cls(api)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def read(self, namespace: str, name: str, key: str) -> bytes:
        """Return the current value of a key.

        Raises:
            SecretRefused: there is no such Secret or key, it lacks the label, or the worker may not read it.
        """
        async with self._places:
            secret = await self._get(namespace, name)
        what = f"Secret {name!r} in namespace {namespace!r}"
        if (secret.get("metadata", {}).get("labels") or {}).get(ALLOW_LABEL) != "true":
            raise SecretRefused(
                SecretReason.NOT_ALLOWED,
                f'{what} may not be used by flows: it lacks the label {ALLOW_LABEL}: "true". Its owner can run '
                f"kubectl label secret {name} -n {namespace} {ALLOW_LABEL}=true",
            )
        data = secret.get("data") or {}
        if key not in data:
            known = f"it has {', '.join(sorted(data))}" if data else "it is empty"
            raise SecretRefused(SecretReason.KEY_NOT_FOUND, f"{what} has no key {key!r}: {known}")
        try:
            return base64.b64decode(data[key], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise SecretRefused(SecretReason.INVALID, f"{what}: key {key!r} cannot be decoded") from None

    async def _get(self, namespace: str, name: str) -> dict[str, Any]:
        what = f"Secret {name!r} in namespace {namespace!r}"
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}"
        for pause in (*_PAUSES, None):
            try:
                return await self._api.request("GET", path)
            except NotFound:
                raise SecretRefused(SecretReason.NOT_FOUND, f"{what} not found") from None
            except (Unavailable, NoCluster) as error:
                if pause is None:
                    message = f"{what} cannot be read: the API server is not available: {error}"
                    raise SecretRefused(SecretReason.UNAVAILABLE, message) from None
                await asyncio.sleep(pause)
            except ApiError as error:
                if error.status != 403:
                    raise SecretRefused(SecretReason.UNAVAILABLE, f"{what} cannot be read: {error}") from None
                message = (
                    f"{what} cannot be read: the worker has no right to get Secrets there. Add the namespace to "
                    "secretNamespaces of the worker pool in the chart, or give its service account a Role"
                )
                raise SecretRefused(SecretReason.FORBIDDEN, message) from None
        raise AssertionError("the last pass returns or raises")
