"""The texts in which the value of a secret may come back: as it is, or in a common encoding."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_plus

import orjson

SHORTEST: Final = 6
"""Minimum characters of a secret. A shorter text occurs by chance, and would be removed where no secret was."""
_LONGEST_ALL: Final = 200
"""Maximum lines of a secret that are searched for one by one."""
_SHORTEST_LINE: Final = 16
_OF_BASE64: Final = "[A-Za-z0-9+/_-]?"


@dataclass(frozen=True, slots=True)
class Needle:
    """A text to search for, and its form in JSON. `pattern` also takes neighbors that have a part of the secret."""

    text: str
    in_json: bytes
    pattern: re.Pattern[str]


def needles(value: str) -> dict[str, Needle]:
    """Return everything to search for, by its text."""
    found = {text: _needle(text, re.escape(text)) for text in _texts(value) if len(text) >= SHORTEST}
    for text in _in_base64(value.encode()):
        # The characters on both sides have bits of the secret, and of its neighbors.
        found.setdefault(text, _needle(text, f"{_OF_BASE64}{re.escape(text)}{_OF_BASE64}=*"))
    return found


def _needle(text: str, pattern: str) -> Needle:
    return Needle(text, orjson.dumps(text)[1:-1], re.compile(pattern))


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
