"""Formats executions as a table; the option `-o` of lists."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from chaingraph_cli.execution import PHASES, Execution
from chaingraph_cli.render import children
from chaingraph_cli.terminal import tables

OUTPUTS: Final = ("table", "wide", "json", "yaml", "name")
_COLUMNS: Final = ("NAME", "PHASE", "FLOW", "DONE", "CURRENT", "AGE", "DURATION")
_WIDE: Final = ("WORKER", "ATTEMPT", "CHILDREN", "PARENT", "ID")
_LAST: Final = ("MESSAGE",)
_MAX_MESSAGE: Final = 80
_MAX_CURRENT: Final = 3


def add_output(parser: argparse.ArgumentParser, outputs: Sequence[str] = OUTPUTS) -> None:
    """Add `-o` and `--no-headers`."""
    parser.add_argument(
        "-o", "--output", choices=tuple(outputs), help="Output format. Default: table, or details of one object."
    )
    parser.add_argument("--no-headers", action="store_true", help="Print tables without the header.")


def phase(text: str) -> str:
    """Parse a phase, in any case.

    Raises:
        argparse.ArgumentTypeError: there is no such phase.
    """
    found = next((each for each in PHASES if each.lower() == text.lower()), None)
    if found is None:
        raise argparse.ArgumentTypeError(f"unknown phase {text!r}: use {', '.join(PHASES)}")
    return found


def rows_of(
    executions: Sequence[Execution],
    *,
    wide: bool = False,
    namespaces: bool = False,
    headers: bool = True,
    now: datetime | None = None,
) -> str:
    """Format executions as a table.

    Args:
        wide: add the columns of `-o wide`.
        namespaces: add a column of namespaces.
    """
    moment = now or datetime.now(UTC)
    lines = [cells_of(each, moment, wide=wide, namespaces=namespaces) for each in executions]
    return tables.table(columns_of(wide=wide, namespaces=namespaces), lines, headers=headers)


def newest_first(executions: Sequence[Execution]) -> list[Execution]:
    """Sort by creation time, newest first, then by name."""
    by_name = sorted(executions, key=lambda each: (each.namespace, each.name))
    return sorted(by_name, key=lambda each: each.created, reverse=True)


def columns_of(*, wide: bool, namespaces: bool) -> list[str]:
    """Return the header."""
    return [*(("NAMESPACE",) if namespaces else ()), *_COLUMNS, *(_WIDE if wide else ()), *_LAST]


def cells_of(execution: Execution, now: datetime, *, wide: bool, namespaces: bool) -> list[str]:
    """Return the cells of an execution."""
    message = str(execution.condition("Succeeded").get("message", "")).partition("\n")[0]
    if not wide and len(message) > _MAX_MESSAGE:
        message = f"{message[: _MAX_MESSAGE - 1]}…"
    return [
        *([execution.namespace] if namespaces else []),
        execution.name,
        execution.phase,
        execution.flow,
        f"{execution.done}/{execution.count('total')}" if execution.count("total") else "",
        _current(execution),
        tables.since(execution.created, now),
        duration(execution, now),
        *(_wide_cells(execution) if wide else []),
        message,
    ]


def _wide_cells(execution: Execution) -> list[str]:
    return [
        str(execution.status.get("worker", "")),
        str(execution.status.get("attempt", "")),
        children.counted(execution.status.get("children") or {}),
        parent(execution),
        str(execution.status.get("executionID", "")),
    ]


def parent(execution: Execution) -> str:
    """Return the name of its parent, else the parent's id; empty without a parent."""
    found = execution.status.get("parentRef") or {}
    return str(found.get("name") or found.get("executionID", ""))


def _current(execution: Execution) -> str:
    nodes = execution.current_nodes or execution.waiting_nodes
    shown = ",".join(nodes[:_MAX_CURRENT])
    return shown if len(nodes) <= _MAX_CURRENT else f"{shown},+{len(nodes) - _MAX_CURRENT}"


def duration(execution: Execution, now: datetime) -> str:
    """Return the duration of the attempt so far; empty before its start."""
    began = execution.status.get("startTime")
    if not began:
        return ""
    ended = execution.status.get("completionTime")
    return tables.span((tables.read_time(ended) if ended else now) - tables.read_time(began))
