"""Split a text into a list of texts, and join a list to one text."""

from __future__ import annotations

from typing import Any

import orjson

from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.limits import Limits
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.json_values import kind

_PART_BYTES = 3
"""Bytes of a part in JSON besides its text: quotes and a comma."""


class SplitText(Node):
    """Splits a text at a separator: lines, words, the fields of a path. For columns with quotes, use CSVRead."""

    pure = True
    text = Input(t.String(), required=True, description="The text.")
    separator = Input(t.String(), default=",", description="Where to split; empty: at white space of any length.")
    trim = Input(t.Boolean(), default=True, description="Remove white space around each part.")
    drop_empty = Input(t.Boolean(), description="Leave empty parts out.")
    items = Output(t.Array(items=t.String()), description="The parts.")
    count = Output(t.Number(integer=True), description="Number of parts.")

    def run(self, context: NodeContext) -> None:
        """Split. In a thread, because a large text takes time."""
        parts = _split(self.text, self.separator, context.limits)
        if self.trim:
            parts = [each.strip() for each in parts]
        if self.drop_empty:
            parts = [each for each in parts if each]
        self.items, self.count = parts, len(parts)


class JoinText(Node):
    """Joins a list to one text. Numbers and booleans are written as JSON. For anything else, use Template."""

    pure = True
    items = Input(t.Array(), required=True, description="Texts, numbers and booleans.")
    separator = Input(t.String(), default=",", description="Text between two of them.")
    drop_empty = Input(t.Boolean(), description="Leave null and empty texts out.")
    text = Output(t.String(), description="The text.")

    def run(self, context: NodeContext) -> None:
        """Join. In a thread, because a long list takes time."""
        parts = [
            _written(place, each) for place, each in enumerate(self.items) if not (self.drop_empty and _empty(each))
        ]
        length = sum(map(len, parts)) + len(self.separator) * max(0, len(parts) - 1)
        if length > context.limits.value_bytes:
            raise context.limits.exceeded("value_bytes", "the text", length)
        self.text = self.separator.join(parts)


def _split(text: str, separator: str, limits: Limits) -> list[str]:
    """Split a text, into no more parts than a value may have."""
    most = max(1, (limits.value_bytes - len(text)) // _PART_BYTES)
    parts = text.split(separator or None, most)
    if len(parts) > most:
        raise limits.exceeded("value_bytes", "the list of all parts")
    return parts


def _empty(value: Any) -> bool:
    return value is None or value == ""


def _written(place: int, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    hint = ". Set `dropEmpty` to leave it out" if value is None else ". Select a property with Pluck or Expression"
    raise NodeFailed(f"items[{place}] is {kind(value)}: it needs a text, a number or a boolean{hint}")
