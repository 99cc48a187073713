"""Control flow: branching, joining, events."""

from __future__ import annotations

from chaingraph_flow.context import EVENT_NAME, FLOW_NAME, NodeContext
from chaingraph_flow.errors import NodeFailed, NodeSkipped
from chaingraph_flow.node import Input, Node, Output, Outputs, Passthrough
from chaingraph_flow.nodes.comparison import OPERATORS, compare, equal
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import Given, SameAs, UnionOf


class Branch(Node):
    """Compares two values: `result` is true when the comparison holds, else `otherwise`. Connect to `__execute`."""

    pure = True
    left = Input(t.Any(), description="The value to compare; null without a value.")
    operator = Input(OPERATORS, default="==", description="The comparison; isEmpty uses only `left`.")
    right = Input(t.Any(), description="The value to compare it with.")
    result = Output(t.Boolean(), description="True when the comparison holds.")
    otherwise = Output(t.Boolean(), description="True when it does not.")

    async def run(self, context: NodeContext) -> None:
        """Compare."""
        self.result = compare(self.left, self.operator, self.right)
        self.otherwise = not self.result


class Switch(Node):
    """Selects one of several cases: the first case whose value equals `value` is true, all others are false."""

    pure = True
    value = Input(t.Any(), description="The value to compare.")
    cases = Input(t.Object(), required=True, static=True, description="The value of each case, by output name.")
    matched = Outputs(t.Boolean(), keys_of="cases", description="True for the selected case.")
    default = Output(t.Boolean(), description="True when no case is selected.")

    async def run(self, context: NodeContext) -> None:
        """Choose."""
        chosen = next((name for name, value in self.cases.items() if equal(value, self.value)), None)
        self.matched = {name: name == chosen for name in self.cases}
        self.default = chosen is None


class Gate(Node):
    """Passes a value when it is open. When closed it is skipped, and so are the nodes that depend on it."""

    pure = True
    value = Passthrough(t.Any(), description="The value to pass.")
    open = Input(t.Boolean(), default=True, description="Whether the value passes.")

    async def run(self, context: NodeContext) -> None:
        """Pass the value, or skip."""
        if not self.open:
            raise NodeSkipped("the gate is closed")


class Join(Node):
    """Joins alternatives: takes the first of its inputs that has a value; skipped when none has."""

    pure = True
    a = Input(t.Any(), tolerant=True, description="First choice.")
    b = Input(t.Any(), tolerant=True, description="Second choice.")
    c = Input(t.Any(), tolerant=True, description="Third choice.")
    d = Input(t.Any(), tolerant=True, description="Last choice.")
    result = Output(t.Any(), typed_by=UnionOf(inputs=("a", "b", "c", "d")), description="The value.")
    port = Output(t.Enum(options=("a", "b", "c", "d")), description="The input it came from.")

    async def run(self, context: NodeContext) -> None:
        """Take the first value."""
        for name, value in (("a", self.a), ("b", self.b), ("c", self.c), ("d", self.d)):
            if name in context.given:
                self.result, self.port = value, name
                return
        raise NodeSkipped("no input has a value")


_FLOW_HELP = "Flow in the same namespace whose listeners receive it; empty for this flow."


class EventEmitter(Node):
    """Emits an event. Once this flow has completed, it starts a child execution at the nodes that listen to it.

    The listeners are those of this flow, or of the one named in `flow`. Only a completed attempt has children: one that
    fails or is stopped spawns nothing.
    """

    pure = True
    event_name = Input(EVENT_NAME, required=True, description="The event's name.")
    flow = Input(FLOW_NAME, description=_FLOW_HELP)
    payload = Passthrough(t.Any(), description="Payload of the event; edges may also lead to payload.name.")

    async def run(self, context: NodeContext) -> None:
        """Emit."""
        context.emit(self.event_name, self.payload, flow=self.flow)


class EmitEach(Node):
    """Emits one event for each element of a list. Once this flow has completed, each starts a child execution.

    The children start at the nodes of this flow that listen to the event, or at those of the flow named in `flow`.
    """

    pure = True
    event_name = Input(EVENT_NAME, required=True, description="Name of the events.")
    flow = Input(FLOW_NAME, description=_FLOW_HELP)
    items = Input(t.Array(), required=True, description="The elements; each is the payload of one event.")
    count = Output(t.Number(integer=True), description="Number of events emitted.")

    async def run(self, context: NodeContext) -> None:
        """Emit each."""
        for item in self.items:
            context.emit(self.event_name, item, flow=self.flow)
        self.count = len(self.items)


class EventListener(Node):
    """Starts at an event. It and the nodes that depend on it run only in executions triggered by that event."""

    pure = True
    listens_to = "eventName"
    event_name = Input(t.String(min_length=1), required=True, static=True, description="The event to wait for.")
    schema = Input(t.Any(), static=True, description="Type of the payload, so that it can go to typed ports.")
    payload = Output(t.Any(), typed_by=Given(input="schema"), optional=True, description="Payload of the event.")
    name = Output(t.String(), typed_by=SameAs(input="eventName"), description="Name of the event.")

    async def run(self, context: NodeContext) -> None:
        """Take the event's payload."""
        if context.event is None:
            raise NodeSkipped(f"event {self.event_name!r} did not trigger this execution")
        self.payload = context.event.payload
        self.name = context.event.name


class IsRootExecution(Node):
    """Whether this execution was started from outside, not by an event of another execution."""

    pure = True
    result = Output(t.Boolean(), description="True at the root of the tree.")
    depth = Output(t.Number(integer=True), description="Depth in the tree; the root has 0.")

    async def run(self, context: NodeContext) -> None:
        """Read the context."""
        self.result = context.depth == 0
        self.depth = context.depth


class Fail(Node):
    """Fails with a message. The error ports of this node still deliver."""

    pure = True
    message = Input(t.String(min_length=1), required=True, description="Why.")

    async def run(self, context: NodeContext) -> None:
        """Fail."""
        raise NodeFailed(self.message)
