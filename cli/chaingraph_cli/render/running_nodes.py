"""Describes nodes that run, wait or were interrupted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from chaingraph_cli.execution import APPROVAL
from chaingraph_cli.terminal import tables
from chaingraph_crds.standing import RETRY

Row = Mapping[str, Any]

RUNNING: Final = "running"
RETRYING: Final = "retrying"
INTERRUPTED: Final = "interrupted"
WAITING: Final = "waiting"
OUTCOMES: Final = (RUNNING, RETRYING, WAITING, INTERRUPTED)


def row(node: Row) -> dict[str, Any]:
    """Make a row of `nodes` from one of the gateway's `runningNodes`."""
    outcome = RETRYING if node.get("nextTryTime") else WAITING if _waits(node) else RUNNING
    return {**node, "outcome": outcome}


def interrupted(node: Row, execution: Row) -> dict[str, Any]:
    """Make a row for a node that ran when its execution finished."""
    began, ended = node.get("startTime"), execution["completionTime"]
    seconds = (tables.read_time(ended) - tables.read_time(began)).total_seconds() if began else None
    return {**node, "outcome": INTERRUPTED, "durationSeconds": seconds, "completionTime": ended}


def said(node: Row, now: datetime | None = None) -> str:
    """Describe the current try, its start and the next try."""
    number = f"try {node.get('try')} of {node.get('maxTries')}"
    again, began = node.get("nextTryTime"), node.get("startTime")
    if _waits(node):
        until = node.get("untilTime")
        then = f", until {_clock(until)}" if until else ""
        what = f"for signal {node['signal']}, " if node.get("waitsFor") == "Signal" else ""
        what = "for an approval, " if node.get("waitsFor") == APPROVAL else what
        return f"{what}since {_clock(began)}{then}" + (f" (in {_left(until, now)})" if until and _goes_on(node) else "")
    if node["outcome"] == INTERRUPTED:
        waited = f" failed, next try was due at {_clock(again)}" if again else ""
        return f"{number}{waited}, since {_clock(began)}" if not again else number + waited
    if again:
        return f"{number} failed, next try at {_clock(again)} (in {_left(again, now)})"
    return f"{number}, since {_clock(began)}"


def short(node: Row, now: datetime | None = None) -> str:
    """Format the cell of a tree: `load 12s`, `load 12s (try 2 of 3)`, `load (try 2 of 3 in 5.0s)`."""
    tries, most, again = int(node.get("try") or 1), node.get("maxTries"), node.get("nextTryTime")
    if again:
        return f"{node['node']} (try {tries + 1} of {most} in {_left(again, now)})"
    if _waits(node) and node.get("untilTime"):
        return f"{node['node']} (in {_left(node['untilTime'], now)})"
    began = node.get("startTime")
    elapsed = f" {tables.since(str(began), now)}" if began else ""
    return f"{node['node']}{elapsed}" + (f" (try {tries} of {most})" if tries > 1 else "")


def _waits(node: Row) -> bool:
    """Whether it waits, or waited, for anything but another try."""
    return node.get("waitsFor") not in (None, RETRY)


def _goes_on(node: Row) -> bool:
    return bool(node["outcome"] != INTERRUPTED)


def _clock(moment: object) -> str:
    return str(moment or "").partition(".")[0].removesuffix("Z") + "Z"


def _left(moment: str, now: datetime | None) -> str:
    return tables.span(tables.read_time(moment) - (now or datetime.now(UTC)))
