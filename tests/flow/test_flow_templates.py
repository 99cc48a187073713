"""Templates: what they write, and that nobody gets out of the sandbox or takes the worker's time."""

from __future__ import annotations

import time

import pytest

from chaingraph_flow import InvalidFlow, NodeFailed
from chaingraph_flow.nodes.template import LONGEST_RESULT, LONGEST_TEMPLATE, rendered
from fixtures.flows.runs import outputs_of

ROWS = [{"k": "b", "v": 2.25}, {"k": "a", "v": 1}]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hi {{ name }}!", "Hi Ann!"),
        (
            "{% for r in rows %}{{ loop.index }}/{{ loop.length }} {{ r.k }}{{ ', ' if not loop.last }}{% endfor %}",
            "1/2 b, 2/2 a",
        ),
        ("{{ rows | sort(attribute='v') | map(attribute='k') | join(', ') }}", "a, b"),
        ("{{ rows | join('+', 'k') }}", "b+a"),
        ("{{ rows | sum(attribute='v') | numeral(1) }} {{ 1234567 | numeral }}", "3.2 1,234,567"),
        ("{{ rows | tojson }}", '[{"k":"b","v":2.25},{"k":"a","v":1}]'),
        ("{% set ns = namespace(x=0) %}{% for r in rows %}{% set ns.x = ns.x + r.v %}{% endfor %}{{ ns.x }}", "3.25"),
        ("{{ name | replace('n', 'm') | upper }} {{ name.lower() }}", "AMM ann"),
        ("{{ missing | default('none') }}", "none"),
        ("{% if 'A' in name and rows | length == 2 %}yes{% endif %}", "yes"),
        ("{{ '<b>' }}{{ name ~ '&' }}", "<b>Ann&"),
        ("{{ 7 * 6 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ [1] + [2] }}", "42 1024 3 [1, 2]"),
        ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(1) }}{{ f(2) }}", "<1><2>"),
        ("{{ range(3) | list }}", "[0, 1, 2]"),
        ("line\n", "line\n"),
    ],
)
def test_template_renders_expected_text(template: str, text: str) -> None:
    assert rendered(template, {"name": "Ann", "rows": ROWS}) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ rows|attr('__class__') }}",
        "{{ rows|map(attribute='__class__')|first }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '%s' % name }}",
        "{{ self.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ loop.__class__ }}",
        "{{ rows.append(1) }}",
        "{{ rows[0].update({'k': 1}) }}",
        "{{ cycler }}",
        "{{ lipsum() }}",
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{{ rows.__len__() }}",
    ],
)
def test_template_sandbox_blocks_escapes(template: str) -> None:
    values = {"name": "Ann", "rows": [{"k": 1}]}
    with pytest.raises(NodeFailed):
        rendered(template, values)
    assert values == {"name": "Ann", "rows": [{"k": 1}]}


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in rows %}{% for b in rows %}{% for c in rows %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(100) %}{{ 'x' in rows }}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% set x = rows | sort | list %}{% endfor %}",
        "{% for a in range(9999) %}{% set x = rows[1:] %}{% endfor %}",
        "{% macro f(n) %}{{ f(n-1) }}{{ f(n-1) }}{% endmacro %}{{ f(500) }}",
        "{{ range(10 ** 9) | list }}",
        "{{ 'a' * 999999999 }}",
        "{{ [1] * 999999999 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'a'.ljust(999999999) }}",
        "{{ 'a' | center(999999999) }}",
        "{{ 'a' | indent(999999999) }}",
        "{% set ns = namespace(x='aaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='aaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x | replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "{{ rows | join('x' ~ rows | join('x')) }}",
        "{% for i in range(500000) %}aaaa{% endfor %}",
    ],
)
def test_template_limits_time_and_memory(template: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(NodeFailed):
        rendered(template, {"rows": ["abc" * 10] * 1500})
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a\n{{ b", "line 2, column 4 of the template"),
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ rows[0].nope }}", "no attribute 'nope'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1 + 'a' }}", "TypeError"),
        ("{{ 1 | nope }}", "unknown filter 'nope'"),
        ("x" * (LONGEST_TEMPLATE + 1), "the limit is"),
    ],
)
def test_template_failure_names_the_cause(template: str, message: str) -> None:
    with pytest.raises(NodeFailed, match=message.replace("(", r"\(")):
        rendered(template, {"rows": ROWS})


async def test_template_node_renders_and_fails() -> None:
    assert await outputs_of("Template", template="{{ a }}", values={"a": 1}) == {"result": "1"}
    with pytest.raises(InvalidFlow, match="unknown value 'b'"):
        await outputs_of("Template", template="{{ b }}")


def test_template_accepts_result_up_to_limit() -> None:
    text = "x" * 1024
    assert len(rendered("{% for i in range(1000) %}{{ t }}{% endfor %}", {"t": text})) < LONGEST_RESULT
    with pytest.raises(NodeFailed, match=str(LONGEST_RESULT)):
        rendered("{% for i in range(1025) %}{{ t }}{% endfor %}", {"t": text})
