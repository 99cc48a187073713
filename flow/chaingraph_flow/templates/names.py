"""Find names that a template uses and nothing defines, without rendering it.

The template is walked as in a rendering, with the values known in advance. A name is missing where it is used and no
value, loop, `set` or macro can have defined it by then. Names that may come when the flow runs are never missing. A
test for it (`is defined`) and a `default` are no use of it, and branches closed by a known condition are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import nodes as syntax

from chaingraph_flow.templates.checking import Suggest
from chaingraph_flow.templates.methods import OBJECT_METHODS, STRING_METHODS
from chaingraph_flow.templates.parsing import Parsed, TemplateFieldError
from chaingraph_flow.templates.values import Undefined, element, named

_GLOBALS: Final = ("range", "namespace")


@dataclass(frozen=True, slots=True)
class Known:
    """A value that is fixed in the flow."""

    value: Any


@dataclass(frozen=True, slots=True)
class _Missing:
    """A missing name or place; the message says which."""

    message: str


class _Coming:
    """A value that is known only when the template is rendered."""


COMING: Final = _Coming()
Value = Known | _Missing | _Coming
Given = Mapping[str, Known | _Coming]
"""The known values of a template, by name."""


def missing_names(parsed: Parsed, given: Given, *, others: bool, suggest: Suggest) -> list[TemplateFieldError]:
    """Return the errors of a template's names, each once.

    Args:
        parsed: the template.
        given: its values.
        others: whether values of other names may come as well.
        suggest: finds a similar name.
    """
    return list(_Walk(parsed, given, others=others, suggest=suggest).errors())


class _Scope:
    """The meaning of names, on top of an enclosing scope."""

    def __init__(self, around: _Scope | None, values: dict[str, Value]) -> None:
        self.around = around
        self.values = values

    def find(self, name: str) -> Value | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.around
        return None

    def names(self) -> Iterator[str]:
        scope: _Scope | None = self
        while scope is not None:
            yield from scope.values
            scope = scope.around


class _Walk:
    """One walk through a template."""

    def __init__(self, parsed: Parsed, given: Given, *, others: bool, suggest: Suggest) -> None:
        self._parsed = parsed
        self._given = given
        self._others = others
        self._suggest = suggest
        self._found: dict[str, TemplateFieldError] = {}
        self._macros: list[tuple[syntax.Macro, _Scope]] = []

    def errors(self) -> Iterable[TemplateFieldError]:
        scope = _Scope(_Scope(None, dict.fromkeys(_GLOBALS, COMING)), dict(self._given))
        self._run(self._parsed.tree.body, scope)
        # A macro sees the values of its definition's scope at the time of its call. An unused one is not checked.
        loaded = {each.name for each in self._parsed.tree.find_all(syntax.Name) if each.ctx == "load"}
        for macro, around in self._macros:
            if macro.name in loaded:
                self._body(macro, around)
        return self._found.values()

    # -- expressions --------------------------------------------------------------------------------------------

    def _value(self, node: syntax.Node | None, scope: _Scope) -> Value:
        """Evaluate an expression as far as known. A missing name is no error yet."""
        if node is None:
            return COMING
        evaluate = _EXPRESSIONS.get(type(node))
        if evaluate is not None:
            return evaluate(self, node, scope)
        for each in node.iter_child_nodes():
            self._used(each, scope)
        return COMING

    def _used(self, node: syntax.Node | None, scope: _Scope) -> Known | _Coming:
        """Evaluate an expression whose value is needed: a missing name is an error."""
        found = self._value(node, scope)
        if not isinstance(found, _Missing):
            return found
        assert node is not None
        self._found.setdefault(found.message, self._parsed.error(node, found.message))
        return COMING

    def _name(self, node: syntax.Name, scope: _Scope) -> Value:
        found = scope.find(node.name)
        if found is not None:
            return found
        return COMING if self._others else _Missing(self._unknown(node.name, scope))

    def _unknown(self, name: str, scope: _Scope) -> str:
        known = [each for each in scope.names() if each not in _GLOBALS]
        hint = self._suggest(name, known)
        return f"unknown value {name!r}" + (hint or f": set it in `values`, or connect an edge to values.{name}")

    def _attribute(self, node: syntax.Getattr, scope: _Scope) -> Value:
        base = self._used(node.node, scope)
        if not isinstance(base, Known):
            return COMING
        value, name = base.value, node.attr
        if isinstance(value, dict) and name in value:
            return Known(value[name])
        if (isinstance(value, dict) and name in OBJECT_METHODS) or (isinstance(value, str) and name in STRING_METHODS):
            return COMING
        hint = self._suggest(name, value) if isinstance(value, dict) else ""
        return _Missing(f"{named(value)} has no attribute {name!r}{hint}")

    def _element(self, node: syntax.Getitem, scope: _Scope) -> Value:
        base, key = self._used(node.node, scope), self._value_of_key(node.arg, scope)
        if not isinstance(base, Known) or not isinstance(key, Known):
            return COMING
        found = element(base.value, key.value)
        return _Missing(found.message) if isinstance(found, Undefined) else Known(found)

    def _value_of_key(self, node: syntax.Node, scope: _Scope) -> Value:
        if not isinstance(node, syntax.Slice):
            return self._used(node, scope)
        for each in (node.start, node.stop, node.step):
            self._used(each, scope)
        return COMING

    def _test(self, node: syntax.Test, scope: _Scope) -> Value:
        for each in (*node.args, *(each.value for each in node.kwargs)):
            self._used(each, scope)
        if node.name not in ("defined", "undefined"):
            self._used(node.node, scope)
            return COMING
        found = self._value(node.node, scope)
        if isinstance(found, _Coming):
            return COMING
        return Known(isinstance(found, Known) == (node.name == "defined"))

    def _filter(self, node: syntax.Filter, scope: _Scope) -> Value:
        if node.name not in ("default", "d"):
            for each in (*node.args, *(each.value for each in node.kwargs)):
                self._used(each, scope)
            if node.node is not None:
                self._used(node.node, scope)
            return COMING
        for each in node.args[1:]:
            self._used(each, scope)
        found = self._value(node.node, scope)
        named_ = [each.value for each in node.kwargs if each.key == "default_value"]
        instead = next(iter([*node.args[:1], *named_]), None)
        if isinstance(found, _Missing):
            return self._value(instead, scope)
        if not isinstance(found, Known) or len(node.args) > 1 or len(node.kwargs) > len(named_):
            self._used(instead, scope)  # it may be needed
        return COMING

    def _and(self, node: syntax.And, scope: _Scope) -> Value:
        return self._either(node, scope, goes_on=True)

    def _or(self, node: syntax.Or, scope: _Scope) -> Value:
        return self._either(node, scope, goes_on=False)

    def _either(self, node: syntax.And | syntax.Or, scope: _Scope, *, goes_on: bool) -> Value:
        left = self._used(node.left, scope)
        if isinstance(left, Known):
            return self._used(node.right, scope) if bool(left.value) == goes_on else left
        self._used(node.right, scope)
        return COMING

    def _not(self, node: syntax.Not, scope: _Scope) -> Value:
        found = self._used(node.node, scope)
        return Known(not found.value) if isinstance(found, Known) else COMING

    def _choice(self, node: syntax.CondExpr, scope: _Scope) -> Value:
        test = self._used(node.test, scope)
        if isinstance(test, Known):
            return self._value(node.expr1 if test.value else node.expr2, scope)
        self._used(node.expr1, scope)
        self._used(node.expr2, scope)
        return COMING

    def _call(self, node: syntax.Call, scope: _Scope) -> Value:
        function = self._value(node.node, scope)
        if isinstance(function, _Missing) and isinstance(node.node, syntax.Name):
            name = node.node.name
            message = f"unknown function {name!r}{self._suggest(name, [*_GLOBALS, *self._macro_names()])}"
            self._found.setdefault(message, self._parsed.error(node.node, message))
        else:
            self._used(node.node, scope)
        for each in (*node.args, *(each.value for each in node.kwargs)):
            self._used(each, scope)
        return COMING

    def _macro_names(self) -> list[str]:
        return [each.name for each in self._parsed.tree.find_all(syntax.Macro)]

    # -- statements ---------------------------------------------------------------------------------------------

    def _run(self, body: Iterable[syntax.Node], scope: _Scope) -> None:
        for node in body:
            _STATEMENTS.get(type(node), _Walk._other)(self, node, scope)

    def _other(self, node: syntax.Node, scope: _Scope) -> None:
        """Skip an unsupported statement, which is an error of its own."""

    def _output(self, node: syntax.Output, scope: _Scope) -> None:
        for each in node.nodes:
            self._used(each, scope)

    def _if(self, node: syntax.If, scope: _Scope) -> None:
        for branch in (node, *node.elif_):
            test = self._used(branch.test, scope)
            if isinstance(test, Known) and not test.value:
                continue
            self._run(branch.body, scope)
            if isinstance(test, Known):
                return
        self._run(node.else_, scope)

    def _for(self, node: syntax.For, scope: _Scope) -> None:
        items = self._used(node.iter, scope)
        known = items.value if isinstance(items, Known) else None
        if known is None or known:
            if node.test is not None:
                inner = _Scope(scope, {})
                self._assign(node.target, inner)
                self._used(node.test, inner)
            inner = _Scope(scope, {"loop": COMING})
            self._assign(node.target, inner)
            self._run(node.body, inner)
        if not known or node.test is not None:
            self._run(node.else_, _Scope(scope, {}))

    def _set(self, node: syntax.Assign, scope: _Scope) -> None:
        self._used(node.node, scope)
        self._assign(node.target, scope)

    def _set_block(self, node: syntax.AssignBlock, scope: _Scope) -> None:
        self._run(node.body, _Scope(scope, {}))
        if node.filter is not None:
            self._value(node.filter, scope)
        self._assign(node.target, scope)

    def _assign(self, target: syntax.Node, scope: _Scope) -> None:
        for each in target.find_all(syntax.Name) if not isinstance(target, syntax.Name) else (target,):
            scope.values[each.name] = COMING
        if isinstance(target, syntax.NSRef) and scope.find(target.name) is None and not self._others:
            message = self._unknown(target.name, scope)
            self._found.setdefault(message, self._parsed.error(target, message))

    def _with(self, node: syntax.With, scope: _Scope) -> None:
        inner = _Scope(scope, {})
        for target, value in zip(node.targets, node.values, strict=True):
            self._used(value, inner)
            self._assign(target, inner)
        self._run(node.body, inner)

    def _filter_block(self, node: syntax.FilterBlock, scope: _Scope) -> None:
        self._run(node.body, scope)
        self._value(node.filter, scope)

    def _macro(self, node: syntax.Macro, scope: _Scope) -> None:
        scope.values[node.name] = COMING
        self._macros.append((node, scope))

    def _body(self, node: syntax.Macro | syntax.CallBlock, scope: _Scope) -> None:
        inner = _Scope(scope, {"caller": COMING})
        for each in node.args:
            inner.values[each.name] = COMING
        for default in node.defaults:
            self._used(default, inner)
        self._run(node.body, inner)

    def _call_block(self, node: syntax.CallBlock, scope: _Scope) -> None:
        self._call(node.call, scope)
        self._body(node, scope)


def _const(walk: _Walk, node: syntax.Const, scope: _Scope) -> Value:
    return Known(node.value)


_EXPRESSIONS: Final[dict[type[syntax.Node], Callable[[Any, Any, _Scope], Value]]] = {
    syntax.Name: _Walk._name,
    syntax.Const: _const,
    syntax.Getattr: _Walk._attribute,
    syntax.Getitem: _Walk._element,
    syntax.Test: _Walk._test,
    syntax.Filter: _Walk._filter,
    syntax.And: _Walk._and,
    syntax.Or: _Walk._or,
    syntax.Not: _Walk._not,
    syntax.CondExpr: _Walk._choice,
    syntax.Call: _Walk._call,
}
_STATEMENTS: Final[dict[type[syntax.Node], Callable[[Any, Any, _Scope], None]]] = {
    syntax.Output: _Walk._output,
    syntax.If: _Walk._if,
    syntax.For: _Walk._for,
    syntax.Assign: _Walk._set,
    syntax.AssignBlock: _Walk._set_block,
    syntax.With: _Walk._with,
    syntax.FilterBlock: _Walk._filter_block,
    syntax.Macro: _Walk._macro,
    syntax.CallBlock: _Walk._call_block,
}
