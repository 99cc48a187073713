"""Commands on their way from a workflow's messages to the engine that runs in its step.

Made by `workflows` for each run; hinted by `running`, opened by `attempt`. Only the workflow's main coroutine may
receive messages, because it alone draws DBOS's function ids; the engine lives in the step beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

Command = Mapping[str, Any]
"""`seq`, its number in the execution's row, and `kind`: PAUSE, RESUME, STEP or BREAKPOINTS with fields of its own."""


class CommandInbox:
    """Hands each command on once, in the order of the numbers. To be used on the event loop."""

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
        """Number of the last command that the engine has: from the row when it was claimed, or handed on since."""
        return self._applied

    def open(self, applied: int, carry_out: Callable[[Command], None]) -> None:
        """From now on commands are carried out: those after the number `applied`."""
        self._applied = applied
        self._carry_out = carry_out

    def hint(self, seq: int) -> None:
        """The row has commands up to this number. May be repeated as long as they have not come."""
        if seq > self._applied:
            self._hinted = seq
            self._wake.set()

    def close(self) -> None:
        """The step has ended: nobody waits for commands any more."""
        self._closed = True
        self._wake.set()

    async def called(self) -> bool:
        """Waits until there is a message to receive. False when it is closed."""
        while not self._closed and self._hinted <= self._applied:
            self._wake.clear()
            await self._wake.wait()
        self._asked = self._hinted
        return not self._closed

    def take(self, message: Any) -> None:
        """Takes what was received: `{"commands": [...]}`, or None when there was no message.

        What the engine has is left out: a workflow that was recovered meets the old messages again. What comes too
        early waits, because DBOS gives messages of one millisecond in any order.

        Raises:
            KeyError, TypeError: it is no such message.
        """
        if message is None:
            if self._hinted == self._asked:
                self._hinted = 0  # the next hint asks again; one that came meanwhile has asked already
            return
        for command in message["commands"]:
            if command["seq"] > self._applied:
                self._early[command["seq"]] = command
        while (command := self._early.pop(self._applied + 1, None)) is not None:
            self._applied += 1
            if self._carry_out is not None:
                self._carry_out(command)
