"""The operator's requests to the API server: status patches, Events, children, deletions, lists of names, and worker
Deployments.

Requests go through `chaingraph_runtime.cluster_api`, which defines their errors. kopf lists and watches the objects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from chaingraph_crds import names
from chaingraph_operator.kube.keys import Key
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.cluster_api import Answered, ClusterApi, Object
from chaingraph_runtime.objects import sound

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_SYSTEM_NAMESPACE: Final = "kube-system"
_PAGE: Final = 500


def collection_path(plural: str, namespace: str | None) -> str:
    """Return the URL path of all objects of a kind, in one namespace or cluster-wide."""
    base = f"/apis/{names.API_VERSION}"
    return f"{base}/{plural}" if namespace is None else f"{base}/namespaces/{namespace}/{plural}"


def object_path(plural: str, key: Key) -> str:
    return f"{collection_path(plural, key.namespace)}/{key.name}"


def _deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


class KubernetesApi:
    """One session with the API server.

    Args:
        may_write: called before each write. It does not return when another operator has replaced this one.
    """

    def __init__(self, access: ClusterAccess, *, connections: int, may_write: Callable[[], None]) -> None:
        self._api = ClusterApi(access, connections=connections, user_agent="chaingraph-operator")
        self._may_write = may_write

    async def close(self) -> None:
        await self._api.close()

    def observe(self, answered: Answered) -> None:
        """Register an observer for every finished request."""
        self._api.answered = answered

    async def patch_status(self, plural: str, key: Key, patch: Mapping[str, Any]) -> Object:
        """Merge the patch into the status. Its UID makes the API server reject it for another object of that name.

        Raises:
            Conflict: the object of that name has another UID.
            ApiError: see `cluster_errors`.
        """
        self._may_write()
        answer = await self._api.request(
            "PATCH",
            f"{object_path(plural, key)}/status",
            body={"metadata": {"uid": key.uid}, "status": patch},
            content_type="application/merge-patch+json",
        )
        return sound(answer)

    async def get(self, plural: str, key: Key) -> Object:
        return sound(await self._api.request("GET", object_path(plural, key)))

    async def create(self, plural: str, namespace: str, body: Mapping[str, Any]) -> Object:
        """Create an object and return it as stored.

        Raises:
            Conflict: an object of its name exists.
            ApiError: see `cluster_errors`.
        """
        self._may_write()
        return await self._api.request("POST", collection_path(plural, namespace), body=body)

    async def delete(self, plural: str, key: Key) -> None:
        """Delete exactly this object, not another one of its name. Its dependents are deleted in the background."""
        self._may_write()
        await self._api.request(
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
        self._may_write()
        await self._api.request("POST", f"/api/v1/namespaces/{namespace}/events", body=event)

    async def list_deployments(self, namespace: str, selector: str) -> list[Object]:
        """Return the Deployments of a namespace with these labels."""
        found = await self._api.request("GET", _deployments(namespace), params={"labelSelector": selector})
        return list(found["items"] or ())

    async def delete_deployment(
        self, namespace: str, name: str, *, uid: str, resource_version: str | None = None, foreground: bool = False
    ) -> None:
        """Delete exactly this Deployment and its Pods.

        Args:
            resource_version: delete it only in this version.
            foreground: keep the Deployment until its Pods are gone.

        Raises:
            Conflict: it is another Deployment, or it has changed.
            ApiError: see `cluster_errors`.
        """
        self._may_write()
        preconditions = {"uid": uid} | ({} if resource_version is None else {"resourceVersion": resource_version})
        await self._api.request(
            "DELETE",
            f"{_deployments(namespace)}/{name}",
            body={
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": preconditions,
                "propagationPolicy": "Foreground" if foreground else "Background",
            },
        )

    async def config_map(self, namespace: str, name: str) -> Object:
        return await self._api.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")

    async def cluster_uid(self) -> str:
        """Return the UID of the namespace kube-system, which identifies a cluster: every cluster has it, permanently.

        Raises:
            ApiError: with status 403 when the operator may not read it.
        """
        return await self.namespace_uid(_SYSTEM_NAMESPACE)

    async def namespace_uid(self, name: str) -> str:
        """Return the UID of a namespace.

        Raises:
            NotFound: the namespace does not exist.
            ApiError: with status 403 when the operator may not read it.
        """
        return str((await self._api.request("GET", f"/api/v1/namespaces/{name}"))["metadata"]["uid"])

    async def namespace(self, name: str) -> Object:
        """Return a Namespace.

        Raises:
            NotFound: the namespace does not exist.
            ApiError: with status 403 when the operator may not read it; see `cluster_errors`.
        """
        return await self._api.request("GET", f"/api/v1/namespaces/{name}")

    async def served_kinds(self) -> set[str]:
        """Return the plurals that the API server serves in our group and version; none without the CRDs."""
        found = await self._api.request("GET", f"/apis/{names.API_VERSION}")
        return {str(resource["name"]) for resource in found.get("resources", ())}

    async def list_keys(self, plural: str, namespace: str | None) -> AsyncIterator[Key]:
        """Yield every object's key, from one consistent snapshot, in pages, without spec or status.

        An object without a UID has an empty one in its key: it exists, and nothing more is known of it.

        Raises:
            Gone: the snapshot expired between two pages; the keys so far are not complete.
            ApiError: see `cluster_errors`.
        """
        params: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            page = await self._api.request(
                "GET", collection_path(plural, namespace), params=params, accept=_METADATA_ONLY
            )
            # Go encodes an empty list as null.
            for item in page.get("items") or ():
                key = _key(item)
                if key is not None:
                    yield key
            following = page["metadata"].get("continue")
            if not following:
                return
            params = {"limit": str(_PAGE), "continue": following}


def _key(item: Any) -> Key | None:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    found = metadata if isinstance(metadata, dict) else {}
    namespace, name, uid = (found.get(field) for field in ("namespace", "name", "uid"))
    if not isinstance(namespace, str) or not isinstance(name, str) or not name:
        return None
    return Key(namespace, name, uid if isinstance(uid, str) else "")
