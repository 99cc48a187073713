"""Runs programs, waits for things, and says what goes on meanwhile. Used by everything here."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).parents[2]
_BEGAN: Final = time.monotonic()
_SHOWN_CHARACTERS: Final = 6000

Done = subprocess.CompletedProcess[str]
T = TypeVar("T")


class CommandFailed(AssertionError):
    """A program ended with an error; the message has what it printed."""


def say(text: str) -> None:
    """A line of progress, with the seconds since the beginning."""
    print(f"[{time.monotonic() - _BEGAN:4.0f} s] {text}", file=sys.stderr, flush=True)


def run(
    *command: str,
    input: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 600,
    check: bool = True,
) -> Done:
    """Runs a program to its end, its output in the result.

    Raises:
        CommandFailed: it ended with an error, and `check` is true; or it took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            list(command), input=input, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as expired:
        raise CommandFailed(f"{' '.join(command)}\ndid not end within {timeout:.0f} s") from expired
    if check and done.returncode:
        printed = (done.stdout + done.stderr)[-_SHOWN_CHARACTERS:]
        raise CommandFailed(f"{' '.join(command)}\nended with exit code {done.returncode} and printed:\n{printed}")
    return done


def until(what: str, found: Callable[[], T | None], *, within: float, every: float = 0.5) -> T:
    """Asks until there is an answer that is true, and returns it.

    Raises:
        AssertionError: there was none within so many seconds; says what was waited for.
    """
    deadline = time.monotonic() + within
    while True:
        answer = found()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {within:.0f} s in vain for this: {what}"
        time.sleep(every)
