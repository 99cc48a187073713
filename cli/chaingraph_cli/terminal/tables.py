"""Formats tables, ages and durations as kubectl does. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from chaingraph_cli.terminal.escapes import one_line, width

NONE: Final = "<none>"
_GAP: Final = "   "


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, headers: bool = True) -> str:
    """Format a table; an empty cell is `<none>`."""
    lines = [list(columns)] if headers else []
    lines += [[cell or NONE for cell in row] for row in rows]
    if not lines:
        return ""
    columns_widths = widths(lines, [0] * len(columns))
    return "\n".join(joined(line, columns_widths) for line in lines)


def widths(lines: Sequence[Sequence[str]], least: Sequence[int]) -> list[int]:
    """Return the widths of columns that fit these lines, at least `least`."""
    return [max([each, *(width(one_line(line[index])) for line in lines)]) for index, each in enumerate(least)]


def joined(line: Sequence[str], columns_widths: Sequence[int]) -> str:
    """Format one line of a table."""
    cells = zip(map(one_line, line), columns_widths, strict=True)
    return _GAP.join(cell + " " * (columns - width(cell)) for cell, columns in cells).rstrip()


def since(moment: str, now: datetime | None = None) -> str:
    """Return the age of an API timestamp; empty without one."""
    return span((now or datetime.now(UTC)) - read_time(moment)) if moment else ""


def read_time(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def span(length: timedelta) -> str:
    """Format a duration as kubectl writes ages: 85s, 3m20s, 2h, 5d; below ten seconds with a tenth."""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    return f"{days}d"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")
