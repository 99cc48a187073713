"""`get`: lists executions, or shows one in detail."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import CliError, NotFound, Usage
from chaingraph_cli.execution import PHASES, Execution, is_id
from chaingraph_cli.executions.targets import Targets, bare, read, report_errors
from chaingraph_cli.executions.waiting import duration
from chaingraph_cli.executions.without_resource import Document, as_execution, no_resource, read_child, read_document
from chaingraph_cli.kubectl import EXECUTIONS, Kubectl
from chaingraph_cli.render import listing
from chaingraph_cli.render.details import details
from chaingraph_cli.terminal import tables
from chaingraph_crds import names as kinds

_FORMS: Final = ("json", "yaml", "name")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="Show these executions, one alone in detail. Without NAME: list the roots of the namespace.",
    )
    parser.add_argument("-l", "--selector", metavar="LABELS", default="", help="Label selector, for example a=b,c!=d.")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="List executions of all namespaces.")
    parser.add_argument("--all", action="store_true", dest="children", help="List children too, not only roots.")
    parser.add_argument("--flow", metavar="FLOW", default="", help="Only executions of this Flow.")
    parser.add_argument(
        "--phase",
        metavar="PHASE",
        type=listing.phase,
        help=f"Only executions in this phase: {', '.join(PHASES)}.",
    )
    parser.add_argument(
        "--since", metavar="TIME", type=duration, help="Only executions created within this time, such as 30m or 24h."
    )
    parser.add_argument(
        "-w", "--watch", action="store_true", help="Print each execution again when it changes, until Ctrl-C."
    )
    listing.add_output(parser)


def _run(args: argparse.Namespace) -> int:
    kubectl = Kubectl.of(args)
    names = [bare(each) for each in args.names]
    chooses = (args.selector, args.phase, args.all_namespaces, args.children, args.flow, args.since)
    if names and any(chooses):
        raise Usage("NAME cannot be combined with --selector, --phase, --flow, --since, --all or --all-namespaces.")
    if args.watch:
        from chaingraph_cli.render.listing_watch import watch

        return watch(args, kubectl, names, selection(args), lambda each: _matches(args, each))
    if len(names) == 1:
        return _one(args, kubectl, names[0])
    if names and args.output in _FORMS:
        return kubectl.print("get", EXECUTIONS, *names, "-o", args.output)
    if names:
        found, errors = read(kubectl, Targets(tuple(names)), no_resource)
        if found:
            print(listing.rows_of(found, wide=args.output == "wide", headers=not args.no_headers))
        return report_errors(errors)
    content = kubectl.run("get", EXECUTIONS, *selection(args), "-o", "json").json()
    found = listing.newest_first([each for each in map(Execution, content["items"]) if _matches(args, each)])
    if args.output in _FORMS:
        _print_list(found, args.output)
    elif found:
        print(_table(args, found))
    else:
        print(_nothing(args))
    return 0


def selection(args: argparse.Namespace) -> list[str]:
    """Return kubectl's options for the selection by the API server."""
    labels = [
        *([args.selector] if args.selector else []),
        *([] if args.children else [f"!{kinds.PARENT_ID_LABEL}"]),
    ]
    fields = {"status.phase": args.phase, "spec.flowRef.name": args.flow}
    chosen_fields = [f"{path}={value}" for path, value in fields.items() if value]
    return [
        *([f"--selector={','.join(labels)}"] if labels else []),
        *([f"--field-selector={','.join(chosen_fields)}"] if chosen_fields else []),
        *(["--all-namespaces"] if args.all_namespaces else []),
    ]


def _matches(args: argparse.Namespace, execution: Execution) -> bool:
    if not (args.children or args.names) and "spawnedBy" in execution.spec:
        return False
    if not args.since:
        return True
    return tables.read_time(execution.created) >= datetime.now(UTC) - timedelta(seconds=args.since)


def _table(args: argparse.Namespace, found: list[Execution]) -> str:
    return listing.rows_of(
        found,
        wide=args.output == "wide",
        namespaces=args.all_namespaces,
        headers=not args.no_headers,
    )


def _nothing(args: argparse.Namespace) -> str:
    where = "" if args.all_namespaces else " in this namespace"
    narrowed = bool(args.selector or args.phase or args.flow or args.since)
    return f"No executions found{where}." + (
        " Use --all to list children too." if narrowed and not args.children else ""
    )


def _print_list(found: list[Execution], form: str) -> None:
    if form == "name":
        if found:
            print("\n".join(each.full_name for each in found))
        return
    from chaingraph_cli.terminal.output import OutputFormat, dump

    content: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": [each.item for each in found]}
    print(dump(content, OutputFormat(form)))


def _one(args: argparse.Namespace, kubectl: Kubectl, name: str) -> int:
    """Show one execution: its resource, or its data at the gateway if it is named by id or has no resource."""
    if is_id(name):
        return _print_document(args, kubectl, read_document(kubectl, name))
    if args.output in _FORMS:
        try:
            return kubectl.print("get", EXECUTIONS, name, "-o", args.output)
        except NotFound as absent:
            return _unshown(args, kubectl, name, absent)
    found, errors = read(kubectl, Targets((name,)))
    if errors:
        return _unshown(args, kubectl, name, errors[0])
    _print(args, kubectl, found[0], shown=True)
    return 0


def _unshown(args: argparse.Namespace, kubectl: Kubectl, name: str, absent: CliError) -> int:
    document = read_child(kubectl, name)
    if document is None:
        raise absent
    return _print_document(args, kubectl, document)


def _print_document(args: argparse.Namespace, kubectl: Kubectl, document: Document) -> int:
    if args.output in ("json", "yaml"):
        from chaingraph_cli.terminal.output import OutputFormat, dump

        print(dump(document, OutputFormat(args.output)))
    elif args.output == "name":
        print(document["name"])
    else:
        _print(args, kubectl, as_execution(document), shown=document["uid"] is not None)
    return 0


def _print(args: argparse.Namespace, kubectl: Kubectl, execution: Execution, *, shown: bool) -> None:
    if args.output:
        print(listing.rows_of([execution], wide=args.output == "wide", headers=not args.no_headers))
    else:
        print(details(execution, kubectl.typed, shown=shown))


COMMAND = Command(
    """\
List executions with their progress, or show one in detail: conditions, nodes, outputs, error, attempts, children and
the next commands. The list has root executions, newest first; --all adds their descendants. DONE counts finished nodes:
completed, failed or skipped. An execution can also be named by its id. A child without a Kubernetes resource is shown
with the data of the gateway.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph get
kubectl chaingraph get --flow orders --since 24h --phase Failed
kubectl chaingraph get --phase Paused -A
kubectl chaingraph get --watch
kubectl chaingraph get nightly
kubectl chaingraph get -l team=data --all -o wide
kubectl chaingraph get nightly -o yaml
kubectl chaingraph get EXQ4J7ZK2V3M5N6P7RSTUVWXYZ
""",
)
