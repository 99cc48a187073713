"""Why a runner ended, in words, and which tries of nodes ended with it. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chaingraph_worker.runner.endings import MEMORY_EXIT, NODE_KILLED, STUCK_EXIT, WORKER_LOST_EXIT

MOST_UNEXPLAINED: Final = 3
"""Runners that an execution may lose in a row without a node to blame, and without one that ends in between."""


class Cause(StrEnum):
    """Why a runner ended. A label of metrics."""

    SILENT = "silent"
    MEMORY = "memory"
    CPU = "cpu"
    STUCK = "stuck"
    CRASH = "crash"
    MESSAGE = "message"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits that messages name."""

    memory_mb: int
    cpu_seconds: int
    silence_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a runner ended while it had an execution. `charged`: its execution is why."""

    cause: Cause
    message: str
    charged: bool = True


def explain(code: int | None, told: Cause | None, bounds: Bounds) -> Ended:
    """How it ended.

    Args:
        code: its exit code, negative for a signal; None when nobody has seen its end.
        told: why this worker has killed it, if it has.
    """
    if told is Cause.SILENT:
        return Ended(
            told,
            f"did not let the runner answer for {bounds.silence_seconds:g} s: code on the event loop must give way "
            "within CHAINGRAPH_RUNNER_SILENCE_SECONDS",
        )
    if told is Cause.MEMORY or code == MEMORY_EXIT:
        return Ended(Cause.MEMORY, f"took more than {bounds.memory_mb} MB of memory (CHAINGRAPH_RUNNER_MEMORY_MB)")
    if told is Cause.MESSAGE:
        return Ended(told, "made its runner send what is no message of a runner")
    if code == STUCK_EXIT:
        return Ended(Cause.STUCK, "did not end when its time was over")
    if code == -signal.SIGXCPU:
        return Ended(
            Cause.CPU, f"took more than {bounds.cpu_seconds} s of processor time (CHAINGRAPH_RUNNER_CPU_SECONDS)"
        )
    if code is None or code in (-signal.SIGALRM, WORKER_LOST_EXIT):
        # The worker itself was held up: it would have seen a silence before the alarm came.
        return Ended(Cause.LOST, "its runner ended", charged=False)
    if code == -signal.SIGKILL:
        return Ended(
            Cause.MEMORY,
            "its runner was ended by SIGKILL: by the kernel, when the container's memory limit was met, or by hand",
        )
    if code < 0:
        return Ended(Cause.CRASH, f"crashed its runner with {signal.Signals(-code).name}")
    return Ended(Cause.CRASH, f"ended its runner with exit code {code}")


@dataclass(frozen=True, slots=True)
class KilledTry:
    """A try that ended with its process, as the next engine is told of it."""

    node_id: str
    tries: int
    started_at: int
    reason: str
    message: str


class KilledRecord:
    """What an execution has lost while this worker has it, from its claim to its end."""

    def __init__(self) -> None:
        self._killed: dict[str, KilledTry] = {}
        self._unexplained = 0

    @property
    def killed(self) -> tuple[KilledTry, ...]:
        """The last killed try of each node."""
        return tuple(self._killed.values())

    def add(
        self,
        ended: Ended,
        suspects: Sequence[str],
        last: str,
        tries: Mapping[str, tuple[int, int]],
        *,
        stuck: KilledTry | None,
        progressed: bool,
        now_ms: int,
    ) -> str | None:
        """Take the end of a runner. Returns why the execution cannot go on, or None when it can.

        Args:
            suspects: the nodes whose code ran at its end.
            last: the node whose code was on the event loop last; empty when none was. It is taken to be guilty when
                there is nothing better: it alone is run anew, and pays with a try.
            tries: of the nodes that ran, as far as it had reported: the number of the try and the first one's time.
            stuck: the node that it said would not end.
            progressed: a node has ended since the last such end.
        """
        if stuck is not None:
            self._killed[stuck.node_id] = stuck
            return None
        guilty = [each for each in suspects if each]
        if not guilty and len(tries) == 1:
            guilty = list(tries)
        elif not guilty and last:
            guilty = [last]
        if ended.charged and guilty:
            for id_ in guilty:
                former = self._killed.get(id_)
                number, since = tries.get(id_, ((former.tries + 1) if former else 1, now_ms))
                self._killed[id_] = KilledTry(id_, number, since, NODE_KILLED, ended.message)
            return None
        self._unexplained = 1 if progressed else self._unexplained + 1
        if self._unexplained < MOST_UNEXPLAINED:
            return None
        return (
            f"it lost its runner {self._unexplained} times without a node that ended in between; the last time it "
            f"{ended.message}"
        )
