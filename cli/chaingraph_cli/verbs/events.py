"""`events`: what happened in an execution, from any point on, and live."""

from __future__ import annotations

import argparse
import difflib

from chaingraph_cli.commands import Command
from chaingraph_cli.gateway.event_stream import StreamEnd
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.render.event_lines import TYPES, event_line
from chaingraph_cli.render.follow import NOT_THERE, events_of


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="The execution, or its id.")
    parser.add_argument("--from", dest="from_index", metavar="N", type=int, help="The index of the first one.")
    parser.add_argument(
        "--type",
        metavar="TYPE",
        dest="types",
        action="append",
        default=[],
        type=_type,
        help="Only events of this type, as node:failed; `node:*` for all of nodes. Repeatable.",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="Also what is still to come, until its end.")
    parser.add_argument(
        "-o", "--output", choices=("table", "json"), help="json: one event a line, as the gateway has it."
    )
    add_gateway(parser)


def _type(text: str) -> list[str]:
    found = [each for each in TYPES if each == text or (text.endswith("*") and each.startswith(text[:-1]))]
    if not found:
        near = difflib.get_close_matches(text, TYPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(TYPES)}"
        raise argparse.ArgumentTypeError(f"there are no events of type {text!r}; {hint}")
    return found


def _run(chosen: argparse.Namespace) -> int:
    types = tuple(dict.fromkeys(each for some in chosen.types for each in some))
    count = 0
    for event in events_of(chosen, types=types, follow=chosen.follow, from_index=chosen.from_index):
        if isinstance(event, StreamEnd):
            break
        print(event.text if chosen.output == "json" else event_line(event), flush=True)
        count += 1
    if not count and chosen.output != "json":
        print("No such events yet." if types or chosen.from_index is not None else NOT_THERE)
    return 0


COMMAND = Command(
    """\
The events of an execution: index, time, type, node and details. Indices have no gaps and are never given twice, so a
reader that knows the last one it saw misses nothing: --from. With --follow it continues until the execution and
everything below it have ended, also over broken connections: what it spawned, and how its children ended, comes after
its own end. Before its start, stderr says what it waits for.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph events nightly
kubectl chaingraph events nightly -f --type 'node:*'
kubectl chaingraph events nightly --from 120 -o json
""",
)
