"""Values of JSON texts, with every number as it is written or not at all.

orjson reads, and turns a whole number of more than 64 bits into the nearest double. Texts that may hold a number which
does not fit are read again by Python's own reader, which hands out the digits.
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
"""What becomes of a number that cannot be kept: the node fails, it becomes a string, it is rounded."""
NUMBERS_HELP: Final = (
    "A number that cannot be kept with all its digits, as a whole number of more than 64 bits: `exact` fails, `text` "
    "makes it a string, `nearest` rounds it."
)
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""The strings of a JSON text, an unfinished last one too, so that the search is linear whatever the text."""
_LONG_NUMBER = re.compile(rb"[0-9.]{16}|[eE][+-]?[0-9]{3}")
"""Whatever does not have one of these is read exactly by orjson."""


def parsed(text: bytes | str, limits: Limits, what: str, numbers: str = "exact") -> Any:
    """The value of a JSON text.

    A text of 16 MB that opens five million lists would cost 400 MB as a value: what stands between its strings is
    counted before it is read.

    Args:
        text: In UTF-8, without a byte order mark.
        limits: Of the text, and of the value.
        what: The subject of messages.
        numbers: One of NUMBERS.

    Raises:
        LimitExceeded: The text, or what it would be as a value, is too large.
        UnreadableText: It is not JSON, or has a number that cannot be kept.
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
    """The size of the lists and objects that a JSON text opens, and of their elements, as if all were small."""
    containers = data.count(b"[") + data.count(b"{")
    return (CONTAINER_BYTES + 2) * containers + (SCALAR_BYTES + 1) * (data.count(b",") + containers)


def _plain(error: orjson.JSONDecodeError) -> str:
    return str(error).rpartition(" (char")[0] or str(error)


class _Odd:
    """Stands in a value where there was a number that cannot be kept."""

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
            f"{what}: {place or 'the number'} {why}. Set `numbers` to text to take such numbers as strings, or to "
            "nearest to round them"
        )
    return value


def _constant(data: bytes) -> str:
    """Says which NaN or Infinity keeps a text from being JSON; empty when that is not the reason, or not alone."""
    if b"NaN" not in data and b"Infinity" not in data:
        return ""
    odd: Callable[[str], _Odd] = lambda name: _Odd(f"is {name}, which JSON does not have")  # noqa: E731
    try:
        place, why = _first_odd(json.loads(data.decode(), parse_constant=odd))
    except (ValueError, RecursionError):
        return ""
    return f"{place or 'the value'} {why}; null or a string says that there is no number" if why else ""


def _first_odd(value: Any) -> tuple[str, str]:
    """Path and reason of the first number that cannot be kept."""
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
