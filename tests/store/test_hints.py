"""Hints: named keys at once, everything at first, when it is said so, in good time and after an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from chaingraph_store.hints import Hints

pytestmark = pytest.mark.looptime
REREAD = 30


class Table:
    """Records when it was looked at, and at what: keys, and `*` for everything."""

    def __init__(self, *, seconds: float = 0) -> None:
        self.hints = Hints(reread_seconds=REREAD)
        self.looks: list[tuple[float, str]] = []
        self._seconds = seconds

    async def look(self, named: Sequence[str], everything: bool) -> None:
        self.looks.append((asyncio.get_running_loop().time(), " ".join([*named, *["*"][: int(everything)]])))
        await asyncio.sleep(self._seconds)
        if "broken" in named:
            raise OSError("no way")

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.hints.follow(self.look))
        await asyncio.sleep(1)
        yield
        task.cancel()


async def test_everything_is_looked_at_first_and_every_so_often() -> None:
    table = Table()
    async with table.followed():
        await asyncio.sleep(2 * REREAD)
    assert table.looks == [(0, "*"), (REREAD, "*"), (2 * REREAD, "*")]


async def test_named_keys_are_looked_at_at_once_and_once() -> None:
    table = Table()
    async with table.followed():
        for key in ("b", "a", "b"):
            table.hints.name(key)
        await asyncio.sleep(1)
    assert table.looks == [(0, "*"), (1, "b a")]


async def test_keys_named_during_a_look_are_looked_at_again() -> None:
    table = Table(seconds=5)
    async with table.followed():
        table.hints.name("a")
        await asyncio.sleep(5)
        table.hints.name("a")
        await asyncio.sleep(6)
    assert table.looks == [(0, "*"), (5, "a"), (10, "a")]


async def test_reconnection_has_everything_looked_at_and_the_time_begins_anew() -> None:
    table = Table()
    async with table.followed():
        table.hints.everything()
        await asyncio.sleep(REREAD - 1)
        assert table.looks == [(0, "*"), (1, "*")]
        await asyncio.sleep(1)
    assert table.looks[2:] == [(REREAD + 1, "*")]


async def test_constant_hints_do_not_delay_everything() -> None:
    table = Table()
    async with table.followed():
        for _ in range(2 * REREAD):
            table.hints.name("loud")
            await asyncio.sleep(1)
    assert [when for when, what in table.looks if "*" in what] == [0, REREAD, 2 * REREAD]


async def test_everything_is_looked_at_after_an_error() -> None:
    """What was named is lost with it."""
    table = Table()
    table.hints.name("broken")
    with pytest.raises(OSError, match="no way"):
        await table.hints.follow(table.look)
    async with table.followed():
        assert table.looks == [(0, "broken *"), (0, "*")]
