"""`stop`: ends executions now, nodes in flight included."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.plugin import guards, outcomes
from chaingraph_cli.plugin.edits import Edit, add_edit, carry_out, replace


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_edit(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="Why, for people: in the status and the events.")


def _run(chosen: argparse.Namespace) -> int:
    operations = [replace("stop", True)] + ([replace("stopReason", chosen.reason)] if chosen.reason else [])
    return carry_out(
        chosen, Edit(lambda execution: operations, "is to stop", outcomes.stopped, guards.stop, guards.LIKELY["stop"])
    )


COMMAND = Command(
    """\
End executions now: sets spec.stop to true. Nodes in flight are cancelled; the children go as spec.children.onStop
says. It works on executions that wait, run or are paused. It cannot be taken back: only `retry` runs them again.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph stop nightly --reason "wrong input"
kubectl chaingraph stop -l batch=7 --wait
""",
)
