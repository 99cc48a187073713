"""Templates: every attack on work, memory or the host's objects ends in a named error, and values print as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_flow import EngineOptions, FailureReason, LimitExceeded, Limits, NodeFailed
from chaingraph_flow.templates import rendered
from fixtures.flows.runs import error_of, outputs_of

LIMITS = Limits(template_steps=30_000, template_bytes=2_000_000, template_output_bytes=200_000)
MEGABYTE = "ab " * 333_333
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=15,
)
NAMES = st.sampled_from(
    ["items", "keys", "values", "get", "update", "pop", "copy", "clear", "append", "__class__", "mro"]
)


def limit_met(template: str, values: dict[str, Any] | None = None) -> str:
    with pytest.raises(LimitExceeded) as caught:
        rendered(template, values or {}, LIMITS)
    return str(caught.value)


PLAIN: tuple[Any, ...] = ({}, [], "text", 1, None, {"a": {}})
DOUBLED = "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
DOUBLED += "{% set ns.y = [ns.y, ns.y] %}{% endfor %}"


@pytest.mark.parametrize(
    "consumer",
    [
        "{{ ns.x == ns.y }}",
        "{{ ns.x != ns.y }}",
        "{{ ns.x is eq(ns.y) }}",
        "{{ ns.x in [ns.y] }}",
        "{{ [ns.x] | select('eq', ns.y) | list }}",
        "{{ ns.x }}",
        "{{ ns.x ~ '' }}",
        "{{ ns.x | string }}",
        "{{ ns.x | tojson }}",
        "{{ ns.x | tojson(true) }}",
        "{{ [ns.x] | join }}",
        "{{ ns.x | urlencode }}",
        "{{ ns.x | upper }}",
        "{{ [ns.x, ns.y] | unique | list }}",
        "{{ [{'k': ns.x}] | groupby('k') }}",
        "{% for a in [1, 2] %}{{ loop.changed(ns.x if a == 1 else ns.y) }}{% endfor %}",
        "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(ns.x) }}",
        "{% filter replace(ns.x, '') %}x{% endfilter %}",
    ],
)
def test_shared_lists_are_charged_as_what_they_are(consumer: str) -> None:
    assert "CHAINGRAPH_MAX_TEMPLATE_" in limit_met(DOUBLED + consumer)


@pytest.mark.parametrize(
    "method",
    [
        *("capitalize()", "casefold()", "count('a')", "find('zz')", "lower()", "upper()", "title()", "swapcase()"),
        *("split()", "split('a')", "rsplit('a')", "splitlines()", "partition('a')", "rpartition('a')", "strip()"),
        *("strip('ab ')", "removeprefix('a')", "startswith('a')", "endswith('a')", "isalpha()", "rfind('zz')"),
    ],
)
def test_methods_are_charged_by_length(method: str) -> None:
    limit_met("{% for i in range(50) %}{% set y = t." + method + " %}{% endfor %}", {"t": MEGABYTE})


@pytest.mark.parametrize(
    "filter_",
    [
        *("upper", "lower", "title", "capitalize", "trim", "replace('a', 'b')", "wordcount", "urlencode", "escape"),
        *("reverse", "list", "truncate(9)", "trim('ab')", "length ~ t", "default(t) ~ t", "map('upper') | list"),
    ],
)
def test_filters_are_charged_by_length(filter_: str) -> None:
    limit_met("{% for i in range(50) %}{% set y = t | " + filter_ + " %}{% endfor %}", {"t": MEGABYTE[:150_000]})


@pytest.mark.parametrize(
    "filter_",
    [
        *("sort | list", "unique | list", "sum", "min", "max", "join", "map('string') | list", "select | list"),
        *("reject('eq', 1) | list", "reverse | list", "list", "first ~ rows", "length ~ rows", "tojson", "string"),
    ],
)
def test_filters_of_lists_are_charged_by_elements(filter_: str) -> None:
    limit_met("{% for i in range(200) %}{% set y = rows | " + filter_ + " %}{% endfor %}", {"rows": list(range(2000))})


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in rows %}{% for b in rows %}{% for c in rows %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in rows if false %}{% endfor %}{% for a in rows for b in rows %}{% endfor %}",
        "{% for a in rows %}{% for b in rows if false %}{% endfor %}{% endfor %}",
        "{% for a in rows %}{% for b in rows %}{% if false %}{% endif %}{% endfor %}{% endfor %}",
        "{% for a in rows %}{% for b in rows %}{% set c = b %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = ns.x + [t.split()] %}{% endfor %}",
        "{{ range(10 ** 18) }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set s = 'x' %}{% macro f(n) %}{% set a %}{{ f(n - 1) if n else s }}{% endset %}{{ a }}{{ a }}{% endmacro %}"
        "{{ f(20) }}",
        "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s | replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(x={}) %}{% for i in range(9999) %}{% set ns.x = {'a': ns.x, 'b': [ns.x]} %}{% endfor %}",
        "{{" + "t ~ " * 3000 + "t }}",
        "{{ rows | join(t) }}",
        "{{ t.rfind('b' ~ t) }}{{ t.rsplit('b' ~ t) }}{{ t.strip(t) }}",
        "{% for i in range(9999) %}{{ t }}{% endfor %}",
        "{% macro f(n) %}{{ f(n - 1) if n }}{{ f(n - 1) if n }}{% endmacro %}{{ f(40) }}",
        "{{ rows | map(attribute=t) | list }}",
    ],
)
def test_work_and_memory_end_in_a_named_limit(template: str) -> None:
    values = {"rows": [{"a": 1}] * 3000, "t": "a" * 20_000}
    with pytest.raises(NodeFailed) as caught:
        rendered(template, values, LIMITS)
    assert isinstance(caught.value, LimitExceeded) or "for b in rows" in template


@pytest.mark.parametrize(
    "template",
    [
        "{{" + "(" * 30_000,
        "{{" + "1+" * 15_000 + "1 }}",
        "{{" + "not " * 9_000 + "1 }}",
        "{{ a" + ".a" * 15_000 + "}}",
        "{{ a" + "|list" * 9_000 + "}}",
        "{% if a %}" * 4_000,
        "{{ " + "9" * 30_000 + " }}",
        "{{ [" * 15_000,
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ 2 ** 64 ** 64 }}",
        "{{ 1e999 }}",
        "{{ 1e308 * 10 }}",
        "{{ (0 - 8) ** 0.5 }}",
        "{{ 18446744073709551616 * 18446744073709551616 * 2 }}",
        "{{ rows | sum(start=[]) }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{{ f(*rows) }}",
    ],
)
def test_odd_templates_fail_with_words(template: str) -> None:
    with pytest.raises(NodeFailed):
        rendered(template, {"a": [1], "rows": [[1]]})


async def test_large_template_is_refused_unparsed() -> None:
    error = await error_of("Template", template="{{ a }}" * 40_000, values={"a": 1})
    assert (error.reason, "CHAINGRAPH_MAX_TEMPLATE_TEXT_BYTES" in error.message) == (FailureReason.LIMIT_EXCEEDED, True)


@pytest.mark.parametrize(
    "template",
    [
        DOUBLED + "{{ ns.x == ns.y }}",
        DOUBLED.replace("60", "22") + "{{ ns.x | tojson | length }}",
        "{% set ns = namespace(s='ab cd ef') %}{% for i in range(17) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
        "{% set s = ns.s %}{% for i in range(20000) %}{% set x = s.title() %}{% endfor %}done",
    ],
)
async def test_reported_templates_end_in_a_named_limit(template: str) -> None:
    error = await error_of("Template", template=template)
    assert error.reason == FailureReason.LIMIT_EXCEEDED
    assert "CHAINGRAPH_MAX_TEMPLATE_STEPS" in error.message


async def test_template_limits_come_with_the_engine() -> None:
    options = EngineOptions(limits=Limits(template_output_bytes=1024))
    error = await error_of("Template", template="{{ t }}", values={"t": "x" * 2000}, options=options)
    assert (
        error.message == "the template writes more than the limit of 1024 bytes (CHAINGRAPH_MAX_TEMPLATE_OUTPUT_BYTES)"
    )
    assert error.reason == FailureReason.LIMIT_EXCEEDED


# -- what is printed ---------------------------------------------------------------------------------------------


@given(JSON_VALUES)
@settings(max_examples=60)
def test_any_value_prints_as_json_or_its_text(value: Any) -> None:
    printed = rendered("{{ v }}", {"v": value})
    assert printed == value if isinstance(value, str) else json.loads(printed) == value
    assert json.loads(rendered("{{ v | tojson }}", {"v": value})) == value
    assert rendered("{{ [v] | join }}{{ v ~ '' }}", {"v": value}) == printed + printed


@given(NAMES, JSON_VALUES)
@settings(max_examples=60)
def test_keys_come_before_methods(name: str, value: Any) -> None:
    expected = rendered("{{ v }}", {"v": value})
    assert rendered("{{ data." + name + " }}", {"data": {name: value}}) == expected
    assert rendered("{{ data['" + name + "'] }}", {"data": {name: value}}) == expected


@given(NAMES, st.sampled_from(["{{ d.NAME }}", "{{ d.NAME ~ '' }}", "{{ [d.NAME] }}", "{{ {'a': d.NAME} | tojson }}"]))
@settings(max_examples=60)
def test_no_method_is_ever_printed(name: str, template: str) -> None:
    for value in PLAIN:
        with pytest.raises(NodeFailed):
            rendered(template.replace("NAME", name), {"d": value})


@pytest.mark.parametrize(
    "template",
    [
        "{{ range }}",
        "{{ namespace }}",
        "{{ namespace(a=1) }}",
        "{{ [namespace(a=1)] }}",
        "{% for a in [1] %}{{ loop }}{% endfor %}",
        "{% for a in [1] %}{{ loop.cycle }}{% endfor %}",
        "{% macro f() %}{% endmacro %}{{ f }}",
        "{% macro f() %}{% endmacro %}{{ [f] | tojson }}",
        "{{ 'a'.upper }}",
        "{{ missing }}",
        "{{ [missing] }}",
        "{{ [missing] | join }}",
        "{{ {'a': missing} }}",
        "{{ self }}",
    ],
)
def test_functions_and_missing_values_cannot_be_printed(template: str) -> None:
    with pytest.raises(NodeFailed):
        rendered(template, {})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ data.items }}", "[1, 2]"),
        ("{% for k, v in other.items() %}{{ k }}={{ v }};{% endfor %}", "a=1;b=null;"),
        (
            "{{ other | items | list }} {{ other.keys() }} {{ other.values() }}",
            '[["a", 1], ["b", null]] ["a", "b"] [1, null]',
        ),
        ("{{ other.get('x', 'y') }} {{ other.b }} {{ true }} {{ 1 == 1.0 }} {{ 1 == true }}", "y null true true false"),
        ("{{ rows | groupby('k') | map(attribute='grouper') | join(',') }}", "x,y"),
        ("{% for k, list in rows | groupby('k') %}{{ k }}{{ list | length }}{% endfor %}", "x2y1"),
        ("{% for g in rows | groupby('k') %}{{ g.grouper }}{{ g.list | sum('n') }}{% endfor %}", "x4y2"),
        ("{{ rows | selectattr('n', 'gt', 1) | map(attribute='k') | unique | sort | list }}", '["x", "y"]'),
        ("{{ rows | rejectattr('n', 'odd') | list | length }}{{ rows | max(attribute='n') }}", '1{"k": "x", "n": 3}'),
        ("{{ other | dictsort | first }}", '["a", 1]'),
        ("{% for a in [1, 2, 3] if a != 2 %}{{ loop.index }}{{ loop.last }}{% else %}-{% endfor %}", "1false2true"),
        ("{% for a in [] %}x{% else %}-{% endfor %}", "-"),
        ("{% for a in tree recursive %}<{{ a.n }}{{ loop(a.c) if a.c }}>{% endfor %}", "<1<2><3>>"),
        ("{% macro f(a, b=a ~ '!') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(b=2, a=1) }}", "11!12"),
        ("{% macro f() %}<{{ caller('x') }}>{% endmacro %}{% call(a) f() %}{{ a }}y{% endcall %}", "<xy>"),
        (
            "{% filter upper | replace('A', 'b') %}a{{ 'c' }}{% endfilter %}{% set t | upper %}x{% endset %}{{ t }}",
            "bCX",
        ),
        ("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a | default('-') }}", "3-"),
        ("{% if missing is defined %}a{% elif 2 is even %}b{% endif %}{{ 'c' if false }}", "b"),
        ("{{ 'x' * 0 | default(1) if false else [1, 2, 3][1:] }}{{ 'abc'[::-1] }}{{ [1, 2][-1] }}", "[2, 3]cba2"),
        ("{{ 7 // 2 }} {{ 7 / 2 }} {{ -3 % 5 }} {{ 2.5 | round | int }} {{ '12' | int + 1 }}", "3 3.5 2 2 13"),
        ("{{ 1 < 2 < 3 }} {{ 'a' in 'abc' and 'x' not in ['y'] }} {{ not [] }}", "true true true"),
        (
            "{{ 'a,b'.split(',') }} {{ ' x '.strip() }} {{ 'a b' | title }} {{ 'ä/b c' | urlencode }}",
            '["a", "b"] x A B %C3%A4/b%20c',
        ),
        ("{{ '<a href=\"x\">' | e }} {{ 'one two three' | truncate(7) }}", "&lt;a href=&#34;x&#34;&gt; one..."),
        ("{# a comment #}{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        (
            "{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "6",
        ),
        (
            "{% for a in [1, 1, 2] %}{{ loop.changed(a) }}{{ loop.previtem | default('-') }}{% endfor %}",
            "true-false1true1",
        ),
    ],
)
def test_template_language_is_jinjas(template: str, text: str) -> None:
    values = {
        "data": {"items": [1, 2]},
        "other": {"a": 1, "b": None},
        "rows": [{"k": "x", "n": 1}, {"k": "y", "n": 2}, {"k": "x", "n": 3}],
        "tree": [{"n": 1, "c": [{"n": 2, "c": []}, {"n": 3, "c": []}]}],
    }
    assert rendered(template, values) == text


async def test_template_node_prints_the_property_called_items() -> None:
    found = await outputs_of("Template", template="{{ data.items }}", values={"data": {"items": [1, 2]}})
    assert found["result"] == "[1, 2]"


def test_failure_names_the_line() -> None:
    with pytest.raises(NodeFailed, match="line 3 of the template: 'b' is undefined"):
        rendered("{{ a }}\n{% if a %}\n{{ b }}{% endif %}", {"a": 1})
