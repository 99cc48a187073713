"""`tree`: an execution with all that it has spawned, level below level."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotFound
from chaingraph_cli.plugin import listing, tables
from chaingraph_cli.plugin.follow import not_known
from chaingraph_cli.plugin.gateway_client import Gateway
from chaingraph_cli.plugin.gateway_options import add_gateway
from chaingraph_cli.plugin.kubectl import Kubectl
from chaingraph_cli.plugin.targets import bare

Row = Mapping[str, Any]

_PAGE = "1000"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="The execution.")
    listing.add_output(parser)
    add_gateway(parser)


def _run(chosen: argparse.Namespace) -> int:
    kubectl = Kubectl.of(chosen)
    gateway = Gateway.of(chosen, kubectl)
    name = bare(chosen.name)
    try:
        rows = _all_of(gateway, gateway.path_of(name, "tree"))
    except NotFound as absent:
        raise not_known(kubectl, name, absent) from absent
    match chosen.output:
        case "json" | "yaml":
            from chaingraph_cli.output import OutputFormat, dump

            print(dump({"executions": rows}, OutputFormat(chosen.output)))
        case "name":
            print("\n".join(str(each["name"]) or str(each["executionID"]) for each in rows))
        case _:
            print(drawn(rows, wide=chosen.output == "wide", headers=not chosen.no_headers))
    return 0


def _all_of(gateway: Gateway, path: str) -> list[Row]:
    page = gateway.get(path, limit=_PAGE)
    rows: list[Row] = list(page["executions"])
    while page.get("cursor"):
        page = gateway.get(path, limit=_PAGE, cursor=str(page["cursor"]))
        rows += page["executions"]
    return rows


def drawn(rows: Sequence[Row], *, wide: bool = False, headers: bool = True) -> str:
    """The tree as a table whose first column is indented by lines; the first row is its root.

    Args:
        rows: as the gateway has them, parents before their children.
    """
    below: dict[str, list[Row]] = {}
    for each in rows[1:]:
        below.setdefault(str(each["parentID"]), []).append(each)
    columns = ("NAME", "PHASE", "DURATION", "FLOW") + (("ATTEMPT", "ID", "CREATED") if wide else ())
    lines: list[list[str]] = []
    # No recursion: a tree may be deeper than Python's stack.
    left: list[tuple[Row, str, str]] = [(each, "", "") for each in rows[:1]]
    while left:
        row, before, under = left.pop()
        lines.append(_cells(row, before, wide=wide))
        children = below.get(str(row["executionID"]), [])
        for position, child in enumerate(reversed(children)):
            last = position == 0
            left.append((child, under + ("└─ " if last else "├─ "), under + ("   " if last else "│  ")))
    return tables.table(columns, lines, headers=headers)


def _cells(row: Row, before: str, *, wide: bool) -> list[str]:
    seconds = row.get("durationSeconds")
    cells = [
        before + str(row.get("name") or row["executionID"]),
        str(row["phase"]),
        tables.span(timedelta(seconds=seconds)) if seconds is not None else "",
        str(row.get("flow") or ""),
    ]
    return [*cells, str(row["attempt"]), str(row["executionID"]), str(row["createdTime"])] if wide else cells


COMMAND = Command(
    "An execution with all that it has spawned, also children that have no resource of their own.",
    _arguments,
    _run,
    examples="""
kubectl chaingraph tree orders
kubectl chaingraph tree orders -o json
""",
)
