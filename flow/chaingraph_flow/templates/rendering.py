"""The statements of templates, and the rendering of a whole template."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from jinja2 import nodes as syntax

from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.limits import Limits
from chaingraph_flow.templates.budget import Budget, TemplateError
from chaingraph_flow.templates.checking import errors_of
from chaingraph_flow.templates.expressions import Expressions, Scope
from chaingraph_flow.templates.parsing import NESTED, Malformed, Parsed, TemplateFieldError, parsed
from chaingraph_flow.templates.values import (
    Computed,
    Function,
    Namespace,
    Undefined,
    defined,
    elements,
    equal,
    new_list,
    text_of,
    truth,
)

_DEEPEST: Final = 50
"""Maximum nesting of macro calls and recursive loops."""
_KEPT: Final = 4096
"""Templates up to this many characters are cached as parsed."""


def rendered(source: str, values: dict[str, Any], limits: Limits | None = None) -> str:
    """Render a template.

    Raises:
        NodeFailed: the template has an error, in the named line.
        LimitExceeded: it takes more work or memory than allowed, or writes more.
    """
    limits = limits or Limits()
    if len(source) > limits.template_text_bytes:
        raise limits.exceeded("template_text_bytes", "the template", len(source))
    template = _checked(source) if len(source) <= _KEPT else _checked.__wrapped__(source)
    if isinstance(template, TemplateFieldError):
        where = f"line {template.line}, column {template.column} of the template"
        raise NodeFailed(f"{where}: {template.message}")
    rendering = _Rendering(Budget(limits))
    try:
        return rendering.result(template.tree, values)
    except RecursionError:
        raise NodeFailed("the template is nested too deeply, or calls itself too deeply") from None
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        where = f"line {template.line(rendering.offset)} of the template"
        raise NodeFailed(f"{where}: {error if isinstance(error, TemplateError) else _said(error)}") from None


def _said(error: Exception) -> str:
    """Format an error that Python raised for the arguments."""
    return f"{type(error).__name__}: {str(error).replace('_', ' ').strip()}"


@lru_cache(maxsize=256)
def _checked(source: str) -> Parsed | TemplateFieldError:
    """Return the template, or its first error that does not depend on values."""
    try:
        template = parsed(source)
        return next(errors_of(template), template)
    except Malformed as error:
        return error.error
    except RecursionError:
        return NESTED


class _Rendering(Expressions):
    """Executes statements. Their output goes to `_parts`."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.offset = 0
        self._parts: list[str] = []
        self._captures = 0

    def result(self, tree: syntax.Template, values: dict[str, Any]) -> str:
        """Render the whole template."""
        scope = Scope(Scope(None, self.globals), dict(values))
        self._run(tree.body, scope)
        return "".join(self._parts)

    def _run(self, body: Iterable[syntax.Node], scope: Scope) -> None:
        for node in body:
            self.budget.step()
            self.offset = node.lineno
            carry_out = _STATEMENTS.get(type(node))
            if carry_out is None:
                raise TemplateError(f"{{% {type(node).__name__.lower()} %}} is not available in templates")
            carry_out(self, node, scope)

    def _captured(self, write: Callable[[], None]) -> str:
        """Return the output of a call as a value."""
        before, self._parts = self._parts, []
        self._captures += 1
        try:
            if self._captures > _DEEPEST:
                raise TemplateError(f"macros, blocks and recursive loops are nested more than {_DEEPEST} levels deep")
            write()
            return "".join(self._parts)
        finally:
            self._parts = before
            self._captures -= 1

    def _write(self, text: str) -> None:
        if self._captures:
            self.budget.text_room(len(text))
        else:
            self.budget.write(text)
        self._parts.append(text)

    # -- statements ---------------------------------------------------------------------------------------------

    def _output(self, node: syntax.Output, scope: Scope) -> None:
        for each in node.nodes:
            self.offset = each.lineno
            self._write(text_of(self.value(each, scope), self.budget))

    def _if(self, node: syntax.If, scope: Scope) -> None:
        for branch in (node, *node.elif_):
            if truth(self.value(branch.test, scope)):
                self._run(branch.body, scope)
                return
        self._run(node.else_, scope)

    def _for(self, node: syntax.For, scope: Scope) -> None:
        self._loop(node, self.value(node.iter, scope), scope, depth=1)

    def _loop(self, node: syntax.For, value: Any, scope: Scope, *, depth: int) -> None:
        items = elements(value, self.budget)
        if node.test is not None:
            items = new_list([each for each in items if self._wanted(node, each, scope)], self.budget)

        def again(children: Any) -> str:
            return self._captured(lambda: self._loop(node, children, scope, depth=depth + 1))

        loop = _Loop(items, depth, again if node.recursive else None, self.budget)
        for index, item in enumerate(items):
            self.budget.step()
            loop.index = index
            inner = Scope(scope, {"loop": loop})
            self._assign(node.target, item, inner)
            self._run(node.body, inner)
        if not items:
            self._run(node.else_, Scope(scope, {}))

    def _wanted(self, node: syntax.For, item: Any, scope: Scope) -> bool:
        inner = Scope(scope, {})
        self._assign(node.target, item, inner)
        assert node.test is not None
        return truth(self.value(node.test, inner))

    def _set(self, node: syntax.Assign, scope: Scope) -> None:
        self._assign(node.target, self.value(node.node, scope), scope)

    def _set_block(self, node: syntax.AssignBlock, scope: Scope) -> None:
        text: Any = self._captured(lambda: self._run(node.body, Scope(scope, {})))
        if node.filter is not None:
            text = self._through(node.filter, text, scope)
        self._assign(node.target, text, scope)

    def _assign(self, target: syntax.Node, value: Any, scope: Scope) -> None:
        if isinstance(target, syntax.Name):
            scope.values[target.name] = value
        elif isinstance(target, syntax.NSRef):
            namespace = scope.find(target.name, self.budget)
            if not isinstance(namespace, Namespace):
                raise TemplateError(f"{target.name!r} is not a namespace")
            namespace.values[target.attr] = defined(value)
        elif isinstance(target, syntax.Tuple):
            parts = elements(value, self.budget)
            if len(parts) != len(target.items):
                raise TemplateError(f"ValueError: {len(target.items)} names for {len(parts)} values")
            for name, part in zip(target.items, parts, strict=True):
                self._assign(name, part, scope)
        else:
            raise TemplateError(f"cannot assign to {type(target).__name__.lower()}")

    def _with(self, node: syntax.With, scope: Scope) -> None:
        inner = Scope(scope, {})
        for target, value in zip(node.targets, node.values, strict=True):
            self._assign(target, self.value(value, scope), inner)
        self._run(node.body, inner)

    def _filter_block(self, node: syntax.FilterBlock, scope: Scope) -> None:
        text = self._captured(lambda: self._run(node.body, Scope(scope, {})))
        self._write(text_of(self._through(node.filter, text, scope), self.budget))

    def _through(self, node: syntax.Filter, text: Any, scope: Scope) -> Any:
        """Pass a text through the filters of a block, which have no value of their own."""
        if isinstance(node.node, syntax.Filter):
            text = self._through(node.node, text, scope)
        arguments, options = self._arguments(node, scope)
        return self.filtered(node.name, text, arguments, options)

    # -- macros -------------------------------------------------------------------------------------------------

    def _macro(self, node: syntax.Macro, scope: Scope) -> None:
        scope.values[node.name] = self._function(node.name, node, scope)

    def _function(self, name: str, node: syntax.Macro | syntax.CallBlock, scope: Scope) -> Function:
        def call(*arguments: Any, **options: Any) -> str:
            names = [each.name for each in node.args]
            if len(arguments) > len(names):
                raise TemplateError(f"TypeError: {name} takes {len(names)} arguments, not {len(arguments)}")
            inner = Scope(scope, {"caller": options.pop("caller", Undefined(f"{name} is not called by a call block"))})
            given = dict(zip(names, arguments, strict=False)) | options
            if unknown := sorted(given.keys() - set(names)):
                raise TemplateError(f"TypeError: {name} has no argument {unknown[0]!r}")
            without_default = len(names) - len(node.defaults)
            for index, each in enumerate(names):
                if each in given:
                    inner.values[each] = given[each]
                elif index >= without_default:
                    inner.values[each] = self.value(node.defaults[index - without_default], inner)
                else:
                    raise TemplateError(f"parameter {each!r} was not provided")
            self.budget.room(100 * len(names))
            return self._captured(lambda: self._run(node.body, inner))

        return Function(name, call)

    def _call_block(self, node: syntax.CallBlock, scope: Scope) -> None:
        function = defined(self.value(node.call.node, scope))
        arguments, options = self._arguments(node.call, scope)
        options["caller"] = self._function("caller", node, scope)
        self._write(text_of(self.called(function, arguments, options), self.budget))


class _Loop(Computed):
    """The attributes of `loop` in an iteration."""

    def __init__(self, items: list[Any], depth: int, again: Callable[[Any], str] | None, budget: Budget) -> None:
        self.call = again
        self.index = 0
        self._items = items
        self._depth = depth
        self._budget = budget
        self._changed: list[Any] | None = None

    def get(self, name: str) -> Any:
        """Return `loop.index` and the like."""
        found = _LOOP.get(name)
        return Undefined(f"loop has no attribute {name!r}") if found is None else found(self)

    def _previous(self) -> Any:
        return self._items[self.index - 1] if self.index else Undefined("there is no previous item")

    def _next(self) -> Any:
        more = self.index + 1 < len(self._items)
        return self._items[self.index + 1] if more else Undefined("there is no next item")

    def _cycle(self, *values: Any) -> Any:
        if not values:
            raise TemplateError("cycle takes the values to go round")
        return values[self.index % len(values)]

    def _has_changed(self, *values: Any) -> bool:
        before, self._changed = self._changed, list(values)
        return before is None or not equal(before, self._changed, self._budget)


_LOOP: Final[dict[str, Callable[[_Loop], Any]]] = {
    "index": lambda loop: loop.index + 1,
    "index0": lambda loop: loop.index,
    "revindex": lambda loop: len(loop._items) - loop.index,
    "revindex0": lambda loop: len(loop._items) - loop.index - 1,
    "first": lambda loop: loop.index == 0,
    "last": lambda loop: loop.index == len(loop._items) - 1,
    "length": lambda loop: len(loop._items),
    "depth": lambda loop: loop._depth,
    "depth0": lambda loop: loop._depth - 1,
    "previtem": _Loop._previous,
    "nextitem": _Loop._next,
    "cycle": lambda loop: Function("cycle", loop._cycle),
    "changed": lambda loop: Function("changed", loop._has_changed),
}
_STATEMENTS: Final[dict[type[syntax.Node], Callable[[Any, Any, Scope], None]]] = {
    syntax.Output: _Rendering._output,
    syntax.If: _Rendering._if,
    syntax.For: _Rendering._for,
    syntax.Assign: _Rendering._set,
    syntax.AssignBlock: _Rendering._set_block,
    syntax.With: _Rendering._with,
    syntax.FilterBlock: _Rendering._filter_block,
    syntax.Macro: _Rendering._macro,
    syntax.CallBlock: _Rendering._call_block,
}
