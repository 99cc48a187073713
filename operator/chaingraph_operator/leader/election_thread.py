"""Run the election in its own thread, with its own event loop and connections.

The Lease is renewed however busy the operator's event loop is. An event loop without a turn for too long counts as
hung, and the watchdog ends its operator: it processes nothing any more, and another operator can take over.
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
        make: creates the election with the given access.
        hung: seconds without a turn of the caller's event loop after which the process ends.
        access: loads the access to the API server.
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
        """End the process when the Lease is no longer reliable."""
        if self._election is not None:
            self._election.check()

    async def acquire(self, follows: Callable[[str], None]) -> None:
        """Wait until this process leads. The Lease is renewed from then on; the caller must also run `keep`.

        Args:
            follows: called with the current leader while waiting.

        Raises:
            NoCluster: no access to an API server is configured.
        """
        here = asyncio.get_running_loop()

        def tell(leader: str) -> None:
            here.call_soon_threadsafe(follows, leader)

        self._thread.start()
        await self._run(self._acquire(tell))
        self._watchdog.start()
        self._keeping = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._keep(), self._loop))

    async def keep(self) -> None:
        """Signal the event loop's turns until cancelled.

        Raises:
            Exception: the error that ended the renewal.
        """
        assert self._keeping is not None, "call acquire first"
        beating = asyncio.create_task(self._watchdog.beat(), name="beat")
        try:
            await asyncio.shield(self._keeping)
        finally:
            beating.cancel()

    async def close(self) -> None:
        """Release the Lease and end the thread. Write nothing afterwards."""
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
        assert self._election is not None, "call acquire first"
        await self._election.keep()

    async def _release(self) -> None:
        if self._election is not None:
            await self._election.release()
            await self._election.close()
