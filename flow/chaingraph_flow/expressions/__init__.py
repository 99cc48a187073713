"""Expressions over JSON values, in JMESPath. jmespath parses and knows the rules of the language.

A flow's author is not the worker's owner. So all work is charged to a budget before it is done, and mistakes that the
language evaluates to null are refused where the text alone shows them.
"""

from __future__ import annotations

from chaingraph_flow.expressions.evaluation import ExpressionFailed, budget_of, evaluate, is_true
from chaingraph_flow.expressions.parsing import LONGEST_EXPRESSION, Expression, InvalidExpression, compiled

__all__ = [
    "LONGEST_EXPRESSION",
    "Expression",
    "ExpressionFailed",
    "InvalidExpression",
    "budget_of",
    "compiled",
    "evaluate",
    "is_true",
]
