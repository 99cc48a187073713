"""Fill a node's inputs just before it runs: copy, combine and validate values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from chaingraph_flow.catalogue import EXECUTE
from chaingraph_flow.engine.result import FailureReason
from chaingraph_flow.engine.state import RunState
from chaingraph_flow.graph import GraphNode
from chaingraph_flow.limits import Limits
from chaingraph_flow.ports.json_values import SCALAR_BYTES, Segment, copied, obstacle, size_of, written
from chaingraph_flow.ports.types import Any as AnyType
from chaingraph_flow.ports.types import check_value
from chaingraph_flow.validation.wiring import Connection, InputSlot


class Untransferable(Exception):
    """A value does not fit the port. The node fails with this message."""

    def __init__(
        self, connection: Connection, message: str, reason: FailureReason = FailureReason.INVALID_INPUT
    ) -> None:
        self.connection = connection
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class FilledInputs:
    """The values of a node's inputs by key, and which of them came from the flow or an edge."""

    values: dict[str, Any]
    given: frozenset[str]


Watch = Callable[[Connection, str | None], None]
"""Called for each edge: with None when its value was delivered, else with the reason why not."""


class _Room:
    """The room left for the edges of one node. Checked before anything is copied."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._node = 0
        self._slot = 0

    def next_slot(self) -> None:
        self._slot = 0

    def take(self, connection: Connection, value: Any) -> None:
        """Take the room of a value. Raises Untransferable, naming the limit."""
        limits = self._limits
        size = size_of(value, limits.value_bytes) + _padding(connection.target_segments)
        self._slot += size
        self._node += size
        if self._slot > limits.value_bytes:
            error = limits.exceeded("value_bytes", f"input {connection.target_port!r}", self._slot)
        elif self._node > limits.node_bytes:
            error = limits.exceeded("node_bytes", "all inputs of the node together", self._node)
        else:
            return
        raise Untransferable(connection, str(error), FailureReason.LIMIT_EXCEEDED)


def _padding(segments: Iterable[Segment]) -> int:
    """Return the size of the nulls that an edge into `[9999]` adds to an empty list."""
    return sum(each * SCALAR_BYTES for each in segments if isinstance(each, int))


def fill_inputs(node: GraphNode, state: RunState, watch: Watch, limits: Limits) -> FilledInputs:
    """Fill the inputs of a node that runs now. Raises Untransferable when a value does not fit, or is too large.

    A refused edge into a tolerant port keeps the port as it was. So does null into a port that is not required, unless
    the port is of type `any`, which includes null.
    """
    values: dict[str, Any] = {}
    given: list[str] = []
    room = _Room(limits)
    for slot in node.inputs:
        if slot.connections:
            filled, value = _filled(slot, state, watch, room)
            values[slot.key] = value
            if filled or slot.given:
                given.append(slot.key)
        else:
            values[slot.key] = copied(slot.value)
            if slot.given:
                given.append(slot.key)
    for connection in node.incoming:
        if connection.target_port == EXECUTE:
            watch(connection, None)
    return FilledInputs(values, frozenset(given))


def _filled(slot: InputSlot, state: RunState, watch: Watch, room: _Room) -> tuple[bool, Any]:
    value = copied(slot.value)
    room.next_slot()
    filled = False
    last = slot.connections[-1]
    for connection in slot.connections:
        refused = state.refusal(connection)
        if refused is not None:
            watch(connection, refused)
            continue
        delivered = state.value(connection)
        if delivered is None and not connection.target_segments:
            if slot.required:
                message = f"{connection.from_} is null, but {slot.key!r} needs a value"
                watch(connection, message)
                raise Untransferable(connection, message)
            if not isinstance(slot.type, AnyType):
                watch(connection, None)
                continue
        try:
            room.take(connection, delivered)
        except Untransferable as error:
            watch(connection, str(error))
            raise
        if (blocked := obstacle(value, connection.target_segments)) is not None:
            message = f"{connection.from_} cannot be written to {connection.to}: {blocked}"
            watch(connection, message)
            raise Untransferable(connection, message)
        value = written(value, connection.target_segments, copied(delivered))
        filled, last = True, connection
    if filled:
        for problem in check_value(slot.type, value, slot.key):
            message = f"{problem.path} {problem.message} (from {last.from_})"
            watch(last, message)
            raise Untransferable(last, message)
        for connection in slot.connections:
            if state.refusal(connection) is None:
                watch(connection, None)
    return filled, value
