"""Reshape values by an expression."""

from __future__ import annotations

from chaingraph_flow.context import NodeContext
from chaingraph_flow.expressions import ExpressionFailed, InvalidExpression, budget_of, compiled, evaluate, is_true
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import Given


class Expression(Node):
    """Evaluates an expression in JMESPath: selects, filters and reshapes a value, such as items[?price > `10`].name.

    A text stands in single quotes, a number, true, false and null in backticks: status == 'paid', total >= `100`. What
    does not exist is null. Work and memory are limited (`CHAINGRAPH_MAX_TEMPLATE_STEPS` and related settings).
    """

    pure = True
    value = Input(t.Any(), description="The value, @ in the expression; edges may also lead to value.name.")
    expression = Input(
        t.String(min_length=1), required=True, static=True, expression=True, description="The expression."
    )
    schema = Input(t.Any(), static=True, description="Type of the result, so that it can go to typed ports.")
    result = Output(t.Any(), typed_by=Given(input="schema"), optional=True, description="The value of the expression.")
    holds = Output(
        t.Boolean(),
        description="False when the result is null, false, or an empty text, list or object. Connect to `__execute`.",
    )

    def run(self, context: NodeContext) -> None:
        """Evaluate. In a thread, because it only uses the processor."""
        try:
            expression = compiled(self.expression)
        except InvalidExpression as error:
            raise ExpressionFailed(f"expression: {error}") from None
        self.result = evaluate(expression, self.value, budget_of(context.limits))
        self.holds = is_true(self.result)
