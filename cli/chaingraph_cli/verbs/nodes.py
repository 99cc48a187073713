"""`nodes`: lists an execution's nodes with their outcomes and outputs.

The gateway omits large outputs from its pages. The table shows their size; for JSON and YAML they are fetched node by
node.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotFound
from chaingraph_cli.executions import lookup
from chaingraph_cli.gateway.client import Gateway
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.render import listing, running_nodes
from chaingraph_cli.terminal import tables

Row = Mapping[str, Any]

_COLUMNS: Final = ("NODE", "OUTCOME", "DURATION", "OUTPUTS")
_WIDE: Final = ("ATTEMPT", "TRIES", "STARTED", "ENDED")
_PAGE: Final = "1000"
_LONGEST: Final = 100
"""Characters of a node's outputs in a table without `-o wide`."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name or id of the execution.")
    listing.add_output(parser)
    add_gateway(parser)


def _run(args: argparse.Namespace) -> int:
    found = lookup.find(args)
    gateway = found.gateway
    try:
        execution = gateway.get(found.path)
        pages = gateway.pages(found.at("journal"), outputs="true", limit=_PAGE)
        ended = in_order([row for page in pages for row in page["nodes"]])
        if args.output in ("json", "yaml"):
            ended = [whole(gateway, str(execution["executionID"]), row) for row in ended]
    except NotFound as absent:
        raise found.not_known(absent) from absent
    rows = with_current(ended, execution)
    match args.output:
        case "json" | "yaml":
            from chaingraph_cli.terminal.output import OutputFormat, dump

            print(dump({"executionID": execution["executionID"], "nodes": rows}, OutputFormat(args.output)))
        case "name":
            print("\n".join(str(each["node"]) for each in rows))
        case _:
            print(listed(rows, wide=args.output == "wide", headers=not args.no_headers))
    return 0


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Sort nodes by the time they finished, those of a call before the call; the gateway sorts them by id."""

    def place(row: Row) -> tuple[str, int, str]:
        node = str(row["node"])
        return str(row.get("completionTime") or ""), -node.count(".") - node.count("["), node

    return sorted(rows, key=place)


def whole(gateway: Gateway, execution: str, row: Row) -> Row:
    """Return a node with its outputs, fetched if the page omits them."""
    if not row.get("omitted"):
        return row
    record = gateway.get(f"/executions/{quote(execution)}/nodes/{quote(str(row['node']), safe='')}")["record"]
    shown = {name: value for name, value in row.items() if name not in ("bytes", "omitted")}
    fields = {"tries": "attempts", "reason": "reason", "error": "error", "outputs": "outputs", "emissions": "emissions"}
    return shown | {name: record.get(field) for name, field in fields.items()}


def with_current(ended: Sequence[Row], execution: Row) -> list[Row]:
    """Return the finished nodes in order, then those that run, wait for a retry or are held.

    Of a finished execution, the latter are those that its end interrupted.

    Args:
        ended: the nodes of the gateway's journal.
        execution: the gateway's details of the execution.
    """
    # A retry runs a failed node again: until it finishes, its old record is out of date.
    details = {str(each["node"]): each for each in execution.get("runningNodes") or ()}
    if execution.get("completionTime"):
        known = {str(each["node"]) for each in ended if each.get("attempt") == execution.get("attempt")}
        interrupted = {node: each for node, each in details.items() if node not in known}
        return [
            *(each for each in ended if each["node"] not in interrupted),
            *(running_nodes.interrupted(each, execution) for each in interrupted.values()),
        ]
    waiting = [node for node, each in details.items() if each.get("waitsFor")]
    current = list(dict.fromkeys([*execution["currentNodes"], *waiting]))
    held = execution["paused"] and execution["nodes"]["running"] == 0
    standing = "held" if held else "running or held" if execution["paused"] else "running"
    return [
        *(each for each in ended if each["node"] not in current),
        *(
            running_nodes.row(details[node]) if node in details else {"node": node, "outcome": standing}
            for node in current
        ),
    ]


def listed(rows: Sequence[Row], *, wide: bool = False, headers: bool = True) -> str:
    """Format nodes as a table."""
    lines = [_cells(each, wide=wide) for each in rows]
    return tables.table(_COLUMNS + (_WIDE if wide else ()), lines, headers=headers)


def _cells(row: Row, *, wide: bool) -> list[str]:
    seconds = row.get("durationSeconds")
    if seconds is None and row.get("outcome") == running_nodes.RUNNING and row.get("startTime"):
        seconds = (datetime.now(UTC) - tables.read_time(str(row["startTime"]))).total_seconds()
    said = _said(row)
    cells = [
        str(row["node"]),
        str(row["outcome"]),
        tables.span(timedelta(seconds=seconds)) if seconds is not None else "",
        said if wide or len(said) <= _LONGEST else said[: _LONGEST - 1] + "…",
    ]
    if wide:
        cells += [str(row.get(field) or "") for field in ("attempt", "tries", "startTime", "completionTime")]
    return cells


def _said(row: Row) -> str:
    """Format the outputs of a node by port; of one that did not complete, the reason."""
    if row.get("omitted"):
        return f"({int(row['bytes']):,} bytes: use -o json)"
    if row.get("outcome") in running_nodes.OUTCOMES:
        return running_nodes.said(row)
    if row.get("outcome") != "completed":
        return str(row.get("error") or row.get("reason") or "").partition("\n")[0]
    return "  ".join(f"{port}={_short(value)}" for port, value in dict(row.get("outputs") or {}).items())


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


COMMAND = Command(
    """\
List the nodes of an execution: finished nodes with outcome and outputs, running nodes with start time and try, nodes
that wait for a retry with its time, and held nodes. After a timeout or a stop: the interrupted nodes.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph nodes orders
kubectl chaingraph nodes orders -o wide
kubectl chaingraph nodes orders -o json
""",
)
