"""The tests of templates, for the operator `is`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from chaingraph_flow.templates.budget import Budget, TemplateError
from chaingraph_flow.templates.values import Function, Undefined, contains, defined, equal, named, ordered

Test = Callable[..., bool]


def _is(*classes: type, bools: bool = False) -> Test:
    def test(budget: Budget, value: Any) -> bool:
        return isinstance(defined(value), classes) and (bools or not isinstance(value, bool))

    return test


def _whole(value: Any) -> int:
    if isinstance(defined(value), bool) or not isinstance(value, int):
        raise TemplateError(f"TypeError: needs a whole number, not {named(value)}")
    return value


def _divisible(budget: Budget, value: Any, by: Any) -> bool:
    if by == 0:
        raise TemplateError("division by zero")
    return _whole(value) % _whole(by) == 0


def _cased(asked: Callable[[str], bool]) -> Test:
    def test(budget: Budget, value: Any) -> bool:
        budget.scan(defined(value))
        return isinstance(value, str) and asked(value)

    return test


def _comparing(operator: str) -> Test:
    return lambda budget, left, right: compared(operator, left, right, budget)


def compared(operator: str, left: Any, right: Any, budget: Budget) -> bool:
    """Whether a comparison holds, by Jinja's name of its operator."""
    if operator in ("eq", "ne"):
        return equal(left, right, budget) == (operator == "eq")
    if operator in ("in", "notin"):
        return contains(right, left, budget) == (operator == "in")
    a, b = ordered(left, right, budget)
    if operator == "lt":
        return bool(a < b)
    if operator == "lteq":
        return bool(a <= b)
    return bool(a > b) if operator == "gt" else bool(a >= b)


TESTS: Final[dict[str, Test]] = {
    "boolean": _is(bool, bools=True),
    "callable": lambda budget, value: isinstance(defined(value), Function),
    "defined": lambda budget, value: not isinstance(value, Undefined),
    "divisibleby": _divisible,
    "even": lambda budget, value: _whole(value) % 2 == 0,
    "false": lambda budget, value: defined(value) is False,
    "float": _is(float),
    "integer": _is(int),
    "in": _comparing("in"),
    "iterable": _is(str, list, dict),
    "lower": _cased(str.islower),
    "mapping": _is(dict),
    "none": lambda budget, value: defined(value) is None,
    "number": _is(int, float),
    "odd": lambda budget, value: _whole(value) % 2 == 1,
    "sequence": _is(str, list, dict),
    "string": _is(str),
    "true": lambda budget, value: defined(value) is True,
    "undefined": lambda budget, value: isinstance(value, Undefined),
    "upper": _cased(str.isupper),
    **dict.fromkeys(("eq", "==", "equalto"), _comparing("eq")),
    **dict.fromkeys(("ne", "!="), _comparing("ne")),
    **dict.fromkeys(("lt", "<", "lessthan"), _comparing("lt")),
    **dict.fromkeys(("le", "<="), _comparing("lteq")),
    **dict.fromkeys(("gt", ">", "greaterthan"), _comparing("gt")),
    **dict.fromkeys(("ge", ">="), _comparing("gteq")),
}
