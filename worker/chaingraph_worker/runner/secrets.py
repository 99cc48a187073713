"""The secrets of one session: the worker resolves them, because a runner has no access to the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from chaingraph_flow import NodeFailed, Scrubber
from chaingraph_worker.runner.reports import Send


class AskedSecrets:
    """The engine's SecretSource in a runner. For use on the event loop."""

    def __init__(self, send: Send) -> None:
        self.scrubber = Scrubber()
        self._send = send
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}

    async def resolve(self, reference: Mapping[str, Any]) -> str:
        """Ask the worker for the current value."""
        self._asked = number = self._asked + 1
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        self._send({"secret": number, "reference": reference}, ())
        try:
            told = await answer
        finally:
            del self._waiting[number]
        if "refused" in told:
            reason, message = told["refused"]
            raise NodeFailed(message, reason=reason)
        value = str(told["value"])
        self.scrubber.add(value, str(told["what"]))
        return value

    def answered(self, message: Mapping[str, Any]) -> None:
        """Take an answer of the worker."""
        waiting = self._waiting.get(message["secret"])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
