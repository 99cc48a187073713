"""What reaches a terminal: text of flows, objects and servers shows what it is, and cannot steer the terminal.

The entry points put a guard around stdout and stderr, so whatever a command prints is safe without its doing. Code that
steers the terminal by itself (colours, a line that is written over) writes to `raw(stream)`, and makes the text that it
puts there `one_line` or `printable` first.
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
    # Marks and embeddings that change the order in which a line is read.
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"
    # What separates lines for some programs and not for others.
    "\u2028\u2029"
    # What has no picture of its own. Not the joiners U+200C and U+200D, which Persian and emojis are written with, nor
    # the variation selectors: they change how their neighbour looks, and nothing else.
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
    # Halves of characters, which no encoding has.
    "\ud800-\udfff"
)
_CONTROLS: Final = re.compile(f"[{_UNSHOWN}]")
_CONTROLS_AND_BREAKS: Final = re.compile(f"[\t\n{_UNSHOWN}]")


def printable(text: str) -> str:
    """The text with everything escaped that a terminal obeys or does not show; tabs and newlines stay.

    Escaped as in JSON, by `\\u001b` and the like, so that JSON is still the same JSON afterwards.
    """
    return _CONTROLS.sub(_escaped, text)


def one_line(text: str) -> str:
    """The same with tabs and newlines escaped as well: for a cell, and for what may not begin a line of its own."""
    return _CONTROLS_AND_BREAKS.sub(_escaped, text)


def width(text: str) -> int:
    """How many columns of a terminal the text takes: none for an accent, two for a Chinese character."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def fit(text: str, columns: int) -> str:
    """As much of the text as so many columns hold."""
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
    """A stream of text that writes everything `printable`; in all else the stream that it guards."""

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
    """Put the guard around stdout and stderr of this process, once."""
    sys.stdout = cast(TextIO, Guarded(raw(sys.stdout)))
    sys.stderr = cast(TextIO, Guarded(raw(sys.stderr)))


def raw(stream: TextIO) -> TextIO:
    """The stream without its guard: for terminal codes of our own."""
    return stream.raw if isinstance(stream, Guarded) else stream
