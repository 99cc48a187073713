"""Nodes that steer: branching, joining, waiting, events."""

from __future__ import annotations

import asyncio
import time

from chaingraph_flow.context import EVENT_NAME, FLOW_NAME, NodeContext
from chaingraph_flow.errors import NodeFailed, NodeSkipped
from chaingraph_flow.node import Input, Node, Output, Outputs, Passthrough
from chaingraph_flow.nodes.comparison import OPERATORS, compare, equal
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import Given, SameAs, UnionOf


class Branch(Node):
    """Compares two values: `result` says whether it holds, `otherwise` the opposite. Wire them to `__execute`."""

    pure = True
    left = Input(t.Any(), description="The value to look at; null when nothing is given.")
    operator = Input(OPERATORS, default="==", description="How to compare; isEmpty looks at `left` alone.")
    right = Input(t.Any(), description="The value to compare it with.")
    result = Output(t.Boolean(), description="True when the comparison holds.")
    otherwise = Output(t.Boolean(), description="True when it does not.")

    async def run(self, context: NodeContext) -> None:
        """Compare."""
        self.result = compare(self.left, self.operator, self.right)
        self.otherwise = not self.result


class Switch(Node):
    """Chooses among several ways: the first case whose value equals `value` is true, all others are false."""

    pure = True
    value = Input(t.Any(), description="The value to look at.")
    cases = Input(t.Object(), required=True, static=True, description="By name of an output, the value it stands for.")
    matched = Outputs(t.Boolean(), keys_of="cases", description="True for the case that was chosen.")
    default = Output(t.Boolean(), description="True when no case was.")

    async def run(self, context: NodeContext) -> None:
        """Choose."""
        chosen = next((name for name, value in self.cases.items() if equal(value, self.value)), None)
        self.matched = {name: name == chosen for name in self.cases}
        self.default = chosen is None


class Gate(Node):
    """Lets a value through when it is open; closed, it is skipped, and so is what hangs on it."""

    pure = True
    value = Passthrough(t.Any(), description="What goes through.")
    open = Input(t.Boolean(), default=True, description="Whether it goes through.")

    async def run(self, context: NodeContext) -> None:
        """Let through, or not."""
        if not self.open:
            raise NodeSkipped("the gate is closed")


class Join(Node):
    """Brings alternatives together: the first of its inputs that something came from; skipped when nothing came."""

    pure = True
    a = Input(t.Any(), tolerant=True, description="First choice.")
    b = Input(t.Any(), tolerant=True, description="Second choice.")
    c = Input(t.Any(), tolerant=True, description="Third choice.")
    d = Input(t.Any(), tolerant=True, description="Last choice.")
    result = Output(t.Any(), typed_by=UnionOf(inputs=("a", "b", "c", "d")), description="What came.")
    port = Output(t.Enum(options=("a", "b", "c", "d")), description="Where it came from.")

    async def run(self, context: NodeContext) -> None:
        """Take the first that came."""
        for name, value in (("a", self.a), ("b", self.b), ("c", self.c), ("d", self.d)):
            if name in context.given:
                self.result, self.port = value, name
                return
        raise NodeSkipped("nothing came from any of its inputs")


class Sleep(Node):
    """Waits. A restart of the worker begins the wait anew."""

    pure = True
    milliseconds = Input(t.Number(minimum=0), default=1000, description="How long.")
    actual = Output(t.Number(), description="How long it was, in milliseconds.")

    async def run(self, context: NodeContext) -> None:
        """Wait."""
        begun = time.monotonic()
        await asyncio.sleep(self.milliseconds / 1000)
        self.actual = round((time.monotonic() - begun) * 1000, 3)


_FLOW_HELP = "A Flow of the same namespace whose listeners are meant; empty for this one."


class EventEmitter(Node):
    """Emits an event. Once this flow has completed, it starts a child execution at the nodes that listen to it.

    The listeners are those of this flow, or of the one that `flow` names. While nothing has completed nothing is
    spawned: an attempt that fails or is stopped has no children.
    """

    pure = True
    event_name = Input(EVENT_NAME, required=True, description="The event's name.")
    flow = Input(FLOW_NAME, description=_FLOW_HELP)
    payload = Passthrough(t.Any(), description="What it carries; edges may also lead to payload.name.")

    async def run(self, context: NodeContext) -> None:
        """Emit."""
        context.emit(self.event_name, self.payload, flow=self.flow)


class EmitEach(Node):
    """Emits one event for each element of a list. Once this flow has completed, each starts a child execution.

    The children start at the nodes of this flow that listen to the event, or at those of the one that `flow` names.
    """

    pure = True
    event_name = Input(EVENT_NAME, required=True, description="The events' name.")
    flow = Input(FLOW_NAME, description=_FLOW_HELP)
    items = Input(t.Array(), required=True, description="The elements; each is the payload of one event.")
    count = Output(t.Number(integer=True), description="How many were emitted.")

    async def run(self, context: NodeContext) -> None:
        """Emit each."""
        for item in self.items:
            context.emit(self.event_name, item, flow=self.flow)
        self.count = len(self.items)


class EventListener(Node):
    """Begins where an event has happened. It and what hangs on it run only in executions that the event triggered."""

    pure = True
    listens_to = "eventName"
    event_name = Input(t.String(min_length=1), required=True, static=True, description="The event to wait for.")
    schema = Input(t.Any(), static=True, description="The type of the payload, so that typed ports can take it.")
    payload = Output(t.Any(), typed_by=Given(input="schema"), optional=True, description="What the event carries.")
    name = Output(t.String(), typed_by=SameAs(input="eventName"), description="The event's name.")

    async def run(self, context: NodeContext) -> None:
        """Take the event's payload."""
        if context.event is None:
            raise NodeSkipped(f"no event {self.event_name!r} has triggered this execution")
        self.payload = context.event.payload
        self.name = context.event.name


class IsRootExecution(Node):
    """Whether this execution was started from outside, not by an event of another one."""

    pure = True
    result = Output(t.Boolean(), description="True at the root of the tree.")
    depth = Output(t.Number(integer=True), description="How far from the root; 0 there.")

    async def run(self, context: NodeContext) -> None:
        """Look at the context."""
        self.result = context.depth == 0
        self.depth = context.depth


class Fail(Node):
    """Fails with a message: for what must not go on. The error ports of this node still deliver."""

    pure = True
    message = Input(t.String(min_length=1), required=True, description="Why.")

    async def run(self, context: NodeContext) -> None:
        """Fail."""
        raise NodeFailed(self.message)
