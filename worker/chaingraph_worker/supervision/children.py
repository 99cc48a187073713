"""The data of an execution's children, prepared by its runner, or by another runner from its journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from chaingraph_store.children.spawning import EmittedEvent
from chaingraph_worker.supervision.killed import Ended
from chaingraph_worker.supervision.pool import Pool


@dataclass(frozen=True, slots=True)
class Children:
    """All emissions, in order; the number of the flow's nodes; the integration context of the children, as JSON."""

    emitted: tuple[EmittedEvent, ...]
    nodes: int
    integration: bytes

    @classmethod
    def of_message(cls, fields: Mapping[str, Any], blobs: Sequence[bytes]) -> Self:
        """Decode the content of a runner's message."""
        integration, *payloads = blobs
        named = zip(fields["emitted"], payloads, strict=True)
        return cls(
            tuple(EmittedEvent(name, payload, flow) for (name, flow), payload in named), fields["nodes"], integration
        )


@dataclass(frozen=True, slots=True)
class EngineCall:
    """A call that is to run as an execution of its own: the fields of `chaingraph_flow.ChildCall`; `inputs` as JSON."""

    call: str
    tried: str
    subflow: str
    flow: str
    nodes: int
    inputs: bytes


OnCalls = Callable[[Sequence[EngineCall], Sequence[str]], None]
"""Takes new calls, and the paths of those to stop."""


class ChildrenUnread(Exception):
    """A runner ended while it was reading a journal."""


class _Reading:
    """The listener of a runner that reads a journal."""

    def __init__(self) -> None:
        self.read: asyncio.Future[Children] = asyncio.get_running_loop().create_future()

    def report(self, header: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
        if not self.read.done():
            self.read.set_result(Children.of_message(header["children"], blobs))

    def ended(self, ended: Ended) -> None:
        if not self.read.done():
            self.read.set_exception(ChildrenUnread(ended.message))


async def journaled(
    pool: Pool, namespace: str, *, flow_spec: bytes, subflow: str, integration: bytes, journal: bytes
) -> Children:
    """Return the children of an execution whose worker was lost before it created them.

    Args:
        subflow: the subflow that it ran as its flow, or ''.

    Raises:
        ChildrenUnread: the runner has ended.
    """
    runner = await pool.take(namespace)
    reading = _Reading()
    runner.begin(reading, namespace, {"journal": True, "subflow": subflow}, [flow_spec, integration, journal])
    try:
        return await reading.read
    except BaseException:
        runner.kill(None)
        raise
