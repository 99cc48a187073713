"""`create`: a new Execution, of a Flow by name, of a file with a flow, or of an Execution's manifest."""

from __future__ import annotations

import argparse
import sys

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotFound, Usage
from chaingraph_cli.plugin import manifest, outcomes
from chaingraph_cli.plugin.execution import Execution
from chaingraph_cli.plugin.gateway_options import add_gateway
from chaingraph_cli.plugin.kubectl import FIELD_MANAGER, FLOWS, Kubectl, fault_of, finish, nothing_there
from chaingraph_cli.plugin.waiting import add_timeout, await_outcomes
from chaingraph_cli.terminal import raw


def _arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run, one of these")
    what.add_argument("--flow", metavar="FLOW", help="A Flow of the namespace.")
    what.add_argument("-f", "--filename", metavar="FILE", help="YAML or JSON of a flow or an Execution; - is stdin.")
    parser.add_argument("--name", metavar="TEXT", help="Its name; by default made from the flow's, with a suffix.")
    parser.add_argument(
        "--input",
        metavar="KEY=VALUE",
        dest="inputs",
        action="append",
        default=[],
        help="An input; VALUE is JSON, or else a text as it is: n=3, who=Ada, digits='\"3\"'. Repeatable.",
    )
    parser.add_argument("--inputs-file", metavar="FILE", help="YAML or JSON with inputs by name; --input goes before.")
    parser.add_argument(
        "--event",
        metavar="KEY=VALUE",
        dest="events",
        action="append",
        default=[],
        help="An event to start from, with its payload as --input has values; VALUE may be left out. Repeatable.",
    )
    parser.add_argument("--label", metavar="KEY=VALUE", dest="labels", action="append", default=[], help="Repeatable.")
    parser.add_argument("--paused", action="store_true", help="Create it without starting it.")
    parser.add_argument(
        "--breakpoint",
        metavar="NODE",
        dest="breakpoints",
        action="append",
        default=[],
        help="A node before which it stops. Repeatable.",
    )
    after = parser.add_mutually_exclusive_group()
    after.add_argument(
        "--wait",
        nargs="?",
        choices=("end", "tree"),
        const="end",
        help="Wait for its end; exit code 1 unless it completes. --wait tree: for the end of everything below it too.",
    )
    after.add_argument(
        "--follow",
        action="store_true",
        help="Print the events as they come, until it and everything below it has ended; exit code as --wait.",
    )
    add_timeout(parser, default=0, what="--wait waits")
    parser.add_argument("--dry-run", choices=("client", "server"), help="Create nothing, as kubectl's.")
    add_gateway(parser)
    parser.add_argument("-o", "--output", choices=("name", "json", "yaml"), help="How to print what was created.")


def _run(chosen: argparse.Namespace) -> int:
    if bool(chosen.flow) == bool(chosen.filename):
        raise Usage("Say what to run, one of: --flow FLOW, -f FILE.")
    if chosen.dry_run and (chosen.wait or chosen.follow):
        raise Usage("--dry-run creates nothing to wait for: leave --wait and --follow out.")
    made = manifest.made(
        manifest.Wishes(
            name=chosen.name,
            inputs=manifest.inputs(chosen.inputs, chosen.inputs_file),
            events=[manifest.event(each) for each in chosen.events],
            labels=dict(manifest.pair(each, "--label") for each in chosen.labels),
            paused=chosen.paused,
            breakpoints=chosen.breakpoints,
        ),
        manifest.of_flow(chosen.flow) if chosen.flow else manifest.of_file(chosen.filename),
    )
    kubectl = Kubectl.of(chosen)
    asked = kubectl.start("get", FLOWS, chosen.flow, "-o", "name") if chosen.flow else None
    arguments = ["create", "-f", "-", f"--field-manager={FIELD_MANAGER}"]
    if chosen.dry_run:
        arguments.append(f"--dry-run={chosen.dry_run}")
    form = chosen.output if chosen.output and not (chosen.wait or chosen.follow) else "json"
    done = kubectl.run(*arguments, "-o", form, input_=manifest.text(made)).ok()
    if form != "json" or chosen.output == "json":
        # kubectl's own YAML: an escape would be another text there. JSON stays the same JSON.
        print(done.out, end="", flush=True, file=raw(sys.stdout) if form == "yaml" else sys.stdout)
        execution = None
    else:
        execution = Execution(done.json())
        print(execution.full_name if chosen.output == "name" else execution.name, flush=True)
    if asked is not None:
        said = finish(asked)
        if said.code != 0 and isinstance(fault_of(said.complaint), NotFound):
            _warn(kubectl, chosen.flow)
    if execution is None:
        return 0
    if chosen.follow:
        from chaingraph_cli.plugin import follow

        return follow.to_its_end(chosen, kubectl, execution)
    if chosen.wait:
        tree = chosen.wait == "tree"
        judge = outcomes.held_or_ended if chosen.paused else outcomes.tree_ended if tree else outcomes.ended
        return await_outcomes(kubectl, [execution], judge, timeout=chosen.timeout, progress=tree)
    return 0


def _warn(kubectl: Kubectl, flow: str) -> None:
    fault = nothing_there(kubectl, flow, FLOWS)
    sys.stdout.flush()
    print(f"Warning: there is no Flow {flow!r} yet, and the execution waits for it. {fault.hint}", file=sys.stderr)


COMMAND = Command(
    """\
Create an execution and print its name. It runs a Flow of the namespace, or the flow of a file, which is then its own;
a file with an Execution is created as it is, with what the options change.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph create --flow nightly
kubectl chaingraph create --flow hello --input who=Ada --wait
kubectl chaingraph create --flow orders --wait tree
kubectl chaingraph create -f flow.yaml --name trial --paused --breakpoint transform
kubectl chaingraph create --flow orders --event 'order={"id": 7}' --follow
kubectl chaingraph create --flow nightly --dry-run client -o yaml
""",
)
