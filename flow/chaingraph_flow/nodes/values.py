"""Constant values, which may also be passed on."""

from __future__ import annotations

from chaingraph_flow.context import NodeContext
from chaingraph_flow.node import Input, Node, Passthrough
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import FirstOf, Given, SameAs

_SCHEMA = "Type of the value, when it should be narrower than the inferred one: {type: array, items: number}."


class Text(Node):
    """A text."""

    pure = True
    value = Passthrough(t.String(), description="The text.")

    async def run(self, context: NodeContext) -> None:
        """Pass the value on."""


class NumberValue(Node):
    """A number."""

    type = "Number"
    pure = True
    value = Passthrough(t.Number(), description="The number.")

    async def run(self, context: NodeContext) -> None:
        """Pass the value on."""


class BooleanValue(Node):
    """True or false."""

    type = "Boolean"
    pure = True
    value = Passthrough(t.Boolean(), description="The value.")

    async def run(self, context: NodeContext) -> None:
        """Pass the value on."""


class ArrayValue(Node):
    """A list. Its type is inferred from the value, or given."""

    type = "Array"
    pure = True
    value = Passthrough(
        t.Array(),
        description="The list; edges may also lead to value[0], value[1] and so on.",
        typed_by=FirstOf(rules=(Given(input="schema"), SameAs(input="value"))),
    )
    schema = Input(t.Any(), static=True, description=_SCHEMA)

    async def run(self, context: NodeContext) -> None:
        """Pass the value on."""


class ObjectValue(Node):
    """An object. Edges may lead to its properties, to collect values of several nodes."""

    type = "Object"
    pure = True
    value = Passthrough(
        t.Object(),
        description="The object; edges may also lead to value.name.",
        typed_by=FirstOf(rules=(Given(input="schema"), SameAs(input="value"))),
    )
    schema = Input(t.Any(), static=True, description=_SCHEMA)

    async def run(self, context: NodeContext) -> None:
        """Pass the value on."""
