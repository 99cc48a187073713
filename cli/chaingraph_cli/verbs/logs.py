"""`logs`: prints the log lines and errors of an execution's nodes."""

from __future__ import annotations

import argparse
import sys

from chaingraph_cli.commands import Command
from chaingraph_cli.gateway.event_stream import StreamEnd
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.render.event_lines import LOG_TYPES, log_lines
from chaingraph_cli.render.follow import events_of


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name or id of the execution.")
    parser.add_argument("--node", metavar="NODE", help="Only lines of this node.")
    parser.add_argument("-f", "--follow", action="store_true", help="Print new lines until the execution has finished.")
    add_gateway(parser)


def _run(args: argparse.Namespace) -> int:
    count = 0
    for event in events_of(args, types=LOG_TYPES, follow=args.follow):
        if isinstance(event, StreamEnd):
            break
        if args.node and event.data.get("nodeId") != args.node:
            continue
        for line in log_lines(event):
            print(line, flush=True)
            count += 1
    if not count:
        print(f"No log lines and no errors{f' of node {args.node!r}' if args.node else ''}.", file=sys.stderr)
    return 0


COMMAND = Command(
    """\
Print the log lines and errors of an execution's nodes, and the failures of its children: one line each, with time and
node. Skipped nodes are listed with the reason. --follow continues until the execution and everything below it have
finished; before its start, stderr reports the reason for the wait.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph logs nightly
kubectl chaingraph logs nightly -f --node load
""",
)
