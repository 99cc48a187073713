"""`get`: a table of executions, or one of them in full."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import Usage
from chaingraph_cli.plugin import listing
from chaingraph_cli.plugin.details import details
from chaingraph_cli.plugin.execution import Execution
from chaingraph_cli.plugin.kubectl import EXECUTIONS, Kubectl
from chaingraph_cli.plugin.targets import Targets, bare, read, told


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="One: shown in full. None: all of the namespace.")
    parser.add_argument("-l", "--selector", metavar="LABELS", default="", help="All with these labels, as a=b,c!=d.")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="Of every namespace.")
    parser.add_argument(
        "--phase",
        metavar="PHASE",
        type=_phase,
        help=f"Only those in this phase: {', '.join(listing.PHASES)}.",
    )
    listing.add_output(parser)


def _phase(text: str) -> str:
    found = next((each for each in listing.PHASES if each.lower() == text.lower()), None)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no phase: {', '.join(listing.PHASES)}")
    return found


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
    if chosen.output in ("json", "yaml", "name"):
        return kubectl.print("get", EXECUTIONS, *names, *selection, "-o", chosen.output)
    if names:
        found, faults = read(kubectl, Targets(tuple(names)))
        if len(names) == 1 and found and not chosen.output:
            print(details(found[0], kubectl.typed))
        elif found:
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


COMMAND = Command(
    """\
List executions with their progress, or show one in full: conditions, nodes, outputs, error, attempts, and what can be
done next.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph get
kubectl chaingraph get --phase Paused -A
kubectl chaingraph get nightly
kubectl chaingraph get -l team=data -o wide
kubectl chaingraph get nightly -o yaml
""",
)
