"""Edits of specs: read, judge, patch, and with `--wait` see it carried out.

A patch carries what its verb was validated on: the generation and the phase. When either has changed meanwhile, the API
server refuses it, and the verb is validated again on what is there now. So two people, or a person and a GitOps tool,
never undo one another's edits unseen; and only the fields of the verb are touched, the rest stays whose it is.

One execution is read and, beside that, edited on the condition that it is in the state in which the verb is mostly
used: the API server judges then. It saves the time of one kubectl, nearly half of the whole.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chaingraph_cli.commands import tell
from chaingraph_cli.errors import CliError, NotAllowed, NotFound
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import outcomes, waiting
from chaingraph_cli.executions.guards import VerbRefusal
from chaingraph_cli.executions.outcomes import Judge
from chaingraph_cli.executions.targets import Targets, add_targets, read, start_reading, targets_of, told, what_was_read
from chaingraph_cli.executions.unshown import no_resource
from chaingraph_cli.executions.waiting import add_timeout, await_outcomes, told_in_a_line
from chaingraph_cli.kubectl import EXECUTIONS, FIELD_MANAGER, Done, Kubectl, error_of, finish, nothing_there

_TOGETHER: Final = 8
"""kubectl processes at the same time."""
_ATTEMPTS: Final = 5
_CHANGED: Final = "the server rejected our request due to an error in our request"
"""kubectl's words for a JSON patch whose test failed, and for nothing else that an edit of ours can meet."""

Operation = dict[str, Any]


@dataclass(frozen=True)
class SpecEdit:
    """What a verb does to an execution.

    Attributes:
        operations: the JSON patch that makes the change, of the execution as it was read.
        said: words after the name once the API server has taken it; or makes them, of the checked execution.
        applied: tells from the status that it was done.
        guard: why not, in the state it is in.
        likely: values by JSON pointer; where they hold the guard allows it, whatever else there is. Empty: none.
    """

    operations: Callable[[Execution], Sequence[Operation]]
    said: str | Callable[[Execution], str]
    applied: Judge
    guard: Callable[[Execution], VerbRefusal | None]
    likely: Mapping[str, object] = field(default_factory=dict)

    def words(self, execution: Execution) -> str:
        """What is said of it."""
        return self.said if isinstance(self.said, str) else self.said(execution)


def replace(path: str, value: object) -> Operation:
    """Sets a field, whether it is there or not."""
    return {"op": "add", "path": f"/spec/{path}", "value": value}


def remove(path: str) -> Operation:
    return {"op": "remove", "path": f"/spec/{path}"}


def add_edit(parser: argparse.ArgumentParser) -> None:
    """The arguments that all edits share."""
    add_targets(parser)
    add_wait(parser)


def add_wait(parser: argparse.ArgumentParser) -> None:
    waiting.add_wait(parser, bare=waiting.ACCEPTED)
    add_timeout(parser, default=60, what="--wait waits")


def carry_out(chosen: argparse.Namespace, edit: SpecEdit) -> int:
    """The whole of a verb on the executions that the command line names; returns the exit code."""
    kubectl, targets = Kubectl.of(chosen), targets_of(chosen)
    guess = _guessed(kubectl, targets, edit)
    reading = start_reading(kubectl, targets)
    if guess is not None:
        guessed = finish(guess)
        if guessed.code == 0:
            reading.kill()
            finish(reading)
            return _after(chosen, kubectl, Execution(guessed.json()), edit)
    found, errors = what_was_read(kubectl, finish(reading), no_resource)
    if targets.selected and not found:
        print("No executions found.")
        return 0
    code = told(errors)
    applied = apply(kubectl, found, edit, wait=chosen.wait, timeout=chosen.timeout, selected=targets.selected)
    return code or applied


def _after(chosen: argparse.Namespace, kubectl: Kubectl, edited: Execution, edit: SpecEdit) -> int:
    print(f"{edited.full_name} {edit.words(edited)}", flush=True)
    return _awaited(kubectl, [edited], edit, chosen.wait, chosen.timeout)


def _awaited(kubectl: Kubectl, edited: Sequence[Execution], edit: SpecEdit, wait: str | None, timeout: float) -> int:
    """Waits as `--wait` says; the exit code."""
    if not wait:
        return 0
    told = told_in_a_line if wait == waiting.ACCEPTED else _told_unless_accepted
    code = await_outcomes(kubectl, edited, edit.applied, timeout=timeout, told=told)
    if code or wait == waiting.ACCEPTED:
        return code
    judge = outcomes.tree_ended if wait == waiting.TREE else outcomes.ended
    return await_outcomes(kubectl, edited, judge, timeout=timeout, progress=wait == waiting.TREE)


def _told_unless_accepted(execution: Execution, outcome: outcomes.Outcome) -> None:
    """Where the end is waited for, it is told instead."""
    if outcome.code:
        told_in_a_line(execution, outcome)


def _guessed(kubectl: Kubectl, targets: Targets, edit: SpecEdit) -> subprocess.Popen[str] | None:
    """The edit of the only execution, on the condition that it is as it is likely to be; None where that is no use."""
    if len(targets.names) != 1 or not edit.likely:
        return None
    unread = Execution({"metadata": {"name": targets.names[0]}})
    return kubectl.start(*_patch_arguments(unread, [*_tests(edit.likely), *edit.operations(unread)]))


def apply(
    kubectl: Kubectl,
    found: Sequence[Execution],
    edit: SpecEdit,
    *,
    wait: str | None,
    timeout: float,
    selected: bool = False,
) -> int:
    """Edit executions that were read; the exit code is that of the first that went wrong.

    Args:
        wait: as `--wait` has it, each time for `timeout` seconds at most; 0 is no limit.
        selected: nobody has named them one by one, so those that the verb does not fit are left alone.

    Raises:
        CliError: they were changed all the time, or did not come to what was waited for.
    """
    code = 0
    edited: list[Execution] = []
    for _ in range(_ATTEMPTS):
        allowed = [each for each in found if not _refused(kubectl, each, edit, quiet=selected)]
        if len(allowed) < len(found) and not selected:
            code = code or NotAllowed.exit_code
        changed, stale, failed = _patch(kubectl, allowed, edit)
        failures = told(failed)
        code = code or failures
        edited += changed
        if not stale:
            break
        found, errors = read(kubectl, Targets(tuple(each.name for each in stale)))
        absent = told(errors)
        code = code or absent
    else:
        raise CliError(
            f"{', '.join(each.name for each in stale)}: changed all the time while it was to be edited.", "Try again."
        )
    return max(code, _awaited(kubectl, edited, edit, wait, timeout)) if edited else code


def _refused(kubectl: Kubectl, execution: Execution, edit: SpecEdit, *, quiet: bool) -> bool:
    refusal = edit.guard(execution)
    if refusal is None:
        return False
    message = f"{execution.full_name} {refusal.why}."
    if quiet:
        print(f"{message} Left as it is.")
    else:
        tell(NotAllowed(message, f"Instead: {kubectl.typed(*refusal.instead)}" if refusal.instead else ""))
    return True


def _patch(
    kubectl: Kubectl, executions: Sequence[Execution], edit: SpecEdit
) -> tuple[list[Execution], list[Execution], list[CliError]]:
    """Patches them, some at a time: those that took it, those that had changed, and what else went wrong."""
    changed: list[Execution] = []
    stale: list[Execution] = []
    failed: list[CliError] = []
    for first in range(0, len(executions), _TOGETHER):
        group = executions[first : first + _TOGETHER]
        running = [
            kubectl.start(*_patch_arguments(each, [*_as_judged(each), *edit.operations(each)])) for each in group
        ]
        for execution, process in zip(group, running, strict=True):
            done = finish(process)
            if done.code == 0:
                changed.append(Execution(done.json()))
                print(f"{execution.full_name} {edit.words(execution)}", flush=True)
            elif _CHANGED in done.complaint:
                stale.append(execution)
            else:
                failed.append(_error(kubectl, execution, done))
    return changed, stale, failed


def _error(kubectl: Kubectl, execution: Execution, done: Done) -> CliError:
    error = error_of(done.complaint)
    return nothing_there(kubectl, execution.name) if isinstance(error, NotFound) else error


def _as_judged(execution: Execution) -> list[Operation]:
    """Tests that it is still what was validated."""
    values = {"/metadata/uid": execution.item["metadata"]["uid"], "/metadata/generation": execution.generation}
    return _tests(values | ({"/status/phase": execution.phase} if execution.status.get("phase") else {}))


def _tests(values: Mapping[str, object]) -> list[Operation]:
    return [{"op": "test", "path": path, "value": value} for path, value in values.items()]


def _patch_arguments(execution: Execution, operations: Sequence[Operation]) -> list[str]:
    return [
        "patch",
        EXECUTIONS,
        execution.name,
        "--type=json",
        f"--patch={json.dumps(list(operations))}",
        f"--field-manager={FIELD_MANAGER}",
        "-o",
        "json",
    ]
