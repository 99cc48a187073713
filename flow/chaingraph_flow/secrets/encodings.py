"""The texts in which the value of a secret may come back: as it is, or in a common encoding."""

from __future__ import annotations

import base64
import html
import json
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, quote_plus

import orjson

SHORTEST: Final = 6
"""Minimum characters of a secret. A shorter text occurs by chance, and would be removed where no secret was."""
_LONGEST_ALL: Final = 200
"""Maximum lines of a secret that are searched for one by one."""
_SHORTEST_LINE: Final = 16
_OF_BASE64: Final = frozenset(string.ascii_letters + string.digits + "+/-_")
_OUTSIDE_TEXTS: Final = frozenset(string.digits + "+-.eE" + "truefalsenull" + "[]{},: ")
"""The characters of JSON that are not in its texts."""


@dataclass(frozen=True, slots=True)
class Needle:
    """A text to search for. With `part`, neighboring characters of Base64 have a part of the secret too."""

    text: str
    part: bool = False
    in_json: str = field(init=False)
    bytes_in_json: bytes = field(init=False)

    def __post_init__(self) -> None:
        written = orjson.dumps(self.text)[1:-1]
        object.__setattr__(self, "bytes_in_json", written)
        object.__setattr__(self, "in_json", written.decode())

    @property
    def only_in_texts(self) -> bool:
        """Whether JSON can have it in a text only, and not in a number or between values."""
        return not _OUTSIDE_TEXTS.issuperset(self.text)

    def spans(self, text: str, searched: str) -> Iterator[tuple[int, int]]:
        """Yield where it is in a text, as `text` or `in_json` has it."""
        start = text.find(searched)
        while start >= 0:
            stop = start + len(searched)
            if self.part:
                yield _widened(text, start, stop)
            else:
                yield start, stop
            start = text.find(searched, stop)


def needles(value: str) -> dict[str, Needle]:
    """Return everything to search for, by its text."""
    found = {text: Needle(text) for text in _texts(value) if len(text) >= SHORTEST}
    for text in _in_base64(value.encode()):
        found.setdefault(text, Needle(text, part=True))
    return found


def _widened(text: str, start: int, stop: int) -> tuple[int, int]:
    """Take the characters on both sides: they have bits of the secret, and of its neighbors."""
    if start and text[start - 1] in _OF_BASE64:
        start -= 1
    if stop < len(text) and text[stop] in _OF_BASE64:
        stop += 1
    while stop < len(text) and text[stop] == "=":
        stop += 1
    return start, stop


def _texts(value: str) -> Iterator[str]:
    for text in dict.fromkeys((value, value.strip(), " ".join(value.split()))):
        yield text
        yield orjson.dumps(text)[1:-1].decode()
        yield json.dumps(text)[1:-1]
        yield repr(text)[1:-1]
        yield html.escape(text)
        for quoted in (quote(text), quote(text, safe=""), quote_plus(text)):
            yield quoted
            yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (each.strip() for each in lines[:_LONGEST_ALL] if len(each.strip()) >= _SHORTEST_LINE)


def _in_base64(value: bytes) -> Iterator[str]:
    """Yield the part of each encoding that depends on the value only, wherever it stands in the encoded bytes."""
    for before in range(3):
        first = (0, 2, 3)[before]
        length = (before + len(value)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + value).decode()[first:length]
