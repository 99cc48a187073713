"""The watchdog ends a process whose event loop stands still, or whose lease is over; a busy one goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import NoReturn

import pytest

from chaingraph_runtime.watchdog import Watchdog

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Process:
    """What the watchdog would end."""

    def __init__(self) -> None:
        self.reason = ""
        self.ended = threading.Event()

    def end(self, reason: str) -> NoReturn:
        self.reason = reason
        self.ended.set()
        raise SystemExit


async def test_standing_event_loop_ends_the_process() -> None:
    process = Process()
    Watchdog(lambda: None, stall_seconds=0.3, setting="STALL_SECONDS", lost=process.end).start()
    assert process.ended.wait(30), "this loop has no turn meanwhile"
    assert "the event loop was blocked for 0." in process.reason
    assert "more than STALL_SECONDS (0.3)" in process.reason


async def test_lost_lease_ends_the_process_while_the_loop_turns() -> None:
    process, lease = Process(), ["", "", "the lease is over"]
    watchdog = Watchdog(lambda: lease.pop(0) or None, stall_seconds=60, setting="STALL_SECONDS", lost=process.end)
    watchdog.start()
    beating = asyncio.create_task(watchdog.beat())
    assert await asyncio.to_thread(process.ended.wait, 30)
    assert (process.reason, lease) == ("the lease is over", [])
    beating.cancel()


async def test_turning_loop_and_ended_watchdog_end_nothing() -> None:
    process = Process()
    watchdog = Watchdog(lambda: None, stall_seconds=2, setting="STALL_SECONDS", lost=process.end)
    watchdog.start()
    beating = asyncio.create_task(watchdog.beat())
    await asyncio.sleep(3)
    watchdog.end()
    beating.cancel()
    time.sleep(2.5)  # noqa: ASYNC251 - the loop is to stand still
    assert not process.ended.is_set()
