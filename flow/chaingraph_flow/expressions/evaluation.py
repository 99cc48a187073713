"""Evaluate an expression: jmespath's interpreter, with every visit of a node and every new list or object charged."""

from __future__ import annotations

from typing import Any, Final

from jmespath.visitor import Options, TreeInterpreter

from chaingraph_crds.numbers import Inexact
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.expressions.functions import ChargedFunctions, FunctionRefused
from chaingraph_flow.expressions.parsing import Expression, Tree, place_of
from chaingraph_flow.limits import Limits
from chaingraph_flow.templates.budget import ELEMENT_BYTES, LIST_BYTES, PROPERTY_BYTES, Budget, TemplateError
from chaingraph_flow.templates.values import equal

REASON: Final = "ExpressionFailed"
_ORDERINGS: Final = frozenset(("lt", "lte", "gt", "gte"))


class ExpressionFailed(NodeFailed):
    """The expression cannot be evaluated with this value. Another try would fail as well."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=REASON, retryable=False)


def budget_of(limits: Limits) -> Budget:
    """Return the budget of one evaluation. Evaluations that share one, such as a filter's, are limited together."""
    return Budget(limits, "the expression")


def evaluate(expression: Expression, value: Any, budget: Budget) -> Any:
    """Return the value of an expression. It may share parts with `value`, and with itself.

    Raises:
        ExpressionFailed: a function does not take the value that it gets, with the position of the function.
        LimitExceeded: it takes more work or memory than the budget has left.
    """
    try:
        return _Interpreter(budget).visit(expression.tree, value)
    except FunctionRefused as refused:
        where = place_of(expression.text, refused.position)
        raise ExpressionFailed(f"{where} of the expression: {refused}") from None
    except (TemplateError, Inexact) as error:
        raise ExpressionFailed(f"the expression: {error}") from None
    except RecursionError:
        raise ExpressionFailed("the expression is nested too deeply") from None


def is_true(value: Any) -> bool:
    """Whether a value counts as true in a filter: it is not null, not false, and no empty text, list or object."""
    return value is not None and value is not False and value not in ("", [], {})


class _Interpreter(TreeInterpreter):
    """One evaluation."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(Options(custom_functions=ChargedFunctions(budget)))
        self._budget = budget

    def visit(self, node: Tree, *args: Any, **kwargs: Any) -> Any:
        """Charge a node, and evaluate it."""
        self._budget.step()
        return super().visit(node, *args, **kwargs)

    def visit_function_expression(self, node: Tree, value: Any) -> Any:
        given = [self.visit(each, value) for each in node["children"]]
        try:
            return self._functions.call_function(node["value"], given)
        except FunctionRefused as refused:
            if refused.position < 0:
                refused.position = node["start"]
            raise

    def visit_comparator(self, node: Tree, value: Any) -> bool | None:
        left, right = (self.visit(each, value) for each in node["children"])
        operator: str = node["value"]
        if operator not in _ORDERINGS:
            return equal(left, right, self._budget) == (operator == "eq")
        numbers = _is_number(left) and _is_number(right)
        if not numbers and not (isinstance(left, str) and isinstance(right, str)):
            return None
        self._budget.scan(left, right)
        return bool(self.COMPARATOR_FUNC[operator](left, right))

    def visit_flatten(self, node: Tree, value: Any) -> list[Any] | None:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self._budget.list_room(sum(len(each) if isinstance(each, list) else 1 for each in base))
        return [inner for each in base for inner in (each if isinstance(each, list) else (each,))]

    def visit_slice(self, node: Tree, value: Any) -> list[Any] | None:
        if not isinstance(value, list):
            return None
        chosen = range(*slice(*node["children"]).indices(len(value)))
        self._budget.list_room(len(chosen))
        return [value[place] for place in chosen]

    def visit_multi_select_dict(self, node: Tree, value: Any) -> Any:
        self._budget.room(LIST_BYTES + PROPERTY_BYTES * len(node["children"]))
        return super().visit_multi_select_dict(node, value)

    def visit_multi_select_list(self, node: Tree, value: Any) -> Any:
        self._budget.room(LIST_BYTES + ELEMENT_BYTES * len(node["children"]))
        return super().visit_multi_select_list(node, value)

    def visit_projection(self, node: Tree, value: Any) -> Any:
        return self._charged(super().visit_projection(node, value))

    def visit_filter_projection(self, node: Tree, value: Any) -> Any:
        return self._charged(super().visit_filter_projection(node, value))

    def visit_value_projection(self, node: Tree, value: Any) -> Any:
        return self._charged(super().visit_value_projection(node, value))

    def _charged(self, found: Any) -> Any:
        """Charge a list whose elements were charged one by one as they were visited."""
        self._budget.room(LIST_BYTES + ELEMENT_BYTES * len(found or ()))
        return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
