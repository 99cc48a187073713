"""Which of several operators leads: by a Lease, as Kubernetes' own components do it.

The rules are those of client-go's `leaderelection`: the leader writes the Lease every few seconds; another one takes it
when it has seen no change of it for its whole duration, by its own clock alone; a leader that cannot write it gives up
earlier than that. It gives up by ending its process at once: whatever it still did would be done twice. Its writes to
the ledger are fenced besides (`chaingraph_store.upkeep.operators`), for clocks can stand still.

kubernetes.aio has an election as well. It does not release the Lease at the end, so each rollout would stand still for
the Lease's duration, and it cancels a task where the process has to end.
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
    """In seconds. `duration`: how long the Lease holds unchanged. `deadline`: after which a leader gives up.

    `retry`: between two looks or renewals.
    """

    duration: float
    deadline: float
    retry: float


@dataclass(frozen=True, slots=True)
class ObservedLease:
    """The Lease as it was last seen to change. `since`: when, by this process's monotonic clock, in seconds."""

    version: str
    holder: str
    duration: float
    since: float


class ElectionMove(Enum):
    """What to do about the Lease."""

    TAKE = auto()
    WAIT = auto()


def look(before: ObservedLease | None, lease: Object, *, now: float) -> ObservedLease:
    """What is known of the Lease after another look at it. Pure."""
    version = str(lease["metadata"]["resourceVersion"])
    if before is not None and before.version == version:
        return before
    spec = lease.get("spec") or {}
    return ObservedLease(
        version, str(spec.get("holderIdentity") or ""), float(spec.get("leaseDurationSeconds") or 0), now
    )


def next_move(seen: ObservedLease, *, identity: str, now: float) -> ElectionMove:
    """Whether the Lease may be taken. Pure. Also one's own: a Lease that somebody restored says nothing of now."""
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
        # Connections of its own: a backlog of status patches must not cost the Lease.
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
        """Ends the process when the Lease can no longer be relied on. Asked before each write to the API server."""
        reason = self.overdue()
        if reason is not None:
            self._lost(reason)

    def overdue(self) -> str | None:
        """Return why the Lease can no longer be relied on, or None. Any thread may ask."""
        age = time.monotonic() - self._renewed
        if self._held is None or age <= self._times.deadline:
            return None
        return f"the Lease {self.lease} could not be renewed for {age:.1f} s"

    async def acquire(self, follows: Callable[[str], None]) -> None:
        """Returns once this process leads. The Lease is to be kept from then on.

        Args:
            follows: told who leads meanwhile.
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
                _log.debug("another one was faster", lease=self.lease)
            except ApiError as error:
                _log.warning("cannot take part in the election, trying again", error=_explained(error))
            await asyncio.sleep(self._times.retry)

    async def keep(self) -> None:
        """Renews the Lease for ever."""
        while True:
            await asyncio.sleep(self._times.retry)
            try:
                await self._renew()
            except ApiError as error:
                _log.warning("could not renew the Lease, trying again", lease=self.lease, error=_explained(error))

    async def release(self) -> None:
        """Leaves the Lease to the next one, as far as the API server can be reached. Nothing may be written after."""
        held, self._held = self._held, None
        if held is None:
            return
        spec = held["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._write(held | {"spec": spec})
        except (ApiError, TimeoutError) as error:
            _log.warning("could not release the Lease; it will run out", lease=self.lease, error=str(error))
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
        """Replaces the Lease that was read.

        Raises:
            Conflict: it is another one by now.
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
        # Counted from the moment of asking: others may count from any moment since.
        asked = time.monotonic()
        try:
            self._held = await self._write(self._held | {"spec": self._held["spec"] | {"renewTime": _now()}})
        except (Conflict, NotFound):
            await self._look_again()
        else:
            self._renewed = asked

    async def _look_again(self) -> None:
        """Somebody has touched the Lease: ourselves by a request whose answer was lost, a person, or another one."""
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
