"""The thread that keeps the Lease: it renews while the event loop is busy, and lets go when that is dead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, NoReturn, cast

import pytest

from chaingraph_operator.leader.election import Election
from chaingraph_operator.leader.election_thread import ElectionThread
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.cluster_errors import NoCluster

# The watchdog ends the process by an exception here, which is no error of its thread.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
RETRY = 0.02


class Fake:
    """An election that is won at once, and counts its renewals."""

    def __init__(self) -> None:
        self.renewals = 0
        self.released = False
        self.thread = ""

    async def acquire(self, follows: Callable[[str], None]) -> None:
        self.thread = threading.current_thread().name
        follows("another")

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(RETRY)
            self.renewals += 1

    def check(self) -> None:
        return None

    def overdue(self) -> str | None:
        return None

    async def release(self) -> None:
        self.released = True

    async def close(self) -> None:
        return None


async def no_access() -> ClusterAccess:
    return cast("ClusterAccess", None)


Make = Callable[..., ElectionThread]


@pytest.fixture
async def fake() -> Fake:
    return Fake()


@pytest.fixture
async def make(fake: Fake) -> AsyncIterator[Make]:
    made: list[ElectionThread] = []

    def create(**options: Any) -> ElectionThread:
        settings: dict[str, Any] = {"hung": 3600.0, "access": no_access} | options
        found = ElectionThread(lambda _: cast("Election", fake), **settings)
        made.append(found)
        return found

    yield create
    for each in made:
        with suppress(asyncio.CancelledError):
            await each.close()


async def test_lease_is_renewed_while_the_loop_is_busy(make: Make, fake: Fake) -> None:
    election = make()
    followed: list[str] = []
    await election.acquire(followed.append)
    await asyncio.sleep(0)
    assert followed == ["another"]
    assert fake.thread == "election"
    before = fake.renewals
    # As whatever keeps a loop from its turns: it is in Python, and holds the interpreter whenever it may.
    while fake.renewals < before + 5:
        sum(range(1000))
    await election.close()
    assert fake.released


async def test_dead_loop_lets_the_lease_go(make: Make) -> None:
    reasons: list[str] = []
    gone = threading.Event()

    def lost(reason: str) -> NoReturn:
        reasons.append(reason)
        gone.set()
        raise RuntimeError(reason)

    election = make(hung=0.1, lost=lost)
    await election.acquire(lambda _: None)
    assert gone.wait(30), "this loop has no turn meanwhile"
    assert "the event loop was blocked for" in reasons[0]


async def test_loop_with_turns_keeps_the_lease(make: Make) -> None:
    reasons: list[str] = []

    def lost(reason: str) -> NoReturn:
        reasons.append(reason)
        raise RuntimeError(reason)

    election = make(hung=30.0, lost=lost)
    await election.acquire(lambda _: None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(election.keep(), 0.2)
    assert not reasons


async def test_failed_renewal_ends_the_part(make: Make, fake: Fake) -> None:
    async def fails() -> None:
        raise OSError("no way")

    fake.keep = fails  # type: ignore[method-assign]
    election = make()
    await election.acquire(lambda _: None)
    with pytest.raises(OSError, match="no way"):
        await election.keep()


async def test_missing_access_is_told_to_the_caller(make: Make) -> None:
    async def none() -> ClusterAccess:
        raise NoCluster("nothing is configured")

    with pytest.raises(NoCluster, match="nothing is configured"):
        await make(access=none).acquire(lambda _: None)
