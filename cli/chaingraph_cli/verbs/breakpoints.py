"""`breakpoints`: lists, adds and removes the breakpoints of an execution."""

from __future__ import annotations

import argparse
import sys

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import Usage
from chaingraph_cli.execution import PAUSED, Execution
from chaingraph_cli.executions import flows, guards, outcomes
from chaingraph_cli.executions.edits import SpecEdit, add_wait, apply, replace
from chaingraph_cli.executions.targets import read_one
from chaingraph_cli.executions.without_resource import no_resource
from chaingraph_cli.kubectl import Kubectl
from chaingraph_cli.render import listing
from chaingraph_cli.terminal import tables

ACTIONS = ("list", "add", "remove", "clear")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="list, add, remove or clear.")
    parser.add_argument("name", metavar="NAME", help="Name of the execution.")
    parser.add_argument("nodes", metavar="NODE", nargs="*", help="Ids of the nodes to add or remove.")
    add_wait(parser)
    listing.add_output(parser)


def _run(args: argparse.Namespace) -> int:
    if bool(args.nodes) != (args.action in ("add", "remove")):
        what = "takes no nodes" if args.nodes else "needs nodes: breakpoints add NAME NODE"
        raise Usage(f"breakpoints {args.action} {what}.")
    kubectl = Kubectl.of(args)
    execution = read_one(kubectl, args.name, no_resource)
    if args.action == "list":
        return _list(args, execution)
    absent = [each for each in args.nodes if each not in execution.breakpoints]
    if args.action == "remove" and absent:
        known = ", ".join(execution.breakpoints) or "none"
        raise Usage(f"{execution.full_name} has no breakpoint {absent[0]!r}.", f"Its breakpoints: {known}")
    after = _after(args, execution.breakpoints)
    reading = None
    if args.action == "add" and execution.flow:
        reading = flows.start_reading(kubectl, execution.flow)
    said = f"breakpoints set: {', '.join(after)}" if after else "breakpoints cleared"
    edit = SpecEdit(
        lambda now: [replace("options/breakpoints", _after(args, now.breakpoints))],
        said,
        outcomes.breakpoints_set,
        guards.breakpoints,
    )
    code = apply(kubectl, [execution], edit, wait=args.wait, timeout=args.timeout)
    if args.action == "add":
        known_nodes = flows.finish_reading(reading) if reading else flows.ids(execution.spec.get("flow") or {})
        for warning in flows.unknown(args.nodes, known_nodes) if known_nodes is not None else ():
            print(f"Warning: {warning}", file=sys.stderr)
    return code


def _after(args: argparse.Namespace, before: list[str]) -> list[str]:
    match args.action:
        case "add":
            return list(dict.fromkeys([*before, *args.nodes]))
        case "remove":
            return [each for each in before if each not in args.nodes]
        case _:
            return []


def _list(args: argparse.Namespace, execution: Execution) -> int:
    held = execution.current_nodes if execution.phase == PAUSED else []
    if args.output in ("json", "yaml"):
        from chaingraph_cli.terminal.output import OutputFormat, dump

        items = [{"node": each, "held": each in held} for each in execution.breakpoints]
        print(dump({"execution": execution.name, "breakpoints": items}, OutputFormat(args.output)))
    elif args.output == "name":
        print("\n".join(execution.breakpoints))
    elif not execution.breakpoints:
        print(f"{execution.full_name} has no breakpoints.")
    else:
        rows = [[each, "held" if each in held else ""] for each in execution.breakpoints]
        print(tables.table(("NODE", "NOW"), rows, headers=not args.no_headers))
    return 0


COMMAND = Command(
    """\
List, add or remove breakpoints: nodes before which an execution pauses (spec.options.breakpoints). They can be changed
at any time. Removing the breakpoint of a held node does not release the node; `resume` does. A breakpoint applies once
per attempt.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph breakpoints add nightly transform load
kubectl chaingraph breakpoints list nightly
kubectl chaingraph breakpoints remove nightly load
kubectl chaingraph breakpoints clear nightly
""",
)
