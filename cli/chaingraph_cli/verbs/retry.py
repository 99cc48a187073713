"""`retry`: the next attempt of executions that failed or were stopped."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.executions.edits import Operation, SpecEdit, add_edit, carry_out, remove, replace
from chaingraph_cli.executions.tokens import new_token

_FROM = {"failed": "Failed", "start": "Start"}


def _arguments(parser: argparse.ArgumentParser) -> None:
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


def _run(chosen: argparse.Namespace) -> int:
    token = new_token()

    def operations(execution: Execution) -> list[Operation]:
        made = [replace("stop", False)]
        if chosen.paused is not None:
            made.append(replace("paused", chosen.paused))
        if "stopReason" in execution.spec:
            made.append(remove("stopReason"))
        return [*made, replace("retry", {"token": token, "from": _FROM[chosen.from_]})]

    return carry_out(
        chosen, SpecEdit(operations, "is to be retried", outcomes.retried(token), guards.retry, guards.LIKELY["retry"])
    )


COMMAND = Command(
    """\
Run executions again that failed or were stopped: sets spec.retry to a new token, and spec.stop to false. Nodes that
completed are kept, unless --from start. spec.paused stays as it is, unless --paused or --no-paused. With --wait it
waits until the attempt has been taken up, with --wait=end until it has ended.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph retry nightly
kubectl chaingraph retry nightly --wait=end
kubectl chaingraph retry nightly --from start --paused
kubectl chaingraph retry -l batch=7
""",
)
