"""`events`: prints the events of an execution, and follows them."""

from __future__ import annotations

import argparse
import difflib

from chaingraph_cli.commands import Command
from chaingraph_cli.gateway.event_stream import StreamEnd
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.render.event_lines import TYPES, event_line
from chaingraph_cli.render.follow import NOT_THERE, events_of


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name or id of the execution.")
    parser.add_argument("--from", dest="from_index", metavar="N", type=int, help="Index of the first event to print.")
    parser.add_argument(
        "--type",
        metavar="TYPE",
        dest="types",
        action="append",
        default=[],
        type=_type,
        help="Only events of this type, such as node:failed or `node:*`. Repeatable.",
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="Print new events until the execution has finished."
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), help="json: one event of the gateway a line.")
    add_gateway(parser)


def _type(text: str) -> list[str]:
    found = [each for each in TYPES if each == text or (text.endswith("*") and each.startswith(text[:-1]))]
    if not found:
        near = difflib.get_close_matches(text, TYPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"types: {', '.join(TYPES)}"
        raise argparse.ArgumentTypeError(f"unknown event type {text!r}; {hint}")
    return found


def _run(args: argparse.Namespace) -> int:
    types = tuple(dict.fromkeys(each for some in args.types for each in some))
    count = 0
    for event in events_of(args, types=types, follow=args.follow, from_index=args.from_index):
        if isinstance(event, StreamEnd):
            break
        print(event.text if args.output == "json" else event_line(event), flush=True)
        count += 1
    if not count and args.output != "json":
        print("No matching events yet." if types or args.from_index is not None else NOT_THERE)
    return 0


COMMAND = Command(
    """\
Print the events of an execution: index, time, type, node and details. Indices have no gaps and are never reused, so
--from continues after the last event seen. --follow continues until the execution and everything below it have
finished, and reconnects after a lost connection; events of its children come after its own end. Before its start,
stderr reports the reason for the wait.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph events nightly
kubectl chaingraph events nightly -f --type 'node:*'
kubectl chaingraph events nightly --from 120 -o json
""",
)
