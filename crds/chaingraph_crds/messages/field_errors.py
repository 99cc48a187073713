"""Describe pydantic's validation errors in the words and paths of Kubernetes.

The operator puts them into conditions, the CLI prints them: `spec.nodes[3].timeoutSeconds: 0 is below 1`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from chaingraph_crds.forms import FORMS
from chaingraph_crds.yaml.scalars import asked_for

_LONGEST_SHOWN = 80
"""Maximum characters of an invalid value that a message repeats."""
_MOST_DESCRIBED = 50
"""Maximum errors that are described. The rest are counted."""


def errors_of(error: ValidationError, root: str = "spec") -> list[str]:
    """Format every error as a line `path: message`, in the order of the models' fields.

    Args:
        error: as raised by `FlowSpec.model_validate` or `ExecutionSpec.model_validate`.
        root: path of the validated part in the object.
    """
    found = error.errors(include_url=False)
    described = [
        f"{_path(root, item['loc'])}: {_sentence(item['type'], item.get('ctx', {}), item['input'], item['msg'])}"
        f"{_hint(item['type'], item['loc'])}"
        for item in found[:_MOST_DESCRIBED]
    ]
    more = len(found) - len(described)
    return [*described, f"{root}: {_count(more, 'more error')}. Fix the listed ones first"] if more else described


def _hint(kind: str, location: Sequence[str | int]) -> str:
    return asked_for(str(location[-1])) if kind == "extra_forbidden" and location else ""


def _path(root: str, location: Sequence[str | int]) -> str:
    path = root
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step[:_LONGEST_SHOWN]}"
    return path


def _shown(value: Any) -> str:
    if isinstance(value, str):
        value = value[: _LONGEST_SHOWN + 1]
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _kind(value: Any) -> str:
    """Return a value's JSON type, for 'must be a boolean, is text'."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean {_shown(value)}"
        case int() | float():
            return f"the number {_shown(value)}"
        case str():
            return f"the text {_shown(value)}"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _mismatch(context: Mapping[str, Any], value: Any) -> str:
    pattern = context["pattern"]
    form = FORMS.get(pattern)
    return f"{_shown(value)} is not {form}" if form else f"{_shown(value)} does not match {pattern}"


_Words = Callable[[Mapping[str, Any], Any], str]


def _must_be(what: str) -> _Words:
    return lambda _, value: f"must be {what}, is {_kind(value)}"


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple | str | dict) else 0


_WORDS: Final[Mapping[str, _Words]] = {
    "missing": lambda _, __: "is required",
    "extra_forbidden": lambda _, __: "unknown field",
    "greater_than_equal": lambda ctx, value: f"{_shown(value)} is below {ctx['ge']:g}",
    "less_than_equal": lambda ctx, value: f"{_shown(value)} is above {ctx['le']:g}",
    "string_too_short": lambda ctx, value: f"has {_count(_length(value), 'character')}, fewer than {ctx['min_length']}",
    "string_too_long": lambda ctx, value: f"has {_count(_length(value), 'character')}, more than {ctx['max_length']}",
    "too_short": lambda ctx, value: f"has {_count(_length(value), 'item')}, fewer than {ctx['min_length']}",
    "too_long": lambda ctx, value: f"has {_count(_length(value), 'item')}, more than {ctx['max_length']}",
    "string_pattern_mismatch": _mismatch,
    "literal_error": lambda ctx, value: f"must be {ctx['expected']}, is {_kind(value)}",
    "string_type": _must_be("text"),
    "int_type": _must_be("a whole number"),
    "int_from_float": _must_be("a whole number"),
    "float_type": _must_be("a number"),
    "finite_number": _must_be("a finite number"),
    "bool_type": _must_be("true or false"),
    "list_type": _must_be("a list"),
    "dict_type": _must_be("an object"),
    "model_type": _must_be("an object"),
}


def _sentence(kind: str, context: Mapping[str, Any], value: Any, otherwise: str) -> str:
    words = _WORDS.get(kind)
    return words(context, value) if words else otherwise
