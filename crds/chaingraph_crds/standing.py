"""Format the state of a running node, for the engine, the operator and the CLI. Pure."""

from datetime import UTC, datetime
from typing import Final

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""


def node_standing(node: str, tries: int, max_tries: int, since: int, next_at: int | None) -> str:
    """Format a node that is running or waiting for another try: `'load' since 2026-11-30T22:15:01Z (try 2 of 3)`.

    Args:
        since, next_at: milliseconds since 1970.
    """
    number = f"try {tries} of {max_tries}"
    if next_at is None:
        return f"{node!r} since {_utc(since)} ({number})"
    return f"{node!r} retrying at {_utc(next_at)} ({number} failed)"


def _utc(milliseconds: int) -> str:
    seconds = min(max(milliseconds // 1000, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
