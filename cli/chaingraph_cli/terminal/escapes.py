"""Escapes control characters and invisible characters in text of flows, objects and servers.

The entry points guard stdout and stderr, so that everything a command prints is safe. Code that controls the terminal
itself (colours, overwritten lines) writes to `raw(stream)` and escapes its text with `one_line` or `printable`.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, TextIO, cast

_UNSHOWN: Final = (
    # C0 without tab and newline, DEL, C1.
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    # Marks and embeddings that change the writing direction.
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"
    # Line separators of some programs.
    "\u2028\u2029"
    # Invisible characters. Not the joiners U+200C and U+200D, which Persian and emojis need, nor the variation
    # selectors, which only change the look of their neighbour.
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
    # Lone surrogates, which no encoding has.
    "\ud800-\udfff"
)
_CONTROLS: Final = re.compile(f"[{_UNSHOWN}]")
_CONTROLS_AND_BREAKS: Final = re.compile(f"[\t\n{_UNSHOWN}]")


def printable(text: str) -> str:
    """Escape control and invisible characters, except tabs and newlines.

    Escapes are those of JSON, such as `\\u001b`, so that JSON stays the same JSON.
    """
    return _CONTROLS.sub(_escaped, text)


def one_line(text: str) -> str:
    """Escape tabs and newlines too: for cells, and for text that must stay on its line."""
    return _CONTROLS_AND_BREAKS.sub(_escaped, text)


def width(text: str) -> int:
    """Return the width of a text in columns: none for an accent, two for a Chinese character."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def fit(text: str, columns: int) -> str:
    """Cut a text to a number of columns."""
    if text.isascii():
        return text[:columns]
    used = 0
    for position, char in enumerate(text):
        used += _columns(char)
        if used > columns:
            return text[:position]
    return text


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


class Guarded:
    """A stream that escapes all text with `printable`."""

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream

    def write(self, text: str) -> int:
        self.raw.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for each in lines:
            self.write(each)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def guard() -> None:
    """Guard stdout and stderr of this process."""
    sys.stdout = cast(TextIO, Guarded(raw(sys.stdout)))
    sys.stderr = cast(TextIO, Guarded(raw(sys.stderr)))


def raw(stream: TextIO) -> TextIO:
    """Return the stream without its guard, for our own terminal codes."""
    return stream.raw if isinstance(stream, Guarded) else stream
