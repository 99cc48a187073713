"""Server-Sent Events as the gateway writes them, taken apart."""

from __future__ import annotations

import io

from chaingraph_cli.gateway.event_stream import Block, Event, StreamEnd, blocks

STARTED = '{"index":0,"type":"flow:started","timestamp":"2026-11-26T08:00:00Z"}'


def of(text: str) -> list[Block]:
    return list(blocks(io.BytesIO(text.encode())))


def test_events_carry_the_id_to_resume_from() -> None:
    assert of(f"retry: 1500\n\nid: 0\nevent: flow:started\ndata: {STARTED}\n\n") == [
        Block(None, None, shows_life=False),
        Block("0", Event(0, "flow:started", "2026-11-26T08:00:00Z", {}, STARTED), shows_life=True),
    ]


def test_comment_shows_life_and_may_carry_a_resume_position() -> None:
    assert of(": alive\n\n: ask again\nid: 7\n\n") == [Block(None, None, True), Block("7", None, True)]


def test_end_event_carries_the_phase() -> None:
    assert of('id: 9\nevent: end\ndata: {"phase":"Failed"}\n\n') == [Block("9", StreamEnd("Failed"), True)]


def test_truncated_event_is_ignored() -> None:
    assert of(f"id: 0\nevent: flow:started\ndata: {STARTED}\n") == []
    assert of(f"id: 0\nevent: flow:started\ndata: {STARTED[:20]}") == []
