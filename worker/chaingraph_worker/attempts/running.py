"""The attempts that run in this process, and notifications of external changes to them.

The operator writes a stop, a deletion or a hand-back into the attempt's row, which fences our writes, and a command
gets its number there. The notification only makes it take effect at once. A lost notification costs a moment, never
correctness: the rows are read every few seconds anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from chaingraph_store.attempts import runs
from chaingraph_store.hints import Hints
from chaingraph_store.ledger import CONTROL, Ledger
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics

_LOOK_SECONDS: Final = 3.0
"""Interval of reading the rows without a notification: a dead connection delivers none."""
_HEARD_EARLY: Final = 256
"""Maximum notifications kept for attempts that do not run here: one may be claimed and not running yet."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    claim: runs.Claim
    interrupt: Callable[[str], None]
    """End the engine, with the reason; nothing more is written."""
    hint: Callable[[int], None]
    """Record that the row has commands up to this number."""
    park_at_once: Callable[[], None]
    """Release the slot as soon as it is paused and nothing runs."""
    look_at_calls: Callable[[], None]
    """Read the ends of executions that its nodes have called."""
    look_at_signals: Callable[[int], Awaitable[None]]
    """Read the signals among the commands up to this number."""


class RunningAttempts:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._attempts: dict[str, RunningAttempt] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._hints = Hints(reread_seconds=_LOOK_SECONDS)
        self._heard_early: dict[str, None] = {}
        self._draining = False

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempt: RunningAttempt) -> None:
        former = self._attempts.get(attempt.claim.execution_id)
        if former is not None:
            # Stopped and retried, the execution came back before the former run was notified. Only this ends it.
            former.interrupt("a later run of the execution has started")
        self._attempts[attempt.claim.execution_id] = attempt
        if attempt.claim.execution_id in self._heard_early:
            # Notified between its claim and now: otherwise only the next reading of all rows would find it.
            del self._heard_early[attempt.claim.execution_id]
            self._hear(attempt.claim.execution_id)
        self._idle.clear()
        metrics.RUNNING.set(len(self._attempts))
        if self._draining:
            attempt.park_at_once()

    def remove(self, attempt: RunningAttempt) -> None:
        if self._attempts.get(attempt.claim.execution_id) is attempt:
            del self._attempts[attempt.claim.execution_id]
        metrics.RUNNING.set(len(self._attempts))
        if not self._attempts:
            self._idle.set()

    async def idle(self, *, within: float) -> bool:
        """Wait until nothing runs, at most `within` seconds. Returns whether nothing runs."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def drain(self) -> None:
        """Let no pause keep an attempt here from now on."""
        self._draining = True
        for attempt in self._attempts.values():
            attempt.park_at_once()

    def interrupt_all(self, reason: str) -> None:
        for attempt in list(self._attempts.values()):
            attempt.interrupt(reason)

    async def listen(self) -> None:
        """Listen for attempts that were ended or commanded from outside, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ledger.listen(CONTROL, self._hear, connected=self._hints.everything))
            tasks.create_task(retry_transient(partial(self._hints.follow, self._look), what="rows of running attempts"))

    def _hear(self, execution_id: str) -> None:
        if execution_id in self._attempts:
            self._hints.name(execution_id)
            return
        self._heard_early[execution_id] = None
        if len(self._heard_early) > _HEARD_EARLY:
            del self._heard_early[next(iter(self._heard_early))]

    async def _look(self, named: Sequence[str], everything: bool) -> None:
        ids = list(self._attempts) if everything else named
        attempts = {id_: attempt for id_ in ids if (attempt := self._attempts.get(id_))}
        if not attempts:
            return
        for attempt in attempts.values():
            attempt.look_at_calls()
        async with self._ledger.connection() as connection:
            news = await runs.not_ours(connection, [attempt.claim for attempt in attempts.values()])
        for execution_id, moved in news.items():
            _tell(attempts[execution_id], moved)
        for execution_id, moved in news.items():
            if moved.phase is None:
                await attempts[execution_id].look_at_signals(moved.control_seq)


def _tell(attempt: RunningAttempt, moved: runs.AttemptMoved) -> None:
    if moved.phase is None:
        attempt.hint(moved.control_seq)
        return
    _log.info("attempt interrupted from outside", execution_id=attempt.claim.execution_id, phase=moved.phase)
    attempt.interrupt(f"the execution is {moved.phase}")
