"""`start`, `pause`, `resume`, `step`, `stop` and `retry`: each sets fields of `spec`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import Usage
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import guards, outcomes, waiting
from chaingraph_cli.executions.edits import Operation, SpecEdit, add_edit, carry_out, remove, replace
from chaingraph_cli.executions.outcomes import Goal
from chaingraph_cli.executions.tokens import new_token
from chaingraph_cli.render import children

_FROM: Final = {"failed": "Failed", "start": "Start"}


def _edit(
    args: argparse.Namespace,
    verb: str,
    operations: Callable[[Execution], Sequence[Operation]],
    said: str | Callable[[Execution], str],
    applied: Goal,
    *,
    tells: bool = False,
) -> int:
    return carry_out(args, SpecEdit(operations, said, applied, guards.GUARDS[verb], guards.LIKELY[verb], tells))


def _start(args: argparse.Namespace) -> int:
    return _edit(args, "start", lambda execution: [replace("paused", False)], "start requested", outcomes.started)


def _pause(args: argparse.Namespace) -> int:
    return _edit(args, "pause", lambda execution: [replace("paused", True)], "pause requested", outcomes.paused)


def _resume(args: argparse.Namespace) -> int:
    token = new_token()
    operations = [replace("paused", False), replace("resume", token)]
    return _edit(args, "resume", lambda execution: operations, "resume requested", outcomes.resumed(token))


def _step(args: argparse.Namespace) -> int:
    token = new_token()
    return _edit(args, "step", lambda execution: [replace("step", token)], "step requested", outcomes.stepped(token))


def _stop_arguments(parser: argparse.ArgumentParser) -> None:
    add_edit(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="Reason, shown in the status and the events.")


def _stop(args: argparse.Namespace) -> int:
    operations = [replace("stop", True)] + ([replace("stopReason", args.reason)] if args.reason else [])
    return _edit(args, "stop", lambda execution: operations, _stop_said, outcomes.stopped)


def _stop_said(execution: Execution) -> str:
    return children.stop_of_tree(execution) if execution.finished else "stop requested"


def _retry_arguments(parser: argparse.ArgumentParser) -> None:
    add_edit(parser)
    parser.add_argument(
        "--from",
        dest="from_",
        choices=tuple(_FROM),
        default="failed",
        help="failed (default): keep completed nodes and run the rest. start: run every node again.",
    )
    parser.add_argument(
        "--node",
        metavar="ID",
        help="Run this finished node again, and every node that depends on it. Other finished nodes are kept.",
    )
    parser.add_argument(
        "--latest",
        action="store_true",
        help="Take the latest revision of the Flow. Finished nodes are kept unless they, their inputs or a node before "
        "them have changed.",
    )
    parser.add_argument(
        "--paused",
        action=argparse.BooleanOptionalAction,
        help="Begin paused before the first node, or not. Default: spec.paused does not change. An execution that was "
        "created paused and has never started then waits for `start` again.",
    )


def _retry(args: argparse.Namespace) -> int:
    if args.node and args.from_ == "start":
        raise Usage("With --from start every node runs again.", "Leave out --node, or --from start.")
    token = new_token()
    tells = bool(args.node or args.latest)
    if tells:
        args.wait = args.wait or waiting.ACCEPTED
    request = {"token": token, "from": _FROM[args.from_]}
    request |= {"node": args.node} if args.node else {}
    request |= {"flowRevision": "Latest"} if args.latest else {}

    def operations(execution: Execution) -> list[Operation]:
        made = [replace("stop", False)]
        if args.paused is not None:
            made.append(replace("paused", args.paused))
        if "stopReason" in execution.spec:
            made.append(remove("stopReason"))
        return [*made, replace("retry", request)]

    return _edit(args, "retry", operations, "retry requested", outcomes.retried(token), tells=tells)


START: Final = Command(
    "Start executions that were created paused. Sets spec.paused to false.",
    add_edit,
    _start,
    examples="""
kubectl chaingraph create --flow nightly --name tonight --paused
kubectl chaingraph start tonight
kubectl chaingraph start -l batch=7 --wait
""",
)
PAUSE: Final = Command(
    """\
Pause executions. Sets spec.paused to true. Running nodes finish; the next nodes are held. A paused execution occupies
no worker slot and survives the loss of any worker.""",
    add_edit,
    _pause,
    examples="""
kubectl chaingraph pause nightly --wait
kubectl chaingraph pause -l team=data
kubectl chaingraph pause --all -n staging
""",
)
RESUME: Final = Command(
    """\
Resume executions from a pause or a breakpoint. Sets spec.paused to false and spec.resume to a new token.""",
    add_edit,
    _resume,
    examples="""
kubectl chaingraph resume nightly
kubectl chaingraph resume --all --wait
""",
)
STEP: Final = Command(
    """\
Run the held nodes once and pause before the nodes that follow. Sets spec.step to a new token. With --wait, prints the
nodes that are held next. An execution that was created paused runs step by step from its start.""",
    add_edit,
    _step,
    examples="""
kubectl chaingraph step nightly --wait
""",
)
STOP: Final = Command(
    """\
Stop executions now. Sets spec.stop to true. Running nodes are cancelled. Waiting, running and paused executions can be
stopped; so can a completed execution with unfinished descendants: its active descendants are stopped, and children that
were not spawned yet never are. A stop is final; `retry` runs a stopped execution again.""",
    _stop_arguments,
    _stop,
    examples="""
kubectl chaingraph stop nightly --reason "wrong input"
kubectl chaingraph stop -l batch=7 --wait
kubectl chaingraph stop orders --wait
""",
)
RETRY: Final = Command(
    """\
Retry executions that failed or were stopped. Sets spec.retry to a new token and spec.stop to false. Completed nodes are
kept, unless --from start. --node runs a finished node again, and all that depend on it; --latest takes the latest
revision of the Flow. Both wait until the new attempt is accepted, and print the numbers of kept and repeated nodes.
spec.paused does not change, unless --paused or --no-paused. --wait waits until the new attempt is accepted, --wait=end
until it has finished.""",
    _retry_arguments,
    _retry,
    examples="""
kubectl chaingraph retry nightly
kubectl chaingraph retry nightly --wait=end
kubectl chaingraph retry nightly --from start --paused
kubectl chaingraph retry nightly --node load
kubectl chaingraph retry nightly --latest
kubectl chaingraph retry -l batch=7
""",
)
