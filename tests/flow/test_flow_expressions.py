"""The node Expression: errors with a position when the flow is validated, results, failures, and limits."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chaingraph_flow import (
    Catalogue,
    EngineOptions,
    FlowOutcome,
    Input,
    Limits,
    Node,
    NodeContext,
    Registry,
    String,
    validate,
)
from chaingraph_flow.errors import LimitExceeded
from chaingraph_flow.expressions import (
    LONGEST_EXPRESSION,
    ExpressionFailed,
    InvalidExpression,
    budget_of,
    compiled,
    evaluate,
    is_true,
)
from fixtures.flows.runs import BUILT_IN, failure_of, flow, outputs_of, run_flow

ORDERS = {
    "orders": [
        {"id": 1, "status": "paid", "total": 120, "full name": "Ann"},
        {"id": 2, "status": "open", "total": 80},
        {"id": 3, "status": "paid", "total": 40},
    ]
}
LIMITS = Limits(template_steps=50_000, template_bytes=1_000_000, template_output_bytes=10_000)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("orders[?status == 'paid'].{order: id, sum: total}", [{"order": 1, "sum": 120}, {"order": 3, "sum": 40}]),
        ("sum(orders[?status == 'paid'].total)", 160),
        ("sort_by(orders, &total)[0].id", 3),
        ("orders[?total >= `80`] | [0].status", "paid"),
        ("join(', ', orders[].status)", "paid, open, paid"),
        ('orders[0]."full name"', "Ann"),
        ('orders[?@."full name" == \'Ann\'].id', [1]),
        ("to_string(orders[0].total)", "120"),
        ("to_number('12')", 12),
        ("to_number('1_2')", None),
        ("orders[*].missing", []),
        ("missing.deeper[0]", None),
        ("'a' < `1`", None),
        ("contains('abc', `1`)", False),
        ("contains(`[[1]]`, `[true]`)", False),
        ("`[1]` == `[true]`", False),
        ("to_string(`{\"é\": [true, null]}`)", '{"é":[true,null]}'),
        ("max_by(orders, &total).id", 1),
        ("orders[::-1].id", [3, 2, 1]),
    ],
)  # fmt: skip
async def test_expression_reshapes_values(text: str, result: Any) -> None:
    found = await outputs_of("Expression", value=ORDERS, expression=text)
    assert found == {"result": result, "holds": is_true(result)}


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "is empty"),
        ("orders[?total > 2]", 16, "a number stands in backticks: `2`"),
        ("orders[?open == true]", 16, "true stands in backticks: `true`"),
        ('orders[?status == "paid"]', 18, "write 'paid' for a text, @.\"paid\" for the property"),
        ('join(", ", orders)', 5, "write ', ' for a text"),
        ("sort_by(orders, total)", 0, "argument 2 of sort_by() is an expression for each element: write &name"),
        ("length(&a)", 7, "argument 1 of length() is a value: remove the &"),
        ("[&a]", 1, "& is only for arguments of functions"),
        ("a | summ(@)", 4, "unknown function summ(); did you mean 'sum'?"),
        ("length()", 0, "length() takes 1 argument, gets 0"),
        ("merge()", 0, "merge() takes at least 1 argument, gets 0"),
        ("orders[?status = 'paid']", 15, "unknown character =: write == to compare"),
        ("orders[", 7, "ends too early"),
        ("foo(", 4, "ends too early"),
        ("orders[?a", 9, "ends too early"),
        ("a b", 2, "unexpected 'b'"),
        ("'abc", 0, "' is opened and not closed"),
        ("a ~ b", 2, "unknown character ~"),
        ("`paid`", 0, "is not JSON"),
        ("`NaN`", 0, "is not JSON"),
        ("`1e999`", 0, "the number is 1e999, beyond the largest number"),
        ("`12345678901234567890123`", 0, "a whole number of more than 64 bits"),
        ("a[::0]", 2, "the step of a slice cannot be 0"),
        ("(" * 500, 0, "is nested deeper than"),
        ("!" * 500 + "a", 0, "is nested deeper than"),
        (" || ".join("a" * 100), 0, "is nested deeper than"),
        ("a" * (LONGEST_EXPRESSION + 1), 0, f"the limit is {LONGEST_EXPRESSION}"),
    ],
)
def test_wrong_expression_is_refused_at_its_position(text: str, position: int, message: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        compiled(text)
    assert (refused.value.position, message in refused.value.message) == (position, True), str(refused.value)


def test_expression_error_names_the_line_of_several() -> None:
    with pytest.raises(InvalidExpression, match=r"^line 2, column 5: unknown function nope\(\)"):
        compiled("orders\n  | nope(@)")


def test_flow_with_wrong_expressions_lists_every_error() -> None:
    errors = validate(
        flow("""
        nodes:
        - {id: a, type: Expression, inputs: {expression: "orders[?"}}
        - {id: b, type: Expression, inputs: {expression: "nope(@)", schema: strin}}
        - {id: c, type: Expression, inputs: {expression: 7}}
        - {id: d, type: Expression}
        """),
        BUILT_IN.catalogue,
    )
    assert [(each.path, str(each.code)) for each in errors] == [
        ("spec.nodes[0].inputs.expression", "InvalidExpression"),
        ("spec.nodes[1].inputs.expression", "InvalidExpression"),
        ("spec.nodes[1].inputs.schema", "InvalidValue"),
        ("spec.nodes[2].inputs.expression", "InvalidValue"),
        ("spec.nodes[3].inputs.expression", "MissingInput"),
    ]
    assert errors[0].message == "column 9: ends too early: a bracket, a quote or an operand is missing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sum(orders)", "column 1 of the expression: sum() takes an array of numbers, gets an object"),
        ("orders | join(', ', [].id)", "column 10 of the expression: join() takes an array of strings, gets a number"),
        (
            "sort_by(orders, &missing)",
            "column 1 of the expression: sort_by() takes a string or a number, gets an object",
        ),
        ("sort_by(orders, &abs(status))", "column 18 of the expression: abs() takes a number, gets a string"),
        ("merge(@, orders)", "column 1 of the expression: merge() takes objects, gets an array"),
        ("to_number('1e999')", "column 1 of the expression: to_number(): is 1e999, beyond the largest number"),
    ],
)
async def test_expression_failure_names_function_and_kind(text: str, message: str) -> None:
    assert message in await failure_of("Expression", value=ORDERS, expression=text)


async def test_expression_failure_shows_no_value() -> None:
    assert "s3cret" not in await failure_of("Expression", value={"token": "s3cret"}, expression="sum(token)")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (" | ".join(["[@, @]"] * 50) + " | to_string(@)", "TEMPLATE_STEPS"),
        (" | ".join(["[@, @]"] * 50) + " | @ == `1` || @ == @", "TEMPLATE_STEPS"),
        (" | ".join(["[@, @][]"] * 50), "TEMPLATE_STEPS"),
        (" | ".join(["[@, @]"] * 14) + " | to_string(@)", "TEMPLATE_OUTPUT_BYTES"),
        (" | ".join(["map(&@, [@, @][])"] * 50), "TEMPLATE_STEPS"),
        ("@" + " | join('', [@, @])" * 50, "TEMPLATE_OUTPUT_BYTES"),
        ("@" + " | reverse(join('', [@, @]))" * 50, "TEMPLATE_OUTPUT_BYTES"),
        ("[@, @, @, @, @]" + " | [*].[@, @, @, @, @][]" * 12, "TEMPLATE_STEPS"),
        (" | ".join(["[@, @, @, @][]"] * 8) + " | [*].{a: @, b: @, c: @, d: @}", "TEMPLATE_"),
        (" | ".join(["[@, @, @, @][]"] * 6) + " | [*].[sort(`[3, 1]`), sort(`[3, 1]`)]", "TEMPLATE_STEPS"),
    ],
)
def test_costly_expression_ends_at_its_budget(text: str, limit: str) -> None:
    started = time.process_time()
    with pytest.raises(LimitExceeded, match=f"the expression .* \\(CHAINGRAPH_MAX_{limit}"):
        evaluate(compiled(text), "some text", budget_of(LIMITS))
    assert time.process_time() - started < 1


def test_evaluations_share_one_budget() -> None:
    budget = budget_of(Limits(template_steps=100))
    expression = compiled("a == `1`")
    with pytest.raises(LimitExceeded):
        [evaluate(expression, {"a": 1}, budget) for _ in range(100)]


async def test_expression_result_is_limited_like_any_output() -> None:
    text = " | ".join(["[@, @]"] * 16)
    spec = f'nodes: [{{id: a, type: Expression, inputs: {{value: abcdefgh, expression: "{text}"}}}}]'
    result = (await run_flow(spec, options=EngineOptions(limits=Limits(value_bytes=10_000)))).result
    assert result.outcome is FlowOutcome.FAILED
    assert "the output 'result' has more than the limit" in str(result.error)


async def test_result_of_an_expression_goes_to_typed_ports() -> None:
    text = """
    nodes:
    - id: pick
      type: Expression
      inputs: {value: {rows: [{n: 3}]}, expression: "rows[0].n", schema: %s}
    - {id: sum, type: Math, inputs: {b: 1}}
    edges: [{from: pick.result, to: sum.a}]
    outputs: [{name: sum, from: sum.result}]
    """
    assert (await run_flow(text % "number")).result.outputs == {"sum": 4}
    failed = (await run_flow(text % "{type: number, minimum: 5}")).result
    assert "pick" in str(failed.error)
    assert "must be at least 5, is 3" in str(failed.error)


async def test_holds_decides_whether_a_node_runs() -> None:
    run = await run_flow("""
    nodes:
    - {id: large, type: Expression, inputs: {value: {total: 5}, expression: "total > `10`"}}
    - {id: small, type: Expression, inputs: {value: {total: 5}, expression: "total <= `10`"}}
    - {id: ship, type: Text, inputs: {value: ship}}
    - {id: wait, type: Text, inputs: {value: wait}}
    edges: [{from: large.holds, to: ship.__execute}, {from: small.holds, to: wait.__execute}]
    """)
    assert run.result.outputs == {"wait": {"value": "wait"}}


def test_expression_failure_is_not_retried() -> None:
    assert ExpressionFailed("x").retryable is False
    text = "nodes: [{id: a, type: Expression, inputs: {expression: a}, retry: {retryOn: [ExpressionFailed]}}]"
    (error,) = validate(flow(text), BUILT_IN.catalogue)
    assert "is never retried" in error.message


class _Sieve(Node):
    """Takes an expression that is not needed."""

    type = "acme.Sieve"
    pure = True
    filter = Input(String(), static=True, expression=True)

    async def run(self, context: NodeContext) -> None:
        """Nothing."""


def test_own_nodes_can_take_expressions() -> None:
    catalogue = Catalogue.from_json(Registry([_Sieve]).catalogue.to_json())
    assert validate(flow("nodes: [{id: a, type: acme.Sieve}]"), catalogue) == []
    (error,) = validate(flow("nodes: [{id: a, type: acme.Sieve, inputs: {filter: 'a ='}}]"), catalogue)
    assert str(error) == "spec.nodes[0].inputs.filter: column 3: unknown character =: write == to compare"
