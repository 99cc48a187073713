"""Numbers keep every digit, or are refused by name: nothing is rounded without a word."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaingraph_crds.numbers import Inexact, exact_number, refused_by_kubernetes, rounded_by_kubernetes
from chaingraph_flow import Limits
from chaingraph_flow.errors import NodeFailed, UnreadableText
from chaingraph_flow.nodes.arithmetic import calculated
from chaingraph_flow.nodes.transforms import reduce_values
from chaingraph_flow.reading import parsed
from chaingraph_flow.templates import rendered
from fixtures.flows.http_server import answer, raw_server
from fixtures.flows.runs import error_of, failure_of, outputs_of

WHOLE = st.integers(-(2**66), 2**66) | st.sampled_from([2**n + d for n in (53, 63, 64, 65) for d in (-1, 0, 1)])
FINITE = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False).map(str).filter(lambda text: len(text) < 100)


def read(text: str, numbers: str = "exact") -> Any:
    return parsed(text, Limits(), "the text", numbers)


# -- texts -------------------------------------------------------------------------------------------------------


@given(WHOLE.map(str) | FINITE.map(repr) | DECIMALS)
@example("36893488147419103232")
@example("9007199254740993.0")
@example("0.1000000000000000055511151231257827021181583404541015625")
@example("12345678901234567.89")
@example("1E+400")
@example("1E-400")
@example("1239.20941761256170")
@settings(max_examples=300)
def test_read_numbers_have_their_digits_or_are_refused(text: str) -> None:
    written = Decimal(text)
    try:
        number = exact_number(text)
    except Inexact:
        assert len(written.as_tuple().digits) > 15 or not -300 < written.adjusted() < 300
        return
    shown = Decimal(repr(number))
    if shown not in (written, Decimal(0)) and Decimal(number) != written:
        assert "." in text or "E" in text  # 17 digits tell doubles apart: the nearest of them is this number
        assert len("".join(map(str, written.as_tuple().digits)).strip("0")) <= 17
        assert abs(shown - written) <= abs(written) * Decimal("1e-15")
        assert written != written.to_integral_value()


@given(st.integers(-(2**63), 2**64 - 1) | FINITE)
def test_numbers_of_our_own_json_are_read_back(value: float) -> None:
    found = read(json.dumps([value, {"a": value}]))
    assert found == [value, {"a": value}]
    assert type(found[0]) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("36893488147419103232", "the number is 36893488147419103232, a whole number of more than 64 bits"),
        ('{"rows": [{}, {"id": -9223372036854775809}]}', "rows[1].id is -9223372036854775809, a whole number of more"),
        ('{"digits": "36893488147419103232", "n": 1e99999}', "not JSON"),
        ("[0.12345678901234567891]", "[0] is 0.12345678901234567891, which has 20 significant digits"),
        ("9007199254740993.0", "write it without"),
        ("1e-400", "too close to 0"),
        ("9" * 300, "a number of 300 characters"),
        ('{"a": 1, "b": [1, NaN]}', "b[1] is NaN, which JSON does not have"),
        ('{"a": -Infinity}', "a is -Infinity, which JSON does not have"),
        ('{"a": NaN', "is not JSON"),
        ('["NaN", Nan]', "is not JSON"),
    ],
)
async def test_json_read_names_the_number_it_cannot_keep(text: str, said: str) -> None:
    assert said in await failure_of("JSONRead", text=text)


@pytest.mark.parametrize("text", ["36893488147419103232", "[18446744073709551616]", '{"a": 0.12345678901234567891}'])
def test_numbers_are_taken_as_texts_or_rounded_on_request(text: str) -> None:
    digits = text.strip('[]{}"a: ')
    assert digits in json.dumps(read(text, "text"))
    assert json.loads(json.dumps(read(text, "text")).replace('"' + digits + '"', digits)) == json.loads(text)
    assert read(text, "nearest") == json.loads(text, parse_int=float)


def test_numbers_inside_strings_are_no_numbers() -> None:
    text = '{"36893488147419103232": "1e999", "b": "\\"36893488147419103232"}'
    assert read(text) == json.loads(text)


async def test_http_response_with_a_number_too_long_is_refused_by_name() -> None:
    with raw_server() as server:
        server.answers["/"] = answer(b'{"p_id": 36893488147419103232}', "Content-Type: application/json")
        server.answers["/nan"] = answer(b'{"a": NaN, "b": [Infinity, -Infinity]}')
        assert "the response: p_id is 36893488147419103232" in await failure_of("HTTP", baseUri=server.url)
        found = await outputs_of("HTTP", baseUri=server.url, numbers="text")
        assert found["response"] == {"p_id": "36893488147419103232"}
        assert "a is NaN" in await failure_of("HTTP", baseUri=server.url, path="nan")


@pytest.mark.parametrize("text", ["36893488147419103232", "0.12345678901234567891"])
async def test_text_nodes_refuse_numbers_they_cannot_keep(text: str) -> None:
    assert text in await failure_of("ToNumber", text=text)
    schema = {"type": "object", "properties": {"n": "number"}}
    said = await failure_of("CSVRead", text=f"id;n\na;1\nb;{text}\n", delimiter=";", schema=schema)
    assert said.startswith(f"line 3: n is {text}")


# -- calculating -------------------------------------------------------------------------------------------------


@given(WHOLE, WHOLE, st.sampled_from(["add", "subtract", "multiply", "divide", "modulo", "minimum", "maximum"]))
@settings(max_examples=200)
def test_whole_numbers_calculate_exactly_or_fail(a: int, b: int, operation: str) -> None:
    known: dict[str, Callable[[], float]] = {
        "add": lambda: a + b, "subtract": lambda: a - b, "multiply": lambda: a * b, "modulo": lambda: a % b,
        "divide": lambda: a // b if a % b == 0 else a / b, "minimum": lambda: min(a, b), "maximum": lambda: max(a, b),
    }  # fmt: skip
    exact = known[operation]
    try:
        result = calculated(a, operation, b)
    except NodeFailed:
        assert (b == 0 and operation in ("divide", "modulo")) or not -(2**63) <= exact() < 2**64
    else:
        assert result == exact()


@given(st.integers(-(2**64), 2**64), st.floats(-1e6, 1e6))
def test_whole_and_fractional_numbers_never_lose_digits(a: int, b: float) -> None:
    template = f"{{{{ a + {b!r} }}}}" if b >= 0 else f"{{{{ a - {-b!r} }}}}"
    if int(float(a)) == a:
        assert calculated(a, "add", b) == float(a) + b
        assert float(rendered(template, {"a": a})) == float(a) + b
        assert reduce_values([a, b], "sum") == math.fsum([a, b])
    else:
        for work in (
            lambda: calculated(a, "add", b),
            lambda: rendered(template, {"a": a}),
            lambda: reduce_values([a, b], "sum"),
        ):
            with pytest.raises(NodeFailed, match="more digits than a number with a fraction keeps"):
                work()


BIG = 9007199254740993


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ n }} {{ n + 1 }} {{ n * 3 }}", f"{BIG} {BIG + 1} {BIG * 3}"),
        ("{{ n / 1 }} {{ n // 1 }} {{ n % 10 }}", f"{BIG} {BIG} 3"),
        ("{{ n | round }} {{ n | round(2, 'floor') }} {{ n | abs }}", f"{BIG} {BIG} {BIG}"),
        ("{{ n | numeral }} {{ n | numeral(2) }}", f"{BIG:,} {BIG:,}.00"),
        ("{{ (n ~ '.0') | int }} {{ '7e2' | int }} {{ 'x' | int(5) }}", f"{BIG} 700 5"),
        ("{{ [n, 2] | sum }} {{ [n, 1] | max }}", f"{BIG + 2} {BIG}"),
        ("{{ 18446744073709551615 }} {{ 0.1 }} {{ 10.0 }} {{ 1e21 }}", "18446744073709551615 0.1 10.0 1e+21"),
        ("{{ 2.5 | round }} {{ 1234.5 | numeral(1) }} {{ 7 / 2 }} {{ 6 / 3 }}", "2.0 1,234.5 3.5 2.0"),
    ],
)
def test_templates_print_all_digits(template: str, text: str) -> None:
    assert rendered(template, {"n": BIG}) == text


@pytest.mark.parametrize("template", ["{{ n | float }}", "{{ n / 2.5 }}", "{{ n - 0.5 }}", "{{ [n, 0.5] | sum }}"])
def test_templates_refuse_to_round(template: str) -> None:
    with pytest.raises(NodeFailed, match=str(BIG)):
        rendered(template, {"n": BIG})


# -- Kubernetes --------------------------------------------------------------------------------------------------


@given(WHOLE | FINITE)
def test_kubernetes_keeps_what_is_not_refused(value: float) -> None:
    held = value if -(2**63) <= value < 2**63 else float(value)
    if refused_by_kubernetes(value) is None:
        assert held == value
        assert type(held) is float or rounded_by_kubernetes(held) is None
    else:
        assert type(value) is int


@pytest.mark.parametrize(("value", "fine"), [(18446744073709551615, False), (1e19, True), (6.02214076e23, True)])
async def test_fixed_inputs_that_kubernetes_rounded_are_refused(value: float, fine: bool) -> None:
    held = float(value)
    if fine:
        assert await outputs_of("Number", value=held) == {"value": held}
    else:
        with pytest.raises(Exception, match=r"nodes\[0\].inputs.value: is 1.8446744073709552e\+19, which Kubernetes"):
            await error_of("Number", value=held)


def test_unreadable_texts_are_failures_of_the_node() -> None:
    with pytest.raises(UnreadableText):
        read("{")
