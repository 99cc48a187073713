"""The regular expressions of schemas: their cost is estimated before they are compiled, and few are cached.

pydantic-core's expressions match in linear time, but the factor is the length of the expanded pattern: `\\w{180}` is
180 tables of all Unicode letters, 13 MB and 0.1 s to compile, and `[01]{20000}` costs 20,000 steps per character of a
text. Both happen inside Rust, where no other thread runs. So both are bounded by an estimate from the pattern's text,
which errs upwards.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

LONGEST_PATTERN: Final = 1000
"""Maximum characters of a pattern."""
LARGEST_PATTERN: Final = 60_000
"""Maximum compiled size of a pattern, in units of about 100 bytes: 6 MB, and about 50 ms to compile."""
MOST_PATTERNS: Final = 50
"""Maximum patterns in all schemas of a flow."""
LARGEST_PATTERNS: Final = 200_000
"""Maximum compiled size of all patterns of a flow, in the same units."""
MOST_STEPS: Final = 200_000_000
"""Maximum product of a text's length and a pattern's positions: about half a second."""
_KEPT_PATTERNS: Final = 64
_KEPT_SIZE: Final = 300_000

_WORD: Final = 750
_UNICODE: Final = 500
_DIGIT: Final = 80
_ANY: Final = 20
_ESCAPES: Final = {
    **dict.fromkeys("wW", _WORD),
    **dict.fromkeys("bB", _WORD // 10),
    **dict.fromkeys("dD", _DIGIT),
    **dict.fromkeys("pP", _UNICODE),
    **dict.fromkeys("sS", _ANY),
    **dict.fromkeys("xuU", 4),
}
_CASES: Final = 3
"""Growth factor of a letter when case is ignored."""
_FLAGS: Final = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]*))?[:)]")
_NUMBERS: Final = re.compile(r"\d+")
_NUMBERED: Final = re.compile(r" *(\d+): ")
_INDENT: Final = 4
"""Spaces before a one-line pattern in a message of the regex library."""


class PatternRefused(ValueError):
    """The pattern is not a regular expression, or costs too much. The message continues the words "the pattern"."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimated maximum cost of a pattern. `size`: compiled; `positions`: steps for each character of a text."""

    size: int
    positions: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.size + other.size, self.positions + other.positions)

    def times(self, number: int) -> Cost:
        return Cost(self.size * number, self.positions * number)


_NOTHING: Final = Cost(1, 0)


def cost(pattern: str) -> Cost:
    """Estimate the cost of compiling and matching a pattern.

    Raises:
        PatternRefused: it is too long, or in a form whose cost cannot be estimated.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise PatternRefused(f"has {len(pattern)} characters, more than {LONGEST_PATTERN}")
    found = _Reader(pattern).read()
    if found.size > LARGEST_PATTERN:
        raise PatternRefused(
            f"is too large: with its repetitions it takes about {found.size // 10} kB, the limit is "
            f"{LARGEST_PATTERN // 10}. Use minLength and maxLength for lengths, and [a-zA-Z0-9_] for \\w"
        )
    return found


class _Reader:
    """Reads a pattern once, from left to right. Unknown parts count with their maximum cost."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._factor = 1

    def read(self) -> Cost:
        sums = [_NOTHING]
        """The cost of each open group so far, the whole pattern first."""
        last = _NOTHING
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            if character == "(":
                if self._open():
                    sums.append(_NOTHING)
                last = _NOTHING
            elif character == "{":
                times = self._repetition()
                sums[-1] += last.times(times - 1)
                last = last.times(times)
            elif character in "*+?":
                self._at += 1
                sums[-1] += _NOTHING
            elif character == ")" and len(sums) > 1:
                self._at += 1
                last = sums.pop()
                sums[-1] += last
            else:
                last = self._atom(character)
                sums[-1] += last
        total = _NOTHING
        for each in sums:
            total += each
        return total

    def _open(self) -> bool:
        """Whether a group starts here; otherwise it only sets flags."""
        flags = _FLAGS.match(self._pattern, self._at)
        if flags is None:
            self._at += 1
            return True
        if "x" in flags[1]:
            raise PatternRefused("has the flag x (free spacing): write it without spaces and comments")
        if "i" in flags[1]:
            self._factor = _CASES
        self._at = flags.end()
        return flags[0].endswith(":")

    def _repetition(self) -> int:
        """Return the maximum repetitions of the last atom."""
        end = self._pattern.find("}", self._at)
        inner = self._pattern[self._at + 1 : end if end >= 0 else None]
        self._at = len(self._pattern) if end < 0 else end + 1
        numbers = [int(each) for each in _NUMBERS.findall(inner)]
        return max([1, *numbers]) + inner.rstrip().endswith(",")

    def _atom(self, character: str) -> Cost:
        if character == "\\":
            return self._escape()
        if character == "[":
            return self._class()
        self._at += 1
        if character == ".":
            return Cost(_ANY, 4)
        if character.isascii():
            return Cost(2 * self._factor, 1)
        return Cost(8 * self._factor, 4)

    def _escape(self) -> Cost:
        following = self._pattern[self._at + 1 : self._at + 2]
        self._at += 2
        if following in ("p", "P", "x", "u", "U") and self._pattern[self._at : self._at + 1] == "{":
            end = self._pattern.find("}", self._at)
            self._at = len(self._pattern) if end < 0 else end + 1
        size = _ESCAPES.get(following, _UNICODE if following.isalnum() else 2)
        return Cost(size * self._factor, 1 if size <= 2 else 4)

    def _class(self) -> Cost:
        """Read a class in brackets, which may contain others."""
        depth, size = 0, 2
        start = self._at
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            if character == "\\":
                size += self._escape().size
                continue
            self._at += 1
            if character == "[":
                depth += 1
                if self._pattern[self._at : self._at + 1] == "^":
                    self._at += 1
                    size += _ANY
                # A bracket right after the opening one is a character of the class.
                if self._pattern[self._at : self._at + 1] == "]":
                    self._at += 1
            elif character == "]":
                depth -= 1
                if depth == 0:
                    break
            elif not character.isascii():
                size += 40
        ascii_only = self._pattern[start : self._at].isascii()
        return Cost(size * self._factor, 1 if size <= 2 and ascii_only else 4)


class Matchers:
    """Compiled patterns, the most recently used ones: bounded in number and in size."""

    def __init__(self, *, most: int = _KEPT_PATTERNS, size: int = _KEPT_SIZE) -> None:
        self._most = most
        self._largest = size
        self._kept: OrderedDict[str, tuple[SchemaValidator, Cost]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Return the size of all cached patterns, in the units of `Cost.size`."""
        return self._size

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, pattern: str) -> tuple[SchemaValidator, Cost]:
        """Return the compiled pattern and its cost.

        Raises:
            PatternRefused: it is not a regular expression, or costs too much.
        """
        with self._lock:
            found = self._kept.get(pattern)
            if found is not None:
                self._kept.move_to_end(pattern)
                return found
        made = _compiled(pattern)
        with self._lock:
            if pattern not in self._kept:
                self._kept[pattern] = made
                self._size += made[1].size
            while len(self._kept) > self._most or (self._size > self._largest and len(self._kept) > 1):
                _, (_, dropped) = self._kept.popitem(last=False)
                self._size -= dropped.size
        return made


def _compiled(pattern: str) -> tuple[SchemaValidator, Cost]:
    found = cost(pattern)
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern)), found
    except SchemaError as error:
        raise PatternRefused(f"is not a regular expression: {_reason(str(error))}") from None


def _reason(message: str) -> str:
    """Extract `column 4: unclosed group` from a multi-line message."""
    lines = message.splitlines()
    reason = lines[-1].strip().removeprefix("error: ")
    for before, marks in pairwise(lines):
        if marks.strip() and not marks.strip(" ^"):
            numbered = _NUMBERED.match(before)
            line = f"line {numbered[1]}, " if numbered else ""
            return f"{line}column {marks.index('^') - (len(numbered[0]) if numbered else _INDENT) + 1}: {reason}"
    return reason


MATCHERS: Final = Matchers()
"""The cache of this process."""
