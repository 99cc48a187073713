"""Prevent the operator from serving another cluster's ledger.

The check runs at the start, before the first reconciliation, and before each sweep, because a sweep of the wrong
cluster would stop everything.

The UID of the namespace kube-system identifies a cluster. Where the operator may not read it, as in an installation for
a few namespaces, the certificate authority of the API server does.
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
    """Compares this cluster with the owner of the ledger.

    Args:
        adopt: the recorded cluster that this one replaces.
        fence: updated when the ledger belongs to this cluster.
    """

    def __init__(self, *, ledger: Ledger, fence: Fence, api: KubernetesApi, access: ClusterAccess, adopt: str) -> None:
        self._ledger = ledger
        self._fence = fence
        self._api = api
        self._access = access
        self._adopt = adopt
        self._known: ClusterIdentity | None = None

    async def check(self) -> None:
        """Return when the ledger belongs to this cluster. A ledger without owner is claimed.

        Raises:
            ForeignLedger: the ledger belongs to another cluster.
            ClusterUnknown: this cluster cannot be identified.
            ApiError: the API server does not answer.
        """
        seen = await self._seen()
        async with self._ledger.transaction() as connection:
            # Once: a cluster that adopted the ledger and lost it again does not take it back by itself.
            found = await cluster.recognise(connection, seen, adopt="" if self._known else self._adopt)
        self._fence.adoptions = found.adoptions
        if found.identity != self._known:
            self._known = known = found.identity
            _log.info("this cluster owns the ledger", cluster_uid=known.uid, certificate_authority=known.authority)

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
                "Cannot identify this cluster: the operator may not get the namespace kube-system, and its kubeconfig "
                "has no certificate authority. Allow the operator to get the namespace kube-system."
            )
        return seen
