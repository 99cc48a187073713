"""`get`: a table of executions, or one of them in full."""

from __future__ import annotations

import argparse
from typing import Final

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import CliError, NotFound, Usage
from chaingraph_cli.plugin import listing
from chaingraph_cli.plugin.details import details
from chaingraph_cli.plugin.execution import PHASES, Execution, is_id
from chaingraph_cli.plugin.kubectl import EXECUTIONS, Kubectl
from chaingraph_cli.plugin.targets import Targets, bare, read, told
from chaingraph_cli.plugin.unshown import Document, as_execution, child_of_ledger, no_resource, of_ledger

_FORMS: Final = ("json", "yaml", "name")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="One: shown in full. None: all of the namespace.")
    parser.add_argument("-l", "--selector", metavar="LABELS", default="", help="All with these labels, as a=b,c!=d.")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="Of every namespace.")
    parser.add_argument(
        "--phase",
        metavar="PHASE",
        type=listing.phase,
        help=f"Only those in this phase: {', '.join(PHASES)}.",
    )
    listing.add_output(parser)


def _run(chosen: argparse.Namespace) -> int:
    kubectl = Kubectl.of(chosen)
    selection = [
        *([f"--selector={chosen.selector}"] if chosen.selector else []),
        *([f"--field-selector=status.phase={chosen.phase}"] if chosen.phase else []),
        *(["--all-namespaces"] if chosen.all_namespaces else []),
    ]
    names = [bare(each) for each in chosen.names]
    if names and selection:
        raise Usage("Names exclude --selector, --phase and --all-namespaces.")
    if len(names) == 1:
        return _one(chosen, kubectl, names[0])
    if chosen.output in _FORMS:
        return kubectl.print("get", EXECUTIONS, *names, *selection, "-o", chosen.output)
    if names:
        found, faults = read(kubectl, Targets(tuple(names)), no_resource)
        if found:
            print(listing.rows_of(found, wide=chosen.output == "wide", headers=not chosen.no_headers))
        return told(faults)
    content = kubectl.run("get", EXECUTIONS, *selection, "-o", "json").json()
    found = [Execution(each) for each in content["items"]]
    if not found:
        print(f"No executions found{'' if chosen.all_namespaces else ' in this namespace'}.")
        return 0
    print(
        listing.rows_of(
            found,
            wide=chosen.output == "wide",
            namespaces=chosen.all_namespaces,
            headers=not chosen.no_headers,
        )
    )
    return 0


def _one(chosen: argparse.Namespace, kubectl: Kubectl, name: str) -> int:
    """One execution: its resource, or what the ledger has of one that is named by its id or has no resource."""
    if is_id(name):
        return _print_document(chosen, kubectl, of_ledger(kubectl, name))
    if chosen.output in _FORMS:
        try:
            return kubectl.print("get", EXECUTIONS, name, "-o", chosen.output)
        except NotFound as absent:
            return _unshown(chosen, kubectl, name, absent)
    found, faults = read(kubectl, Targets((name,)))
    if faults:
        return _unshown(chosen, kubectl, name, faults[0])
    _print(chosen, kubectl, found[0], shown=True)
    return 0


def _unshown(chosen: argparse.Namespace, kubectl: Kubectl, name: str, absent: CliError) -> int:
    document = child_of_ledger(kubectl, name)
    if document is None:
        raise absent
    return _print_document(chosen, kubectl, document)


def _print_document(chosen: argparse.Namespace, kubectl: Kubectl, document: Document) -> int:
    if chosen.output in ("json", "yaml"):
        from chaingraph_cli.output import OutputFormat, dump

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
List executions with their progress, or show one in full: conditions, nodes, outputs, error, attempts, children, and
what can be done next. One may also be named by its id, and a child that has no resource of its own is shown as the
gateway has it.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph get
kubectl chaingraph get --phase Paused -A
kubectl chaingraph get nightly
kubectl chaingraph get -l team=data -o wide
kubectl chaingraph get nightly -o yaml
kubectl chaingraph get EXQ4J7ZK2V3M5N6P7RSTUVWXYZ
""",
)
