"""Parse YAML scalars as kubectl does, whose library is sigs.k8s.io/yaml on go-yaml v2: YAML 1.1 with exceptions.

`y`, `n`, `yes`, `no`, `on` and `off` are booleans, numbers of base 60 (`12:30`) and time stamps stay text, numbers may
have underscores and the prefixes 0x, 0o, 0b and 0. The rules follow `resolve.go` of go.yaml.in/yaml v2.4.3.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

Scalar = str | int | float | bool | None

_TAG: Final = "tag:yaml.org,2002:"
_STRING: Final = f"{_TAG}str"
_BINARY: Final = f"{_TAG}binary"
_TIMESTAMP: Final = f"{_TAG}timestamp"
_RESOLVED: Final = frozenset(f"{_TAG}{each}" for each in ("bool", "int", "float", "null", "timestamp"))

_TRUE: Final = ("y", "yes", "true", "on")
_FALSE: Final = ("n", "no", "false", "off")


def _cases(word: str) -> tuple[str, ...]:
    return (word, word.capitalize(), word.upper())


_WORDS: Final[Mapping[str, Scalar]] = {
    "": None,
    "~": None,
    **dict.fromkeys(_cases("null")),
    **{case: True for word in _TRUE for case in _cases(word)},
    **{case: False for word in _FALSE for case in _cases(word)},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((sign + case for sign in ("", "+") for case in (".inf", ".Inf", ".INF")), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
WORDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "true": ("y", "yes", "on"),
    "false": ("n", "no", "off"),
}
"""The unquoted words that become this key."""

_DECIMAL: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_FRACTION: Final = re.compile(r"\.[0-9](_?[0-9])*([eE][-+]?[0-9](_?[0-9])*)?")
_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hexadecimal>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)|0[oO]?(?P<octal>[0-7]+)"
    r"|(?P<decimal>0|[1-9][0-9]*))"
)
_SIGN_WITHIN: Final = re.compile(r"0b([-+][01]+)")
"""go-yaml accepts the sign of a binary number there as well."""
_BASES: Final = {"hexadecimal": 16, "binary": 2, "octal": 8, "decimal": 10}
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?)?"
)
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**64 - 1
_SHORT_DIGITS: Final = 6


def asked_for(key: str) -> str:
    """Return a question for the author of an unknown key `true` or `false`, to append to a message; else ''."""
    words = WORDS_OF.get(key)
    return f"; did you write {', '.join(words[:-1])} or {words[-1]} without quotes?" if words else ""


def plain(text: str) -> Scalar:
    """Parse a scalar without quotes and without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first == ".":
        return _float(text.replace("_", ""), text) if _FRACTION.fullmatch(text) else text
    if first not in "+-0123456789":
        return text
    number = text.replace("_", "")
    found = _integer(number)
    if found is not None:
        return found
    return _float(number, text) if _DECIMAL.fullmatch(number) else text


def _integer(number: str) -> int | None:
    found = _INTEGER.fullmatch(number)
    if found is None:
        within = _SIGN_WITHIN.fullmatch(number)
        return int(within[1], 2) if within else None
    base = next(each for each in _BASES if found[each] is not None)
    value = int(found["sign"] + found[base], _BASES[base])
    if value > _LARGEST or value < _SMALLEST or (found["sign"] == "+" and value >= 2**63):
        # Beyond 64 bits, a decimal is read as a float. Go accepts no sign before a number beyond 63 bits.
        return None
    return value


def _float(number: str, text: str) -> float | str:
    value = float(number)
    # Go rejects a number beyond a float's range, and the text stays text.
    return text if math.isinf(value) else value


def tagged(tag: str, text: str) -> Scalar:
    """Parse a scalar with a tag.

    Raises:
        ValueError: the text is not of that kind.
    """
    if tag == _BINARY:
        try:
            return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode("utf-8", "replace")
        except binascii.Error:
            raise ValueError("!!binary value contains invalid base64 data") from None
    if tag not in _RESOLVED:
        return text
    name = tag.removeprefix(_TAG)
    value = plain(text)
    if tag == _TIMESTAMP and _TIME.fullmatch(text):
        return text
    kind = _kind(value)
    if kind == name:
        return value
    if name == "float" and isinstance(value, int) and value < 2**63:
        return float(value)
    raise ValueError(f"cannot read `{text}` as a !!{name}")


def _kind(value: Scalar) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    return {int: "int", float: "float"}.get(type(value), "str")


def as_json(value: Scalar) -> Scalar:
    """Convert the value to JSON: a float without a fraction becomes an integer.

    Raises:
        ValueError: JSON has no such number.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{'.nan' if math.isnan(value) else '.inf'} is not a JSON number")
        if value.is_integer() and abs(value) < 2**63:
            # Go writes the shortest digits, which are then read as an integer.
            return int(Decimal(repr(value)))
    return value


def as_key(value: Scalar) -> str:
    """Convert the value to a key of a JSON object.

    Raises:
        ValueError: null, or an integer of more than 63 bits, cannot be a key.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _short(value)
    if value is None:
        raise ValueError("null cannot be a key: put it in quotes")
    if value >= 2**63:
        raise ValueError(f"{value} cannot be a key: put it in quotes")
    return str(value)


def _short(value: float) -> str:
    """Format a float as Go does in 32 bits (`%g`): the shortest digits that distinguish it from its neighbours."""
    if math.isnan(value):
        return ".nan"
    try:
        narrow: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        narrow = math.copysign(math.inf, value)
    if math.isinf(narrow):
        return ".inf" if narrow > 0 else "-.inf"
    written = next(
        each
        for each in (f"{narrow:.{digits}e}" for digits in range(17))
        if struct.unpack("f", struct.pack("f", float(each)))[0] == narrow
    )
    mantissa, _, power = written.partition("e")
    exponent = int(power)
    digits = len(mantissa.lstrip("-").replace(".", ""))
    if -4 <= exponent < _SHORT_DIGITS:
        return f"{narrow:.{max(digits - 1 - exponent, 0)}f}"
    return f"{mantissa}e{'+' if exponent >= 0 else '-'}{abs(exponent):02d}"
