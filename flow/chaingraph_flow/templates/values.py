"""The values of templates: JSON values, and objects that can be called or read but never printed.

An object's keys come first: `data.items` is the property when there is one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from chaingraph_crds.numbers import Inexact, divided, require_same_precision
from chaingraph_flow.field_errors import shortened, suggestion
from chaingraph_flow.ports.json_values import kind
from chaingraph_flow.templates.budget import ELEMENT_BYTES, LIST_BYTES, PROPERTY_BYTES, Budget, TemplateError

LARGEST_NUMBER: Final = 2**64
LONGEST_NAME: Final = 64
_MOST_NAMES: Final = 50
_HIGHEST_POWER: Final = 64


@dataclass(frozen=True, slots=True)
class Undefined:
    """A name or place that does not exist. Only `default` and its tests accept one."""

    message: str


@dataclass(slots=True)
class Namespace:
    """Variables that a loop may change: `{% set ns = namespace(n=0) %}`."""

    values: dict[str, Any] = field(default_factory=dict)


class Computed:
    """An object whose attributes are computed on access: `loop`."""

    call: Callable[..., Any] | None = None

    def get(self, name: str) -> Any:
        """Return the attribute of this name, or an Undefined."""
        raise NotImplementedError


class Group(list[Any]):
    """A group of `groupby`: `[grouper, list]`, also by these names."""


@dataclass(frozen=True, slots=True)
class Function:
    """Something callable: a method of a value, a macro, `range`."""

    name: str
    call: Callable[..., Any]


def defined(value: Any) -> Any:
    """Return the value. Raises TemplateError, naming it, when it is undefined."""
    if isinstance(value, Undefined):
        raise TemplateError(value.message)
    return value


def text_of(value: Any, budget: Budget) -> str:
    """Format a value for printing: a text unchanged, anything else as JSON."""
    if isinstance(value, str):
        return value
    defined(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return json.dumps(_finite(value))
    if not isinstance(value, list | dict):
        raise _unprintable(value)
    budget.look_at(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_refuse)
    budget.text_room(len(text))
    return text


def json_of(value: Any, budget: Budget, *, indent: bool = False, sort_keys: bool = False) -> str:
    """Format a value as JSON, without spaces or with indents."""
    defined(value)
    budget.look_at(value)
    if not indent:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, default=_refuse, separators=(",", ":"), sort_keys=sort_keys
        )
        budget.text_room(len(text))
        return text
    parts = []
    for part in json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_refuse, indent=2).iterencode(value):
        budget.text_room(len(part))  # the indents of a deep value may be many times its size
        parts.append(part)
    return "".join(parts)


def _refuse(value: Any) -> None:
    defined(value)
    raise _unprintable(value)


def _unprintable(value: Any) -> TemplateError:
    if isinstance(value, Function):
        return TemplateError(f"{value.name} must be called: write {value.name}()")
    return TemplateError(f"{named(value)} cannot be printed")


def named(value: Any) -> str:
    """Name the kind of a value for messages."""
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return kind(value)
    return "a function" if isinstance(value, Function) else "a namespace or loop"


def elements(value: Any, budget: Budget) -> list[Any]:
    """Return the elements for a loop: of a list, the keys of an object, the characters of a text."""
    defined(value)
    if isinstance(value, list):
        budget.step()
        return value
    if isinstance(value, dict):
        budget.list_room(len(value))
        return list(value)
    if isinstance(value, str):
        budget.texts_room(len(value), len(value))
        return list(value)
    raise TemplateError(f"{named(value)} cannot be looped over")


def attribute(value: Any, name: str, methods: Callable[[Any, str], Function | None]) -> Any:
    """Evaluate `value.name`: the property of an object, else one of the methods of values."""
    defined(value)
    if isinstance(value, dict) and name in value:
        return value[name]
    if isinstance(value, Namespace):
        return value.values.get(name, Undefined(f"the namespace has no attribute {name!r}"))
    if isinstance(value, Computed):
        return value.get(name)
    if isinstance(value, Group) and name in ("grouper", "list"):
        return value[0 if name == "grouper" else 1]
    method = methods(value, name)
    return method if method is not None else Undefined(missing(value, name))


def element(value: Any, key: Any) -> Any:
    """`value[key]`."""
    defined(value)
    defined(key)
    if isinstance(value, Group) and key in ("grouper", "list"):
        return value[0 if key == "grouper" else 1]
    if isinstance(value, dict) and isinstance(key, str):
        return value[key] if key in value else Undefined(missing(value, key))
    if isinstance(value, list | str) and isinstance(key, int) and not isinstance(key, bool):
        return value[key] if -len(value) <= key < len(value) else Undefined(missing(value, key))
    return Undefined(missing(value, key))


def missing(value: Any, key: Any) -> str:
    """Describe a name or an index that leads nowhere. Names are shortened, and few are compared."""
    if isinstance(value, list | str) and isinstance(key, int) and not isinstance(key, bool):
        parts = "element" if isinstance(value, list) else "character"
        return f"{named(value)} of {len(value)} {parts}{'' if len(value) == 1 else 's'} has no element {key}"
    if not isinstance(key, str):
        return f"{named(value)} has no element named by {named(key)}"
    if not isinstance(value, dict):
        return f"{named(value)} has no attribute {shortened(key, LONGEST_NAME)!r}"
    near = [name for name in islice(value, _MOST_NAMES) if len(name) <= LONGEST_NAME]
    hint = suggestion(key, near) if len(key) <= LONGEST_NAME else ""
    return f"{named(value)} has no attribute {shortened(key, LONGEST_NAME)!r}{hint}"


def sliced(value: Any, bounds: tuple[Any, Any, Any], budget: Budget) -> Any:
    """`value[start:stop:step]`."""
    defined(value)
    for each in bounds:
        if each is not None and (not isinstance(each, int) or isinstance(each, bool)):
            raise TemplateError(f"the bounds of a slice are whole numbers, not {named(each)}")
    if bounds[2] == 0:
        raise TemplateError("the step of a slice cannot be 0")
    if isinstance(value, str):
        budget.text_room(len(range(*slice(*bounds).indices(len(value)))))
        return value[slice(*bounds)]
    if isinstance(value, list):
        budget.list_room(len(range(*slice(*bounds).indices(len(value)))))
        return list(value[slice(*bounds)])
    raise TemplateError(f"{named(value)} cannot be sliced")


def truth(value: Any) -> bool:
    """Whether a condition holds: not for false, null, 0, and empty values."""
    defined(value)
    return bool(value)


def equal(left: Any, right: Any, budget: Budget) -> bool:
    """Compare JSON values for equality: true is not 1, 1 is 1.0."""
    pairs = [(defined(left), defined(right))]
    while pairs:
        a, b = pairs.pop()
        budget.step()
        if isinstance(a, bool) or isinstance(b, bool):
            if a is not b:
                return False
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            budget.step(len(a))
            pairs.extend(zip(a, b, strict=True))
        elif isinstance(a, dict) and isinstance(b, dict):
            if len(a) != len(b):
                return False
            budget.step(len(a))
            if a.keys() != b.keys():
                return False
            pairs.extend((a[name], b[name]) for name in a)
        elif isinstance(a, str) and isinstance(b, str):
            budget.scan(a)
            if a != b:
                return False
        elif isinstance(a, list | dict) or isinstance(b, list | dict) or a != b:
            return False
    return True


def contains(container: Any, item: Any, budget: Budget) -> bool:
    """Evaluate `item in container`."""
    defined(item)
    if isinstance(container, str):
        if not isinstance(item, str):
            raise TemplateError(f"TypeError: a text can only contain texts, not {named(item)}")
        budget.scan(container, item)
        return item in container
    if isinstance(container, dict):
        return isinstance(item, str) and item in container
    if isinstance(defined(container), list):
        return any(equal(each, item, budget) for each in container)
    raise TemplateError(f"TypeError: {named(container)} cannot contain anything")


def ordered(left: Any, right: Any, budget: Budget) -> tuple[Any, Any]:
    """Return both, when they can be compared: numbers or texts. Raises TemplateError."""
    for cls in (int | float, str):
        if isinstance(defined(left), cls) and isinstance(defined(right), cls):
            budget.scan(left, right)
            return left, right
    raise TemplateError(f"TypeError: cannot compare {named(left)} and {named(right)}: use numbers or texts")


def calculated(operator: str, left: Any, right: Any, budget: Budget) -> Any:
    """Return the result of `+ - * / // % **`."""
    defined(left)
    defined(right)
    budget.step()
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _number(operator, left, right)
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        budget.text_room(len(left) + len(right))
        return left + right
    if operator == "+" and isinstance(left, list) and isinstance(right, list):
        budget.list_room(len(left) + len(right))
        return list(left) + list(right)
    more = ", two texts or two lists" if operator == "+" else ""
    raise TemplateError(f"TypeError: {operator} takes two numbers{more}, not {named(left)} and {named(right)}")


def _number(operator: str, left: float, right: float) -> Any:
    if max(abs(left), abs(right)) > LARGEST_NUMBER and isinstance(left, int) and isinstance(right, int):
        raise TemplateError("a number has more than 64 bits")
    if operator == "**" and abs(right) > _HIGHEST_POWER:
        raise TemplateError(f"the exponent of ** must be at most {_HIGHEST_POWER}")
    try:
        require_same_precision(left, right)
        result = _OPERATIONS[operator](left, right)
    except ZeroDivisionError:
        raise TemplateError("division by zero") from None
    except OverflowError:
        raise TemplateError("the number is too large") from None
    except Inexact as error:
        raise TemplateError(f"{operator}: one of the numbers {error}") from None
    return _finite(result)


def _finite(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise TemplateError("the result has more than 64 bits")
    if isinstance(value, complex) or not math.isfinite(value):
        raise TemplateError("the result is not a finite number")
    return value


_OPERATIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": divided,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
}


def new_list(items: list[Any], budget: Budget) -> list[Any]:
    """Charge and return a list that the template creates."""
    budget.list_room(len(items))
    return items


def new_object(pairs: Iterator[tuple[Any, Any]], budget: Budget) -> dict[str, Any]:
    """Charge and return an object that the template creates. Its keys are texts."""
    made: dict[str, Any] = {}
    budget.room(LIST_BYTES)
    for key, value in pairs:
        if not isinstance(defined(key), str):
            raise TemplateError(f"the keys of an object must be texts, not {named(key)}")
        budget.room(PROPERTY_BYTES)
        made[key] = value
    return made


def pairs_of(value: Any, budget: Budget) -> list[Any]:
    """Return `[[key, value], ...]` of an object."""
    if not isinstance(defined(value), dict):
        raise TemplateError(f"{named(value)} has no items: use an object")
    budget.list_room(len(value))
    budget.room(len(value) * (LIST_BYTES + 2 * ELEMENT_BYTES))
    return [[key, each] for key, each in value.items()]
