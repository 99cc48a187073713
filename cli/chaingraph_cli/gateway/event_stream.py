"""Parses the gateway's event streams (Server-Sent Events)."""

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
    """The event as JSON, as the gateway sent it."""


@dataclass(frozen=True)
class StreamEnd:
    """The end of a stream: the execution has finished in this phase."""

    phase: str


@dataclass(frozen=True)
class Block:
    """A block of a stream, which ends at an empty line.

    Attributes:
        id: the id to continue after, if the block has one.
        shows_life: whether it proves that the stream works. The retry interval, which precedes everything, does not.
    """

    id: str | None
    content: Event | StreamEnd | None
    shows_life: bool


def blocks(lines: BinaryIO) -> Iterator[Block]:
    """Yield the blocks of a stream until the connection ends; an incomplete last block is dropped."""
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
