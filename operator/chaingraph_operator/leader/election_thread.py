"""Run the election in its own thread, with its own event loop and connections.

The Lease is renewed however busy the operator's event loop is. An event loop without a turn for too long counts as
hung, and its operator gives up the Lease: it processes nothing any more, and another operator can take over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NoReturn, TypeVar

from chaingraph_operator.leader.election import Election, exit_hard
from chaingraph_runtime.cluster_access import ClusterAccess, load

T = TypeVar("T")
_BEAT_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0


class ElectionThread:
    """One candidate.

    Args:
        make: creates the election with the given access.
        hung: seconds without a turn of the caller's event loop after which the Lease is given up.
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
        self._hung = hung
        self._access = access
        self._lost = lost
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="election", daemon=True)
        self._election: Election | None = None
        self._keeping: asyncio.Future[None] | None = None
        self._beat = time.monotonic()

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
        self._beat = time.monotonic()
        self._keeping = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._keep(), self._loop))

    async def keep(self) -> None:
        """Signal the event loop's turns until cancelled.

        Raises:
            Exception: the error that ended the renewal.
        """
        assert self._keeping is not None, "call acquire first"
        while not self._keeping.done():
            self._beat = time.monotonic()
            await asyncio.wait({self._keeping}, timeout=_BEAT_SECONDS)
        self._keeping.result()

    async def close(self) -> None:
        """Release the Lease and end the thread. Write nothing afterwards."""
        if not self._thread.is_alive():
            return
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

    async def _keep(self) -> None:
        assert self._election is not None, "call acquire first"
        async with asyncio.TaskGroup() as group:
            group.create_task(self._election.keep())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(_BEAT_SECONDS, self._hung / 4))
            silent = time.monotonic() - self._beat
            if silent > self._hung:
                self._lost(f"the event loop has been blocked for {silent:.0f} s")

    async def _release(self) -> None:
        if self._election is not None:
            await self._election.release()
            await self._election.close()
