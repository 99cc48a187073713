"""Format the state of nodes, for the engine, the operator and the CLI. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""


RETRY: Final = "Retry"
"""The kind of a wait for another try."""


_FOR: Final = {"Signal": " for the signal {signal!r}", "Approval": " for an approval", "Child": " for its child"}


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


_NAMED: Final = 5


def rerun_text(ended: Mapping[str, Any]) -> str:
    """Format what a retry kept and what it runs again, from the record of the ended attempt in `status.attempts`."""
    kept, again = int(ended.get("kept") or 0), int(ended.get("runsAgainTotal") or 0)
    named = list(ended.get("runsAgain") or ())[:_NAMED]
    more = f" and {again - len(named)} more" if again > len(named) else ""
    listed = f": {', '.join(map(str, named))}{more}" if named else ""
    text = f"{_nodes(kept)} kept, {_nodes(again)} run{'s' if again == 1 else ''} again{listed}"
    removed = int(ended.get("removed") or 0)
    return f"{text}; {_nodes(removed)} removed" if removed else text


def _nodes(count: int) -> str:
    return f"{count} finished node" if count == 1 else f"{count} finished nodes"


def utc(milliseconds: int) -> str:
    """Format milliseconds since 1970 as `2026-11-30T22:15:01Z`; a time beyond the calendar as its last second."""
    seconds = min(max(milliseconds // 1000, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
