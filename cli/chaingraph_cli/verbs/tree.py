"""`tree`: an execution with all that it has spawned, level below level; and how that changes."""

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
    parser.add_argument("name", metavar="NAME", help="The execution, or its id.")
    parser.add_argument(
        "--depth", metavar="N", type=_depth, help="Only so many levels below it; 1 is its children. By default all."
    )
    parser.add_argument("-w", "--watch", action="store_true", help="Show how it changes, until all of it has ended.")
    listing.add_output(parser)
    add_gateway(parser)


def _depth(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of levels: give 0, 1, 2 and so on")
    return int(text)


def _run(chosen: argparse.Namespace) -> int:
    found = lookup.find(chosen)
    try:
        rows = tree_rows.read(found.gateway, found.at("tree"), chosen.depth)
    except NotFound as absent:
        raise found.not_known(absent) from absent
    if chosen.watch:
        from chaingraph_cli.render import tree_watch

        return tree_watch.watch(chosen, found.gateway, rows)
    match chosen.output:
        case "json" | "yaml":
            from chaingraph_cli.terminal.output import OutputFormat, dump

            print(dump({"executions": rows}, OutputFormat(chosen.output)))
        case "name":
            print("\n".join(map(tree_rows.named, rows)))
        case _:
            print(drawn(rows, wide=chosen.output == "wide", headers=not chosen.no_headers))
    return 0


def drawn(rows: Sequence[Row], *, wide: bool = False, headers: bool = True) -> str:
    """The tree as a table whose first column is indented by strokes; the first row is its root."""
    columns = tree_rows.COLUMNS + (tree_rows.WIDE if wide else ())
    lines = [tree_rows.cells(each.row, each.before, wide=wide) for each in tree_rows.drawn(rows)]
    return tables.table(columns, lines, headers=headers)


COMMAND = Command(
    """\
An execution with all that it has spawned, also children that have no resource of their own: the phase of each, how long
it took, the nodes that run or the one that failed, and how its children stand. With --watch a terminal shows it anew
whenever it changes, what is active and what failed before the rest where not all of it fits; elsewhere each change is a
line. It ends when everything has ended, with exit code 0 if all of it completed, else 1.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph tree orders
kubectl chaingraph tree orders --watch
kubectl chaingraph tree orders --depth 1 -o wide
kubectl chaingraph tree orders -o json
""",
)
