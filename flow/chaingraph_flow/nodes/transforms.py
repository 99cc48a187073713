"""Lists and objects: choosing, ordering, counting. Types go through, so that what comes out can be wired on."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

from chaingraph_crds.numbers import (
    LARGEST_INTEGER,
    SMALLEST_INTEGER,
    Inexact,
    divided,
    require_same_precision,
)
from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.field_errors import suggestion
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.nodes.comparison import OPERATORS, compare, require_one_kind, sort_key
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import FieldOf, Fixed, ItemOf, ListOf, MergeOf, Record, SameAs, UnionOf
from chaingraph_flow.ports.json_values import kind

LONGEST_NAME = 64
"""Characters of a property's name that a message shows, and looks for others like it."""
COUNT = Fixed(type=t.Number(integer=True))
TOTAL = Fixed(type=t.Number(nullable=True))
OPERATIONS = t.Enum(options=("sum", "min", "max", "mean", "count"))
PREFIX = t.Number(integer=True, minimum=0)
PREFIX_DESCRIPTION = (
    "Group by so many first characters of a text property: 7 makes months out of dates as 2015-04-01. 0: by all of it."
)


class Element(Node):
    """One element of a list; fails when there is none at that place."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    index = Input(t.Number(integer=True), description="From 0; negative ones count from the end.")
    result = Output(t.Any(), typed_by=ItemOf(input="items"), optional=True, description="The element.")

    async def run(self, context: NodeContext) -> None:
        """Take it."""
        try:
            self.result = self.items[int(self.index)]
        except IndexError:
            raise NodeFailed(f"there is no element {int(self.index)}: the list has {len(self.items)}") from None


class First(Node):
    """The first element of a list; null when the list is empty."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    result = Output(t.Any(), typed_by=ItemOf(input="items"), optional=True, description="The element.")

    async def run(self, context: NodeContext) -> None:
        """Take it."""
        if self.items:
            self.result = self.items[0]


class Last(Node):
    """The last element of a list; null when the list is empty."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    result = Output(t.Any(), typed_by=ItemOf(input="items"), optional=True, description="The element.")

    async def run(self, context: NodeContext) -> None:
        """Take it."""
        if self.items:
            self.result = self.items[-1]


class Length(Node):
    """How long a text or a list is, or how many properties an object has."""

    pure = True
    value = Input(t.Any(), required=True, description="A text, a list or an object.")
    result = Output(t.Number(integer=True), description="Its length.")

    async def run(self, context: NodeContext) -> None:
        """Count."""
        if not isinstance(self.value, str | list | dict):
            raise NodeFailed(f"{kind(self.value)} has no length: give a text, a list or an object")
        self.result = len(self.value)


class Slice(Node):
    """A part of a list."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    start = Input(t.Number(integer=True), description="The first element, from 0; negative ones count from the end.")
    count = Input(t.Number(integer=True, minimum=0), default=10, description="How many at most.")
    result = Output(t.Array(), typed_by=SameAs(input="items"), description="The part.")

    async def run(self, context: NodeContext) -> None:
        """Cut."""
        start = int(self.start)
        start = max(0, start + len(self.items)) if start < 0 else start
        self.result = self.items[start : start + int(self.count)]


class Concat(Node):
    """Two lists, one after the other."""

    pure = True
    a = Input(t.Array(), required=True, description="The first list.")
    b = Input(t.Array(), required=True, description="The second list.")
    result = Output(t.Array(), typed_by=UnionOf(inputs=("a", "b")), description="Both.")

    async def run(self, context: NodeContext) -> None:
        """Join."""
        self.result = self.a + self.b


class Pluck(Node):
    """One property of every element of a list."""

    pure = True
    items = Input(t.Array(items=t.Object()), required=True, description="A list of objects.")
    field = Input(t.String(min_length=1), required=True, static=True, description="The property.")
    result = Output(t.Array(), typed_by=ListOf(of=FieldOf(input="items", name="field")), description="Its values.")

    async def run(self, context: NodeContext) -> None:
        """Take it."""
        require_field(self.items, self.field)
        self.result = [item.get(self.field) for item in self.items]


class Filter(Node):
    """The elements of a list for which a comparison holds, and the others."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    field = Input(t.String(), description="The property to look at; empty: the element itself.")
    operator = Input(OPERATORS, default="==", description="How to compare.")
    value = Input(t.Any(), description="What to compare with.")
    result = Output(t.Array(), typed_by=SameAs(input="items"), description="Those for which it holds.")
    rest = Output(t.Array(), typed_by=SameAs(input="items"), description="The others.")

    async def run(self, context: NodeContext) -> None:
        """Compare each."""
        self.result, self.rest = [], []
        for item, value in zip(self.items, field_values(self.items, self.field), strict=True):
            (self.result if compare(value, self.operator, self.value) else self.rest).append(item)


class Sort(Node):
    """A list in order: numbers or texts, what has no value last."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    field = Input(t.String(), description="The property to order by; empty: the element itself.")
    descending = Input(t.Boolean(), description="The largest first.")
    result = Output(t.Array(), typed_by=SameAs(input="items"), description="The same elements, in order.")

    async def run(self, context: NodeContext) -> None:
        """Order; elements that are equal keep their order."""
        values = field_values(self.items, self.field)
        require_one_kind(values, "the order")
        there = [place for place, value in enumerate(values) if value is not None]
        there.sort(key=lambda place: sort_key(values[place]), reverse=self.descending)
        missing = [place for place, value in enumerate(values) if value is None]
        self.result = [self.items[place] for place in (*there, *missing)]


class Unique(Node):
    """A list without repetitions; of those that are alike the first stays."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    field = Input(t.String(), description="The property that tells them apart; empty: the element itself.")
    result = Output(t.Array(), typed_by=SameAs(input="items"), description="The elements that differ.")

    async def run(self, context: NodeContext) -> None:
        """Sift."""
        seen: set[Any] = set()
        self.result = []
        for item, value in zip(self.items, field_values(self.items, self.field), strict=True):
            key = group_key(value)
            if key not in seen:
                seen.add(key)
                self.result.append(item)


class Reduce(Node):
    """One number out of a list: sum, min, max, mean or count. Null values do not count."""

    pure = True
    items = Input(t.Array(), required=True, description="Numbers, or objects with a property that is one.")
    field = Input(t.String(), description="The property; empty: the element itself.")
    operation = Input(OPERATIONS, default="sum", description="What to make of them.")
    result = Output(t.Number(), optional=True, description="The number; null for min, max and mean of nothing.")

    async def run(self, context: NodeContext) -> None:
        """Reduce."""
        reduced = reduce_values(field_values(self.items, self.field), self.operation)
        if reduced is not None:
            self.result = reduced


class GroupBy(Node):
    """Sorts the elements of a list into groups by a property. Groups are in the order in which they first appear."""

    pure = True
    items = Input(t.Array(items=t.Object()), required=True, description="A list of objects.")
    by = Input(t.String(min_length=1), required=True, static=True, description="The property.")
    prefix = Input(PREFIX, description=PREFIX_DESCRIPTION)
    groups = Output(
        t.Array(),
        typed_by=ListOf(
            of=Record(fields={"key": FieldOf(input="items", name="by"), "count": COUNT, "items": SameAs(input="items")})
        ),
        description="Objects with key, count and items.",
    )

    async def run(self, context: NodeContext) -> None:
        """Group."""
        self.groups = [
            {"key": key, "count": len(members), "items": members}
            for key, members in grouped(self.items, self.by, prefix=int(self.prefix))
        ]


class Summarize(Node):
    """One row for each group of a list, with a number made of one of its properties: a pivot table."""

    pure = True
    items = Input(t.Array(items=t.Object()), required=True, description="A list of objects.")
    by = Input(t.String(min_length=1), required=True, static=True, description="The property that makes the groups.")
    prefix = Input(PREFIX, description=PREFIX_DESCRIPTION)
    field = Input(t.String(), description="The property to reduce; not needed to count.")
    operation = Input(OPERATIONS, default="count", description="What to make of it.")
    rows = Output(
        t.Array(),
        typed_by=ListOf(of=Record(fields={"key": FieldOf(input="items", name="by"), "count": COUNT, "value": TOTAL})),
        description="Objects with key, count (members of the group) and value.",
    )

    async def run(self, context: NodeContext) -> None:
        """Group and reduce."""
        if self.field:
            require_field(self.items, self.field)
        elif self.operation != "count":
            raise NodeFailed(f"to make the {self.operation}, name the property in `field`")
        self.rows = []
        for key, members in grouped(self.items, self.by, prefix=int(self.prefix)):
            values = [item.get(self.field) for item in members] if self.field else members
            row = {"key": key, "count": len(members), "value": reduce_values(values, self.operation)}
            self.rows.append(row)


class Keys(Node):
    """The names of an object's properties."""

    pure = True
    object_ = Input(t.Object(), required=True, description="The object.")
    result = Output(t.Array(items=t.String()), description="Its names.")

    async def run(self, context: NodeContext) -> None:
        """List."""
        self.result = list(self.object_)


class Values(Node):
    """The values of an object's properties."""

    pure = True
    object_ = Input(t.Object(), required=True, description="The object.")
    result = Output(t.Array(), description="Its values.")

    async def run(self, context: NodeContext) -> None:
        """List."""
        self.result = list(self.object_.values())


class Merge(Node):
    """Two objects in one; where both have a property, the second one's stands."""

    pure = True
    a = Input(t.Object(), required=True, description="The first object.")
    b = Input(t.Object(), required=True, description="The second object.")
    result = Output(t.Object(), typed_by=MergeOf(inputs=("a", "b")), description="Both.")

    async def run(self, context: NodeContext) -> None:
        """Merge."""
        self.result = self.a | self.b


def field_values(items: list[Any], field: str) -> list[Any]:
    """The property `field` of each item, or the items themselves when it is ''. Raises NodeFailed if none has it."""
    if not field:
        return items
    require_field(items, field)
    return [item.get(field) for item in items]


def require_field(items: list[Any], field: str) -> None:
    """Raise NodeFailed unless all items are objects and one has the property: a misspelt name is not all nulls."""
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise NodeFailed(
                f"items[{place}] is {kind(item)}: to look at {field[:LONGEST_NAME]!r}, all must be objects"
            )
    if items and not any(field in item for item in items):
        # The nearest of many or long names would take minutes to find.
        names = [name for name in islice(items[0], 50) if len(name) <= LONGEST_NAME]
        hint = suggestion(field, names) if len(field) <= LONGEST_NAME else ""
        raise NodeFailed(f"no element has a property {field[:LONGEST_NAME]!r}{hint}")


def reduce_values(values: list[Any], operation: str) -> float | None:
    """The sum, min, max, mean or count of the values that are not null. Raises NodeFailed on other than numbers."""
    present = [value for value in values if value is not None]
    if operation == "count":
        return len(present)
    for value in present:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NodeFailed(f"the {operation} needs numbers, there is {kind(value)} among them")
    if not present:
        return 0 if operation == "sum" else None
    try:
        result = _reduced(present, operation)
    except OverflowError:
        raise NodeFailed(f"the {operation} is too large") from None
    except Inexact as error:
        raise NodeFailed(f"the {operation}: one of the numbers {error}") from None
    if not math.isfinite(result):
        raise NodeFailed(f"the {operation} is no finite number")
    if isinstance(result, int) and not SMALLEST_INTEGER <= result <= LARGEST_INTEGER:
        raise NodeFailed(f"the {operation} is a whole number of more than 64 bits")
    return result


def _reduced(numbers: list[float], operation: str) -> float:
    if operation == "min":
        return min(numbers)
    if operation == "max":
        return max(numbers)
    # fsum keeps 0.1 + 0.2 from depending on the order; whole numbers stay whole
    require_same_precision(*numbers)
    total = sum(numbers) if all(isinstance(each, int) for each in numbers) else math.fsum(numbers)
    return total if operation == "sum" else divided(total, len(numbers))


def grouped(items: list[dict[str, Any]], by: str, *, prefix: int = 0) -> list[tuple[Any, list[dict[str, Any]]]]:
    """The items by the value of a property, groups in the order of their first member.

    With a prefix, by so many first characters of it; a value that is neither text nor null fails the node then.
    """
    require_field(items, by)
    groups: dict[Any, tuple[Any, list[dict[str, Any]]]] = {}
    for item in items:
        value = item.get(by)
        if prefix and value is not None:
            if not isinstance(value, str):
                raise NodeFailed(f"`prefix` is for texts, and the property {by!r} of an element is {kind(value)}")
            value = value[:prefix]
        groups.setdefault(group_key(value), (value, []))[1].append(item)
    return list(groups.values())


def group_key(value: Any) -> Any:
    """A key under which equal JSON values, and they alone, come together."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, list):
        return ("list", tuple(map(group_key, value)))
    if isinstance(value, dict):
        return ("object", frozenset((name, group_key(inner)) for name, inner in value.items()))
    return value
