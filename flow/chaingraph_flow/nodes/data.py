"""Convert between text and values: JSON, CSV, casts, and schemas."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

import orjson

from chaingraph_crds.numbers import Inexact, exact_number
from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.limits import Limits
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import Given, ListOf
from chaingraph_flow.ports.json_values import CONTAINER_BYTES, SCALAR_BYTES, indented_size, quoted
from chaingraph_flow.reading import NUMBERS, NUMBERS_HELP, parsed

SCHEMA = "Type of the result, such as {type: object, properties: {name: string, age: number or null}}."
MOST_COLUMNS = 1000
_CSV_ERRORS = {"unexpected end of data": "a quote is opened and not closed"}
_NO_DELIMITERS = frozenset('"\r\n')
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
# A field may be as long as the text. Python's default limit is 128 kB, for the whole process.
csv.field_size_limit(2**31 - 1)


class JSONRead(Node):
    """Reads JSON. With a schema, the value is validated and can go to typed ports."""

    pure = True
    text = Input(t.String(), required=True, description="The JSON text.")
    schema = Input(t.Any(), static=True, description=SCHEMA)
    numbers = Input(t.Enum(options=NUMBERS), default="exact", description=NUMBERS_HELP)
    value = Output(t.Any(), typed_by=Given(input="schema"), description="The value.")

    async def run(self, context: NodeContext) -> None:
        """Read."""
        self.value = parsed(self.text.removeprefix("\ufeff"), context.limits, "the text", self.numbers)


class JSONWrite(Node):
    """Writes a value as JSON."""

    pure = True
    value = Input(t.Any(), description="The value to write.")
    indent = Input(t.Boolean(), description="With line breaks and indents.")
    text = Output(t.String(), description="The JSON text.")

    async def run(self, context: NodeContext) -> None:
        """Write."""
        if self.indent and indented_size(self.value, context.limits.value_bytes) > context.limits.value_bytes:
            raise context.limits.exceeded("value_bytes", "the indented text")
        self.text = orjson.dumps(self.value, option=orjson.OPT_INDENT_2 if self.indent else 0).decode()


class Cast(Node):
    """Checks that a value has a type, and passes it on with that type: from `any` to typed ports."""

    pure = True
    value = Input(t.Any(), required=True, description="Any value.")
    schema = Input(t.Any(), required=True, static=True, description=SCHEMA)
    result = Output(t.Any(), typed_by=Given(input="schema"), description="The same value.")

    async def run(self, context: NodeContext) -> None:
        """Pass the value. The engine validates the output."""
        self.result = self.value


class CSVRead(Node):
    """Reads CSV into rows. The schema of a row says which columns are numbers; without a schema, all are texts."""

    pure = True
    text = Input(t.String(), required=True, description="The CSV text; its first line names the columns.")
    delimiter = Input(
        t.String(min_length=1, max_length=1), default=",", description='Column separator; "\\t" for a tab.'
    )
    schema = Input(
        t.Any(),
        static=True,
        description="Type of a row, such as {type: object, properties: {name: string, population: number or null}}. "
        "Other columns are left out, and an empty field is null where that is allowed.",
    )
    rows = Output(
        t.Array(items=t.Object()), typed_by=ListOf(of=Given(input="schema")), description="A list of objects."
    )
    count = Output(t.Number(integer=True), description="Number of rows.")

    def run(self, context: NodeContext) -> None:
        """Read the text. In a thread, because a large text takes time."""
        if self.delimiter in _NO_DELIMITERS:
            raise NodeFailed(f"delimiter: {self.delimiter!r} cannot separate columns. Use ',', ';' or a tab")
        lines = _lines(self.text, self.delimiter, context.limits)
        first = next(lines, None)
        if first is None:
            raise NodeFailed("text is empty: the first line must name the columns")
        header = [name.strip() for name in first[1]]
        if len(header) > MOST_COLUMNS:
            raise NodeFailed(f"text has {len(header)} columns, the limit is {MOST_COLUMNS}")
        if len(set(header)) != len(header):
            raise NodeFailed(f"text has a duplicate column name: {', '.join(header)[:200]}")
        columns = self._columns(header)
        room = _RowRoom(columns, context.limits)
        rows: list[Any] = []
        for number, line in lines:
            room.take(number, line)
            rows.append(_row(number, header, line, columns))
        self.rows, self.count = rows, len(rows)

    def _columns(self, header: list[str]) -> dict[str, t.AnyPortType]:
        schema = t.Object() if self.schema is None else t.parse_type(self.schema, "schema")
        assert isinstance(schema, t.Object), "the flow's validation rejects anything else"
        if schema.properties is None:
            return {name: t.String() for name in header}
        missing = [name for name, each in schema.properties.items() if name not in header and not each.nullable]
        if missing:
            raise NodeFailed(f"text has no column {missing[0]!r}; available: {', '.join(map(repr, header))[:500]}")
        return schema.properties


def _lines(text: str, delimiter: str, limits: Limits) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each line that has any, with the number of its first line."""
    if len(text) > limits.read_bytes:
        raise limits.exceeded("read_bytes", "the text", len(text))
    found = (match[0] for match in _LINE.finditer(text, 1 if text.startswith("\ufeff") else 0))
    # Strict: an unclosed quote would put all other lines into one field.
    reader = csv.reader(found, delimiter=delimiter, strict=True)
    number = 1
    try:
        for line in reader:
            if line:
                yield number, line
            number = reader.line_num + 1
    except csv.Error as error:
        raise NodeFailed(f"line {number}: is not CSV: {_CSV_ERRORS.get(str(error), error)}") from None


class _RowRoom:
    """The room left for the rows: a short line with many columns is a large object, because of its names."""

    def __init__(self, columns: dict[str, t.AnyPortType], limits: Limits) -> None:
        self._limits = limits
        self._left = limits.value_bytes
        self._row = CONTAINER_BYTES + 3 + sum(len(name) + 4 + SCALAR_BYTES for name in columns)

    def take(self, number: int, line: list[str]) -> None:
        """Take the room of a row. Raises LimitExceeded, naming the line."""
        self._left -= self._row + max(0, sum(map(len, line)) - SCALAR_BYTES * len(line))
        if self._left < 0:
            raise self._limits.exceeded("value_bytes", f"line {number}: the list of rows up to it")


def _row(number: int, header: list[str], line: list[str], columns: dict[str, t.AnyPortType]) -> dict[str, Any]:
    if len(line) > len(header):
        raise NodeFailed(f"line {number}: has {len(line)} fields for {len(header)} columns")
    fields = dict(zip(header, line, strict=False))
    return {name: _field(number, name, fields.get(name), type_) for name, type_ in columns.items()}


def _field(number: int, name: str, text: str | None, type_: t.AnyPortType) -> Any:
    if text is None or (text == "" and (type_.nullable or not isinstance(type_, t.String))):
        if type_.nullable or isinstance(type_, t.Any):
            return None
        raise NodeFailed(f"line {number}: {name} is empty. Write `or null` after its type to allow that")
    if isinstance(type_, t.Number):
        try:
            return to_number(text)
        except Inexact as error:
            raise NodeFailed(f"line {number}: {name} {error}. Give the column the type string") from None
        except ValueError:
            raise NodeFailed(f"line {number}: {name} must be a number, is {quoted(text)}") from None
    if isinstance(type_, t.Boolean):
        if text.lower() not in ("true", "false"):
            raise NodeFailed(f"line {number}: {name} must be true or false, is {quoted(text)}")
        return text.lower() == "true"
    return text


def to_number(text: str) -> int | float:
    """Parse a number.

    Raises:
        Inexact: it has more digits than can be kept.
        ValueError: it is not a number.
    """
    # Python's parser would accept '1_000' and digits of every script, unlike other readers of the data
    plain = text.strip()
    if not plain.isascii() or "_" in plain:
        raise ValueError("is not a number")
    return exact_number(plain)


class ToText(Node):
    """Converts a value to text: a text unchanged, anything else as JSON."""

    pure = True
    value = Input(t.Any(), description="Any value.")
    text = Output(t.String(), description="The text.")

    async def run(self, context: NodeContext) -> None:
        """Convert."""
        self.text = self.value if isinstance(self.value, str) else orjson.dumps(self.value).decode()


class ToNumber(Node):
    """Converts text to a number."""

    pure = True
    text = Input(t.String(), required=True, description="Such as 12, -3.5 or 1e6.")
    value = Output(t.Number(), description="The number.")

    async def run(self, context: NodeContext) -> None:
        """Convert."""
        try:
            self.value = to_number(self.text)
        except Inexact as error:
            raise NodeFailed(f"text {error}") from None
        except ValueError:
            raise NodeFailed(f"{quoted(self.text)} is not a number") from None
