"""`get`: lists executions, or shows one in detail."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import CliError, NotFound, Usage
from chaingraph_cli.execution import PHASES, Execution, is_id
from chaingraph_cli.executions.targets import Targets, bare, read, told
from chaingraph_cli.executions.unshown import Document, as_execution, child_of_ledger, no_resource, of_ledger
from chaingraph_cli.executions.waiting import duration
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


def _run(chosen: argparse.Namespace) -> int:
    kubectl = Kubectl.of(chosen)
    names = [bare(each) for each in chosen.names]
    chooses = (chosen.selector, chosen.phase, chosen.all_namespaces, chosen.children, chosen.flow, chosen.since)
    if names and any(chooses):
        raise Usage("NAME cannot be combined with --selector, --phase, --flow, --since, --all or --all-namespaces.")
    if chosen.watch:
        from chaingraph_cli.render.listing_watch import watch

        return watch(chosen, kubectl, names, selection(chosen), lambda each: _chosen(chosen, each))
    if len(names) == 1:
        return _one(chosen, kubectl, names[0])
    if names and chosen.output in _FORMS:
        return kubectl.print("get", EXECUTIONS, *names, "-o", chosen.output)
    if names:
        found, errors = read(kubectl, Targets(tuple(names)), no_resource)
        if found:
            print(listing.rows_of(found, wide=chosen.output == "wide", headers=not chosen.no_headers))
        return told(errors)
    content = kubectl.run("get", EXECUTIONS, *selection(chosen), "-o", "json").json()
    found = listing.newest_first([each for each in map(Execution, content["items"]) if _chosen(chosen, each)])
    if chosen.output in _FORMS:
        _print_list(found, chosen.output)
    elif found:
        print(_table(chosen, found))
    else:
        print(_nothing(chosen))
    return 0


def selection(chosen: argparse.Namespace) -> list[str]:
    """Return kubectl's options for the selection by the API server."""
    labels = [
        *([chosen.selector] if chosen.selector else []),
        *([] if chosen.children else [f"!{kinds.PARENT_ID_LABEL}"]),
    ]
    fields = {"status.phase": chosen.phase, "spec.flowRef.name": chosen.flow}
    chosen_fields = [f"{path}={value}" for path, value in fields.items() if value]
    return [
        *([f"--selector={','.join(labels)}"] if labels else []),
        *([f"--field-selector={','.join(chosen_fields)}"] if chosen_fields else []),
        *(["--all-namespaces"] if chosen.all_namespaces else []),
    ]


def _chosen(chosen: argparse.Namespace, execution: Execution) -> bool:
    if not (chosen.children or chosen.names) and "spawnedBy" in execution.spec:
        return False
    if not chosen.since:
        return True
    return tables.read_time(execution.created) >= datetime.now(UTC) - timedelta(seconds=chosen.since)


def _table(chosen: argparse.Namespace, found: list[Execution]) -> str:
    return listing.rows_of(
        found,
        wide=chosen.output == "wide",
        namespaces=chosen.all_namespaces,
        headers=not chosen.no_headers,
    )


def _nothing(chosen: argparse.Namespace) -> str:
    where = "" if chosen.all_namespaces else " in this namespace"
    narrowed = bool(chosen.selector or chosen.phase or chosen.flow or chosen.since)
    return f"No executions found{where}." + (
        " Use --all to list children too." if narrowed and not chosen.children else ""
    )


def _print_list(found: list[Execution], form: str) -> None:
    if form == "name":
        if found:
            print("\n".join(each.full_name for each in found))
        return
    from chaingraph_cli.terminal.output import OutputFormat, dump

    content: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": [each.item for each in found]}
    print(dump(content, OutputFormat(form)))


def _one(chosen: argparse.Namespace, kubectl: Kubectl, name: str) -> int:
    """Show one execution: its resource, or its data at the gateway if it is named by id or has no resource."""
    if is_id(name):
        return _print_document(chosen, kubectl, of_ledger(kubectl, name))
    if chosen.output in _FORMS:
        try:
            return kubectl.print("get", EXECUTIONS, name, "-o", chosen.output)
        except NotFound as absent:
            return _unshown(chosen, kubectl, name, absent)
    found, errors = read(kubectl, Targets((name,)))
    if errors:
        return _unshown(chosen, kubectl, name, errors[0])
    _print(chosen, kubectl, found[0], shown=True)
    return 0


def _unshown(chosen: argparse.Namespace, kubectl: Kubectl, name: str, absent: CliError) -> int:
    document = child_of_ledger(kubectl, name)
    if document is None:
        raise absent
    return _print_document(chosen, kubectl, document)


def _print_document(chosen: argparse.Namespace, kubectl: Kubectl, document: Document) -> int:
    if chosen.output in ("json", "yaml"):
        from chaingraph_cli.terminal.output import OutputFormat, dump

        print(dump(document, OutputFormat(chosen.output)))
    elif chosen.output == "name":
        print(document["name"])
    else:
        _print(chosen, kubectl, as_execution(document), shown=document["uid"] is not None)
    return 0


def _print(chosen: argparse.Namespace, kubectl: Kubectl, execution: Execution, *, shown: bool) -> None:
    if chosen.output:
        print(listing.rows_of([execution], wide=chosen.output == "wide", headers=not chosen.no_headers))
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
