"""Lists and objects: select, order, count. Output types follow from input types."""

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
"""Maximum characters of a property's name that a message shows or compares with others."""
COUNT = Fixed(type=t.Number(integer=True))
TOTAL = Fixed(type=t.Number(nullable=True))
OPERATIONS = t.Enum(options=("sum", "min", "max", "mean", "count"))
PREFIX = t.Number(integer=True, minimum=0)
PREFIX_DESCRIPTION = (
    "Group by this many first characters of a text property: 7 groups dates such as 2015-04-01 by month. 0: by the "
    "whole value."
)


class Element(Node):
    """One element of a list. Fails when the index is out of range."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    index = Input(t.Number(integer=True), description="From 0; negative ones count from the end.")
    result = Output(t.Any(), typed_by=ItemOf(input="items"), optional=True, description="The element.")

    async def run(self, context: NodeContext) -> None:
        """Take the element."""
        try:
            self.result = self.items[int(self.index)]
        except IndexError:
            raise NodeFailed(f"no element {int(self.index)}: the list has {len(self.items)}") from None


class First(Node):
    """The first element of a list; null when the list is empty."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    result = Output(t.Any(), typed_by=ItemOf(input="items"), optional=True, description="The element.")

    async def run(self, context: NodeContext) -> None:
        """Take the element."""
        if self.items:
            self.result = self.items[0]


class Last(Node):
    """The last element of a list; null when the list is empty."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    result = Output(t.Any(), typed_by=ItemOf(input="items"), optional=True, description="The element.")

    async def run(self, context: NodeContext) -> None:
        """Take the element."""
        if self.items:
            self.result = self.items[-1]


class Length(Node):
    """The length of a text or a list, or the number of properties of an object."""

    pure = True
    value = Input(t.Any(), required=True, description="A text, a list or an object.")
    result = Output(t.Number(integer=True), description="Its length.")

    async def run(self, context: NodeContext) -> None:
        """Count."""
        if not isinstance(self.value, str | list | dict):
            raise NodeFailed(f"{kind(self.value)} has no length: it needs a text, a list or an object")
        self.result = len(self.value)


class Slice(Node):
    """A part of a list."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    start = Input(t.Number(integer=True), description="The first element, from 0; negative ones count from the end.")
    count = Input(t.Number(integer=True, minimum=0), default=10, description="Maximum number of elements.")
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
        """Take the property."""
        require_field(self.items, self.field)
        self.result = [item.get(self.field) for item in self.items]


class Filter(Node):
    """Splits a list: the elements for which a comparison holds, and the others."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    field = Input(t.String(), description="The property to compare; empty: the element itself.")
    operator = Input(OPERATORS, default="==", description="The comparison.")
    value = Input(t.Any(), description="The value to compare with.")
    result = Output(t.Array(), typed_by=SameAs(input="items"), description="The elements for which it holds.")
    rest = Output(t.Array(), typed_by=SameAs(input="items"), description="The others.")

    async def run(self, context: NodeContext) -> None:
        """Compare each element."""
        self.result, self.rest = [], []
        for item, value in zip(self.items, field_values(self.items, self.field), strict=True):
            (self.result if compare(value, self.operator, self.value) else self.rest).append(item)


class Sort(Node):
    """Sorts a list of numbers or texts. Elements without a value come last."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    field = Input(t.String(), description="The property to order by; empty: the element itself.")
    descending = Input(t.Boolean(), description="Largest first.")
    result = Output(t.Array(), typed_by=SameAs(input="items"), description="The same elements, in order.")

    async def run(self, context: NodeContext) -> None:
        """Sort the list; equal elements keep their order."""
        values = field_values(self.items, self.field)
        require_one_kind(values, "sorting")
        there = [place for place, value in enumerate(values) if value is not None]
        there.sort(key=lambda place: sort_key(values[place]), reverse=self.descending)
        missing = [place for place, value in enumerate(values) if value is None]
        self.result = [self.items[place] for place in (*there, *missing)]


class Unique(Node):
    """Removes duplicates from a list; the first of equal elements stays."""

    pure = True
    items = Input(t.Array(), required=True, description="The list.")
    field = Input(t.String(), description="The property to compare; empty: the element itself.")
    result = Output(t.Array(), typed_by=SameAs(input="items"), description="The distinct elements.")

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
    """Reduces a list to one number: sum, min, max, mean or count. Null values do not count."""

    pure = True
    items = Input(t.Array(), required=True, description="Numbers, or objects with a property that is one.")
    field = Input(t.String(), description="The property; empty: the element itself.")
    operation = Input(OPERATIONS, default="sum", description="The operation.")
    result = Output(t.Number(), optional=True, description="The number; null for min, max and mean of an empty list.")

    async def run(self, context: NodeContext) -> None:
        """Reduce."""
        reduced = reduce_values(field_values(self.items, self.field), self.operation)
        if reduced is not None:
            self.result = reduced


class GroupBy(Node):
    """Groups the elements of a list by a property. Groups are in the order of their first element."""

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
    """One row for each group of a list, with one of its properties reduced to a number: a pivot table."""

    pure = True
    items = Input(t.Array(items=t.Object()), required=True, description="A list of objects.")
    by = Input(t.String(min_length=1), required=True, static=True, description="The property to group by.")
    prefix = Input(PREFIX, description=PREFIX_DESCRIPTION)
    field = Input(t.String(), description="The property to reduce; not needed to count.")
    operation = Input(OPERATIONS, default="count", description="The operation.")
    rows = Output(
        t.Array(),
        typed_by=ListOf(of=Record(fields={"key": FieldOf(input="items", name="by"), "count": COUNT, "value": TOTAL})),
        description="Objects with key, count (elements of the group) and value.",
    )

    async def run(self, context: NodeContext) -> None:
        """Group and reduce."""
        if self.field:
            require_field(self.items, self.field)
        elif self.operation != "count":
            raise NodeFailed(f"{self.operation} needs a property: set `field`")
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
    """Merges two objects; a property of the second replaces one of the first."""

    pure = True
    a = Input(t.Object(), required=True, description="The first object.")
    b = Input(t.Object(), required=True, description="The second object.")
    result = Output(t.Object(), typed_by=MergeOf(inputs=("a", "b")), description="Both.")

    async def run(self, context: NodeContext) -> None:
        """Merge."""
        self.result = self.a | self.b


def field_values(items: list[Any], field: str) -> list[Any]:
    """Return the property `field` of each item, or the items when it is ''. Raises NodeFailed if none has it."""
    if not field:
        return items
    require_field(items, field)
    return [item.get(field) for item in items]


def require_field(items: list[Any], field: str) -> None:
    """Raise NodeFailed unless all items are objects and one has the property: a typo must not yield nulls."""
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise NodeFailed(
                f"items[{place}] is {kind(item)}: property {field[:LONGEST_NAME]!r} needs a list of objects"
            )
    if items and not any(field in item for item in items):
        # Comparing many or long names would take minutes.
        names = [name for name in islice(items[0], 50) if len(name) <= LONGEST_NAME]
        hint = suggestion(field, names) if len(field) <= LONGEST_NAME else ""
        raise NodeFailed(f"no element has a property {field[:LONGEST_NAME]!r}{hint}")


def reduce_values(values: list[Any], operation: str) -> float | None:
    """Reduce the values that are not null. Raises NodeFailed for values other than numbers."""
    present = [value for value in values if value is not None]
    if operation == "count":
        return len(present)
    for value in present:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NodeFailed(f"{operation} needs numbers, the list has {kind(value)}")
    if not present:
        return 0 if operation == "sum" else None
    try:
        result = _reduced(present, operation)
    except OverflowError:
        raise NodeFailed(f"the {operation} is too large") from None
    except Inexact as error:
        raise NodeFailed(f"{operation}: one of the numbers {error}") from None
    if not math.isfinite(result):
        raise NodeFailed(f"the {operation} is not a finite number")
    if isinstance(result, int) and not SMALLEST_INTEGER <= result <= LARGEST_INTEGER:
        raise NodeFailed(f"the {operation} is a whole number of more than 64 bits")
    return result


def _reduced(numbers: list[float], operation: str) -> float:
    if operation == "min":
        return min(numbers)
    if operation == "max":
        return max(numbers)
    # fsum makes the sum of fractions independent of their order; whole numbers stay whole
    require_same_precision(*numbers)
    total = sum(numbers) if all(isinstance(each, int) for each in numbers) else math.fsum(numbers)
    return total if operation == "sum" else divided(total, len(numbers))


def grouped(items: list[dict[str, Any]], by: str, *, prefix: int = 0) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Group the items by the value of a property, groups in the order of their first item.

    With a prefix, group by this many first characters; a value that is neither text nor null fails the node then.
    """
    require_field(items, by)
    groups: dict[Any, tuple[Any, list[dict[str, Any]]]] = {}
    for item in items:
        value = item.get(by)
        if prefix and value is not None:
            if not isinstance(value, str):
                raise NodeFailed(f"`prefix` needs texts, but the property {by!r} of an element is {kind(value)}")
            value = value[:prefix]
        groups.setdefault(group_key(value), (value, []))[1].append(item)
    return list(groups.values())


def group_key(value: Any) -> Any:
    """Return a key that is the same for equal JSON values only."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, list):
        return ("list", tuple(map(group_key, value)))
    if isinstance(value, dict):
        return ("object", frozenset((name, group_key(inner)) for name, inner in value.items()))
    return value
