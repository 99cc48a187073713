"""LISTEN on a connection of its own, which is replaced when it is lost or the server is silent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chaingraph_store.ledger import CONTROL, Ledger
from fixtures.processes.proxy import MakeProxy
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


class Ear:
    def __init__(self) -> None:
        self.connections = 0
        self.heard: list[str] = []

    def connected(self) -> None:
        self.connections += 1

    async def connects(self, times: int) -> None:
        async def look() -> bool:
            return self.connections >= times

        await eventually(look, what=lambda: f"connection {times}, after {self.connections}")

    async def hears(self, what: str) -> None:
        async def look() -> bool:
            return what in self.heard

        await eventually(look, what=lambda: f"{what!r} among {self.heard}")


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Ear]:
    ear = Ear()
    through = Ledger(url, application_name="tests")
    task = asyncio.create_task(through.listen(CONTROL, ear.heard.append, connected=ear.connected, probe_seconds=0.2))
    try:
        await ear.connects(1)
        yield ear
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def notify(ledger: Ledger, payload: str) -> None:
    async with ledger.connection() as connection:
        await connection.execute("SELECT pg_notify(%s, %s)", (CONTROL, payload))


async def test_listener_keeps_its_connection_over_many_probes(ledger: Ledger, database_url: str) -> None:
    async with listening(database_url) as ear:
        for n in range(10):
            await asyncio.sleep(0.1)
            await notify(ledger, str(n))
        await ear.hears("9")
        assert ear.heard == [str(n) for n in range(10)], "also those that come while the server is asked"
        assert ear.connections == 1


async def test_listener_replaces_broken_connection(ledger: Ledger, database_url: str, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(database_url)
    async with listening(proxy.url) as ear:
        proxy.cut()
        proxy.restore()
        await ear.connects(2)
        await notify(ledger, "after")
        await ear.hears("after")


async def test_listener_replaces_connection_of_silent_server(
    ledger: Ledger, database_url: str, make_proxy: MakeProxy
) -> None:
    """As behind a balancer that forgot the connection: it is open, and nothing arrives at the other end."""
    seen: set[int] = set()
    silent: set[int] = set()
    over = threading.Event()

    def watch(_: bytes) -> None:
        seen.add(threading.get_ident())
        if threading.get_ident() in silent:
            over.wait(60)

    proxy = make_proxy(database_url, watch=watch)
    try:
        async with listening(proxy.url) as ear:
            silent |= seen
            await ear.connects(2)
            await notify(ledger, "after")
            await ear.hears("after")
    finally:
        over.set()
