"""`stop`: ends executions now, nodes in flight included."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.executions.edits import SpecEdit, add_edit, carry_out, replace
from chaingraph_cli.render import child_text


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_edit(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="Why, for people: in the status and the events.")


def _run(chosen: argparse.Namespace) -> int:
    operations = [replace("stop", True)] + ([replace("stopReason", chosen.reason)] if chosen.reason else [])
    return carry_out(
        chosen, SpecEdit(lambda execution: operations, _said, outcomes.stopped, guards.stop, guards.LIKELY["stop"])
    )


def _said(execution: Execution) -> str:
    return child_text.stop_of_tree(execution) if execution.finished else "is to stop"


COMMAND = Command(
    """\
End executions now: sets spec.stop to true. Nodes in flight are cancelled. It works on executions that wait, run or are
paused; and on one that has completed, while something below it has not ended: what is active there is stopped, and what
it has not spawned yet never will be. It cannot be taken back: only `retry` runs again what was stopped.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph stop nightly --reason "wrong input"
kubectl chaingraph stop -l batch=7 --wait
kubectl chaingraph stop orders --wait
""",
)
