"""The methods of texts and objects: Python's by name, for JSON values, charged by length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from chaingraph_flow.templates.budget import CHARACTERS_A_STEP, Budget, TemplateError
from chaingraph_flow.templates.values import Function, defined, named, new_list, pairs_of

_QUESTIONS: Final = frozenset(
    (
        *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle"),
        *("isupper", "startswith", "endswith", "count", "find"),
    )
)
_CHANGES: Final = frozenset(
    ("capitalize", "casefold", "lower", "removeprefix", "removesuffix", "swapcase", "title", "upper")
)
_STRIPS: Final = frozenset(("strip", "lstrip", "rstrip"))
_SPLITS: Final = frozenset(("split", "splitlines", "partition"))
_FROM_THE_RIGHT: Final = frozenset(("rfind", "rsplit", "rpartition"))
STRING_METHODS: Final = _QUESTIONS | _CHANGES | _STRIPS | _SPLITS | _FROM_THE_RIGHT
OBJECT_METHODS: Final = frozenset(("get", "items", "keys", "values"))
_BLANKS: Final = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029"


def method_of(value: Any, name: str, budget: Budget) -> Function | None:
    """Return the method of this name, or None when a value of this kind has none."""
    if isinstance(value, str) and name in STRING_METHODS:
        return Function(name, _string_method(value, name, budget))
    if isinstance(value, dict) and name in OBJECT_METHODS:
        return Function(name, _object_method(value, name, budget))
    return None


def _object_method(value: dict[str, Any], name: str, budget: Budget) -> Callable[..., Any]:
    def get(key: Any, default: Any = None) -> Any:
        return value.get(key, default) if isinstance(defined(key), str) else default

    methods: dict[str, Callable[..., Any]] = {
        "get": get,
        "items": lambda: pairs_of(value, budget),
        "keys": lambda: new_list(list(value), budget),
        "values": lambda: new_list(list(value.values()), budget),
    }
    return methods[name]


def _string_method(text: str, name: str, budget: Budget) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        for each in arguments:
            if not (each is None or isinstance(defined(each), str | int)):
                raise TemplateError(f"TypeError: {name} does not take {named(each)}")
        budget.scan(text, *arguments)
        _charge(text, name, arguments, budget)
        made = getattr(text, name)(*arguments)
        if isinstance(made, str):
            budget.text_room(len(made))
        return list(made) if isinstance(made, tuple) else made

    return call


def _charge(text: str, name: str, arguments: tuple[Any, ...], budget: Budget) -> None:
    """Charge the method's cost beyond one walk through the text, before it runs."""
    first = arguments[0] if arguments else None
    second = len(first) if isinstance(first, str) else 1
    if name in _STRIPS or name in _FROM_THE_RIGHT:
        # Python searches for each character of one text in all of the other.
        budget.step(len(text) * second // CHARACTERS_A_STEP // (1 if name in _STRIPS else 8))
    if name in ("split", "rsplit"):
        pieces = text.count(first) if isinstance(first, str) and first else sum(map(text.count, _BLANKS))
        budget.texts_room(pieces + 1, len(text))
    elif name == "splitlines":
        budget.texts_room(sum(map(text.count, _BLANKS)) + 1, len(text))
    elif name in ("partition", "rpartition"):
        budget.texts_room(3, len(text))
