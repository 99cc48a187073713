"""Authorize the caller by the API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chaingraph_crds import names
from chaingraph_gateway.access.authentication import Caller
from chaingraph_gateway.cache import Cache
from chaingraph_gateway.cluster import Cluster

_DENIED_SECONDS: Final = 2.0
_DECISIONS: Final = 50_000


@dataclass(frozen=True)
class Right:
    """An RBAC right on executions. An empty namespace means all, an empty name any."""

    verb: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def resource(self) -> str:
        return f"{names.EXECUTION_PLURAL}/{self.subresource}" if self.subresource else names.EXECUTION_PLURAL

    def rule(self) -> dict[str, list[str]]:
        """Return the rule that grants it, as in a Role or a ClusterRole."""
        return {"apiGroups": [names.GROUP], "resources": [self.resource], "verbs": [self.verb]}


class Authorizer:
    """Authorizes by SubjectAccessReview, and remembers the answers: denials for two seconds at most.

    Args:
        remember_seconds: how long a granted right is remembered.
    """

    def __init__(self, cluster: Cluster, *, remember_seconds: float) -> None:
        self._cluster = cluster
        denied_seconds = min(_DENIED_SECONDS, remember_seconds)
        self._decisions: Cache[tuple[Caller, Right], bool] = Cache(
            _DECISIONS, lambda allowed: remember_seconds if allowed else denied_seconds
        )

    async def allows(self, caller: Caller, right: Right) -> bool:
        """Whether the caller has the right.

        Raises:
            ServiceUnavailable: the API server does not answer, and no answer is remembered.
        """
        return await self._decisions.get((caller, right), lambda: self._review(caller, right))

    async def _review(self, caller: Caller, right: Right) -> bool:
        attributes = {
            "verb": right.verb,
            "group": names.GROUP,
            "version": names.VERSION,
            "resource": names.EXECUTION_PLURAL,
            "subresource": right.subresource,
            "namespace": right.namespace,
            "name": right.name,
        }
        spec: dict[str, Any] = {
            "user": caller.name,
            "uid": caller.uid,
            "groups": list(caller.groups),
            "extra": {key: list(values) for key, values in caller.extra},
            "resourceAttributes": attributes,
        }
        status = await self._cluster.review("authorization.k8s.io", "subjectaccessreviews", spec)
        return bool(status.get("allowed"))
