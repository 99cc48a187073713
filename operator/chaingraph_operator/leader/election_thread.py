"""The election in a thread of its own, with an event loop and connections of its own.

However much the operator's event loop has to do, the Lease is renewed. A loop that has stood still for long is dead,
and the watchdog ends its operator: it sees and writes nothing any more, and another one could.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NoReturn, TypeVar

from chaingraph_operator.leader.election import Election
from chaingraph_runtime.cluster_access import ClusterAccess, load
from chaingraph_runtime.watchdog import Watchdog, exit_hard

T = TypeVar("T")
_JOIN_SECONDS: Final = 5.0


class ElectionThread:
    """One candidate.

    Args:
        make: makes the election with the access that it is to use.
        hung: how long the caller's event loop may stand still, in seconds.
        access: reads the access to the API server.
        lost: called then; must not return.
    """

    def __init__(
        self,
        make: Callable[[ClusterAccess], Election],
        *,
        hung: float,
        access: Callable[[], Awaitable[ClusterAccess]] = load,
        lost: Callable[[str], NoReturn] = exit_hard,
    ) -> None:
        self._make = make
        self._access = access
        self._watchdog = Watchdog(
            self._overdue, stall_seconds=hung, setting="CHAINGRAPH_LOOP_DEADLINE_SECONDS", lost=lost
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="election", daemon=True)
        self._election: Election | None = None
        self._keeping: asyncio.Future[None] | None = None

    def check(self) -> None:
        """Ends the process when the Lease can no longer be relied on."""
        if self._election is not None:
            self._election.check()

    async def acquire(self, follows: Callable[[str], None]) -> None:
        """Returns once this process leads; the Lease is renewed from then on. `keep` is to be run as well.

        Args:
            follows: told who leads meanwhile.

        Raises:
            NoCluster: there is no way to the API server.
        """
        here = asyncio.get_running_loop()

        def tell(leader: str) -> None:
            here.call_soon_threadsafe(follows, leader)

        self._thread.start()
        await self._run(self._acquire(tell))
        self._watchdog.start()
        self._keeping = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._keep(), self._loop))

    async def keep(self) -> None:
        """Shows for ever that the event loop has its turns.

        Raises:
            Exception: whatever has ended the renewal.
        """
        assert self._keeping is not None, "acquired first"
        beating = asyncio.create_task(self._watchdog.beat(), name="beat")
        try:
            await asyncio.shield(self._keeping)
        finally:
            beating.cancel()

    async def close(self) -> None:
        """Leaves the Lease to the next one, and ends the thread. Nothing may be written after."""
        if not self._thread.is_alive():
            return
        self._watchdog.end()
        if self._keeping is not None:
            self._keeping.cancel()
        await self._run(self._release())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    async def _acquire(self, follows: Callable[[str], None]) -> None:
        self._election = self._make(await self._access())
        await self._election.acquire(follows)

    def _overdue(self) -> str | None:
        return None if self._election is None else self._election.overdue()

    async def _keep(self) -> None:
        assert self._election is not None, "acquired first"
        await self._election.keep()

    async def _release(self) -> None:
        if self._election is not None:
            await self._election.release()
            await self._election.close()
