"""`resume`: lets paused executions go on, also those that stopped at a breakpoint."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.executions.edits import SpecEdit, add_edit, carry_out, replace
from chaingraph_cli.executions.tokens import new_token


def _run(chosen: argparse.Namespace) -> int:
    token = new_token()
    edit = SpecEdit(
        lambda execution: [replace("paused", False), replace("resume", token)],
        "is to go on",
        outcomes.resumed(token),
        guards.resume,
        guards.LIKELY["resume"],
    )
    return carry_out(chosen, edit)


COMMAND = Command(
    """\
Let paused executions go on, from a pause or from a breakpoint: sets spec.paused to false and spec.resume to a new
token.""",
    add_edit,
    _run,
    examples="""
kubectl chaingraph resume nightly
kubectl chaingraph resume --all --wait
""",
)
