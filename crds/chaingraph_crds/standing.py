"""Format the state of a running node, for the engine, the operator and the CLI. Pure."""

from datetime import UTC, datetime
from typing import Final

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""


RETRY: Final = "Retry"
"""The kind of a wait for another try."""


_FOR: Final = {"Signal": " for the signal {signal!r}", "Approval": " for an approval"}


def node_standing(
    node: str,
    tries: int,
    max_tries: int,
    since: int,
    next_at: int | None,
    waits_for: str = "",
    signal: str = "",
) -> str:
    """Format a node that is running or waiting: `'load' since 2026-11-30T22:15:01Z (try 2 of 3)`.

    Args:
        since, next_at: milliseconds since 1970.
        waits_for: the kind of the wait; '' while it runs.
        signal: the name of the signal that it waits for, or ''.
    """
    if waits_for not in ("", RETRY):
        until = "" if next_at is None else f" until {utc(next_at)}"
        return f"{node!r} waiting{_FOR.get(waits_for, '').format(signal=signal)} since {utc(since)}{until}"
    number = f"try {tries} of {max_tries}"
    if next_at is None:
        return f"{node!r} since {utc(since)} ({number})"
    return f"{node!r} retrying at {utc(next_at)} ({number} failed)"


def utc(milliseconds: int) -> str:
    """Format milliseconds since 1970 as `2026-11-30T22:15:01Z`; a time beyond the calendar as its last second."""
    seconds = min(max(milliseconds // 1000, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
