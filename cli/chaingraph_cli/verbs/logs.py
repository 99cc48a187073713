"""`logs`: what the nodes of an execution said, and why they failed."""

from __future__ import annotations

import argparse
import sys

from chaingraph_cli.commands import Command
from chaingraph_cli.gateway.event_stream import StreamEnd
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.render.event_lines import LOG_TYPES, log_lines
from chaingraph_cli.render.follow import events_of


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="The execution, or its id.")
    parser.add_argument("--node", metavar="NODE", help="Only of this node.")
    parser.add_argument("-f", "--follow", action="store_true", help="Also what is still to come, until its end.")
    add_gateway(parser)


def _run(chosen: argparse.Namespace) -> int:
    count = 0
    for event in events_of(chosen, types=LOG_TYPES, follow=chosen.follow):
        if isinstance(event, StreamEnd):
            break
        if chosen.node and event.data.get("nodeId") != chosen.node:
            continue
        for line in log_lines(event):
            print(line, flush=True)
            count += 1
    if not count:
        whose = f"Node {chosen.node!r} has" if chosen.node else "Its nodes have"
        print(f"{whose} logged nothing, and nothing failed there.", file=sys.stderr)
    return 0


COMMAND = Command(
    """\
What the nodes of an execution logged, and what failed, its children included: a line each, with its time and its node.
Skipped nodes are listed with the reason. With --follow it continues until the execution and everything below it have
ended; before its start, stderr says what it waits for.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph logs nightly
kubectl chaingraph logs nightly -f --node load
""",
)
