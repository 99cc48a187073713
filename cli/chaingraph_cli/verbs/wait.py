"""`wait`: waits until executions finish or pause."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotFound
from chaingraph_cli.executions import outcomes
from chaingraph_cli.executions.targets import add_targets, read, report_errors, targets_of
from chaingraph_cli.executions.waiting import add_timeout, await_outcomes
from chaingraph_cli.executions.without_resource import no_resource
from chaingraph_cli.kubectl import Kubectl


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    parser.add_argument(
        "--for",
        dest="goal",
        choices=("finished", "completed", "failed", "stopped", "paused", "tree"),
        default="finished",
        help="What to wait for. finished (default): any final phase. tree: the end of everything below it as well.",
    )
    add_timeout(parser, default=0)


def _run(args: argparse.Namespace) -> int:
    kubectl = Kubectl.of(args)
    found, errors = read(kubectl, targets_of(args), no_resource)
    code = report_errors(errors)
    if not found and not errors:
        raise NotFound("No executions found.", f"List executions: {kubectl.typed('get')}")
    if not found:
        return code
    goal, tree = outcomes.reached(args.goal), args.goal == "tree"
    return await_outcomes(kubectl, found, goal, timeout=args.timeout, progress=tree) or code


COMMAND = Command(
    """\
Wait until executions finish or pause. Exit code 0 if all reached the state of --for, 1 if one finished in another
state, 124 if --timeout expired. If an execution has not started, stderr reports the reason for the wait: its Flow, a
worker or a quota. With --for tree, exit code 0 means that each execution and everything below it has completed; stderr
reports the progress.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph wait nightly
kubectl chaingraph wait nightly --for completed --timeout 10m && echo done
kubectl chaingraph wait -l batch=7 --for finished
kubectl chaingraph wait orders --for tree --timeout 1h
""",
)
