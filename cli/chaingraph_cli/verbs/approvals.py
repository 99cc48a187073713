"""`approvals`: lists the executions that wait for a person."""

from __future__ import annotations

import argparse
from typing import Any, Final

from chaingraph_cli.commands import Command
from chaingraph_cli.execution import Execution
from chaingraph_cli.kubectl import EXECUTIONS, Kubectl
from chaingraph_cli.render import listing
from chaingraph_cli.terminal import tables
from chaingraph_crds import names

_FORMS: Final = ("json", "yaml", "name")
_COLUMNS: Final = ("NAME", "NODE", "FLOW", "WAITING", "UNTIL", "PROMPT")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-l", "--selector", metavar="LABELS", default="", help="Label selector, for example a=b,c!=d.")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="List those of all namespaces.")
    listing.add_output(parser, ("table", *_FORMS))


def _run(args: argparse.Namespace) -> int:
    chosen = [
        *([f"--selector={args.selector}"] if args.selector else []),
        *(["--all-namespaces"] if args.all_namespaces else []),
    ]
    kubectl = Kubectl.of(args)
    # An execution that waits is Running, and waits too while it is paused.
    content = kubectl.run("get", EXECUTIONS, *chosen, "-o", "json").json()
    found = [(each, asked) for each in map(Execution, content["items"]) for asked in each.approvals]
    found.sort(key=lambda pair: str(pair[1].get("since", "")))
    if args.output in ("json", "yaml"):
        from chaingraph_cli.terminal.output import OutputFormat, dump

        items = [_item(execution, asked) for execution, asked in found]
        print(dump({"approvals": items}, OutputFormat(args.output)))
    elif args.output == "name":
        print("\n".join(dict.fromkeys(execution.full_name for execution, _ in found)))
    elif not found:
        where = "" if args.all_namespaces else " in this namespace"
        print(f"Nothing waits for an approval{where}.")
    else:
        namespaces = ("NAMESPACE",) if args.all_namespaces else ()
        rows = [_row(execution, asked, namespaces=args.all_namespaces) for execution, asked in found]
        print(tables.table((*namespaces, *_COLUMNS), rows, headers=not args.no_headers))
    return 0


def _row(execution: Execution, asked: dict[str, Any], *, namespaces: bool) -> list[str]:
    return [
        *([execution.namespace] if namespaces else []),
        execution.name,
        str(asked["node"]),
        execution.flow,
        tables.since(str(asked.get("since", ""))),
        str(asked.get("until", "")),
        str(asked.get("prompt", "")),
    ]


def _item(execution: Execution, asked: dict[str, Any]) -> dict[str, Any]:
    return {"namespace": execution.namespace, "execution": execution.name, "flow": execution.flow, **asked}


COMMAND = Command(
    f"""\
List the nodes that wait for an approval, the longest wait first. Any user who may read {names.EXECUTION_PLURAL} sees
them; `approve` and `reject` answer.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph approvals
kubectl chaingraph approvals -A -o yaml
""",
)
