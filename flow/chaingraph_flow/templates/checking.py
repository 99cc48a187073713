"""Find the errors of a template that do not depend on its values, for validation and for each rendering."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from jinja2 import nodes as syntax

from chaingraph_flow.field_errors import suggestion
from chaingraph_flow.templates.conditions import TESTS
from chaingraph_flow.templates.expressions import ELEMENTWISE, EXPRESSIONS
from chaingraph_flow.templates.filters import FILTERS
from chaingraph_flow.templates.methods import OBJECT_METHODS, STRING_METHODS
from chaingraph_flow.templates.parsing import Parsed, TemplateFieldError

Suggest = Callable[[str, Iterable[str]], str]
"""`; did you mean 'upper'?` for a misspelled name."""

STATEMENTS: Final[frozenset[type[syntax.Node]]] = frozenset(
    (
        *(syntax.Output, syntax.If, syntax.For, syntax.Assign, syntax.AssignBlock, syntax.With),
        *(syntax.FilterBlock, syntax.Macro, syntax.CallBlock),
    )
)
_LOOP_METHODS: Final = frozenset(("cycle", "changed"))
_METHODS: Final = STRING_METHODS | OBJECT_METHODS | _LOOP_METHODS
_FILTER_NAMES: Final = (*FILTERS, *ELEMENTWISE)
_WORD: Final = re.compile(r"\w+")


def errors_of(parsed: Parsed, suggest: Suggest = suggestion) -> Iterator[TemplateFieldError]:
    """Yield unknown statements, filters, tests and methods, and filters and tests with invalid arguments."""
    nodes = list(parsed.tree.find_all(syntax.Node))
    any_namespace = any(isinstance(each, syntax.Name) and each.name == "namespace" for each in nodes)
    for node in nodes:
        message = _message(node, parsed, suggest, methods=_METHODS if not any_namespace else None)
        if message:
            yield parsed.error(node, message)


def _message(node: syntax.Node, parsed: Parsed, suggest: Suggest, *, methods: frozenset[str] | None) -> str:
    if isinstance(node, syntax.Filter | syntax.Test | syntax.Call) and (node.dyn_args or node.dyn_kwargs):
        return "* and ** are not available in templates"
    if isinstance(node, syntax.Filter):
        return _of_filter(node, suggest)
    if isinstance(node, syntax.Test):
        return _of_function("test", node.name, TESTS, node, suggest)
    if isinstance(node, syntax.Call):
        return _of_method(node, suggest, methods)
    if isinstance(node, syntax.Stmt) and type(node) not in STATEMENTS:
        word = _WORD.search(parsed.source, node.lineno)
        return f"{{% {word[0] if word else ''} %}} is not available in templates"
    if isinstance(node, syntax.Expr) and type(node) not in EXPRESSIONS and not isinstance(node, _PARTS):
        return f"{type(node).__name__.lower()} is not available in templates"
    return ""


_PARTS: Final = (syntax.Slice, syntax.NSRef)
"""Expressions inside others, without a value of their own."""


def _of_filter(node: syntax.Filter, suggest: Suggest) -> str:
    if node.name not in ELEMENTWISE:
        return _of_function("filter", node.name, FILTERS, node, suggest)
    if node.name != "map":
        place = 1 if node.name.endswith("attr") else 0
        return _unknown("test", _text(node.args[place:]), TESTS, suggest)
    if any(each.key == "attribute" for each in node.kwargs):
        return ""
    if not node.args:
        return "map takes the name of a filter, or attribute="
    return _unknown("filter", _text(node.args), _FILTER_NAMES, suggest)


def _of_function(
    what: str, name: str, known: dict[str, Callable[..., Any]], node: syntax.Filter | syntax.Test, suggest: Suggest
) -> str:
    if name not in known:
        return _unknown(what, name, _FILTER_NAMES if what == "filter" else known, suggest)
    arguments = [None] * (2 + len(node.args))  # budget and value come first
    try:
        _signature(known[name]).bind(*arguments, **{str(each.key): None for each in node.kwargs})
    except TypeError as error:
        return f"{what} {name!r}: {error}"
    return ""


def _of_method(node: syntax.Call, suggest: Suggest, methods: frozenset[str] | None) -> str:
    called = node.node
    if methods is None or not isinstance(called, syntax.Getattr) or called.attr in methods:
        return ""
    return f"unknown method {called.attr!r}{suggest(called.attr, sorted(methods))}"


def _unknown(what: str, name: str | None, known: Iterable[str], suggest: Suggest) -> str:
    if name is None or name in known:
        return ""
    return f"unknown {what} {name!r}{suggest(name, known)}"


def _text(arguments: list[syntax.Expr]) -> str | None:
    """Return the first argument, when it is a constant text."""
    first = arguments[0] if arguments else None
    return first.value if isinstance(first, syntax.Const) and isinstance(first.value, str) else None


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
