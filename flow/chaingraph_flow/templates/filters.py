"""The filters of templates: those of Jinja that make sense for JSON values, and `numeral`; none that pads a text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from chaingraph_flow.templates.budget import Budget, TemplateError
from chaingraph_flow.templates.selections import SELECTIONS
from chaingraph_flow.templates.values import (
    Undefined,
    defined,
    elements,
    json_of,
    named,
    new_list,
    pairs_of,
    text_of,
    truth,
)

Filter = Callable[..., Any]
_WORDS: Final = re.compile(r"\w+")
_BEGINNINGS: Final = re.compile(r"([-\s({\[<]+)")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})
_LONGEST_NUMERAL: Final = 100


def text_argument(value: Any, budget: Budget) -> str:
    """Return the text that a filter works on, and charge it."""
    text = text_of(value, budget)
    budget.scan(text)
    return text


def _changed(change: Callable[[str], str], *, by_words: bool = False) -> Filter:
    def changed(budget: Budget, value: Any) -> str:
        text = text_argument(value, budget)
        budget.step(len(text) // 2 if by_words else 0)
        budget.text_room(len(text))
        made = change(text)
        budget.text_room(len(made))
        return made

    return changed


def _title(text: str) -> str:
    return "".join(each[0].upper() + each[1:].lower() for each in _BEGINNINGS.split(text) if each)


def _number(value: Any) -> int | float:
    if isinstance(defined(value), bool) or not isinstance(value, int | float):
        raise TemplateError(f"TypeError: needs a number, not {named(value)}")
    return value


def _whole(value: Any, what: str, most: int = 2**31) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -most <= value <= most:
        raise TemplateError(f"{what} must be a whole number up to {most}")
    return value


def _absolute(budget: Budget, value: Any) -> float:
    return abs(_number(value))


def _default(budget: Budget, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    if isinstance(value, Undefined) or (boolean and not truth(value)):
        return default_value
    return value


def _first(budget: Budget, value: Any) -> Any:
    found = elements(value, budget) if not isinstance(value, str) else value[:1]
    return found[0] if found else Undefined("no first element: the list is empty")


def _last(budget: Budget, value: Any) -> Any:
    found = elements(value, budget) if not isinstance(value, str) else value[-1:]
    return found[-1] if found else Undefined("no last element: the list is empty")


def _length(budget: Budget, value: Any) -> int:
    if not isinstance(defined(value), str | list | dict):
        raise TemplateError(f"TypeError: {named(value)} has no length")
    return len(value)


def _list(budget: Budget, value: Any) -> list[Any]:
    return new_list(list(elements(value, budget)), budget)


def _reverse(budget: Budget, value: Any) -> Any:
    if isinstance(value, str):
        budget.text_room(len(value))
        return value[::-1]
    return new_list(elements(value, budget)[::-1], budget)


def _to_float(budget: Budget, value: Any, default: Any = 0.0) -> Any:
    if isinstance(defined(value), str) and len(value) > _LONGEST_NUMERAL:
        return default
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if isinstance(value, int) and number != value:
        raise TemplateError(f"float: the number is {value}, which has more digits than a number with a fraction keeps")
    return number if math.isfinite(number) else default


def _to_int(budget: Budget, value: Any, default: Any = 0, base: int = 10) -> Any:
    if isinstance(defined(value), str) and len(value) > _LONGEST_NUMERAL:
        return default
    try:
        return int(value, base) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    number = _to_float(budget, value, None)
    if number is None:
        return default
    return int(Decimal(value) if isinstance(value, str) and "_" not in value else number)


def _round(budget: Budget, value: Any, precision: int = 0, method: str = "common") -> float:
    number, digits = _number(value), _whole(precision, "the precision", 300)
    if method == "common":
        return round(number, digits)
    if method not in ("ceil", "floor"):
        raise TemplateError("the method of round is common, ceil or floor")
    if isinstance(number, int) and digits >= 0:
        return number
    scale = 10.0**digits
    return float((math.ceil if method == "ceil" else math.floor)(number * scale) / scale)


def _numeral(budget: Budget, value: Any, digits: Any = 0) -> str:
    """1234567.891 | numeral(1) is 1,234,567.9."""
    number, places = _number(value), min(max(_whole(digits, "the digits"), 0), 20)
    return f"{Decimal(number):,.{places}f}"


def _string(budget: Budget, value: Any) -> str:
    return text_of(value, budget)


def _to_json(budget: Budget, value: Any, indent: Any = False) -> str:
    return json_of(value, budget, indent=bool(indent))


def _trim(budget: Budget, value: Any, chars: Any = None) -> str:
    text = text_argument(value, budget)
    budget.text_room(len(text))
    if chars is None:
        return text.strip()
    if not isinstance(chars, str):
        raise TemplateError("trim takes the characters as a text")
    budget.step(len(text) * len(chars) // 16)
    return text.strip(chars)


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> str:
    text, before, after = (text_argument(each, budget) for each in (value, old, new))
    most = -1 if count is None else _whole(count, "the count")
    times = text.count(before) if most < 0 else min(text.count(before), most)
    budget.text_room(len(text) + times * max(len(after) - len(before), 0))
    return text.replace(before, after, most)


def _truncate(
    budget: Budget, value: Any, length: Any = 255, killwords: Any = False, end: Any = "...", leeway: Any = 5
) -> str:
    text, tail = text_argument(value, budget), text_argument(end, budget)
    most = _whole(length, "the length")
    if most < len(tail):
        raise TemplateError(f"truncate: the length must be at least {len(tail)}, the length of the end")
    if len(text) <= most + max(_whole(leeway, "the leeway"), 0):
        return text
    budget.text_room(most)
    kept = text[: most - len(tail)]
    return (kept if truth(killwords) else kept.rsplit(" ", 1)[0]) + tail


def _word_count(budget: Budget, value: Any) -> int:
    text = text_argument(value, budget)
    budget.step(len(text) // 2)
    return sum(1 for _ in _WORDS.finditer(text))


def _url_encode(budget: Budget, value: Any) -> str:
    if isinstance(value, dict | list):
        pairs = pairs_of(value, budget) if isinstance(value, dict) else value
        if not all(isinstance(each, list) and len(each) == 2 for each in pairs):
            raise TemplateError("urlencode takes a text, an object, or a list of pairs")
        made = "&".join("=".join(_quoted(budget, each, safe="") for each in pair) for pair in pairs)
    else:
        made = _quoted(budget, value, safe="/")
    budget.text_room(len(made))
    return made


def _quoted(budget: Budget, value: Any, *, safe: str) -> str:
    text = text_argument(value, budget)
    budget.text_room(3 * len(text))
    return quote(text.encode("utf-8", "backslashreplace"), safe=safe)


FILTERS: Final[dict[str, Filter]] = {
    "abs": _absolute,
    "capitalize": _changed(str.capitalize),
    "count": _length,
    "d": _default,
    "default": _default,
    "e": _changed(lambda text: text.translate(_ESCAPES)),
    "escape": _changed(lambda text: text.translate(_ESCAPES)),
    "first": _first,
    "float": _to_float,
    "int": _to_int,
    "items": lambda budget, value: pairs_of(value, budget),
    "last": _last,
    "length": _length,
    "list": _list,
    "lower": _changed(str.lower),
    "numeral": _numeral,
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "string": _string,
    "title": _changed(_title, by_words=True),
    "tojson": _to_json,
    "trim": _trim,
    "truncate": _truncate,
    "upper": _changed(str.upper),
    "urlencode": _url_encode,
    "wordcount": _word_count,
    **SELECTIONS,
}
