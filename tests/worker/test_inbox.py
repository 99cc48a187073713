"""The inbox: each command once, in the order of the numbers, however the messages come."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaingraph_worker.attempts.inbox import CommandInbox


def message(*seqs: int) -> dict[str, Any]:
    return {"commands": [{"seq": seq, "kind": "PAUSE", "reason": ""} for seq in seqs]}


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, int, list[list[int] | None]]:
    """What the claim had, the last number, and messages: all later ones, some earlier ones, in any order, with gaps."""
    applied = draw(st.integers(0, 4))
    last = applied + draw(st.integers(0, 6))
    sent: list[list[int] | None] = []
    seq = 1
    while seq <= last:
        size = draw(st.integers(1, 3))
        sent.append(list(range(seq, min(last, seq + size - 1) + 1)))
        seq += size
    again: list[list[int] | None] = draw(st.lists(st.sampled_from(sent), max_size=3)) if sent else []
    return applied, last, draw(st.permutations([*sent, *again, None]))


@given(deliveries())
def test_inbox_delivers_each_command_once_in_order(case: tuple[int, int, list[list[int] | None]]) -> None:
    applied, last, sent = case
    inbox, seen = CommandInbox(), list[int]()
    inbox.open(applied, lambda command: seen.append(command["seq"]))
    for each in sent:
        inbox.take(None if each is None else message(*each))
    assert seen == list(range(applied + 1, last + 1))
    assert inbox.applied == last


async def test_inbox_requests_only_hinted_missing_messages() -> None:
    inbox = CommandInbox()
    inbox.open(3, lambda _: None)
    called = asyncio.create_task(inbox.called())
    inbox.hint(3)
    await asyncio.sleep(0)
    assert not called.done()
    inbox.hint(5)
    assert await called
    inbox.take(message(4))
    assert await inbox.called(), "5 has not come"
    inbox.take(None)
    called = asyncio.create_task(inbox.called())
    await asyncio.sleep(0)
    assert not called.done(), "there was none: only another hint asks again"
    inbox.hint(5)
    assert await called
    inbox.take(message(5))
    inbox.close()
    assert not await inbox.called()


async def test_inbox_keeps_hint_arriving_during_empty_receive() -> None:
    inbox = CommandInbox()
    inbox.open(3, lambda _: None)
    inbox.hint(4)
    assert await inbox.called()
    inbox.hint(5)
    inbox.take(None)
    assert await asyncio.wait_for(inbox.called(), 1), "asked for 4, and heard of 5 meanwhile"
    inbox.take(message(4, 5))
    assert inbox.applied == 5
