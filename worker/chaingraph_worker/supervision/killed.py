"""Explain why a runner ended, and which tries of nodes ended with it. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chaingraph_worker.runner.endings import MEMORY_EXIT, NODE_KILLED, STUCK_EXIT, WORKER_LOST_EXIT

MOST_UNEXPLAINED: Final = 3
"""Maximum consecutive losses of an execution's runner without a responsible node, and without a finished one."""


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
    """The end of a runner that had an execution. `charged`: the execution caused it."""

    cause: Cause
    message: str
    charged: bool = True


def explain(code: int | None, told: Cause | None, bounds: Bounds) -> Ended:
    """Explain the end of a runner.

    Args:
        code: its exit code, negative for a signal; None when unknown.
        told: why this worker killed it, if it did.
    """
    if told is Cause.SILENT:
        return Ended(
            told,
            f"blocked the event loop for {bounds.silence_seconds:g} s (CHAINGRAPH_RUNNER_SILENCE_SECONDS). Use await, "
            "or a plain `def run`, which runs in a thread",
        )
    if told is Cause.MEMORY or code == MEMORY_EXIT:
        return Ended(Cause.MEMORY, f"took more than {bounds.memory_mb} MB of memory (CHAINGRAPH_RUNNER_MEMORY_MB)")
    if told is Cause.MESSAGE:
        return Ended(told, "corrupted its process: it sent an invalid message")
    if code == STUCK_EXIT:
        return Ended(Cause.STUCK, "did not end after its timeout")
    if code == -signal.SIGXCPU:
        return Ended(
            Cause.CPU, f"took more than {bounds.cpu_seconds} s of processor time (CHAINGRAPH_RUNNER_CPU_SECONDS)"
        )
    if code is None or code in (-signal.SIGALRM, WORKER_LOST_EXIT):
        # The worker itself was blocked: it would have seen a silence before the alarm came.
        return Ended(Cause.LOST, "its process ended", charged=False)
    if code == -signal.SIGKILL:
        return Ended(
            Cause.MEMORY,
            "its process was killed with SIGKILL: the container reached its memory limit, or another process killed it",
        )
    if code < 0:
        return Ended(Cause.CRASH, f"crashed its process with {signal.Signals(-code).name}")
    return Ended(Cause.CRASH, f"ended its process with exit code {code}")


@dataclass(frozen=True, slots=True)
class KilledTry:
    """A try that ended with its process, as passed to the next engine."""

    node_id: str
    tries: int
    started_at: int
    reason: str
    message: str


class KilledRecord:
    """The losses of an execution while this worker has it, from its claim to its end."""

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
        """Record the end of a runner. Returns why the execution cannot continue, or None when it can.

        Args:
            suspects: the nodes whose code was running at its end.
            last: the last node whose code was on the event loop; empty without one. It is held responsible when there
                is
                no better suspect: it alone runs again, and pays with a try.
            tries: of the running nodes, as far as reported: the number of the try and the time of the first one.
            stuck: the node that was reported not to end.
            progressed: a node has finished since the last such end.
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
            f"its process was lost {self._unexplained} times without a node finishing in between; the last time: "
            f"{ended.message}"
        )
