"""What the gateway's streams of events consist of: Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

_END: Final = "end"


@dataclass(frozen=True)
class Event:
    """One event of an execution."""

    index: int
    type: str
    timestamp: str
    data: Mapping[str, Any]
    text: str
    """The whole event as the gateway sent it, in JSON."""


@dataclass(frozen=True)
class StreamEnd:
    """Nothing more comes: the execution has ended, in this phase."""

    phase: str


@dataclass(frozen=True)
class Block:
    """What stands between two empty lines.

    Attributes:
        id: where to go on after it, if it says so.
        shows_life: it was sent because the stream lives. How long to wait before a new try is no sign of that: it
            stands before everything else.
    """

    id: str | None
    content: Event | StreamEnd | None
    shows_life: bool


def blocks(lines: BinaryIO) -> Iterator[Block]:
    """The blocks of a stream, until its connection ends. What comes after the last empty line was cut off."""
    fields: dict[str, str] = {}
    while line := lines.readline():
        name, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        if not name and not value:
            yield Block(fields.get("id"), _content(fields), "retry" not in fields)
            fields = {}
        elif name:
            fields[name] = value.removeprefix(" ")


def _content(fields: Mapping[str, str]) -> Event | StreamEnd | None:
    text = fields.get("data", "")
    if fields.get("event") == _END:
        return StreamEnd(str(json.loads(text).get("phase", "")))
    if not text:
        return None
    content = json.loads(text)
    return Event(
        int(content["index"]), str(content["type"]), str(content["timestamp"]), content.get("data") or {}, text
    )
