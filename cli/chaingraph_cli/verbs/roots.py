"""`roots`: lists root executions, newest first, with counts of their descendants."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from chaingraph_cli.commands import Command
from chaingraph_cli.execution import PHASES
from chaingraph_cli.gateway.client import Gateway
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.kubectl import Kubectl
from chaingraph_cli.render import children, listing, tree_rows
from chaingraph_cli.render.tree_rows import Row
from chaingraph_cli.terminal import tables

_MOST = 100
_COLUMNS = ("NAME", "PHASE", "FLOW", "AGE", "DURATION", "BELOW")
_WIDE = ("ATTEMPT", "ID", "MESSAGE")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flow", metavar="FLOW", help="Only executions of this Flow.")
    parser.add_argument(
        "--phase",
        metavar="PHASE",
        dest="phases",
        action="append",
        default=[],
        type=listing.phase,
        help=f"Only roots in this phase: {', '.join(PHASES)}. Repeatable.",
    )
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="List executions of all namespaces.")
    parser.add_argument(
        "--limit", metavar="N", type=_limit, default=50, help=f"Size of a page, 1 to {_MOST}. Default: 50."
    )
    parser.add_argument("--cursor", metavar="TEXT", help="Cursor of the next page, as the previous page printed it.")
    listing.add_output(parser)
    add_gateway(parser)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) and 1 <= int(text) <= _MOST):
        raise argparse.ArgumentTypeError(f"invalid page size {text!r}: use a number from 1 to {_MOST}")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    kubectl = Kubectl.of(args)
    gateway = Gateway.of(args, kubectl)
    query = {
        "namespace": "" if args.all_namespaces else gateway.namespace,
        "flow": args.flow,
        "phase": ",".join(args.phases),
        "limit": str(args.limit),
        "cursor": args.cursor,
    }
    page = gateway.get("/executions", **{name: value for name, value in query.items() if value})
    rows: Sequence[Row] = page["executions"]
    match args.output:
        case "json" | "yaml":
            from chaingraph_cli.terminal.output import OutputFormat, dump

            print(dump(page, OutputFormat(args.output)))
            return 0
        case "name":
            print("\n".join(map(tree_rows.named, rows)))
        case _ if not rows:
            print(f"No executions found{'' if args.all_namespaces else ' in this namespace'}.")
        case _:
            print(_listed(rows, args))
    if page["cursor"]:
        sys.stdout.flush()
        print(f"Next page: {kubectl.typed('roots', *_repeated(args, page['cursor']))}", file=sys.stderr)
    return 0


def _repeated(args: argparse.Namespace, cursor: str) -> list[str]:
    """Return the arguments for the next page."""
    words = [f"--flow={args.flow}"] if args.flow else []
    words += [f"--phase={each}" for each in args.phases]
    words += ["-A"] if args.all_namespaces else []
    return [*words, f"--limit={args.limit}", f"--cursor={cursor}"]


def _listed(rows: Sequence[Row], args: argparse.Namespace) -> str:
    wide, namespaces = args.output == "wide", args.all_namespaces
    columns = (("NAMESPACE",) if namespaces else ()) + _COLUMNS + (_WIDE if wide else ())
    lines = [([str(each["namespace"])] if namespaces else []) + _cells(each, wide=wide) for each in rows]
    return tables.table(columns, lines, headers=not args.no_headers)


def _cells(row: Row, *, wide: bool) -> list[str]:
    seconds = row["durationSeconds"]
    cells = [
        tree_rows.named(row),
        str(row["phase"]),
        str(row["flow"]),
        tables.since(str(row["createdTime"])),
        tables.span(timedelta(seconds=seconds)) if seconds is not None else "",
        children.counted(row["below"]),
    ]
    error: dict[str, Any] = row["error"] or {}
    message = str(error.get("message", "")).partition("\n")[0]
    return [*cells, str(row["attempt"]), str(row["executionID"]), message] if wide else cells


COMMAND = Command(
    """\
List root executions, newest first, with counts of their descendants. `tree` shows the descendants themselves. `get`
lists the same executions from the API server, in one page and without counts; `roots` reads the database page by page.
Neither lists deleted executions. If there are more than --limit, stderr has the command for the next page.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph roots --flow orders
kubectl chaingraph roots --flow orders --phase Failed --limit 10
kubectl chaingraph roots -A -o wide
""",
)
