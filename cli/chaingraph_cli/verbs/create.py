"""`create`: creates an Execution of a Flow, of a file, or like an earlier execution."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import Usage
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import inputs, manifest, outcomes, source
from chaingraph_cli.executions.outcomes import Goal, Outcome
from chaingraph_cli.executions.waiting import ACCEPTED, END, TREE, add_timeout, add_wait, await_outcomes
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.kubectl import FIELD_MANAGER, Kubectl
from chaingraph_cli.render.details import Typed, outputs
from chaingraph_cli.terminal.escapes import raw


def _arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("source, one of")
    group.add_argument("--flow", metavar="FLOW", help="A Flow of the namespace.")
    group.add_argument("-f", "--filename", metavar="FILE", help="YAML or JSON of a Flow or an Execution; - for stdin.")
    group.add_argument(
        "--from-execution",
        metavar="NAME",
        help="Run this execution again, with its inputs, events and options, on the current state of its Flow.",
    )
    parser.add_argument("--allow-missing", action="store_true", help="Create it even if its Flow does not exist yet.")
    parser.add_argument(
        "--name", metavar="TEXT", help="Name of the execution; defaults to the name of the flow with a suffix."
    )
    parser.add_argument(
        "--input",
        metavar="KEY=VALUE",
        dest="inputs",
        action="append",
        default=[],
        help="An input of the type that the flow declares: n=3, who=Ada, items='[1, 2]'. For an input of type any, "
        "VALUE is JSON or else a string: digits='\"3\"'. Repeatable.",
    )
    parser.add_argument(
        "--inputs-file", metavar="FILE", help="YAML or JSON file of inputs by name; --input overrides it."
    )
    parser.add_argument(
        "--event",
        metavar="KEY=VALUE",
        dest="events",
        action="append",
        default=[],
        help="An event to start from. The payload is JSON or else a string, and is optional. Repeatable.",
    )
    parser.add_argument(
        "--label", metavar="KEY=VALUE", dest="labels", action="append", default=[], help="A label. Repeatable."
    )
    parser.add_argument("--paused", action="store_true", help="Create it paused; `start` starts it.")
    parser.add_argument(
        "--breakpoint",
        metavar="NODE",
        dest="breakpoints",
        action="append",
        default=[],
        help="Pause before this node. Repeatable.",
    )
    after = parser.add_mutually_exclusive_group()
    add_wait(after, bare=END)
    after.add_argument(
        "--follow",
        action="store_true",
        help="Print its events until it and everything below it have finished; exit code as --wait.",
    )
    add_timeout(parser, default=0)
    parser.add_argument(
        "--dry-run", choices=("client", "server"), help="Print the object without creating it, as in kubectl."
    )
    add_gateway(parser)
    parser.add_argument(
        "-o",
        "--output",
        choices=("name", "json", "yaml"),
        help="Output format; with --wait, of the finished execution.",
    )


def _run(args: argparse.Namespace) -> int:
    if args.dry_run and (args.wait or args.follow):
        raise Usage("--dry-run cannot be combined with --wait or --follow.")
    if args.follow and args.output in ("json", "yaml"):
        raise Usage(f"--follow cannot be combined with -o {args.output}: use --wait instead.")
    kubectl = Kubectl.of(args)
    made = _made(args, source.of(args, kubectl))
    arguments = ["create", "-f", "-", f"--field-manager={FIELD_MANAGER}"]
    if args.dry_run:
        arguments.append(f"--dry-run={args.dry_run}")
    form = args.output if args.output and not (args.wait or args.follow) else "json"
    done = kubectl.run(*arguments, "-o", form, input_=manifest.text(made)).ok()
    if form != "json" or (args.output == "json" and not args.wait):
        # In YAML an escape would change the text; in JSON it does not.
        print(done.out, end="", flush=True, file=raw(sys.stdout) if form == "yaml" else sys.stdout)
        return 0
    execution = Execution(done.json())
    if args.output not in ("json", "yaml"):
        print(execution.full_name if args.output == "name" else execution.name, flush=True)
    if args.follow:
        from chaingraph_cli.render import follow

        return follow.to_its_end(args, kubectl, execution)
    if args.wait:
        return await_outcomes(
            kubectl,
            [execution],
            _goal(args),
            timeout=args.timeout,
            progress=args.wait == TREE,
            show=_show(args.output, kubectl.typed),
        )
    return 0


def _made(args: argparse.Namespace, run: source.Source) -> manifest.Manifest:
    of_file = manifest.inputs_of(args.inputs_file) if args.inputs_file else {}
    return manifest.made(
        manifest.CreateOptions(
            name=args.name,
            inputs={**of_file, **inputs.typed(args.inputs, run.flow, flow_name=run.flow_name)},
            events=[manifest.event(each) for each in args.events],
            labels=dict(inputs.pair(each, "--label") for each in args.labels),
            paused=args.paused,
            breakpoints=args.breakpoints,
        ),
        run.manifest,
    )


def _goal(args: argparse.Namespace) -> Goal:
    if args.wait == ACCEPTED:
        return outcomes.accepted
    if args.paused:
        return outcomes.held_or_ended
    return outcomes.tree_ended if args.wait == TREE else outcomes.ended


def _show(form: str | None, typed: Typed) -> Callable[[Execution, Outcome], None]:
    """Return a function that prints the outcome and the outputs, or the object."""

    def show(execution: Execution, outcome: Outcome) -> None:
        if form == "json":
            print(json.dumps(execution.item, indent=4, ensure_ascii=False), flush=True)
        elif form == "yaml":
            from chaingraph_crds.yaml.writing import written

            print(written(execution.item), end="", flush=True, file=raw(sys.stdout))
        elif form != "name":
            print("\n".join([f"{execution.full_name} {outcome.text}", *outputs(execution, typed)]), flush=True)

    return show


COMMAND = Command(
    """\
Create an execution and print its name. It runs a Flow of the namespace, the flow of a file (then inline), or the flow
of an earlier execution. An Execution in a file is created with the changes of the options. --wait prints the outputs
at the end.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph create --flow nightly
kubectl chaingraph create --flow hello --input who=Ada --wait
kubectl chaingraph create --flow hello --input who=Ada --wait -o json
kubectl chaingraph create --flow orders --wait tree
kubectl chaingraph create --from-execution nightly-7xk2p --input day=2026-11-30
kubectl chaingraph create -f flow.yaml --name trial --paused --breakpoint transform
kubectl chaingraph create --flow orders --event 'order={"id": 7}' --follow
kubectl chaingraph create --flow nightly --dry-run client -o yaml
""",
)
