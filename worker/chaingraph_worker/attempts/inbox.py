"""Pass commands from a workflow's messages to the engine that runs in its step.

Only the workflow's main coroutine may receive messages, because it alone draws DBOS's function ids; the engine runs in
the step beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

Command = Mapping[str, Any]
"""`seq`, its number in the execution's row, and `kind`: PAUSE, RESUME, STEP, BREAKPOINTS, SIGNAL or CHILD_ENDED, with
their own fields."""


class CommandInbox:
    """Passes each command on once, in the order of the numbers. For use on the event loop."""

    def __init__(self) -> None:
        self._hinted = 0
        self._asked = 0
        self._applied = 0
        self._early: dict[int, Command] = {}
        self._carry_out: Callable[[Command], None] | None = None
        self._wake = asyncio.Event()
        self._closed = False

    @property
    def applied(self) -> int:
        """Number of the last command that the engine has: from the row when it was claimed, or passed on since."""
        return self._applied

    def open(self, applied: int, carry_out: Callable[[Command], None]) -> None:
        """Carry out commands from now on: those after the number `applied`."""
        self._applied = applied
        self._carry_out = carry_out

    def hint(self, seq: int) -> None:
        """Record that the row has commands up to this number. May be repeated until they come."""
        if seq > self._applied:
            self._hinted = seq
            self._wake.set()

    def close(self) -> None:
        """Close the inbox, because the step has ended."""
        self._closed = True
        self._wake.set()

    async def called(self) -> bool:
        """Wait until there is a message to receive. False when it is closed."""
        while not self._closed and self._hinted <= self._applied:
            self._wake.clear()
            await self._wake.wait()
        self._asked = self._hinted
        return not self._closed

    def take(self, message: Any) -> None:
        """Take a received message: `{"commands": [...]}`, or None when there was none.

        Commands that the engine has are skipped: a recovered workflow receives the old messages again. Commands that
        come too early wait, because DBOS gives messages of one millisecond in any order.

        Raises:
            KeyError, TypeError: it is not such a message.
        """
        if message is None:
            if self._hinted == self._asked:
                self._hinted = 0  # the next hint triggers another receive; one that came meanwhile has already
            return
        for command in message["commands"]:
            if command["seq"] > self._applied:
                self._early[command["seq"]] = command
        while (command := self._early.pop(self._applied + 1, None)) is not None:
            self._applied += 1
            if self._carry_out is not None:
                self._carry_out(command)
