"""Texts out of values, with Jinja's language in a sandbox that bounds work and size.

A flow's author is not the worker's owner: a template may reach only the values it is given, and neither a loop nor a
multiplication of texts may take the worker's time or memory. Jinja's sandbox keeps it from Python's internals; what
bounds the rest is here: every turn of a loop and every call is counted, every text made by `~`, `+`, `replace` or
`join` is measured before it is made, and what could pad a text to any width is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

import jinja2
import orjson
from jinja2 import nodes as syntax
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from .. import types as t
from ..context import NodeContext
from ..errors import NodeFailed
from ..node import Input, Node, Output

LONGEST_TEMPLATE = 262_144
LONGEST_RESULT = 1_048_576
MOST_STEPS = 1_000_000
"""Turns of loops, calls, and elements that filters look at, in one rendering: a second of work at most."""
LARGEST_NUMBER = 2**64

FILTERS = frozenset(
    (
        *("abs", "capitalize", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last"),
        *("length", "count", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round"),
        *("select", "selectattr", "sort", "string", "sum", "title", "trim", "truncate", "unique", "upper"),
        *("urlencode", "wordcount", "groupby"),
    )
)
TESTS = frozenset(
    (
        *("defined", "undefined", "none", "string", "number", "mapping", "sequence", "iterable", "boolean", "true"),
        *("false", "even", "odd", "eq", "ne", "lt", "le", "gt", "ge", "equalto", "divisibleby", "==", "!=", "<"),
        *("<=", ">", ">=", "integer", "float", "lower", "upper"),
    )
)
STRING_METHODS = frozenset(
    (
        *("capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isascii", "isdecimal"),
        *("isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "lower", "lstrip", "partition"),
        *("removeprefix", "removesuffix", "rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines"),
        *("startswith", "strip", "swapcase", "title", "upper"),
    )
)

_steps: ContextVar[list[int]] = ContextVar("steps")


def _step(cost: int = 1) -> None:
    remaining = _steps.get()
    remaining[0] -= cost
    if remaining[0] < 0:
        raise NodeFailed(f"the template takes more than {MOST_STEPS} steps")


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _step()
        yield item


def _charged(value: Any) -> Any:
    """The value itself, after the steps that it takes to look through it."""
    if isinstance(value, str):
        _step(len(value) // 16 + 1)
    elif isinstance(value, list | tuple | dict | range):
        _step(len(value) + 1)
    return value


def _charging(filter_: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filter_)
    def charged(*arguments: Any, **options: Any) -> Any:
        for each in arguments:
            _charged(each)
        return filter_(*arguments, **options)

    return charged


def _range(*bounds: int) -> range:
    made = range(*bounds)
    _step(len(made))
    return made


def _bounded(text: Any) -> Any:
    if isinstance(text, str) and len(text) > LONGEST_RESULT:
        raise NodeFailed(f"the template makes a text of more than {LONGEST_RESULT} characters")
    return text


def _require_room(length: int) -> None:
    if length > LONGEST_RESULT:
        raise NodeFailed(f"the template makes a value of more than {LONGEST_RESULT} characters or elements")


def _replace(value: Any, old: str, new: str) -> str:
    text = str(value)
    _require_room(len(text) + text.count(str(old)) * len(str(new)))
    return text.replace(str(old), str(new))


def _join(items: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    texts = [
        str(item if attribute is None else item.get(attribute, "") if isinstance(item, dict) else "")
        for item in _counted(items)
    ]
    _require_room(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _to_json(value: Any, indent: bool = False) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()


def _numeral(value: float, digits: int = 0) -> str:
    """1234567.891 | numeral(1) is 1,234,567.9."""
    return f"{value:,.{min(max(int(digits), 0), 20)}f}"


class _Bounding(NodeTransformer):
    """Writes the counting and measuring into a template's syntax tree."""

    def visit_For(self, node: syntax.For) -> syntax.For:  # noqa: N802 - the visitor's naming, here and below
        self.generic_visit(node)
        assert isinstance(node.iter, syntax.Expr)
        node.iter = _filtered(node.iter, "_counted")
        return node

    def visit_Concat(self, node: syntax.Concat) -> syntax.Filter:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, "_bounded")

    def visit_Compare(self, node: syntax.Compare) -> syntax.Compare:  # noqa: N802
        self.generic_visit(node)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, "_charged")
        return node

    def visit_Getitem(self, node: syntax.Getitem) -> syntax.Getitem:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, syntax.Slice):
            node.node = _filtered(node.node, "_charged")
        return node


def _filtered(node: syntax.Expr, name: str) -> syntax.Filter:
    return syntax.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True, cache_size=0)
        own = {"replace": _replace, "join": _join, "tojson": _to_json, "numeral": _numeral}
        allowed = {name: self.filters[name] for name in sorted(FILTERS)} | own
        self.filters = {name: _charging(each) for name, each in allowed.items()}
        self.filters |= {"_counted": _counted, "_bounded": _bounded, "_charged": _charged}
        self.tests = {name: self.tests[name] for name in sorted(TESTS)}
        self.globals = {"range": _range, "namespace": self.globals["namespace"]}

    def _parse(self, source: str, name: str | None, filename: str | None) -> syntax.Template:
        bound = _Bounding().visit(super()._parse(source, name, filename))
        assert isinstance(bound, syntax.Template)
        return bound

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes):
            return attr in STRING_METHODS
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        _step()
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        plain = all(isinstance(each, int | float) for each in (left, right))
        if plain and max(abs(left), abs(right)) > LARGEST_NUMBER:
            raise NodeFailed("the template calculates with a number of more than 64 bits")
        if operator == "+" and not plain and hasattr(left, "__len__") and hasattr(right, "__len__"):
            _require_room(len(left) + len(right))
        elif operator in ("*", "%") and not plain:
            raise NodeFailed(f"in a template, {operator} is for numbers")
        elif operator == "**" and (not plain or abs(right) > 64):
            raise NodeFailed("in a template, ** is for numbers, with an exponent up to 64")
        return super().call_binop(context, operator, left, right)


_ENVIRONMENT = _Environment()


@lru_cache(maxsize=256)
def _compiled(source: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(source)


def rendered(source: str, values: dict[str, Any]) -> str:
    """The text of a template. Raises NodeFailed with the line of what is wrong."""
    if len(source) > LONGEST_TEMPLATE:
        raise NodeFailed(f"the template has {len(source)} characters; {LONGEST_TEMPLATE} are the most")
    token = _steps.set([MOST_STEPS])
    parts: list[str] = []
    length = 0
    try:
        for part in _compiled(source).generate(values):
            _step()
            length += len(part)
            _require_room(length)
            parts.append(part)
    except jinja2.TemplateSyntaxError as error:
        raise NodeFailed(f"line {error.lineno} of the template: {error.message}") from None
    except jinja2.exceptions.SecurityError as error:
        raise NodeFailed(f"the template reaches for what it may not have: {error}") from None
    except jinja2.UndefinedError as error:
        raise NodeFailed(f"the template: {error.message}") from None
    except RecursionError:
        raise NodeFailed("the template calls itself too deeply") from None
    except (TypeError, ValueError, ArithmeticError, KeyError, AttributeError, jinja2.TemplateError) as error:
        raise NodeFailed(f"the template: {type(error).__name__}: {error}") from None
    finally:
        _steps.reset(token)
    return "".join(parts)


class Template(Node):
    """Writes a text out of values, in Jinja's language: {{ name }}, {% for row in rows %}, {{ total | numeral(2) }}."""

    pure = True
    template = Input(t.String(), required=True, description="The template. What it names must be among the values.")
    values = Input(t.Object(), description="The values by name; edges may lead to values.name.")
    result = Output(t.String(), description="The text.")

    def run(self, context: NodeContext) -> None:
        """Write: in a thread, since rendering is work for the processor alone."""
        self.result = rendered(self.template, self.values)
