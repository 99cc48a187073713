"""This operator's leadership: elected when several run, and fenced in the ledger in any case."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from chaingraph_operator.errors import NoLeaseNamespace
from chaingraph_operator.leader.election import Election, Times
from chaingraph_operator.leader.election_thread import ElectionThread
from chaingraph_operator.settings import Settings
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.watchdog import exit_hard
from chaingraph_store.errors import Superseded
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.upkeep import operators
from chaingraph_store.upkeep.operators import Fence

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_log = structlog.get_logger(__name__)


def lease_namespace(settings: Settings, *, of_pod: Path = _POD_NAMESPACE) -> str:
    """Return the namespace of the Lease: the setting or, without it, this Pod's namespace.

    Raises:
        NoLeaseNamespace: neither is known.
    """
    if settings.lease_namespace:
        return settings.lease_namespace
    try:
        return of_pod.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NoLeaseNamespace(
            "CHAINGRAPH_LEASE_NAMESPACE is empty, and this process does not run in a Pod. Set it to the namespace of "
            "the Lease, or set CHAINGRAPH_LEADER_ELECTION=false."
        ) from error


class Leadership:
    """Whether this operator may act.

    Args:
        ledger: all of its transactions are fenced from now on.

    Raises:
        NoLeaseNamespace: election is on, and the Lease's namespace is unknown.
    """

    def __init__(self, settings: Settings, *, ledger: Ledger) -> None:
        self.fence = Fence()
        self._ledger = ledger
        self._election: ElectionThread | None = None
        self._identity = f"{settings.pod_name}_{uuid.uuid4().hex[:8]}"
        self._lease = ""
        if settings.leader_election:
            namespace = lease_namespace(settings)
            self._lease = f"{namespace}/{settings.lease_name}"
            times = Times(
                duration=settings.lease_duration_seconds,
                deadline=settings.lease_deadline_seconds,
                retry=settings.lease_retry_seconds,
            )

            def election(access: ClusterAccess) -> Election:
                return Election(
                    access, namespace=namespace, name=settings.lease_name, identity=self._identity, times=times
                )

            self._election = ElectionThread(election, hung=settings.loop_deadline_seconds)
        self._leads = False
        ledger.guard(self._guard)

    @property
    def leads(self) -> bool:
        return self._leads

    def check(self) -> None:
        """End the process when this operator has lost the leadership."""
        if self._election is not None:
            self._election.check()

    async def acquire(self, follows: Callable[[str], None]) -> None:
        """Wait until this operator leads. The caller must then run `keep`.

        Args:
            follows: called with the current leader while waiting.
        """
        if self._election is not None:
            await self._election.acquire(follows)
        self._leads = True

    async def begin(self) -> None:
        """Begin a new epoch in the ledger. Transactions of former leaders have ended, and they can write no more.

        Raises:
            psycopg.OperationalError: PostgreSQL is unavailable.
        """
        if self._election is None or self.fence.tenure is not None:
            return
        async with self._ledger.transaction() as connection:
            tenure = await operators.take(connection, self._lease, self._identity)
        self.fence.tenure = tenure
        _log.info("began a new epoch", lease=tenure.lease, epoch=tenure.epoch)

    async def keep(self) -> None:
        """Keep the leadership until cancelled."""
        if self._election is None:
            await asyncio.Event().wait()
        else:
            await self._election.keep()

    async def close(self) -> None:
        """Release the leadership. Write nothing afterwards."""
        self._leads = False
        if self._election is not None:
            await self._election.close()

    async def _guard(self, connection: Connection) -> None:
        try:
            await self.fence.hold(connection)
        except Superseded as superseded:
            exit_hard(str(superseded))
