"""Templates print JSON and texts, whatever they are asked for: never an object of Python, never a missing value."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_flow import Limits, NodeFailed
from chaingraph_flow.templates import rendered
from chaingraph_flow.templates.conditions import TESTS
from chaingraph_flow.templates.filters import FILTERS

LIMITS = Limits(template_steps=20_000, template_bytes=1_000_000, template_output_bytes=100_000)
PYTHON_NAMES = sorted({name for kind in (dict, list, str, int, float, object, tuple, set) for name in dir(kind)})
METHODS = st.sampled_from(PYTHON_NAMES)
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 2**63, "", "x", "xy z"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(METHODS, inner, max_size=3), max_leaves=8
)
"""Objects have properties called like Python's methods. No text of them has a `<`, with which Python's names begin."""


def described(names: dict[str, Any], template: str) -> str | None:
    try:
        return rendered(template, names, LIMITS)
    except NodeFailed as error:
        said = str(error)
    assert not any(each in said for each in (" at 0x", "<class", "<locals>"))
    return None


# -- every method name on every kind of value --------------------------------------------------------------------


@given(METHODS, VALUES)
@settings(max_examples=150)
def test_keys_come_before_methods_of_that_name(name: str, value: Any) -> None:
    expected = rendered("{{ v }}", {"v": value})
    for path in (f"d.{name}", f"d['{name}']", f"(d.{name})", f"[d] | map(attribute='{name}') | first"):
        assert rendered("{{ " + path + " }}", {"d": {name: value}}) == expected
    assert rendered("{% for k, v in d | items %}{{ v }}{% endfor %}", {"d": {name: value}}) == expected


@pytest.mark.parametrize("value", [{}, {"a": 1}, [], [1], "", "text", 0, 1.5, True, None])
def test_no_method_of_any_value_is_printed(value: Any) -> None:
    for name in PYTHON_NAMES:
        for print_ in (
            "{{ @ }}",
            "{{ @ ~ 'x' }}",
            "{{ [@] }}",
            "{{ {'k': @} }}",
            "{{ @ | tojson }}",
            "{{ [@] | join }}",
        ):
            for path in (f"v.{name}", f"v['{name}']"):
                assert described({"v": value}, print_.replace("@", path)) is None, (name, print_)


# -- any expression ----------------------------------------------------------------------------------------------

ATOMS = st.sampled_from(
    [
        *(
            "v",
            "w",
            "v[0]",
            "w[-1]",
            "missing",
            "range",
            "range(3)",
            "namespace",
            "namespace(a=v)",
            "loop",
            "m",
            "m(v)",
        ),
        *("caller", "self", "1", "2.5", "'x'", "none", "true", "[v, w]", "{'k': v}", "(v, 'y')", "[]", "v[1:]", "dict"),
        *("loop.cycle", "loop.previtem", "ns", "ns.a", "lipsum", "cycler", "joiner", "varargs", "kwargs"),
    ]
)
ARGUMENTS = st.sampled_from(
    ["", "'x'", "1", "v", "w", "m", "attribute='x'", "'upper'", "'x', v", "missing", "default=m"]
)
OPERATORS = st.sampled_from(["+", "~", "-", "*", "/", "and", "or", "==", "<", "in", "if true else"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({}).{}".format, inner, METHODS),
        st.builds("({}).{}({})".format, inner, METHODS, ARGUMENTS),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})({})".format, inner, ARGUMENTS),
        st.builds("({}) | {}".format, inner, st.sampled_from([*FILTERS, "map", "select", "rejectattr", "xmlattr"])),
        st.builds("({}) | {}({})".format, inner, st.sampled_from([*FILTERS, "map", "selectattr"]), ARGUMENTS),
        st.builds("({}) is {}".format, inner, st.sampled_from([name for name in TESTS if name.isalpha()])),
        st.builds("({}) {} ({})".format, inner, OPERATORS, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'a': {}}}".format, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, grown, max_leaves=4)
AROUND = (
    "{% set ns = namespace(a=v) %}{% macro m(x) %}{{ x }}{% endmacro %}"
    "{% for i in [1, 2] %}{% if loop.last %}{% set found = @ %}PRINT{% endif %}{% endfor %}"
)


@given(EXPRESSIONS, VALUES, VALUES)
@settings(max_examples=600)
def test_any_expression_prints_json_or_a_text(expression: str, v: Any, w: Any) -> None:
    template = AROUND.replace("@", expression)
    printed = described({"v": v, "w": w}, template.replace("PRINT", "{{ found }}"))
    if printed is None:
        return
    assert "<" not in printed
    assert " at 0x" not in printed
    if described({"v": v, "w": w}, template.replace("PRINT", "{{ found is string }}")) == "false":
        json.loads(printed, parse_constant=pytest.fail)
    assert described({"v": v, "w": w}, template.replace("PRINT", "{{ [found] | tojson }}")) is not None


# -- what is missing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ nope }}", "'nope' is undefined"),
        ("{{ d.nope }}", "d.nope is undefined: an object has no attribute 'nope'"),
        ("{{ d.a.b.c }}", "d.a.b is undefined: null has no attribute 'b'"),
        ("{{ rows[7].name }}", "rows[7] is undefined: an array of 1 element has no element 7"),
        ("{{ rows[0].nam }}", "rows[0].nam is undefined: an object has no attribute 'nam'; did you mean 'name'?"),
        ("{{ d['a']['b'] }}", "d['a']['b'] is undefined"),
        ("{{ text[9] }}", "text[9] is undefined: a string of 2 characters has no element 9"),
        ("{{ d.nope ~ '' }}", "d.nope is undefined"),
        ("{{ [d.nope] }}", "d.nope is undefined"),
        ("{{ {'a': [d.nope]} | tojson }}", "d.nope is undefined"),
        ("{{ [d.nope] | join }}", "d.nope is undefined"),
        ("{{ d.nope | upper }}", "d.nope is undefined"),
        ("{% if d.nope %}{% endif %}", "d.nope is undefined"),
        ("{% for x in d.nope %}{% endfor %}", "d.nope is undefined"),
        ("{% set x = d.nope %}{{ x }}", "d.nope is undefined"),
        ("{{ 1 + d.nope }}", "d.nope is undefined"),
        ("{{ d.nope == 1 }}", "d.nope is undefined"),
        ("{{ rows | map(attribute='x') | join }}", "no attribute 'x'"),
        ("{{ rows | sum('x') }}", "no attribute 'x'"),
        ("{% macro f() %}{{ caller }}{% endmacro %}{{ f() }}", "f is not called by a call block"),
        ("{{ [] | first }}", "no first element"),
        ("{{ 'a' | replace }}", "'replace': missing a required argument: 'old'"),
        ("{{ d.get() }}", "get: missing a required argument: 'key'"),
        ("{{ range(x=1) }}", "range: got an unexpected keyword argument 'x'"),
        ("{{ d.items }}", "items must be called: write items()"),
    ],
)
def test_missing_values_fail_with_their_path(template: str, said: str) -> None:
    with pytest.raises(NodeFailed) as caught:
        rendered(template, {"d": {"a": None}, "rows": [{"name": 1}], "text": "ab"})
    assert re.match(r"line 1(, column \d+)? of the template: ", str(caught.value))
    assert said in str(caught.value)


def test_missing_values_have_a_default_on_request() -> None:
    template = "{{ d.nope | default('-') }}{{ rows[7] | d(0) }}{{ d.nope is defined }}{{ d.get('x', 1) }}"
    assert rendered(template, {"d": {}, "rows": []}) == "-0false1"
