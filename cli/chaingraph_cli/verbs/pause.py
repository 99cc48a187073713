"""`pause`: has executions stop before their next nodes."""

from __future__ import annotations

import argparse

from chaingraph_cli.commands import Command
from chaingraph_cli.executions import guards, outcomes
from chaingraph_cli.executions.edits import SpecEdit, add_edit, carry_out, replace


def _run(chosen: argparse.Namespace) -> int:
    edit = SpecEdit(
        lambda execution: [replace("paused", True)],
        "is to pause",
        outcomes.paused,
        guards.pause,
        guards.LIKELY["pause"],
    )
    return carry_out(chosen, edit)


COMMAND = Command(
    """\
Pause executions: sets spec.paused to true. Nodes in flight run to their end, and the next ones wait.
A pause that lasts holds no place in a worker, and survives every worker.""",
    add_edit,
    _run,
    examples="""
kubectl chaingraph pause nightly --wait
kubectl chaingraph pause -l team=data
kubectl chaingraph pause --all -n staging
""",
)
