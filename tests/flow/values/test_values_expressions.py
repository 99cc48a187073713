"""Expressions against jmespath itself, and within their budget whatever they are."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_flow.errors import LimitExceeded
from chaingraph_flow.expressions import ExpressionFailed, InvalidExpression, budget_of, compiled, evaluate, is_true
from chaingraph_flow.limits import Limits

NAMES = st.sampled_from(["a", "b", "c"])
# Not 0 and 1: in lists, jmespath takes them for false and true.
NUMBERS = st.sampled_from([2, 3, -4, 2.5, 2.0])
TEXTS = st.sampled_from(["", "a", "b", "ab", "12", "3.5", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
LITERALS = st.sampled_from(["`2`", "`null`", "`true`", "`[2, 3]`", '`{"a": 2}`', "'a'", "'12'", "`2.5`"])
UNARY = ["length", "keys", "values", "sum", "avg", "max", "min", "sort", "reverse", "to_array", "to_number", "type"]
UNARY += ["to_string", "abs", "ceil", "floor", "not_null"]
BY = ["sort_by", "max_by", "min_by"]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&&", "||", "|"])
    return st.one_of(
        st.tuples(inner, NAMES).map(lambda each: f"{each[0]}.{each[1]}"),
        st.tuples(inner, st.sampled_from(["[0]", "[-1]", "[*]", "[]", "[1:]", "[::-1]", ".*"])).map("".join),
        st.tuples(inner, inner).map(lambda each: f"({each[0]})[?{each[1]}]"),
        st.tuples(inner, operators, inner).map(lambda each: f"({each[0]}) {each[1]} ({each[2]})"),
        st.tuples(inner, inner).map(lambda each: f"[{each[0]}, {each[1]}]"),
        st.tuples(inner, inner).map(lambda each: f"{{x: {each[0]}, b: {each[1]}}}"),
        inner.map(lambda each: f"!({each})"),
        st.tuples(st.sampled_from(UNARY), inner).map(lambda each: f"{each[0]}({each[1]})"),
        st.tuples(st.sampled_from(BY), inner, inner).map(lambda each: f"{each[0]}({each[1]}, &({each[2]}))"),
        st.tuples(inner, inner).map(lambda each: f"map(&({each[0]}), {each[1]})"),
        st.tuples(st.sampled_from(["contains", "merge", "starts_with", "join", "not_null"]), inner, inner).map(
            lambda each: f"{each[0]}({each[1]}, {each[2]})"
        ),
    )


EXPRESSIONS = st.recursive(NAMES | st.just("@") | LITERALS, _grown, max_leaves=6)


@given(EXPRESSIONS, VALUES)
def test_expression_has_the_value_that_jmespath_gives(text: str, value: Any) -> None:
    expression = compiled(text)
    try:
        expected = jmespath.search(text, value)
    except jmespath.exceptions.JMESPathError:
        with pytest.raises(ExpressionFailed, match=r"column \d+ of the expression: [a-z_]+\(\) takes "):
            evaluate(expression, value, budget_of(Limits()))
        return
    except (TypeError, ValueError):  # it compares a number with a text, or looks for a number in one: null here
        return
    found = evaluate(expression, value, budget_of(Limits()))
    assert (found, type(found)) == (expected, type(expected))
    chosen = jmespath.search("[?@]", [expected])
    assert is_true(found) == (len(chosen or []) == 1)


@given(EXPRESSIONS, VALUES, st.integers(1, 60))
def test_small_budget_changes_no_result(text: str, value: Any, steps: int) -> None:
    expression = compiled(text)
    try:
        found = evaluate(expression, value, budget_of(Limits(template_steps=steps)))
    except (LimitExceeded, ExpressionFailed):
        return
    assert found == evaluate(expression, value, budget_of(Limits()))


@given(st.text(alphabet="ab.[]*?|&!=<>(){}:,@`'\"\\ 1-\n", max_size=25))
def test_any_text_compiles_or_names_a_position(text: str) -> None:
    refused: InvalidExpression | None = None
    try:
        compiled(text)
    except InvalidExpression as error:
        refused = error
    assert refused is None or (refused.message and 0 <= refused.position <= len(text))
