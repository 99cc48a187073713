"""`tree`: shows an execution and its descendants, and watches them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotFound
from chaingraph_cli.executions import lookup
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.render import listing, tree_rows
from chaingraph_cli.render.tree_rows import Row
from chaingraph_cli.terminal import tables


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name or id of the execution.")
    parser.add_argument(
        "--depth",
        metavar="N",
        type=_depth,
        help="Maximum number of levels below the execution; 1 shows its children. Default: all.",
    )
    parser.add_argument(
        "-w", "--watch", action="store_true", help="Show changes until all executions of the tree have finished."
    )
    listing.add_output(parser)
    add_gateway(parser)


def _depth(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"invalid number of levels {text!r}: use 0, 1, 2 and so on")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    found = lookup.find(args)
    try:
        rows = tree_rows.read(found.gateway, found.at("tree"), args.depth)
    except NotFound as absent:
        raise found.not_known(absent) from absent
    if args.watch:
        from chaingraph_cli.render import tree_watch

        return tree_watch.watch(args, found.gateway, rows)
    match args.output:
        case "json" | "yaml":
            from chaingraph_cli.terminal.output import OutputFormat, dump

            print(dump({"executions": rows}, OutputFormat(args.output)))
        case "name":
            print("\n".join(map(tree_rows.named, rows)))
        case _:
            print(drawn(rows, wide=args.output == "wide", headers=not args.no_headers))
    return 0


def drawn(rows: Sequence[Row], *, wide: bool = False, headers: bool = True) -> str:
    """Format a tree as a table with an indented first column; the first row is the root."""
    columns = tree_rows.COLUMNS + (tree_rows.WIDE if wide else ())
    lines = [tree_rows.cells(each.row, each.before, wide=wide) for each in tree_rows.drawn(rows)]
    return tables.table(columns, lines, headers=headers)


COMMAND = Command(
    """\
Show an execution and its descendants, with or without Kubernetes resources: phase, duration, running or failed nodes,
and counts of children. --watch redraws the tree on a terminal, active and failed executions first if not all fit;
elsewhere it prints a line for each change. It ends when all have finished, with exit code 0 if all completed, else
1.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph tree orders
kubectl chaingraph tree orders --watch
kubectl chaingraph tree orders --depth 1 -o wide
kubectl chaingraph tree orders -o json
""",
)
