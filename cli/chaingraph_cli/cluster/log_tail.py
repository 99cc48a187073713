"""Reads the last lines of a log, for the error of a process that did not start."""

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
    """Return the size of a log: the output of earlier runs ends there."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def tail(log: Path, begin: int = 0, lines: int = _LINES) -> str:
    """Return the last lines of a log as text; empty if there are none.

    JSON lines are converted to text. A traceback at the end is complete; other long lines are shortened.

    Args:
        log: the file; at most its last 64 KiB are read.
        begin: where the lines of this run begin.
        lines: the maximum number, without those of a traceback.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(begin, size(log) - _READ_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    shown = [each for line in text.splitlines() for each in _as_text(line)]
    first = min(max(0, len(shown) - lines), _last_traceback(shown))
    return "\n".join(map(_short, shown[first:]))


def _last_traceback(shown: list[str]) -> int:
    """Return the index of the line before the last traceback and its causes."""
    traces = [index for index, line in enumerate(shown) if line.strip() == _TRACEBACK]
    if not traces:
        return len(shown)
    first = traces.pop()
    while traces and any(line.startswith(_LINKS) for line in shown[max(0, first - 3) : first]):
        first = traces.pop()
    return max(0, first - 1)


def _as_text(line: str) -> list[str]:
    """Convert a line of JSON to its message, its fields and the lines of its traceback."""
    try:
        fields: Any = json.loads(line)
    except ValueError:
        return [line]
    if not isinstance(fields, dict) or "message" not in fields:
        return [line]
    exception = str(fields.pop("exception", "")).splitlines()
    text = f"{fields.pop('level', '')}: {fields.pop('message')}".removeprefix(": ")
    for name in ("time", "component", "logger"):
        fields.pop(name, None)
    more = " ".join(f"{name}={value}" for name, value in fields.items())
    return [f"{text} {more}".rstrip(), *exception]


def _short(line: str) -> str:
    half = _LINE_CHARACTERS // 2
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:half]} [...] {line[-half:]}"
