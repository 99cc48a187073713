"""The last lines that a process wrote in this run, for an error that says why it did not start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

_LINES: Final = 10
_LINE_CHARACTERS: Final = 400
_READ_BYTES: Final = 65_536
_TRACEBACK: Final = "Traceback (most recent call last):"
_LINKS: Final = ("During handling of the above exception", "The above exception was the direct cause")


def size(log: Path) -> int:
    """How long a log is now: what an earlier run wrote ends here."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def tail(log: Path, begin: int = 0, lines: int = _LINES) -> str:
    """The last lines of a log as people read them, empty when there are none.

    JSON lines are told as text. A traceback at the end is complete, however long; other long lines lose their middle.

    Args:
        log: The file; its last 64 KiB at most are read.
        begin: Where the lines of this run begin.
        lines: How many at most, without those of a traceback.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(begin, size(log) - _READ_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    told = [each for line in text.splitlines() for each in _told(line)]
    first = min(max(0, len(told) - lines), _last_traceback(told))
    return "\n".join(map(_short, told[first:]))


def _last_traceback(told: list[str]) -> int:
    """The line before the last traceback, and before those that led to it."""
    traces = [index for index, line in enumerate(told) if line.strip() == _TRACEBACK]
    if not traces:
        return len(told)
    first = traces.pop()
    while traces and any(line.startswith(_LINKS) for line in told[max(0, first - 3) : first]):
        first = traces.pop()
    return max(0, first - 1)


def _told(line: str) -> list[str]:
    """A line of a log; one in JSON as a sentence, its fields, and its traceback line by line."""
    try:
        fields: Any = json.loads(line)
    except ValueError:
        return [line]
    if not isinstance(fields, dict) or "message" not in fields:
        return [line]
    exception = str(fields.pop("exception", "")).splitlines()
    told = f"{fields.pop('level', '')}: {fields.pop('message')}".removeprefix(": ")
    for name in ("time", "component", "logger"):
        fields.pop(name, None)
    more = " ".join(f"{name}={value}" for name, value in fields.items())
    return [f"{told} {more}".rstrip(), *exception]


def _short(line: str) -> str:
    half = _LINE_CHARACTERS // 2
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:half]} [...] {line[-half:]}"
