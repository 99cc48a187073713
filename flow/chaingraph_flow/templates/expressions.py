"""Evaluate the expressions of templates: from a node of jinja2's syntax tree to a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, Final

from jinja2 import nodes as syntax

from chaingraph_flow.field_errors import shortened
from chaingraph_flow.templates.budget import Budget, TemplateError
from chaingraph_flow.templates.conditions import TESTS, compared
from chaingraph_flow.templates.filters import FILTERS
from chaingraph_flow.templates.methods import method_of
from chaingraph_flow.templates.selections import place
from chaingraph_flow.templates.values import (
    Computed,
    Function,
    Namespace,
    Undefined,
    attribute,
    calculated,
    defined,
    element,
    elements,
    named,
    new_list,
    new_object,
    sliced,
    text_of,
    truth,
)

_OPERATORS: Final[dict[type[syntax.BinExpr], str]] = {
    syntax.Add: "+",
    syntax.Sub: "-",
    syntax.Mul: "*",
    syntax.Div: "/",
    syntax.FloorDiv: "//",
    syntax.Mod: "%",
    syntax.Pow: "**",
}


class Scope:
    """Names and their values, on top of an enclosing scope."""

    __slots__ = ("around", "values")

    def __init__(self, around: Scope | None, values: dict[str, Any]) -> None:
        self.around = around
        self.values = values

    def find(self, name: str, budget: Budget) -> Any:
        """Return the value of a name, or an Undefined."""
        scope: Scope | None = self
        while scope is not None:
            budget.step()
            if name in scope.values:
                return scope.values[name]
            scope = scope.around
        return Undefined(f"{name!r} is undefined")


class Expressions:
    """Evaluates expressions. `Rendering` adds the statements."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.globals: dict[str, Any] = {
            "range": Function("range", self._range),
            "namespace": Function("namespace", self._namespace),
        }

    def value(self, node: syntax.Node, scope: Scope) -> Any:
        """Evaluate an expression."""
        self.budget.step()
        evaluate = EXPRESSIONS.get(type(node))
        if evaluate is None:
            raise TemplateError(f"{type(node).__name__.lower()} is not available in templates")
        return evaluate(self, node, scope)

    # -- names and values ---------------------------------------------------------------------------------------

    def _name(self, node: syntax.Name, scope: Scope) -> Any:
        return scope.find(node.name, self.budget)

    def _const(self, node: syntax.Const, scope: Scope) -> Any:
        if node.value is not None and not isinstance(node.value, str | int | float):
            raise TemplateError("not a JSON value")
        return node.value

    def _list(self, node: syntax.List | syntax.Tuple, scope: Scope) -> Any:
        return new_list([self.value(each, scope) for each in node.items], self.budget)

    def _dict(self, node: syntax.Dict, scope: Scope) -> Any:
        pairs = ((self.value(each.key, scope), self.value(each.value, scope)) for each in node.items)
        return new_object(pairs, self.budget)

    def _attribute(self, node: syntax.Getattr, scope: Scope) -> Any:
        return _at_path(node, attribute(self.value(node.node, scope), node.attr, self._method))

    def _method(self, value: Any, name: str) -> Function | None:
        return method_of(value, name, self.budget)

    def _element(self, node: syntax.Getitem, scope: Scope) -> Any:
        value = self.value(node.node, scope)
        if not isinstance(node.arg, syntax.Slice):
            return _at_path(node, element(value, self.value(node.arg, scope)))
        bounds = [
            None if each is None else defined(self.value(each, scope))
            for each in (node.arg.start, node.arg.stop, node.arg.step)
        ]
        return sliced(value, (bounds[0], bounds[1], bounds[2]), self.budget)

    # -- operators ----------------------------------------------------------------------------------------------

    def _binary(self, node: syntax.BinExpr, scope: Scope) -> Any:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        return calculated(_OPERATORS[type(node)], left, right, self.budget)

    def _and(self, node: syntax.And, scope: Scope) -> Any:
        left = self.value(node.left, scope)
        return self.value(node.right, scope) if truth(left) else left

    def _or(self, node: syntax.Or, scope: Scope) -> Any:
        left = self.value(node.left, scope)
        return left if truth(left) else self.value(node.right, scope)

    def _not(self, node: syntax.Not, scope: Scope) -> Any:
        return not truth(self.value(node.node, scope))

    def _negative(self, node: syntax.Neg | syntax.Pos, scope: Scope) -> Any:
        value = self.value(node.node, scope)
        return calculated("-" if isinstance(node, syntax.Neg) else "+", 0, value, self.budget)

    def _concat(self, node: syntax.Concat, scope: Scope) -> Any:
        texts = [text_of(self.value(each, scope), self.budget) for each in node.nodes]
        self.budget.text_room(sum(map(len, texts)))
        return "".join(texts)

    def _compare(self, node: syntax.Compare, scope: Scope) -> Any:
        left = self.value(node.expr, scope)
        for operand in node.ops:
            right = self.value(operand.expr, scope)
            if not compared(operand.op, left, right, self.budget):
                return False
            left = right
        return True

    def _choice(self, node: syntax.CondExpr, scope: Scope) -> Any:
        if truth(self.value(node.test, scope)):
            return self.value(node.expr1, scope)
        return "" if node.expr2 is None else self.value(node.expr2, scope)

    # -- calls, filters, tests ----------------------------------------------------------------------------------

    def _call(self, node: syntax.Call, scope: Scope) -> Any:
        function = defined(self.value(node.node, scope))
        arguments, options = self._arguments(node, scope)
        return self.called(function, arguments, options)

    def called(self, function: Any, arguments: list[Any], options: Mapping[str, Any]) -> Any:
        """Call a function."""
        call = function.call if isinstance(function, Function | Computed) else None
        if call is None:
            raise TemplateError(f"TypeError: {named(function)} cannot be called")
        return _applied(function.name if isinstance(function, Function) else "loop", call, arguments, options)

    def _arguments(
        self, node: syntax.Call | syntax.Filter | syntax.Test, scope: Scope
    ) -> tuple[list[Any], dict[str, Any]]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise TemplateError("* and ** are not available in templates")
        arguments = [self.value(each, scope) for each in node.args]
        return arguments, {str(each.key): self.value(each.value, scope) for each in node.kwargs}

    def _filter(self, node: syntax.Filter, scope: Scope) -> Any:
        assert node.node is not None
        arguments, options = self._arguments(node, scope)
        return self.filtered(node.name, self.value(node.node, scope), arguments, options)

    def filtered(self, name: str, value: Any, arguments: list[Any], options: Mapping[str, Any]) -> Any:
        """Apply a filter to a value."""
        self.budget.step()
        if name in ELEMENTWISE:
            return self._each(name, value, arguments, options)
        found = FILTERS.get(name)
        if found is None:
            raise TemplateError(f"unknown filter {name!r}")
        return _applied(name, found, [self.budget, value, *arguments], options)

    def _test(self, node: syntax.Test, scope: Scope) -> Any:
        arguments, options = self._arguments(node, scope)
        return self._holds(node.name, self.value(node.node, scope), arguments, options)

    def _holds(self, name: Any, value: Any, arguments: list[Any], options: Mapping[str, Any]) -> bool:
        self.budget.step()
        found = TESTS.get(name) if isinstance(name, str) else None
        if found is None:
            raise TemplateError(f"unknown test {name!r}")
        return bool(_applied(str(name), found, [self.budget, value, *arguments], options))

    def _each(self, name: str, value: Any, arguments: list[Any], options: Mapping[str, Any]) -> Any:
        """Evaluate map, select, reject, selectattr or rejectattr."""
        items = elements(value, self.budget)
        self.budget.list_room(len(items))
        if name == "map":
            return [self._mapped(each, arguments, options) for each in items]
        wanted = name.startswith("select")
        path = arguments.pop(0) if name.endswith("attr") and arguments else None
        test = arguments.pop(0) if arguments else None
        return [
            each for each in items if self._chosen(place(self.budget, each, path), test, arguments, options) == wanted
        ]

    def _mapped(self, item: Any, arguments: list[Any], options: Mapping[str, Any]) -> Any:
        if "attribute" in options:
            return place(self.budget, item, options["attribute"], options.get("default"))
        if not arguments or not isinstance(arguments[0], str):
            raise TemplateError("map takes the name of a filter, or attribute=")
        return self.filtered(arguments[0], item, list(arguments[1:]), options)

    def _chosen(self, value: Any, test: Any, arguments: list[Any], options: Mapping[str, Any]) -> bool:
        if test is None:
            return not isinstance(value, Undefined) and truth(value)
        return self._holds(test, value, arguments, options)

    def _range(self, *bounds: Any) -> list[Any]:
        for each in bounds:
            if isinstance(defined(each), bool) or not isinstance(each, int) or abs(each) > 2**62:
                raise TemplateError(f"TypeError: range takes whole numbers, not {named(each)}")
        if not 1 <= len(bounds) <= 3 or (len(bounds) == 3 and bounds[2] == 0):
            raise TemplateError("range takes a stop, or a start, a stop and a step that is not 0")
        numbers = range(*bounds)
        first, last, step = numbers.start, numbers.stop, numbers.step
        count = max(0, (last - first + step - (1 if step > 0 else -1)) // step)
        self.budget.list_room(count)
        self.budget.room(count * 28)
        return list(numbers)

    def _namespace(self, **values: Any) -> Namespace:
        return Namespace(dict(values))


def _applied(name: str, call: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Call a function with these arguments. Raises TemplateError when it does not accept them."""
    try:
        return call(*arguments, **options)
    except TypeError:
        try:
            signature(call).bind(*arguments, **options)
        except TypeError as error:
            raise TemplateError(f"TypeError: {name}: {error}") from None
        raise


def _at_path(node: syntax.Getattr | syntax.Getitem, found: Any) -> Any:
    """Return the value found, or an Undefined with the path in its message."""
    if isinstance(found, Undefined) and (path := _path(node)):
        return Undefined(f"{path} is undefined: {found.message}")
    return found


def _path(node: syntax.Node) -> str:
    """Return `rows[7].name` as written in the template; empty for other expressions."""
    steps: list[str] = []
    while isinstance(node, syntax.Getattr | syntax.Getitem):
        if isinstance(node, syntax.Getattr):
            steps.append(f".{node.attr}")
        elif isinstance(node.arg, syntax.Const):
            steps.append(f"[{node.arg.value!r}]")
        else:
            steps.append("[...]")
        node = node.node
    return shortened(node.name + "".join(reversed(steps)), _LONGEST_PATH) if isinstance(node, syntax.Name) else ""


_LONGEST_PATH: Final = 200
ELEMENTWISE: Final = frozenset(("map", "select", "reject", "selectattr", "rejectattr"))
EXPRESSIONS: Final[dict[type[syntax.Node], Callable[[Any, Any, Scope], Any]]] = {
    syntax.Name: Expressions._name,
    syntax.Const: Expressions._const,
    syntax.TemplateData: lambda self, node, scope: node.data,
    syntax.List: Expressions._list,
    syntax.Tuple: Expressions._list,
    syntax.Dict: Expressions._dict,
    syntax.Getattr: Expressions._attribute,
    syntax.Getitem: Expressions._element,
    syntax.And: Expressions._and,
    syntax.Or: Expressions._or,
    syntax.Not: Expressions._not,
    syntax.Neg: Expressions._negative,
    syntax.Pos: Expressions._negative,
    syntax.Concat: Expressions._concat,
    syntax.Compare: Expressions._compare,
    syntax.CondExpr: Expressions._choice,
    syntax.Call: Expressions._call,
    syntax.Filter: Expressions._filter,
    syntax.Test: Expressions._test,
    **dict.fromkeys(_OPERATORS, Expressions._binary),
}
