"""Waits until executions reach a goal."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Final

from chaingraph_cli.errors import NotFound, TimedOut
from chaingraph_cli.execution import Execution, describe, waits_for
from chaingraph_cli.executions.outcomes import Goal, Outcome
from chaingraph_cli.executions.versions import Version, follows, versions
from chaingraph_cli.kubectl import Kubectl
from chaingraph_cli.terminal.progress import ProgressLine

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_FIRST_READ_SECONDS: Final = 2.0
"""Until stderr reports why an execution has not started: most have by then."""

ACCEPTED: Final = "accepted"
END: Final = "end"
TREE: Final = "tree"
_Parser = argparse.ArgumentParser | argparse._MutuallyExclusiveGroup


def add_wait(parser: _Parser, *, bare: str) -> None:
    """Add `--wait`; `bare` is its value if none is given."""
    parser.add_argument(
        "--wait",
        nargs="?",
        choices=(ACCEPTED, END, TREE),
        const=bare,
        help="Wait until the change is applied (accepted), until the execution has also finished, with exit code 1 "
        "unless it completed (end), or until everything below it has finished as well (tree). "
        f"Without a value: {bare}.",
    )


def print_outcome(execution: Execution, outcome: Outcome) -> None:
    """Print the outcome after the name."""
    print(f"{execution.full_name} {outcome.text}", flush=True)


def add_timeout(parser: argparse.ArgumentParser, *, default: float) -> None:
    """Add `--timeout`; 0 means no limit."""
    shown = f"{default:g}s" if default else "no limit"
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=duration,
        default=default,
        help=f"Maximum time to wait, such as 30s, 5m or 1h30m; 0 means no limit. Default: {shown}.",
    )


def duration(text: str) -> float:
    """Parse `30s`, `5m`, `1h30m` or a number of seconds.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    if not text or _DURATION.sub("", text):
        raise argparse.ArgumentTypeError(f"invalid duration {text!r}: use for example 30s, 5m or 1h30m")
    return sum(float(number) * _SECONDS[unit or None] for number, unit in _DURATION.findall(text))


def await_outcomes(
    kubectl: Kubectl,
    executions: Sequence[Execution],
    goal: Goal,
    *,
    timeout: float,
    progress: bool = False,
    show: Callable[[Execution, Outcome], None] = print_outcome,
) -> int:
    """Wait until each execution has an outcome, print it, and return the largest exit code.

    While the first execution has not started, stderr reports why.

    Args:
        timeout: in seconds; 0 means no limit.
        progress: report its state on stderr after its start too.
        show: prints the outcome of one execution.

    Raises:
        TimedOut: `timeout` expired; the message has the state of each execution.
        NotFound: one was deleted before it had an outcome.
    """
    deadline = time.monotonic() + timeout if timeout else None
    left = {each.name: each for each in executions}
    code = 0
    with contextlib.closing(WaitProgress(always=progress)) as shown:
        for version in chain(map(Version, executions), versions(kubectl, left, deadline)):
            execution = version.execution
            if execution.name not in left or not follows(left[execution.name], execution):
                continue
            left[execution.name] = execution
            outcome = goal(execution)
            if outcome is not None:
                shown.close()
                show(execution, outcome)
                code = max(code, outcome.code)
                del left[execution.name]
            elif version.deleted:
                raise deleted(execution)
            if not left:
                return code
            shown.print_error(left.values())
    where = "; ".join(f"{each.name} is{'' if each.finished else ' still'} {describe(each)}" for each in left.values())
    raise TimedOut(f"Timed out after {timeout:g} s: {where}.", "Increase --timeout to wait longer.")


class WaitProgress:
    """Reports on stderr why the first remaining execution has not started.

    Args:
        always: report its state after its start too.
    """

    def __init__(self, *, always: bool = False) -> None:
        self._progress = ProgressLine()
        self._always = always
        self._quiet_until = time.monotonic() + _FIRST_READ_SECONDS

    def print_error(self, left: Collection[Execution]) -> None:
        first = next(iter(left))
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        if self._always and not first.waits:
            self._progress.show(f"{first.name} is {describe(first)}{more}")
        elif first.waits and (self._always or time.monotonic() >= self._quiet_until):
            self._progress.show(f"{first.name} has not started: {waits_for(first)}{more}")

    def close(self) -> None:
        self._progress.clear()


def deleted(execution: Execution) -> NotFound:
    """Make the error for an execution that was deleted during a wait."""
    return NotFound(f"{execution.full_name} was deleted during the wait. Its last state: {describe(execution)}.")
