"""`wait`: until executions have ended, or are paused; its exit code says how."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotFound
from chaingraph_cli.executions import outcomes
from chaingraph_cli.executions.targets import add_targets, read, targets_of, told
from chaingraph_cli.executions.unshown import no_resource
from chaingraph_cli.executions.waiting import add_timeout, await_outcomes
from chaingraph_cli.kubectl import Kubectl


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    parser.add_argument(
        "--for",
        dest="wanted",
        choices=("finished", "completed", "failed", "stopped", "paused", "tree"),
        default="finished",
        help="What to wait for; finished (default) is any end, tree is the end of everything below it as well.",
    )
    add_timeout(parser, default=0, what="it waits")


def _run(chosen: argparse.Namespace) -> int:
    kubectl = Kubectl.of(chosen)
    found, errors = read(kubectl, targets_of(chosen), no_resource)
    code = told(errors)
    if not found and not errors:
        raise NotFound("There are no such executions.", f"List them: {kubectl.typed('get')}")
    if not found:
        return code
    judge, tree = outcomes.reached(chosen.wanted), chosen.wanted == "tree"
    return await_outcomes(kubectl, found, judge, timeout=chosen.timeout, progress=tree) or code


COMMAND = Command(
    """\
Wait until executions have ended, or are paused. Exit code 0 when each came to what was waited for, 1 when one ended
otherwise, 124 when the time was over. What has not started is waited for as well: its Flow, a worker or a quota may be
missing, and stderr says which. With --for tree it is 0 when each has completed and so has everything below it;
meanwhile stderr says how far they are.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph wait nightly
kubectl chaingraph wait nightly --for completed --timeout 10m && echo well
kubectl chaingraph wait -l batch=7 --for finished
kubectl chaingraph wait orders --for tree --timeout 1h
""",
)
