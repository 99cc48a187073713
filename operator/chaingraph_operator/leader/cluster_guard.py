"""Keeps the operator from serving another cluster's ledger.

Asked at the start, before anything is reconciled, and before each sweep, because a sweep of the wrong cluster would
stop everything.

A cluster is known by the UID of its namespace kube-system. Where the operator may not read that, as in an installation
for a few namespaces, it is known by the certificates of its API server.
"""

from __future__ import annotations

import structlog

from chaingraph_operator.errors import ClusterUnknown
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.cluster_errors import ApiError
from chaingraph_store.ledger import Ledger
from chaingraph_store.upkeep import cluster
from chaingraph_store.upkeep.cluster import ClusterIdentity
from chaingraph_store.upkeep.operators import Fence

_log = structlog.get_logger(__name__)
_FORBIDDEN = 403


class ClusterGuard:
    """Compares this cluster with the one that the ledger belongs to.

    Args:
        adopt: the recorded cluster, when this one is to take its place.
        fence: told when the ledger is this cluster's.
    """

    def __init__(self, *, ledger: Ledger, fence: Fence, api: KubernetesApi, access: ClusterAccess, adopt: str) -> None:
        self._ledger = ledger
        self._fence = fence
        self._api = api
        self._access = access
        self._adopt = adopt
        self._known: ClusterIdentity | None = None

    async def check(self) -> None:
        """Returns when the ledger is this cluster's, or has become so because it was nobody's.

        Raises:
            ForeignLedger: it is another cluster's.
            ClusterUnknown: there is nothing to know this cluster by.
            ApiError: the API server does not answer.
        """
        seen = await self._seen()
        async with self._ledger.transaction() as connection:
            # Once: who was let in and lost the ledger again does not take it back by itself.
            found = await cluster.recognise(connection, seen, adopt="" if self._known else self._adopt)
        self._fence.adoptions = found.adoptions
        if found.identity != self._known:
            self._known = known = found.identity
            _log.info("the ledger is this cluster's", cluster_uid=known.uid, certificate_authority=known.authority)

    async def _seen(self) -> ClusterIdentity:
        try:
            uid = await self._api.cluster_uid()
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            uid = ""
        seen = ClusterIdentity(uid, self._access.authority)
        if not seen.name:
            raise ClusterUnknown(
                "nothing tells this cluster from others: the operator may not get the namespace kube-system, and its "
                "kubeconfig names no certificate authority. Allow it to get the namespace kube-system"
            )
        return seen
