"""Parses `--input KEY=VALUE` by the type that the flow declares. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chaingraph_cli.errors import Usage
from chaingraph_crds.messages.suggestions import suggestion
from chaingraph_crds.numbers import Inexact, exact_number

AS_TEXT: Final = 'Write it as a quoted string: --input \'id="123"\', or "123" in a file.'
_ANY: Final = "any"
_KINDS: Final[Mapping[str, type]] = {
    "string": str,
    "boolean": bool,
    "array": list,
    "object": dict,
}
_FORMS: Final[Mapping[str, str]] = {
    "number": "a number, such as 3 or 0.5",
    "boolean": "true or false",
    "array": "a JSON array, such as '[1, 2]'",
    "object": """a JSON object, such as '{"id": 7}'""",
}


def pair(argument: str, option: str) -> tuple[str, str]:
    """Split KEY=VALUE.

    Raises:
        Usage: it is not of that form.
    """
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise Usage(f"{option} {argument}: expected KEY=VALUE.")
    return key, value


def value(written: str, type_: str = _ANY) -> Any:
    """Parse a value of the type: JSON, or else a string.

    Raises:
        Inexact: it is a number with too many digits.
        ValueError: it is not of the type; the message has the expected form.
    """
    try:
        found = json.loads(written, parse_int=exact_number, parse_float=exact_number)
        if _is(found, type_):
            return found
    except Inexact:
        if not _is(written, type_) or type_ == _ANY:
            raise
    except (ValueError, RecursionError):
        pass
    if _is(written, type_):
        return written
    raise ValueError(_FORMS[type_])


def _is(found: Any, type_: str) -> bool:
    if type_ == "number":
        return isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    expected = _KINDS.get(type_)
    return expected is None or isinstance(found, expected)


def any_value(written: str, option: str) -> Any:
    """Parse JSON, or else return the string.

    Raises:
        Usage: a number has too many digits.
    """
    try:
        return value(written)
    except Inexact as error:
        raise Usage(f"{option}: the number {error}.", AS_TEXT) from None


def _type_of(declared: Mapping[str, Any]) -> str:
    """Return the type of a flow's input: that of its schema, if it has one. The operator checks the details."""
    schema = declared.get("schema")
    found = schema.get("type") if isinstance(schema, Mapping) else schema
    name = found.removesuffix(" or null") if isinstance(found, str) else str(declared.get("type", _ANY))
    return "string" if name == "enum" else name


def typed(
    written: Sequence[str], flow: Mapping[str, Any] | None, *, flow_name: str, known: Sequence[str] = ()
) -> dict[str, Any]:
    """Parse the values of `--input` into inputs by name.

    Args:
        flow: the flow's spec; None if it cannot be read, so that no types are known.
        flow_name: for messages; empty for an inline flow.
        known: inputs of the manifest.

    Raises:
        Usage: a value is not KEY=VALUE, or the flow declares no such input, or one of another type.
    """
    given = dict(pair(each, "--input") for each in written)
    if flow is None:
        return {name: any_value(each, f"--input {name}") for name, each in given.items()}
    whose = f"Flow {flow_name!r}" if flow_name else "the flow"
    types = {str(each.get("name")): _type_of(each) for each in flow.get("inputs") or ()}
    found = {}
    for name, text in given.items():
        if name not in types and name not in known:
            raise Usage(f"--input {name}={text}: {whose} has no input {name!r}{suggestion(name, types) or '.'}")
        type_ = types.get(name, _ANY)
        try:
            found[name] = value(text, type_)
        except Inexact as error:
            raise Usage(f"--input {name}: the number {error}.", AS_TEXT) from None
        except ValueError as needed:
            raise Usage(f"--input {name}={text}: input {name!r} of {whose} must be {needed}.") from None
    return found
