"""Waits for what the operator reports, by kubectl's watch. Used by `wait` and by every `--wait`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import select
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

from chaingraph_cli.errors import NotFound, TimedOut
from chaingraph_cli.plugin.execution import Execution, standing
from chaingraph_cli.plugin.kubectl import EXECUTIONS, Kubectl, fault_of
from chaingraph_cli.plugin.outcomes import Judge
from chaingraph_cli.plugin.progress import Progress

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_AGAIN_SECONDS: Final = 0.5
_REREAD_SECONDS: Final = 30.0
"""Until they are read again, beside the watch: it does not tell of what was deleted just before it began, and one whose
connection was lost on the way may never end. Each time it is twice as long until the next, as far as the following."""
_REREAD_MOST_SECONDS: Final = 300.0


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
    kubectl: Kubectl, executions: Sequence[Execution], judge: Judge, *, timeout: float, progress: bool = False
) -> int:
    """Wait until each has come to an outcome, and print it; returns the largest of their exit codes.

    Args:
        progress: say meanwhile where they stand.

    Raises:
        TimedOut: not within `timeout` seconds (0: no limit); the message says where each stands.
        NotFound: one was deleted meanwhile.
    """
    deadline = time.monotonic() + timeout if timeout else None
    left = {each.name: each for each in executions}
    code = 0
    with contextlib.closing(_Shown(progress)) as shown:
        for execution in chain(executions, _versions(kubectl, left, deadline)):
            if execution.name not in left or not _same(left[execution.name], execution):
                continue
            left[execution.name] = execution
            outcome = judge(execution)
            if outcome is not None:
                shown.close()
                print(f"{execution.full_name} {outcome.text}", flush=True)
                code = max(code, outcome.code)
                del left[execution.name]
            if not left:
                return code
            shown.standing(left.values())
    where = "; ".join(f"{each.name} is {standing(each)}" for each in left.values())
    raise TimedOut(f"Not within {timeout:g} s: {where}.", "It may still come to it: wait longer with --timeout.")


class _Shown:
    """Where those stand that are still waited for, if that is to be told."""

    def __init__(self, wanted: bool) -> None:
        self._progress = Progress() if wanted else None

    def standing(self, left: Collection[Execution]) -> None:
        if self._progress is not None:
            first = next(iter(left))
            more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
            self._progress.say(f"{first.name} is {standing(first)}{more}")

    def close(self) -> None:
        if self._progress is not None:
            self._progress.clear()


def _same(before: Execution, now: Execution) -> bool:
    return bool(before.item["metadata"]["uid"] == now.item["metadata"]["uid"])


def _versions(kubectl: Kubectl, left: Mapping[str, Execution], deadline: float | None) -> Iterator[Execution]:
    """The executions now, and each time that one changes; a watch that the server ends is begun again.

    Args:
        left: those that are waited for, by name; looked at each time, as some come to their outcome.

    Raises:
        NotFound: one that is waited for was deleted.
    """
    while deadline is None or time.monotonic() < deadline:
        with _watch(kubectl, list(left)) as process:
            for event in _events(process, deadline):
                if event is None:
                    yield from _read_again(kubectl, left)
                    continue
                execution = Execution(event["object"])
                if event["type"] == "DELETED" and execution.name in left and _same(left[execution.name], execution):
                    raise _deleted(execution)
                yield execution
            if process.poll() not in (None, 0):
                assert process.stderr is not None
                complaint = process.stderr.read()
                if complaint.strip():
                    raise fault_of(complaint)
        if deadline is None or time.monotonic() + _AGAIN_SECONDS < deadline:
            time.sleep(_AGAIN_SECONDS)


def _read_again(kubectl: Kubectl, left: Mapping[str, Execution]) -> list[Execution]:
    """All that the watch is of, in one list: kubectl asks for names one by one."""
    content = kubectl.run("get", EXECUTIONS, *_selected(list(left)), "-o", "json").json()
    found = {each.name: each for each in map(Execution, content["items"])}
    for name, execution in left.items():
        if name not in found or not _same(execution, found[name]):
            raise _deleted(execution)
    return [found[name] for name in left]


def _deleted(execution: Execution) -> NotFound:
    return NotFound(f"{execution.full_name} was deleted while it was waited for.")


@contextmanager
def _watch(kubectl: Kubectl, names: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = kubectl.start("get", EXECUTIONS, *_selected(names), "--watch", "--output-watch-events", "-o", "json")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _selected(names: Sequence[str]) -> list[str]:
    """What makes kubectl list these: one, or all of the namespace.

    By a selector, even of one: `get NAME --watch` reads the object first, begins to watch afterwards, and drops the
    first event, which it takes for what it has just read. What changed in between would not be told.
    """
    return [f"--field-selector=metadata.name={names[0]}"] if len(names) == 1 else []


def _events(process: subprocess.Popen[str], deadline: float | None) -> Iterator[dict[str, Any] | None]:
    """The changes that kubectl prints, one a line, until it ends or the time is over; None when it is time to read."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    buffer = b""
    pause = _REREAD_SECONDS
    again = time.monotonic() + pause
    while True:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return
        if now >= again:
            pause = min(2 * pause, _REREAD_MOST_SECONDS)
            again = now + pause
            yield None
        until = again if deadline is None else min(again, deadline)
        if not select.select([descriptor], [], [], max(until - time.monotonic(), 0.0))[0]:
            continue
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            process.wait()
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)
