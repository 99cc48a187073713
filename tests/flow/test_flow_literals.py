"""Templates that stand in a flow: what its check refuses fails, and what it passes does not fail with that error."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import InvalidNodeClass, Node, NodeContext
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.field_errors import Suggestions
from chaingraph_flow.node import Input
from chaingraph_flow.ports import types as t
from chaingraph_flow.templates import COMING, Given, Known, check, rendered
from chaingraph_flow.templates.checking import STATEMENTS
from chaingraph_flow.templates.rendering import _STATEMENTS
from chaingraph_flow.validation.validation import validate
from fixtures.flows.runs import BUILT_IN

COMES = object()
"""In the values of a test: an edge brings it."""
VALUES: dict[str, Any] = {"name": "Ann", "user": {"name": "Ann", "tags": ["a"]}, "rows": [1, 2], "late": COMES, "no": 0}


def errors_of(template: str, values: dict[str, Any] | None = None) -> list[str]:
    given: Given = {
        name: COMING if value is COMES else Known(value)
        for name, value in (VALUES if values is None else values).items()
    }
    return [str(each) for each in check(template, given, others=False, suggest=Suggestions())]


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ nmae }}", "line 1, column 4: unknown value 'nmae'; did you mean 'name'?"),
        ("{{ NAME }}", "line 1, column 4: unknown value 'NAME'; did you mean 'name'?"),
        ("Hi\n  {{ zzz }}", "line 2, column 6: unknown value 'zzz'; available: 'late', 'name', 'no', 'rows'"),
        ("{{ name\n   | uper }}", "line 2, column 6: unknown filter 'uper'; did you mean 'upper'?"),
        ("{{ name is strng }}", "line 1, column 9: unknown test 'strng'; did you mean 'string'?"),
        ("{{ rows | map('uper') }}", "line 1, column 11: unknown filter 'uper'; did you mean 'upper'?"),
        ("{{ rows | select('od') }}", "line 1, column 11: unknown test 'od'; did you mean 'odd'?"),
        ("{{ now() }}", "line 1, column 4: unknown function 'now'; available: 'namespace', 'range'"),
        ("{{ late.uper() }}", "line 1, column 13: unknown method 'uper'; did you mean 'upper'?"),
        ("{{ name | replace('a') }}", "line 1, column 11: filter 'replace': missing a required argument: 'new'"),
        ("{{ user.nmae }}", "line 1, column 8: an object has no attribute 'nmae'; did you mean 'name'?"),
        ("{{ user['x'] }}", "line 1, column 8: an object has no attribute 'x'"),
        ("{{ rows[5] }}", "line 1, column 8: an array of 2 elements has no element 5"),
        ("{% include 'x' %}", "line 1, column 4: {% include %} is not available in templates"),
        ("{% if name %}", "line 1, column 12: Unexpected end of template."),
        ("a\r\n{%- if name -%}\r\n b {{- x }}{% endif %}", "line 3, column 8: unknown value 'x'"),
        ("{{ name b }}", "line 1, column 9: expected token 'end of print statement', got 'b'"),
        ("{{ 1 ? }}", "line 1, column 6: unexpected char '?'"),
        ("{{ " + "9" * 5000 + " }}", "line 1, column 1: the template has a number of thousands of digits"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "line 1, column 1: the template is nested too deeply"),
        # names that are there in one place and not in another
        ("{{ x }}{% set x = 1 %}", "line 1, column 4: unknown value 'x'"),
        ("{% for i in rows %}{% endfor %}{{ i }}", "line 1, column 35: unknown value 'i'"),
        ("{% for i in rows %}{{ n }}{% set n = i %}{% endfor %}", "line 1, column 23: unknown value 'n'"),
        ("{{ x | default(name) }}{{ x }}", "line 1, column 27: unknown value 'x'"),
        ("{% if late %}{{ x }}{% endif %}", "line 1, column 17: unknown value 'x'"),
        ("{{ late.a | default(x) }}", "line 1, column 21: unknown value 'x'"),
        ("{{ late and x }}", "line 1, column 13: unknown value 'x'"),
        ("{% macro f() %}{{ x }}{% endmacro %}{{ f() }}", "line 1, column 19: unknown value 'x'"),
        ("{% set ns.a = 1 %}", "line 1, column 8: unknown value 'ns'"),
    ],
)  # fmt: skip
def test_template_error_has_its_place_and_a_suggestion(template: str, error: str) -> None:
    [found] = errors_of(template)
    assert found.startswith(error)


@pytest.mark.parametrize(
    "template",
    [
        "{{ late.any.thing[3].at_all }}{{ user.tags[0] }}{{ user.items() }}{{ name.upper() }}",
        "{{ x | default('') }}{{ x is defined }}{{ user.x | d(late) }}",
        "{% if x is defined and x > 1 %}{{ x }}{% elif x is undefined or x %}{{ name }}{% else %}{{ x }}{% endif %}",
        "{{ x if x is defined else name }}{{ name if x is undefined else x }}",
        "{% if no %}{{ x }}{% endif %}{% for i in [] %}{{ i }}{% endfor %}",
        "{% if late %}{% set x = 1 %}{% endif %}{{ x }}",
        "{% for i in rows if i %}{{ loop.index }}{{ loop.cycle(1, 2) }}{% set a = i %}{{ a }}{% endfor %}",
        "{% for i in late %}{{ i }}{% else %}{{ name }}{% endfor %}",
        "{% macro f(a, b=name) %}{{ a }}{{ b }}{{ caller() }}{{ after }}{% endmacro %}{% set after = 1 %}"
        "{% call(q) f(1) %}{{ q }}{% endcall %}",
        "{% macro unused() %}{{ x }}{% endmacro %}",
        "{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
        "{% with a = 1, b = a %}{{ a + b }}{% endwith %}{% filter upper %}{{ name }}{% endfilter %}",
        "{% set t %}{{ name }}{% endset %}{{ t }}{% raw %}{{ x }}{% endraw %}{# {{ x }} #}",
        "{{ rows | map(attribute='a', default=1) | list }}{{ rows | map(late) }}{{ rows | select('odd') | sum }}",
    ],
)
def test_what_may_come_at_run_time_is_no_error(template: str) -> None:
    assert errors_of(template) == []


NAMES = st.sampled_from(["name", "user", "late", "rows", "no", "x", "y", "user.name", "user.x", "late.a", "rows[1]"])
PARTS = st.sampled_from(
    [
        *("{{ N }}", "{{ N | F }}", "{{ N is T }}", "{{ N | default(N) }}", "{{ not N }}"),
        "{% if N %}{{ N }}{% else %}{{ N }}{% endif %}",
        *("{% if N is defined %}{{ N }}{% endif %}", "{{ N if N is undefined else N }}", "{{ N.upper() }}"),
        *("{% for i in rows %}{{ i }}{{ loop.index }}{{ N }}{% endfor %}", "{% set x = N %}", "{{ G(2) }}"),
        *("{% macro m(a) %}{{ a }}{{ N }}{% endmacro %}", "{{ N", "{% with y = N %}{{ y }}{% endwith %}"),
        *("{{ N or N }}", "{{ N ~ N }}", "{{ [N] | length }}", "{% if N %}{% set y = 1 %}{% endif %}"),
    ]
)  # fmt: skip
OF_THE_CHECK = re.compile(
    r"of the template: (unknown (filter|test|function)|[^:]*is not available|expected token|unexpected|Unexpected)"
    r"|'[xy]' is undefined|has no attribute 'x'"
)


@st.composite
def templates(draw: st.DrawFn) -> str:
    made = ""
    for part in draw(st.lists(PARTS, min_size=1, max_size=4)):
        while match := re.search(r"\b[NFTG]\b", part):
            names = {
                "N": NAMES,
                "F": st.sampled_from(["upper", "length", "uper", "string", "first"]),
                "T": st.sampled_from(["string", "defined", "strng", "none"]),
                "G": st.sampled_from(["range", "now"]),
            }
            part = part[: match.start()] + draw(names[match[0]]) + part[match.end() :]
        made += part + "\n"
    return made


@given(templates(), st.sampled_from(["text", 7, None, {"a": "b"}, [], ""]))
def test_what_passes_the_check_does_not_fail_for_its_reasons(template: str, late: Any) -> None:
    if errors_of(template):
        return
    failure = ""
    try:
        rendered(template, {**VALUES, "late": late})
    except NodeFailed as error:
        failure = str(error)
    # A condition may have passed by what sets a name.
    assert "{% set " in template or not OF_THE_CHECK.search(failure)


UNGUARDED = st.sampled_from(
    ["{{ x }}", "{{ name | uper }}", "{{ y.z }}", "{{ name is strng }}", "{{ user.x }}", "{{ now() }}"]
)
HARMLESS = st.sampled_from(["{{ name }}", "{% for i in rows %}{{ i }}{% endfor %}", "{{ late }}", "text", "{# #}"])


@given(st.lists(HARMLESS, max_size=3), UNGUARDED, st.lists(HARMLESS, max_size=3))
def test_what_the_check_refuses_fails(before: list[str], wrong: str, after: list[str]) -> None:
    template = "\n".join((*before, wrong, *after))
    found = errors_of(template)
    assert len(found) == 1
    assert found[0].startswith(f"line {len(before) + 1}, column ")
    with pytest.raises(NodeFailed, match=f"line {len(before) + 1}\\b"):
        rendered(template, {**VALUES, "late": "now"})


def flow_errors(*edges: tuple[str, str], template: str = "{{ name }}", values: Any = None) -> list[tuple[str, str]]:
    spec = {
        "inputs": [{"name": "x", "type": "object"}, {"name": "who"}],
        "nodes": [{"id": "t", "type": "Template", "inputs": {"template": template, "values": values}}],
        "edges": [{"from": from_, "to": to} for from_, to in edges],
    }
    return [(each.path, each.code) for each in validate(FlowSpec.model_validate(spec), BUILT_IN.catalogue)]


def test_a_flow_is_checked_with_what_its_edges_bring() -> None:
    missing = ("spec.nodes[0].inputs.template", "InvalidTemplate")
    assert flow_errors() == [missing]
    assert flow_errors(values={"name": "Ann"}) == []
    assert flow_errors(("inputs.who", "t.values.name")) == []
    assert flow_errors(("inputs.who", "t.values.name.first"), template="{{ name.last }}") == []
    assert flow_errors(("inputs.x", "t.values")) == []
    assert flow_errors(("inputs.x", "t.values"), template="{{ name | uper }}") == [missing]
    # an edge with an error of its own may be the one that was to bring it
    assert flow_errors(("inputs.who", "t.vlues.name")) == [("spec.edges[0].to", "UnknownPort")]
    assert flow_errors(template="{{ a }}" * 30, values={"a": 1}) == []
    assert len(flow_errors(template=" ".join(f"{{{{ n{number} }}}}" for number in range(30)))) == 11


def test_a_template_input_names_its_values() -> None:
    with pytest.raises(InvalidNodeClass, match="'text': template_values needs a string port and names an object input"):

        class Wrong(Node):
            text = Input(t.String(), template_values="other")

            async def run(self, context: NodeContext) -> None:
                """Nothing."""


def test_the_check_knows_the_statements_of_the_rendering() -> None:
    assert set(_STATEMENTS) == STATEMENTS
