"""A process runs until a signal comes, drains while it still runs, and is cancelled then."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from chaingraph_runtime.shutdown import Shutdown


class Part:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def serve(self) -> None:
        self.log.append("serves")
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("cancelled")

    async def drain(self) -> None:
        self.log.append("drains")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_before_it_cancels(number: signal.Signals) -> None:
    part, shutdown = Part(), Shutdown()
    shutdown.on_signals()
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
    assert await shutdown.interrupts(part.serve(), drain=part.drain)
    assert part.log == ["serves", "drains", "cancelled"]


async def test_end_of_the_part_is_no_shutdown() -> None:
    async def ends() -> None: ...

    part = Part()
    assert not await Shutdown().interrupts(ends(), drain=part.drain)
    assert part.log == []


async def test_failure_is_raised_and_nothing_drained() -> None:
    async def fails() -> None:
        raise OSError("no way")

    part = Part()
    with pytest.raises(OSError, match="no way"):
        await Shutdown().interrupts(fails(), drain=part.drain)
    assert part.log == []


@pytest.mark.looptime
async def test_part_that_swallows_its_end_is_left_behind() -> None:
    async def stays() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if asyncio.get_running_loop().time() > 60:
                    raise

    shutdown = Shutdown()
    shutdown.request()
    assert await shutdown.interrupts(stays())
    assert asyncio.get_running_loop().time() < 3
    # So that the loop can be closed.
    await asyncio.sleep(100)


async def test_failed_drain_cancels_the_part() -> None:
    async def fails() -> None:
        raise OSError("no way")

    part, shutdown = Part(), Shutdown()
    asyncio.get_running_loop().call_later(0.05, shutdown.request)
    with pytest.raises(OSError, match="no way"):
        await shutdown.interrupts(part.serve(), drain=fails)
    assert part.log == ["serves", "cancelled"]
