"""Cut records of the journal out of the text that the engine wrote, without parsing the values. Pure.

Parsers may reject a value: numbers of a thousand digits, half a surrogate pair, a thousand levels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import orjson

from chaingraph_gateway.reads.documents import moment
from chaingraph_store.reads.details import JournalRow

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_PLAIN: Final = re.compile(rb"[^\s,}]++")
_NAME: Final = re.compile(rb'[\s,{]*+"((?:[^"\\]++|\\.)*+)"\s*+:\s*+', re.DOTALL)
_QUOTE: Final = ord('"')
_OPENING: Final = b"{["
# The node's id and its outcome come before the outputs, and have no quotes.
_BEGAN: Final = re.compile(r'"startedAt":\s*(\d+)')
_ENDED: Final = re.compile(r'"finishedAt":\s*(\d+)')
_TAIL: Final = re.compile(
    r'"error":\s*("(?:[^"\\]|\\.)*"),\s*"reason":\s*("(?:[^"\\]|\\.)*"),\s*"attempts":\s*(\d+),\s*"emissions":\s*\[\]\s*}\s*\Z'
)


def members(text: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object, each value as its text; none for anything but an object.

    The text is JSON: PostgreSQL has validated it.
    """
    found: dict[str, bytes] = {}
    name = _NAME.match(text) if text.lstrip()[:1] == b"{" else None
    while name is not None and name.end() < len(text):
        end = _value_end(text, name.end())
        found[name[1].decode("utf-8", "replace")] = text[name.end() : end]
        name = _NAME.match(text, end)
    return found


def _end_of(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match is not None else start


def _value_end(text: bytes, start: int) -> int:
    if text[start] not in _OPENING:
        return _end_of(_STRING if text[start] == _QUOTE else _PLAIN, text, start)
    depth = 0
    for match in _BRACKETS.finditer(text, start):
        first = text[match.start()]
        if first != _QUOTE:
            depth += 1 if first in _OPENING else -1
            if depth == 0:
                return match.end()
    return len(text)


def node(row: JournalRow, *, outputs: bool) -> bytes:
    """Build the end of a node as JSON. `bytes` and `omitted` describe large values that are left out."""
    if row.record is None:
        return _large(row)
    record = members(row.record.encode("utf-8", "surrogatepass"))
    began, ended = _number(record.get("startedAt")), _number(record.get("finishedAt"))
    content = _head(row, began, ended) | {
        "tries": record.get("attempts", b"0"),
        "reason": record.get("reason", b'""'),
        "error": record.get("error", b'""'),
    }
    if outputs:
        content |= {"outputs": record.get("outputs", b"{}"), "emissions": record.get("emissions", b"[]")}
    return joined(content)


def _large(row: JournalRow) -> bytes:
    before = row.head.partition('"outputs"')[0]
    began, ended = _BEGAN.search(before), _ENDED.search(before)
    content = _head(row, int(began[1]) if began else None, int(ended[1]) if ended else None)
    if tail := _TAIL.search(row.tail):
        error, reason, tries = (each.encode("utf-8", "surrogatepass") for each in tail.groups())
        content |= {"tries": tries, "reason": reason, "error": error}
    return joined(content | {"bytes": str(row.size).encode(), "omitted": b"true"})


def _head(row: JournalRow, began: int | None, ended: int | None) -> dict[str, bytes]:
    seconds = (ended - began) / 1000 if began is not None and ended is not None else None
    return {
        "node": orjson.dumps(row.node_id),
        "attempt": str(row.attempt).encode(),
        "outcome": orjson.dumps(row.outcome),
        "startTime": orjson.dumps(moment(began)),
        "completionTime": orjson.dumps(moment(ended)),
        "durationSeconds": orjson.dumps(seconds),
    }


def joined(content: Mapping[str, bytes]) -> bytes:
    """Build a JSON object from members whose values are JSON."""
    return b"{" + b",".join(b'"' + name.encode() + b'":' + value for name, value in content.items()) + b"}"


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= 15 else None
