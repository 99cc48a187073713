"""`start`: lets executions begin that were created with `paused: true`."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.executions.edits import SpecEdit, add_edit, carry_out, replace


def _run(chosen: argparse.Namespace) -> int:
    edit = SpecEdit(
        lambda execution: [replace("paused", False)],
        "is to start",
        outcomes.started,
        guards.start,
        guards.LIKELY["start"],
    )
    return carry_out(chosen, edit)


COMMAND = Command(
    "Start executions that were created paused: sets spec.paused to false.",
    add_edit,
    _run,
    examples="""
kubectl chaingraph create --flow nightly --name tonight --paused
kubectl chaingraph start tonight
kubectl chaingraph start -l batch=7 --wait
""",
)
