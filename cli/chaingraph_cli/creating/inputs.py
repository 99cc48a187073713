"""Inputs of the command line: `--input KEY=VALUE`, read by the type that the flow declares. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chaingraph_cli.errors import Usage
from chaingraph_crds.numbers import Inexact, exact_number
from chaingraph_crds.suggestions import suggestion

AS_TEXT: Final = 'Write it as a string, in quotes of its own: --input \'id="123"\', or "123" in a file.'
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
    "array": "an array in JSON, such as '[1, 2]'",
    "object": """an object in JSON, such as '{"id": 7}'""",
}


def pair(argument: str, option: str) -> tuple[str, str]:
    """KEY and VALUE of KEY=VALUE.

    Raises:
        Usage: there is no `=`, or nothing before it.
    """
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise Usage(f"{option} {argument}: is not of the form KEY=VALUE.")
    return key, value


def value(written: str, type_: str = _ANY) -> Any:
    """The JSON value that was written where it is of the type, else the text where that is.

    Raises:
        Inexact: it is a number that has more digits than can be kept.
        ValueError: neither of them is.
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
    """The JSON value that was written, else the text.

    Raises:
        Usage: a number has more digits than can be kept.
    """
    try:
        return value(written)
    except Inexact as error:
        raise Usage(f"{option}: the number {error}.", AS_TEXT) from None


def typed(
    written: Sequence[str], flow: Mapping[str, Any] | None, *, flow_name: str, known: Sequence[str] = ()
) -> dict[str, Any]:
    """The inputs of `--input`, by name.

    Args:
        flow: the flow's spec; None where it cannot be read, so that no types are known.
        flow_name: for messages; empty for a flow that an Execution brings.
        known: inputs that the manifest has anyway.

    Raises:
        Usage: an argument is not KEY=VALUE, or the flow declares no such input, or one of another type.
    """
    given = dict(pair(each, "--input") for each in written)
    if flow is None:
        return {name: any_value(each, f"--input {name}") for name, each in given.items()}
    whose = f"the Flow {flow_name!r}" if flow_name else "the flow"
    types = {str(each.get("name")): str(each.get("type", _ANY)) for each in flow.get("inputs") or ()}
    found = {}
    for name, text in given.items():
        if name not in types and name not in known:
            raise Usage(f"--input {name}={text}: {whose} declares no input {name!r}{suggestion(name, types) or '.'}")
        type_ = types.get(name, _ANY)
        try:
            found[name] = value(text, type_)
        except Inexact as error:
            raise Usage(f"--input {name}: the number {error}.", AS_TEXT) from None
        except ValueError as needed:
            raise Usage(f"--input {name}={text}: the input {name!r} of {whose} takes {needed}.") from None
    return found
