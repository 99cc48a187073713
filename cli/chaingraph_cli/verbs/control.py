"""`start`, `pause`, `resume`, `step`, `stop` and `retry`: each sets fields of `spec`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final

from chaingraph_cli.commands import Command
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.executions.edits import Operation, SpecEdit, add_edit, carry_out, remove, replace
from chaingraph_cli.executions.outcomes import Judge
from chaingraph_cli.executions.tokens import new_token
from chaingraph_cli.render import child_text

_FROM: Final = {"failed": "Failed", "start": "Start"}


def _edit(
    chosen: argparse.Namespace,
    verb: str,
    operations: Callable[[Execution], Sequence[Operation]],
    said: str | Callable[[Execution], str],
    applied: Judge,
) -> int:
    return carry_out(chosen, SpecEdit(operations, said, applied, guards.GUARDS[verb], guards.LIKELY[verb]))


def _start(chosen: argparse.Namespace) -> int:
    return _edit(chosen, "start", lambda execution: [replace("paused", False)], "is to start", outcomes.started)


def _pause(chosen: argparse.Namespace) -> int:
    return _edit(chosen, "pause", lambda execution: [replace("paused", True)], "is to pause", outcomes.paused)


def _resume(chosen: argparse.Namespace) -> int:
    token = new_token()
    operations = [replace("paused", False), replace("resume", token)]
    return _edit(chosen, "resume", lambda execution: operations, "is to go on", outcomes.resumed(token))


def _step(chosen: argparse.Namespace) -> int:
    token = new_token()
    return _edit(chosen, "step", lambda execution: [replace("step", token)], "is to step", outcomes.stepped(token))


def _stop_arguments(parser: argparse.ArgumentParser) -> None:
    add_edit(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="Why, for people: in the status and the events.")


def _stop(chosen: argparse.Namespace) -> int:
    operations = [replace("stop", True)] + ([replace("stopReason", chosen.reason)] if chosen.reason else [])
    return _edit(chosen, "stop", lambda execution: operations, _stop_said, outcomes.stopped)


def _stop_said(execution: Execution) -> str:
    return child_text.stop_of_tree(execution) if execution.finished else "is to stop"


def _retry_arguments(parser: argparse.ArgumentParser) -> None:
    add_edit(parser)
    parser.add_argument(
        "--from",
        dest="from_",
        choices=tuple(_FROM),
        default="failed",
        help="failed (default): what completed is kept and the rest is run; start: every node is run again.",
    )
    parser.add_argument(
        "--paused",
        action=argparse.BooleanOptionalAction,
        help="Begin paused, before the first node, for `step`; or not. By default spec.paused stays as it is: one that "
        "was created paused and has never started waits for its start again.",
    )


def _retry(chosen: argparse.Namespace) -> int:
    token = new_token()

    def operations(execution: Execution) -> list[Operation]:
        made = [replace("stop", False)]
        if chosen.paused is not None:
            made.append(replace("paused", chosen.paused))
        if "stopReason" in execution.spec:
            made.append(remove("stopReason"))
        return [*made, replace("retry", {"token": token, "from": _FROM[chosen.from_]})]

    return _edit(chosen, "retry", operations, "is to be retried", outcomes.retried(token))


START: Final = Command(
    "Start executions that were created paused: sets spec.paused to false.",
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
Pause executions: sets spec.paused to true. Nodes in flight run to their end, and the next ones wait.
A pause that lasts holds no place in a worker, and survives every worker.""",
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
Let paused executions go on, from a pause or from a breakpoint: sets spec.paused to false and spec.resume to a new
token.""",
    add_edit,
    _resume,
    examples="""
kubectl chaingraph resume nightly
kubectl chaingraph resume --all --wait
""",
)
STEP: Final = Command(
    """\
Run the nodes that wait, once, and stay paused before those that follow: sets spec.step to a new token. With --wait
it says before which nodes the execution then stands. One that was created paused runs step by step from its start.""",
    add_edit,
    _step,
    examples="""
kubectl chaingraph step nightly --wait
""",
)
STOP: Final = Command(
    """\
End executions now: sets spec.stop to true. Nodes in flight are cancelled. It works on executions that wait, run or are
paused; and on one that has completed, while something below it has not ended: what is active there is stopped, and what
it has not spawned yet never will be. It cannot be taken back: only `retry` runs again what was stopped.""",
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
Run executions again that failed or were stopped: sets spec.retry to a new token, and spec.stop to false. Nodes that
completed are kept, unless --from start. spec.paused stays as it is, unless --paused or --no-paused. With --wait it
waits until the attempt has been taken up, with --wait=end until it has ended.""",
    _retry_arguments,
    _retry,
    examples="""
kubectl chaingraph retry nightly
kubectl chaingraph retry nightly --wait=end
kubectl chaingraph retry nightly --from start --paused
kubectl chaingraph retry -l batch=7
""",
)
