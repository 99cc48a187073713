"""`step`: runs the nodes that wait, once, and stays paused."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.executions.edits import SpecEdit, add_edit, carry_out, replace
from chaingraph_cli.executions.tokens import new_token


def _run(chosen: argparse.Namespace) -> int:
    token = new_token()
    edit = SpecEdit(
        lambda execution: [replace("step", token)],
        "is to step",
        outcomes.stepped(token),
        guards.step,
        guards.LIKELY["step"],
    )
    return carry_out(chosen, edit)


COMMAND = Command(
    """\
Run the nodes that wait, once, and stay paused before those that follow: sets spec.step to a new token. With --wait
it says before which nodes the execution then stands. One that was created paused runs step by step from its start.""",
    add_edit,
    _run,
    examples="""
kubectl chaingraph step nightly --wait
""",
)
