"""Parse JSON texts, with every number exactly as written or not at all.

orjson parses, and rounds a whole number of more than 64 bits to the nearest double. Texts that may hold such a number
are parsed again by Python's own parser, which keeps the digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from chaingraph_crds.numbers import Inexact, exact_number
from chaingraph_flow.errors import UnreadableText
from chaingraph_flow.limits import Limits
from chaingraph_flow.ports.json_values import CONTAINER_BYTES, SCALAR_BYTES, Path, render

NUMBERS: Final = ("exact", "text", "nearest")
"""How to handle a number that cannot be kept: fail the node, make it a string, round it."""
NUMBERS_HELP: Final = (
    "For a number that cannot be kept exactly, such as a whole number of more than 64 bits: `exact` fails, `text` "
    "makes it a string, `nearest` rounds it."
)
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""The strings of a JSON text, including an unfinished last one, so that the search is linear for any text."""
_LONG_NUMBER = re.compile(rb"[0-9.]{16}|[eE][+-]?[0-9]{3}")
"""orjson parses a text exactly unless it has one of these."""


def parsed(text: bytes | str, limits: Limits, what: str, numbers: str = "exact") -> Any:
    """Parse a JSON text.

    A text of 16 MB that opens five million lists would take 400 MB as a value, so the characters between its strings
    are counted before it is parsed.

    Args:
        text: in UTF-8, without a byte order mark.
        limits: for the text and the value.
        what: the subject of messages.
        numbers: one of NUMBERS.

    Raises:
        LimitExceeded: the text, or its value, is too large.
        UnreadableText: it is not JSON, or has a number that cannot be kept.
    """
    if len(text) > limits.read_bytes:
        raise limits.exceeded("read_bytes", what, len(text))
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) + _structure_size(data) > limits.value_bytes:
        between = _STRINGS.sub(b"", data)
        size = len(data) - len(between) + max(len(between), _structure_size(between))
        if size > limits.value_bytes:
            raise limits.exceeded("value_bytes", f"{what}, as a value,", size)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableText(f"{what} is not JSON: {_constant(data) or _plain(error)}") from None
    if numbers == "nearest" or not _LONG_NUMBER.search(data) or not _LONG_NUMBER.search(_STRINGS.sub(b"", data)):
        return value
    return _read_exactly(data, what, as_text=numbers == "text")


def _structure_size(data: bytes) -> int:
    """Estimate the size of the lists, objects and elements of a JSON text, as if all elements were small."""
    containers = data.count(b"[") + data.count(b"{")
    return (CONTAINER_BYTES + 2) * containers + (SCALAR_BYTES + 1) * (data.count(b",") + containers)


def _plain(error: orjson.JSONDecodeError) -> str:
    return str(error).rpartition(" (char")[0] or str(error)


class _Odd:
    """A placeholder for a number that cannot be kept."""

    def __init__(self, why: str) -> None:
        self.why = why


def _read_exactly(data: bytes, what: str, *, as_text: bool) -> Any:
    odd = False

    def number(digits: str) -> Any:
        nonlocal odd
        try:
            return exact_number(digits)
        except Inexact as error:
            if as_text:
                return digits
            odd = True
            return _Odd(str(error))

    try:
        value = json.loads(data.decode(), parse_int=number, parse_float=number)
    except RecursionError:
        raise UnreadableText(f"{what} is nested too deeply") from None
    if odd:
        place, why = _first_odd(value)
        raise UnreadableText(
            f"{what}: {place or 'the number'} {why}. Set `numbers` to text to read such numbers as strings, or to "
            "nearest to round them"
        )
    return value


def _constant(data: bytes) -> str:
    """Describe the NaN or Infinity that makes a text invalid; empty when that is not the only reason."""
    if b"NaN" not in data and b"Infinity" not in data:
        return ""
    odd: Callable[[str], _Odd] = lambda name: _Odd(f"is {name}, which JSON does not have")  # noqa: E731
    try:
        place, why = _first_odd(json.loads(data.decode(), parse_constant=odd))
    except (ValueError, RecursionError):
        return ""
    return f"{place or 'the value'} {why}; use null or a string instead" if why else ""


def _first_odd(value: Any) -> tuple[str, str]:
    """Return path and reason of the first number that cannot be kept."""
    waiting: list[tuple[Path, Any]] = [(("",), value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, _Odd):
            return render(path)[:200], each.why
        if isinstance(each, dict):
            waiting.extend(((path, name), inner) for name, inner in reversed(each.items()))
        elif isinstance(each, list):
            waiting.extend(((path, index), each[index]) for index in reversed(range(len(each))))
    return "", ""
