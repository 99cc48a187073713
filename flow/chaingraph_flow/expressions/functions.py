"""The functions of JMESPath. Each call is charged before it is made, by the length of its arguments and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jmespath import exceptions
from jmespath.functions import Functions, signature

from chaingraph_crds.numbers import divided, exact_number, require_same_precision
from chaingraph_flow.ports.json_values import kind
from chaingraph_flow.templates.budget import ELEMENT_BYTES, LIST_BYTES, PROPERTY_BYTES, Budget
from chaingraph_flow.templates.values import equal, json_of

_KINDS: Final = {
    "array": "an array",
    "array-number": "an array of numbers",
    "array-string": "an array of strings",
    "boolean": "a boolean",
    "expref": "an expression",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


class FunctionRefused(Exception):
    """A function does not take these values. `position` is the offset of the function in the text, once it is known."""

    position: int = -1


@dataclass(frozen=True, slots=True)
class Signature:
    """How many arguments a function takes, and which of them are expressions, counted from 0."""

    least: int
    most: int | None
    expressions: frozenset[int]

    def takes(self, count: int) -> bool:
        """Whether it takes this many arguments."""
        return count >= self.least and (self.most is None or count <= self.most)

    @property
    def arguments(self) -> str:
        """The number of arguments, in words."""
        return f"{'' if self.most is not None else 'at least '}{self.least} argument{'' if self.least == 1 else 's'}"


class ChargedFunctions(Functions):
    """The functions, for one evaluation."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        """Charge a call, and make it.

        Raises:
            FunctionRefused: it does not take these values.
            LimitExceeded: nothing is left of the budget.
        """
        for each in resolved_args:
            self._budget.scan(each)
            if isinstance(each, list | dict):
                self._budget.step(len(each))
        charge = _CHARGES.get(function_name)
        try:
            self._validate_arguments(resolved_args, self.FUNCTION_TABLE[function_name]["signature"], function_name)
            if charge is not None:
                charge(self._budget, *resolved_args)
            return super().call_function(function_name, resolved_args)
        except exceptions.JMESPathTypeError as error:
            needed = " or ".join(_KINDS.get(each, each) for each in error.expected_types)
            raise FunctionRefused(f"{function_name}() takes {needed}, gets {_given(error)}") from None
        except (ValueError, ArithmeticError) as error:
            raise FunctionRefused(f"{function_name}(): {error}") from None

    @signature({"types": []})
    def _func_to_string(self, arg: Any) -> str:
        return arg if isinstance(arg, str) else json_of(arg, self._budget)

    @signature({"types": []})
    def _func_to_number(self, arg: Any) -> int | float | None:
        if isinstance(arg, bool) or not isinstance(arg, int | float | str):
            return None
        if not isinstance(arg, str):
            return arg
        plain = arg.strip()
        if not plain.isascii() or "_" in plain or not any(each.isdigit() for each in plain):
            return None
        try:
            float(plain)
        except ValueError:
            return None
        return exact_number(plain)

    @signature({"types": ["array", "string"]}, {"types": []})
    def _func_contains(self, subject: list[Any] | str, search: Any) -> bool:
        if isinstance(subject, str):
            return isinstance(search, str) and search in subject
        return any(equal(each, search, self._budget) for each in subject)

    @signature({"types": ["array-number"]})
    def _func_sum(self, arg: list[int | float]) -> int | float:
        require_same_precision(*arg)
        return sum(arg)

    @signature({"types": ["array-number"]})
    def _func_avg(self, arg: list[int | float]) -> int | float | None:
        return divided(self._func_sum(arg), len(arg)) if arg else None


def _given(error: exceptions.JMESPathTypeError) -> str:
    """Name the kind of the value that a function refuses. The value itself may be secret."""
    value = error.current_value
    return (
        kind(value) if value is None or isinstance(value, bool | int | float | str | list | dict) else "an expression"
    )


def _list_like(budget: Budget, items: Any, *_: Any) -> None:
    budget.list_room(len(items))


def _sorted(budget: Budget, items: list[Any], *_: Any) -> None:
    budget.list_room(len(items))
    # Each comparison of two texts reads them, about log2(n) times.
    budget.step(len(items) * len(items).bit_length())
    for each in items:
        budget.scan(*([each] * len(items).bit_length()) if isinstance(each, str) else ())


def _joined(budget: Budget, separator: str, texts: list[str]) -> None:
    budget.scan(*texts)
    budget.text_room(sum(map(len, texts)) + len(separator) * max(0, len(texts) - 1))


def _reversed(budget: Budget, value: list[Any] | str) -> None:
    if isinstance(value, str):
        budget.text_room(len(value))
    else:
        budget.list_room(len(value))


def _merged(budget: Budget, *objects: dict[str, Any]) -> None:
    for each in objects:  # jmespath looks at the first one only
        if not isinstance(each, dict):
            raise FunctionRefused(f"merge() takes objects, gets {kind(each)}")
    budget.room(LIST_BYTES + PROPERTY_BYTES * sum(map(len, objects)))


def _texts(budget: Budget, texts: list[Any]) -> None:
    budget.scan(*texts)


def _mapped(budget: Budget, _expression: Any, items: list[Any]) -> None:
    budget.room(LIST_BYTES + ELEMENT_BYTES * len(items))


_CHARGES: Final[Mapping[str, Callable[..., None]]] = {
    "join": _joined,
    "keys": _list_like,
    "map": _mapped,
    "max": _texts,
    "merge": _merged,
    "min": _texts,
    "reverse": _reversed,
    "sort": _sorted,
    "sort_by": _sorted,
    "values": _list_like,
}


def _signatures() -> dict[str, Signature]:
    found = {}
    for name, each in Functions.FUNCTION_TABLE.items():
        types = [argument["types"] for argument in each["signature"]]
        variadic = bool(each["signature"] and each["signature"][-1].get("variadic"))
        expressions = frozenset(index for index, type_ in enumerate(types) if type_ == ["expref"])
        found[name] = Signature(len(types), None if variadic else len(types), expressions)
    return found


FUNCTIONS: Final[Mapping[str, Signature]] = _signatures()
"""The functions by name."""
