"""Numbers without silent loss of digits: they are kept exactly, or rejected with a reason.

Values hold 64-bit integers and doubles. The Kubernetes API holds 63-bit integers and doubles, and silently rounds every
other number.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

SMALLEST_INTEGER: Final = -(2**63)
LARGEST_INTEGER: Final = 2**64 - 1
LARGEST_KUBERNETES_INTEGER: Final = 2**63 - 1
LARGEST_EXACT_IN_DOUBLE: Final = 2**53
"""A double holds every whole number up to this one."""
DOUBLE_DIGITS: Final = 17
"""Significant digits that distinguish any two doubles."""
_SURE_DIGITS: Final = 15
"""Significant digits that a double keeps of any number."""
_LONGEST: Final = 1000
_SHOWN: Final = 40
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")

Step = str | int


class Inexact(ValueError):
    """A number cannot be kept with all its digits. The message is a clause: `is 1e999, beyond ...`."""


def exact_number(text: str) -> int | float:
    """Parse a number exactly.

    Raises:
        Inexact: it has more digits than can be kept.
        ValueError: it is not a number.
    """
    if len(text) <= 20 and _INTEGER.fullmatch(text):
        whole = int(text)
        if SMALLEST_INTEGER <= whole <= LARGEST_INTEGER:
            return whole
    number = float(text)
    if not math.isfinite(number):
        if not any(each.isdigit() for each in text):
            raise ValueError(f"{text!r} is not a finite number")
        raise Inexact(f"is {shown(text)}, beyond the largest number, 1.8e308")
    if repr(number) == text:
        return number
    if len(text) > _LONGEST:
        raise Inexact(f"is {shown(text)}, longer than the limit of {_LONGEST}")
    decimal = Decimal(text)
    whole_number = _is_whole(decimal)
    if decimal == Decimal(repr(number)) or (decimal == Decimal(number) and not whole_number):
        return number
    if abs(number) < sys.float_info.min:
        raise Inexact(f"is {shown(text)}, which is too close to 0")
    if whole_number:
        raise Inexact(f"is {shown(text)}, a whole number of more than 64 bits" + _hint_of_fraction(decimal))
    digits = _significant(decimal)
    if digits > DOUBLE_DIGITS:
        raise Inexact(f"is {shown(text)}, which has {digits} significant digits; numbers keep {DOUBLE_DIGITS}")
    return number


def _hint_of_fraction(decimal: Decimal) -> str:
    inside = SMALLEST_INTEGER <= decimal <= LARGEST_INTEGER
    return " when written with a point or an exponent: write it without" if inside else ""


def _is_whole(decimal: Decimal) -> bool:
    _, digits, exponent = decimal.as_tuple()
    assert isinstance(exponent, int)
    return exponent >= 0 or not any(digits[exponent:])


def _significant(decimal: Decimal) -> int:
    return len("".join(map(str, decimal.as_tuple().digits)).strip("0"))


def shown(text: str) -> str:
    """Format a number for a message."""
    return text if len(text) <= _SHOWN else f"a number of {len(text)} characters"


# -- calculating -----------------------------------------------------------------------------------------------------


def require_same_precision(*numbers: float) -> None:
    """Raise Inexact when a whole number beyond the precision of a double meets one with a fraction."""
    if any(isinstance(each, float) for each in numbers):
        for each in numbers:
            if isinstance(each, int) and abs(each) > LARGEST_EXACT_IN_DOUBLE and int(float(each)) != each:
                raise Inexact(
                    f"is {each}, which has more digits than a number with a fraction keeps: "
                    "calculate with whole numbers only"
                )


def divided(a: float, b: float) -> float:
    """Return a / b, exactly for whole numbers without remainder. Raises Inexact, ZeroDivisionError, OverflowError."""
    require_same_precision(a, b)
    if isinstance(a, int) and isinstance(b, int) and a % b == 0 and abs(a // b) > LARGEST_EXACT_IN_DOUBLE:
        return a // b
    return a / b


# -- in the Kubernetes API -------------------------------------------------------------------------------------------


def refused_by_kubernetes(value: object) -> str | None:
    """Return why the Kubernetes API cannot hold a number exactly; None when it can, or when it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {json.dumps(value)}, which JSON does not have"
    if SMALLEST_INTEGER <= value <= LARGEST_KUBERNETES_INTEGER:
        return None
    return f"is {shown(str(value))}, and Kubernetes rounds whole numbers of more than 63 bits"


def rounded_by_kubernetes(value: object) -> str | None:
    """Return why a number read from the Kubernetes API may differ from the one written; None when it cannot.

    The API stores a whole number of more than 63 bits as a double. A number written with up to 15 significant digits,
    such as 1e21, is unchanged. Longer ones may have lost digits.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if SMALLEST_INTEGER <= value <= LARGEST_KUBERNETES_INTEGER or not math.isfinite(value):
        return None
    if _significant(Decimal(repr(float(value)))) <= _SURE_DIGITS:
        return None
    return f"is {value}, which Kubernetes may have rounded: it keeps whole numbers of 63 bits. Write it as a string"


def numbers_in(value: object) -> Iterator[tuple[tuple[Step, ...], int | float]]:
    """Yield every number in a JSON value, with its path."""
    waiting: list[tuple[tuple[Step, ...], Any]] = [((), value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(((*path, str(name)), inner) for name, inner in reversed(each.items()))
        elif isinstance(each, list):
            waiting.extend(((*path, index), each[index]) for index in reversed(range(len(each))))
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield path, each
