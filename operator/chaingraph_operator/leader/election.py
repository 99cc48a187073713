"""Leader election between operators, by a Lease, as in Kubernetes' own components.

The rules are those of client-go's `leaderelection`. The leader renews the Lease every few seconds. Another candidate
takes it after seeing no change for the Lease's whole duration, by its own clock. A leader that cannot renew it gives up
earlier, by ending its process at once: any further action would be done twice. Its writes to the ledger are also fenced
(`chaingraph_store.upkeep.operators`), because clocks can stand still.

kubernetes.aio has an election too. It does not release the Lease at the end, so each rollout would pause for the
Lease's duration, and it cancels a task where the process must end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final, NoReturn

import aiohttp
import structlog

from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.cluster_api import ClusterApi, Object
from chaingraph_runtime.cluster_errors import ApiError, Conflict, NotFound
from chaingraph_runtime.watchdog import exit_hard

_FORBIDDEN: Final = 403
_RELEASE_SECONDS: Final = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Times:
    """Times in seconds. `duration`: validity of an unchanged Lease. `deadline`: when a leader gives up renewing.

    `retry`: interval between two attempts to acquire or renew.
    """

    duration: float
    deadline: float
    retry: float


@dataclass(frozen=True, slots=True)
class ObservedLease:
    """The Lease as last seen changed. `since` is that moment by this process's monotonic clock, in seconds."""

    version: str
    holder: str
    duration: float
    since: float


class ElectionMove(Enum):
    """The next action on the Lease."""

    TAKE = auto()
    WAIT = auto()


def look(before: ObservedLease | None, lease: Object, *, now: float) -> ObservedLease:
    """Update the observation with the Lease just read. Pure."""
    version = str(lease["metadata"]["resourceVersion"])
    if before is not None and before.version == version:
        return before
    spec = lease.get("spec") or {}
    return ObservedLease(
        version, str(spec.get("holderIdentity") or ""), float(spec.get("leaseDurationSeconds") or 0), now
    )


def next_move(seen: ObservedLease, *, identity: str, now: float) -> ElectionMove:
    """Return whether to take the Lease. Pure. Our own counts as taken too: a restored Lease may be outdated."""
    free = seen.holder in ("", identity)
    return ElectionMove.TAKE if free or now - seen.since > seen.duration else ElectionMove.WAIT


class Election:
    """One candidate.

    Args:
        lost: called when the Lease is lost; must not return.
    """

    def __init__(
        self,
        access: ClusterAccess,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: Times,
        lost: Callable[[str], NoReturn] = exit_hard,
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=times.deadline / 2)
        # Own connections: a backlog of status patches must not cost the Lease.
        self._api = ClusterApi(access, connections=2, user_agent="chaingraph-operator", timeout=timeout)
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self.lease = f"{namespace}/{name}"
        self.identity = identity
        self._times = times
        self._lost = lost
        self._held: Object | None = None
        self._renewed = float("-inf")

    @property
    def leads(self) -> bool:
        return self._held is not None

    def check(self) -> None:
        """End the process when the Lease is no longer reliable. Called before each write to the API server."""
        reason = self.overdue()
        if reason is not None:
            self._lost(reason)

    def overdue(self) -> str | None:
        """Return why the Lease is no longer reliable, or None. Thread-safe."""
        age = time.monotonic() - self._renewed
        if self._held is None or age <= self._times.deadline:
            return None
        return f"the Lease {self.lease} could not be renewed for {age:.1f} s"

    async def acquire(self, follows: Callable[[str], None]) -> None:
        """Wait until this process leads. The caller must then run `keep`.

        Args:
            follows: called with the current leader while waiting.
        """
        seen: ObservedLease | None = None
        following: str | None = None
        while True:
            try:
                lease = await self._read()
                if lease is not None:
                    seen = look(seen, lease, now=time.monotonic())
                if lease is None or (
                    seen and next_move(seen, identity=self.identity, now=time.monotonic()) is ElectionMove.TAKE
                ):
                    await self._take(lease)
                    _log.info("leads", lease=self.lease, identity=self.identity)
                    return
                if seen and seen.holder != following:
                    following = seen.holder
                    follows(following)
            except Conflict:
                _log.debug("another operator acquired the Lease", lease=self.lease)
            except ApiError as error:
                _log.warning("cannot take part in leader election, retrying", error=_explained(error))
            await asyncio.sleep(self._times.retry)

    async def keep(self) -> None:
        """Renew the Lease until cancelled."""
        while True:
            await asyncio.sleep(self._times.retry)
            try:
                await self._renew()
            except ApiError as error:
                _log.warning("cannot renew the Lease, retrying", lease=self.lease, error=_explained(error))

    async def release(self) -> None:
        """Release the Lease if the API server can be reached. Write nothing afterwards."""
        held, self._held = self._held, None
        if held is None:
            return
        spec = held["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._write(held | {"spec": spec})
        except (ApiError, TimeoutError) as error:
            _log.warning("cannot release the Lease, it will expire", lease=self.lease, error=str(error))
        else:
            _log.info("released the Lease", lease=self.lease)

    async def close(self) -> None:
        await self._api.close()

    async def _read(self) -> Object | None:
        try:
            return await self._api.request("GET", f"{self._collection}/{self._name}")
        except NotFound:
            return None

    async def _write(self, lease: Object) -> Object:
        """Replace the Lease that was read.

        Raises:
            Conflict: the Lease has changed.
        """
        return await self._api.request("PUT", f"{self._collection}/{self._name}", body=lease)

    async def _take(self, found: Object | None) -> None:
        asked = time.monotonic()
        before = (found or {}).get("spec") or {}
        transitions = int(before.get("leaseTransitions") or 0)
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._times.duration)),
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions + (found is not None and before.get("holderIdentity") != self.identity),
        }
        if found is None:
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            self._held = await self._api.request("POST", self._collection, body=lease | {"spec": spec})
        else:
            self._held = await self._write(found | {"spec": spec})
        self._renewed = asked

    async def _renew(self) -> None:
        if self._held is None:
            return
        # Measured from the request: other candidates may measure from any later moment.
        asked = time.monotonic()
        try:
            self._held = await self._write(self._held | {"spec": self._held["spec"] | {"renewTime": _now()}})
        except (Conflict, NotFound):
            await self._look_again()
        else:
            self._renewed = asked

    async def _look_again(self) -> None:
        """Read the changed Lease. Our own request with a lost answer may have changed it, or another client."""
        lease = await self._read()
        if lease is None:
            await self._take(None)
            return
        holder = (lease.get("spec") or {}).get("holderIdentity") or ""
        if holder != self.identity:
            self._lost(f"{holder or 'nobody'} holds the Lease {self.lease}")
        await self._take(lease)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _explained(error: ApiError) -> str:
    if error.status == _FORBIDDEN:
        return f"{error} (allow the operator to get, create and update the Lease)"
    return str(error)
