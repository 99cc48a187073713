"""How a node stands that runs, in the words that the engine, the operator and the CLI share. Pure."""

from datetime import UTC, datetime
from typing import Final

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""


def node_standing(node: str, tries: int, max_tries: int, since: int, next_at: int | None) -> str:
    """How a node stands that runs or waits for another try: `'load' since 2026-11-30T22:15:01Z (try 2 of 3)`.

    Args:
        since, next_at: milliseconds since 1970.
    """
    number = f"try {tries} of {max_tries}"
    if next_at is None:
        return f"{node!r} since {_utc(since)} ({number})"
    return f"{node!r}, which waits to be tried again at {_utc(next_at)} ({number} failed)"


def _utc(milliseconds: int) -> str:
    seconds = min(max(milliseconds // 1000, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
