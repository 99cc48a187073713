"""The filters that order, group and sum the elements of a list, by a property or by the elements themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from chaingraph_flow.templates.budget import Budget, TemplateError
from chaingraph_flow.templates.values import (
    Group,
    Undefined,
    calculated,
    defined,
    element,
    elements,
    json_of,
    named,
    new_list,
    pairs_of,
    text_of,
)

Filter = Callable[..., Any]


def place(budget: Budget, item: Any, attribute: Any, default: Any = None) -> Any:
    """Return the value at `a.b.0` inside an item; the item itself without an attribute."""
    budget.step()
    if attribute is None:
        return item
    budget.step(len(attribute) // 2 if isinstance(attribute, str) else 0)
    steps = attribute.split(".") if isinstance(attribute, str) else [attribute]
    for step in steps:
        item = element(item, int(step) if isinstance(step, str) and step.isdecimal() and len(step) < 10 else step)
        if isinstance(item, Undefined):
            return item if default is None else default
    return item


def _places(budget: Budget, value: Any, attribute: Any) -> tuple[list[Any], list[Any]]:
    """Return the elements of a list, and the place in each that a filter uses."""
    items = elements(value, budget)
    budget.list_room(2 * len(items))
    return items, [place(budget, each, attribute) for each in items]


def _key(value: Any, *, fold: bool) -> Any:
    return value.lower() if fold and isinstance(value, str) else value


def _sort_keys(budget: Budget, keys: list[Any], *, fold: bool) -> list[Any]:
    """Return sortable keys, and charge the sorting: all numbers, or all texts."""
    for each in keys:
        if isinstance(defined(each), str):
            budget.text_room(len(each))
        elif not isinstance(each, int | float):
            raise TemplateError(f"TypeError: sorting needs numbers or texts, not {named(each)}")
    if len({isinstance(each, str) for each in keys}) > 1:
        raise TemplateError("TypeError: sorting needs all numbers or all texts")
    length = sum(1 + (len(each) // 16 if isinstance(each, str) else 0) for each in keys)
    budget.step(length * len(keys).bit_length())
    return [_key(each, fold=fold) for each in keys]


def _ordered(budget: Budget, items: list[Any], keys: list[Any], *, reverse: Any, fold: bool) -> list[Any]:
    sortable = _sort_keys(budget, keys, fold=fold)
    order = sorted(range(len(items)), key=sortable.__getitem__, reverse=bool(reverse))
    return new_list([items[index] for index in order], budget)


def _sort(
    budget: Budget, value: Any, reverse: Any = False, case_sensitive: Any = False, attribute: Any = None
) -> list[Any]:
    items, keys = _places(budget, value, attribute)
    return _ordered(budget, items, keys, reverse=reverse, fold=not case_sensitive)


def _dict_sort(budget: Budget, value: Any, case_sensitive: Any = False, by: str = "key", reverse: Any = False) -> Any:
    if by not in ("key", "value"):
        raise TemplateError("dictsort is by key or by value")
    pairs = pairs_of(value, budget)
    keys = [pair[0 if by == "key" else 1] for pair in pairs]
    return _ordered(budget, pairs, keys, reverse=reverse, fold=not case_sensitive)


def _extreme(choose: Callable[..., int]) -> Filter:
    def chosen(budget: Budget, value: Any, case_sensitive: Any = False, attribute: Any = None) -> Any:
        items, keys = _places(budget, value, attribute)
        if not items:
            return Undefined("no such element: the list is empty")
        sortable = _sort_keys(budget, keys, fold=not case_sensitive)
        return items[choose(range(len(items)), key=sortable.__getitem__)]

    return chosen


def _sum(budget: Budget, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    _, numbers = _places(budget, value, attribute)
    total = start
    for each in (start, *numbers):
        if not isinstance(defined(each), int | float):
            raise TemplateError(f"TypeError: sum adds numbers, not {named(each)}")
    for each in numbers:
        total = calculated("+", total, each, budget)
    return total


def _join(budget: Budget, value: Any, d: Any = "", attribute: Any = None) -> str:
    _, found = _places(budget, value, attribute)
    separator = text_of(d, budget)
    texts = [text_of(each, budget) for each in found]
    budget.text_room(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _identity(budget: Budget, value: Any, *, fold: bool) -> Any:
    """Return a key that is the same for equal values only."""
    defined(value)
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list | dict):
        return ("json", json_of(value, budget, sort_keys=True))
    budget.scan(value)
    return _key(value, fold=fold)


def _unique(budget: Budget, value: Any, case_sensitive: Any = False, attribute: Any = None) -> list[Any]:
    items, keys = _places(budget, value, attribute)
    first: dict[Any, Any] = {}
    for item, key in zip(items, keys, strict=True):
        first.setdefault(_identity(budget, key, fold=not case_sensitive), item)
    return new_list(list(first.values()), budget)


def _group_by(
    budget: Budget, value: Any, attribute: Any, default: Any = None, case_sensitive: Any = False
) -> list[Any]:
    items = elements(value, budget)
    budget.list_room(3 * len(items))
    keys = [place(budget, each, attribute, default) for each in items]
    fold = not case_sensitive
    groups: dict[Any, list[Any]] = {}
    shown: dict[Any, Any] = {}
    for item, key in zip(items, keys, strict=True):
        identity = _identity(budget, key, fold=fold)
        shown.setdefault(identity, key)
        groups.setdefault(identity, []).append(item)
    budget.room(len(groups) * 200)
    made = [Group([shown[identity], members]) for identity, members in groups.items()]
    return _ordered(budget, made, [group[0] for group in made], reverse=False, fold=fold)


SELECTIONS: Final[dict[str, Filter]] = {
    "dictsort": _dict_sort,
    "groupby": _group_by,
    "join": _join,
    "max": _extreme(max),
    "min": _extreme(min),
    "sort": _sort,
    "sum": _sum,
    "unique": _unique,
}
