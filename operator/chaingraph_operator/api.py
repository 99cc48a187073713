"""The operator's own requests to the API server: status patches, Events, deletions, lists of names.

Bounded connections, one timeout, JSON in and out, errors as `errors.ApiError`. Reading and watching the objects is
kopf's. Each request is sent once; who calls decides whether to repeat it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import orjson

from chaingraph_crds import names
from chaingraph_operator.errors import Unavailable, of_status
from chaingraph_operator.keys import Key
from chaingraph_operator.kubernetes_config import ClusterAccess

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE: Final = 1000

Object = dict[str, Any]


def collection_path(plural: str, namespace: str | None) -> str:
    """The URL path of all objects of a kind, in one namespace or all of them."""
    base = f"/apis/{names.API_VERSION}"
    return f"{base}/{plural}" if namespace is None else f"{base}/namespaces/{namespace}/{plural}"


def object_path(plural: str, key: Key) -> str:
    return f"{collection_path(plural, key.namespace)}/{key.name}"


class KubernetesApi:
    """One session with the API server."""

    def __init__(self, access: ClusterAccess, *, connections: int) -> None:
        self._access = access
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def patch_status(self, plural: str, key: Key, patch: Mapping[str, Any]) -> Object:
        """Merges the patch into the status. The UID makes the API server refuse it for another object of that name.

        Raises:
            Conflict: the object of that name has another UID.
            ApiError: see `errors`.
        """
        return await self._request(
            "PATCH",
            f"{object_path(plural, key)}/status",
            body={"metadata": {"uid": key.uid}, "status": patch},
            content_type="application/merge-patch+json",
        )

    async def get(self, plural: str, key: Key) -> Object:
        return await self._request("GET", object_path(plural, key))

    async def delete(self, plural: str, key: Key) -> None:
        """Deletes this very object, and not another one of its name. What it owns goes in the background."""
        await self._request(
            "DELETE",
            object_path(plural, key),
            body={
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": {"uid": key.uid},
                "propagationPolicy": "Background",
            },
        )

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        await self._request("POST", f"/api/v1/namespaces/{namespace}/events", body=event)

    async def served_kinds(self) -> set[str]:
        """The plurals that the API server serves in our group and version; none where the group is not installed."""
        found = await self._request("GET", f"/apis/{names.API_VERSION}")
        return {str(resource["name"]) for resource in found.get("resources", ())}

    async def list_keys(self, plural: str, namespace: str | None) -> AsyncIterator[Key]:
        """Every object's key, from one consistent snapshot, in pages, without spec or status.

        Raises:
            Gone: the snapshot expired between two pages; what came so far is not the whole.
            ApiError: see `errors`.
        """
        params: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            page = await self._request("GET", collection_path(plural, namespace), params=params, accept=_METADATA_ONLY)
            # Go writes an empty list as null.
            for item in page["items"] or ():
                metadata = item["metadata"]
                yield Key(metadata["namespace"], metadata["name"], metadata["uid"])
            following = page["metadata"].get("continue")
            if not following:
                return
            params = {"limit": str(_PAGE), "continue": following}

    async def _renew(self) -> None:
        """The credentials are no longer taken: the next request goes out with new ones, over a new session."""
        session, self._session = self._session, None
        await self._access.renew()
        if session is not None:
            await session.close()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        headers = {"Accept": accept, "User-Agent": "chaingraph-operator", **await self._access.headers()}
        if body is not None:
            headers["Content-Type"] = content_type
        # Nothing is awaited between here and the request: a renewal must not close the session in between.
        if self._session is None:
            self._session = self._access.session(connections=self._connections)
        session = self._session
        try:
            async with session.request(
                method,
                self._access.server + path,
                data=None if body is None else orjson.dumps(body),
                headers=headers,
                params=params,
                timeout=_TIMEOUT,
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(0, f"{method} {path}: {type(error).__name__}: {error}") from error
        if response.status == 401:
            await self._renew()
        if response.status >= 400:
            raise of_status(response.status, f"{method} {path}: {_message(answer)}")
        found: Object = orjson.loads(answer)
        return found


def _message(answer: bytes) -> str:
    """The message of a `Status` object, or the answer's beginning where it is none (proxies answer in HTML)."""
    try:
        return str(orjson.loads(answer)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return answer[:200].decode(errors="replace")
