"""Waits for what the operator reports, version by version."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Final

from chaingraph_cli.errors import NotFound, TimedOut
from chaingraph_cli.execution import Execution, standing, waits_for
from chaingraph_cli.executions.outcomes import Judge, Outcome
from chaingraph_cli.executions.versions import Version, follows, versions
from chaingraph_cli.kubectl import Kubectl
from chaingraph_cli.terminal.progress import ProgressLine

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_FIRST_READ_SECONDS: Final = 2.0
"""Until stderr says what an execution waits for that has not started: most start before."""

ACCEPTED: Final = "accepted"
END: Final = "end"
TREE: Final = "tree"
_Parser = argparse.ArgumentParser | argparse._MutuallyExclusiveGroup


def add_wait(parser: _Parser, *, bare: str) -> None:
    """`--wait`, which means the same for every verb; `bare` is meant where no value is given."""
    parser.add_argument(
        "--wait",
        nargs="?",
        choices=(ACCEPTED, END, TREE),
        const=bare,
        help="What to wait for. accepted: the operator has carried it out. end: the execution has ended too, with exit "
        "code 1 unless it completed. tree: and everything below it has. By default "
        f"{bare}.",
    )


def told_in_a_line(execution: Execution, outcome: Outcome) -> None:
    """Prints the outcome after the name."""
    print(f"{execution.full_name} {outcome.text}", flush=True)


def add_timeout(parser: argparse.ArgumentParser, *, default: float, what: str) -> None:
    shown = f"{default:g}s" if default else "no limit"
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=duration,
        default=default,
        help=f"How long {what} at most, as 30s, 5m or 1h30m; 0 is no limit. By default {shown}.",
    )


def duration(text: str) -> float:
    """Seconds of `30s`, `5m`, `1h30m` or a plain number of seconds.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    if not text or _DURATION.sub("", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time, as 30s, 5m or 1h30m")
    return sum(float(number) * _SECONDS[unit or None] for number, unit in _DURATION.findall(text))


def await_outcomes(
    kubectl: Kubectl,
    executions: Sequence[Execution],
    judge: Judge,
    *,
    timeout: float,
    progress: bool = False,
    told: Callable[[Execution, Outcome], None] = told_in_a_line,
) -> int:
    """Wait until each has come to an outcome, and print it; returns the largest of their exit codes.

    Meanwhile stderr says what the first one waits for, while it has not started.

    Args:
        progress: say also later where it stands.
        told: prints the outcome of one.

    Raises:
        TimedOut: not within `timeout` seconds (0: no limit); the message says where each stands.
        NotFound: one was deleted meanwhile, before it came to an outcome.
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
            outcome = judge(execution)
            if outcome is not None:
                shown.close()
                told(execution, outcome)
                code = max(code, outcome.code)
                del left[execution.name]
            elif version.deleted:
                raise deleted(execution)
            if not left:
                return code
            shown.tell(left.values())
    where = "; ".join(f"{each.name} is {standing(each)}" for each in left.values())
    raise TimedOut(f"Not within {timeout:g} s: {where}.", "It may still come to it: wait longer with --timeout.")


class WaitProgress:
    """Says on stderr where those stand that are still waited for: what keeps the first one from its start.

    Args:
        always: also how far it is once it has started.
    """

    def __init__(self, *, always: bool = False) -> None:
        self._progress = ProgressLine()
        self._always = always
        self._quiet_until = time.monotonic() + _FIRST_READ_SECONDS

    def tell(self, left: Collection[Execution]) -> None:
        first = next(iter(left))
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        if self._always and not first.waits:
            self._progress.say(f"{first.name} is {standing(first)}{more}")
        elif first.waits and (self._always or time.monotonic() >= self._quiet_until):
            self._progress.say(f"{first.name} has not started: {waits_for(first)}{more}")

    def close(self) -> None:
        self._progress.clear()


def deleted(execution: Execution) -> NotFound:
    """The error that says so."""
    return NotFound(f"{execution.full_name} was deleted while it was waited for. It was {standing(execution)}.")
