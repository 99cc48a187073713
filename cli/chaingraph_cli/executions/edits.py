"""Edits specs: read, validate, patch, and with `--wait` wait for the effect.

A patch tests the generation and the phase that its verb was validated on. If either has changed, the API server rejects
the patch and the verb is validated again. So two users, or a user and a GitOps tool, never undo each other's edits
unseen. A patch sets the fields of its verb and leaves all others to their owners.

For a single execution, a patch that tests for the verb's most likely state is sent beside the read. If it succeeds, it
saves the time of one kubectl, nearly half of the total.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chaingraph_cli.commands import print_error
from chaingraph_cli.errors import CliError, NotAllowed, NotFound
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions import outcomes, waiting
from chaingraph_cli.executions.guards import VerbRefusal
from chaingraph_cli.executions.outcomes import Goal
from chaingraph_cli.executions.targets import (
    Targets,
    add_targets,
    read,
    report_errors,
    start_reading,
    targets_of,
    what_was_read,
)
from chaingraph_cli.executions.waiting import add_timeout, await_outcomes, print_outcome
from chaingraph_cli.executions.without_resource import no_resource
from chaingraph_cli.kubectl import EXECUTIONS, FIELD_MANAGER, Kubectl, Result, error_of, finish, nothing_there

_TOGETHER: Final = 8
"""kubectl processes at a time."""
_ATTEMPTS: Final = 5
_CHANGED: Final = "the server rejected our request due to an error in our request"
"""kubectl's message for a JSON patch whose test failed; no other error of our edits has it."""

Operation = dict[str, Any]


@dataclass(frozen=True)
class SpecEdit:
    """The edit of a verb.

    Attributes:
        operations: makes the JSON patch for an execution.
        said: what to print after the name once the API server has accepted the patch.
        applied: the goal of `--wait`.
        guard: the reason that the verb does not apply in the current state, if there is one.
        likely: values by JSON pointer that satisfy the guard; empty if no few values do.
        tells: whether the outcome of `--wait` is printed also if the wait continues to the end.
    """

    operations: Callable[[Execution], Sequence[Operation]]
    said: str | Callable[[Execution], str]
    applied: Goal
    guard: Callable[[Execution], VerbRefusal | None]
    likely: Mapping[str, object] = field(default_factory=dict)
    tells: bool = False

    def words(self, execution: Execution) -> str:
        """Return what to print after the name."""
        return self.said if isinstance(self.said, str) else self.said(execution)


def replace(path: str, value: object) -> Operation:
    """Set a field, whether it exists or not."""
    return {"op": "add", "path": f"/spec/{path}", "value": value}


def remove(path: str) -> Operation:
    return {"op": "remove", "path": f"/spec/{path}"}


def add_edit(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all edits share."""
    add_targets(parser)
    add_wait(parser)


def add_wait(parser: argparse.ArgumentParser) -> None:
    waiting.add_wait(parser, bare=waiting.ACCEPTED)
    add_timeout(parser, default=60)


def carry_out(args: argparse.Namespace, edit: SpecEdit) -> int:
    """Run a verb on the executions of the command line and return the exit code."""
    kubectl, targets = Kubectl.of(args), targets_of(args)
    guess = _guessed(kubectl, targets, edit)
    reading = start_reading(kubectl, targets)
    if guess is not None:
        guessed = finish(guess)
        if guessed.code == 0:
            reading.kill()
            finish(reading)
            return _after(args, kubectl, Execution(guessed.json()), edit)
    found, errors = what_was_read(kubectl, finish(reading), no_resource)
    if targets.selected and not found:
        print("No executions found.")
        return 0
    code = report_errors(errors)
    applied = apply(kubectl, found, edit, wait=args.wait, timeout=args.timeout, selected=targets.selected)
    return code or applied


def _after(args: argparse.Namespace, kubectl: Kubectl, edited: Execution, edit: SpecEdit) -> int:
    print(f"{edited.full_name} {edit.words(edited)}", flush=True)
    return _awaited(kubectl, [edited], edit, args.wait, args.timeout)


def _awaited(kubectl: Kubectl, edited: Sequence[Execution], edit: SpecEdit, wait: str | None, timeout: float) -> int:
    """Wait as `--wait` says and return the exit code."""
    if not wait:
        return 0
    show = print_outcome if wait == waiting.ACCEPTED or edit.tells else _print_failure
    code = await_outcomes(kubectl, edited, edit.applied, timeout=timeout, show=show)
    if code or wait == waiting.ACCEPTED:
        return code
    goal = outcomes.tree_ended if wait == waiting.TREE else outcomes.ended
    return await_outcomes(kubectl, edited, goal, timeout=timeout, progress=wait == waiting.TREE)


def _print_failure(execution: Execution, outcome: outcomes.Outcome) -> None:
    """Print failures alone: the wait for the end prints its own outcome."""
    if outcome.code:
        print_outcome(execution, outcome)


def _guessed(kubectl: Kubectl, targets: Targets, edit: SpecEdit) -> subprocess.Popen[str] | None:
    """Start the patch for the likely state of a single execution; None if there are several or no such state."""
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
    """Edit executions and return the exit code of the first failure.

    Args:
        wait: the value of `--wait`.
        timeout: the limit of each wait in seconds; 0 means no limit.
        selected: they were selected, not named, so those that the verb does not apply to are skipped.

    Raises:
        CliError: they kept changing, or `timeout` expired.
    """
    code = 0
    edited: list[Execution] = []
    for _ in range(_ATTEMPTS):
        allowed = [each for each in found if not _refused(kubectl, each, edit, quiet=selected)]
        if len(allowed) < len(found) and not selected:
            code = code or NotAllowed.exit_code
        changed, stale, failed = _patch(kubectl, allowed, edit)
        failures = report_errors(failed)
        code = code or failures
        edited += changed
        if not stale:
            break
        found, errors = read(kubectl, Targets(tuple(each.name for each in stale)))
        absent = report_errors(errors)
        code = code or absent
    else:
        raise CliError(f"{', '.join(each.name for each in stale)} kept changing during the edit.", "Try again.")
    return max(code, _awaited(kubectl, edited, edit, wait, timeout)) if edited else code


def _refused(kubectl: Kubectl, execution: Execution, edit: SpecEdit, *, quiet: bool) -> bool:
    refusal = edit.guard(execution)
    if refusal is None:
        return False
    message = f"{execution.full_name} {refusal.why}."
    if quiet:
        print(f"{message} Skipped.")
    else:
        print_error(NotAllowed(message, f"Use instead: {kubectl.typed(*refusal.instead)}" if refusal.instead else ""))
    return True


def _patch(
    kubectl: Kubectl, executions: Sequence[Execution], edit: SpecEdit
) -> tuple[list[Execution], list[Execution], list[CliError]]:
    """Patch executions, some at a time; returns the patched ones, those that had changed, and the errors."""
    changed: list[Execution] = []
    stale: list[Execution] = []
    failed: list[CliError] = []
    for first in range(0, len(executions), _TOGETHER):
        group = executions[first : first + _TOGETHER]
        running = [
            kubectl.start(*_patch_arguments(each, [*_as_validated(each), *edit.operations(each)])) for each in group
        ]
        for execution, process in zip(group, running, strict=True):
            done = finish(process)
            if done.code == 0:
                changed.append(Execution(done.json()))
                print(f"{execution.full_name} {edit.words(execution)}", flush=True)
            elif _CHANGED in done.stderr:
                stale.append(execution)
            else:
                failed.append(_error(kubectl, execution, done))
    return changed, stale, failed


def _error(kubectl: Kubectl, execution: Execution, done: Result) -> CliError:
    error = error_of(done.stderr)
    return nothing_there(kubectl, execution.name) if isinstance(error, NotFound) else error


def _as_validated(execution: Execution) -> list[Operation]:
    """Make operations that test that the execution is still the validated one."""
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
