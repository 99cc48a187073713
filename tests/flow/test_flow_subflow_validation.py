"""Mistakes in subflows and calls: each is found when the Flow is checked, with the path of the field to fix."""

from __future__ import annotations

import pytest

from chaingraph_crds.node_paths import call_of, caller_of, inside, numbered, places, unnumbered
from chaingraph_flow import ErrorCode, validate
from chaingraph_flow.revision import content
from chaingraph_flow.validation.unhandled_events import unhandled_events
from fixtures.flows.runs import BUILT_IN, flow

PAGE = """
  - name: page
    inputs: [{name: url, type: string, required: true}, {name: item, type: number}, {name: index}]
    outputs: [{name: text, from: show.result}, {name: long, from: show.result}]
    nodes: [{id: show, type: Template, inputs: {template: "{{ url }}"}}]
    edges: [{from: inputs.url, to: show.values.url}]
"""


def errors_of(text: str) -> list[tuple[str, str]]:
    return [(each.path, each.message) for each in validate(flow(text), BUILT_IN.catalogue)]


def one(text: str) -> tuple[str, str]:
    (error,) = errors_of(text)
    return error


@pytest.mark.parametrize(
    ("nodes", "path", "message"),
    [
        ("{id: a, type: Call, inputs: {url: x}}", "nodes[0].inputs.subflow", "'subflow' is required: the name of one"),
        (
            "{id: a, type: Call, inputs: {subflow: pages, url: x}}",
            "nodes[0].inputs.subflow",
            "the flow has no subflow 'pages'; did you mean 'page'?",
        ),
        (
            "{id: a, type: Call, inputs: {subflow: page, item: 1}}",
            "nodes[0].inputs.url",
            "'url' is required: set it here, or connect an edge to a.url",
        ),
        (
            "{id: a, type: Call, inputs: {subflow: page, url: 5}}",
            "nodes[0].inputs.url",
            "must be a string, is a number",
        ),
        (
            "{id: a, type: Call, inputs: {subflow: page, url: x, uri: y}}",
            "nodes[0].inputs.uri",
            "Call has no input 'uri'; did you mean 'url'?",
        ),
        (
            "{id: a, type: ForEach, inputs: {subflow: page, url: x, items: 5}}",
            "nodes[0].inputs.items",
            "must be an array, is a number",
        ),
        (
            "{id: a, type: ForEach, inputs: {subflow: page, url: x, items: [a]}}",
            "nodes[0].inputs.items[0]",
            "must be a number, is a string",
        ),
        (
            "{id: a, type: ForEach, inputs: {subflow: page, url: x, items: [], index: 3}}",
            "nodes[0].inputs.index",
            "ForEach has no input 'index'",
        ),
        (
            "{id: a, type: Repeat, inputs: {subflow: page, url: x, item: 1, until: done}}",
            "nodes[0].inputs.until",
            "the subflow 'page' has no output 'done'",
        ),
        (
            "{id: a, type: Repeat, inputs: {subflow: page, url: x, item: 1, until: long}}",
            "nodes[0].inputs.until",
            "the output 'long' of the subflow 'page' is a string, and has to be true or false",
        ),
        (
            "{id: a, type: Repeat, inputs: {subflow: page, url: x, until: long, maxIterations: 0}}",
            "nodes[0].inputs.until",
            "has to be true or false",
        ),
    ],
)
def test_fault_of_a_call_names_its_field(nodes: str, path: str, message: str) -> None:
    found = one(f"subflows: {PAGE}\nnodes: [{nodes}]")
    assert found[0] == f"spec.{path}"
    assert message in found[1]


def test_fault_inside_a_subflow_has_its_whole_path() -> None:
    text = """
subflows:
  - {name: first, nodes: [{id: a, type: Text, inputs: {value: x}}]}
  - name: second
    inputs: [{name: rows, type: array}]
    outputs: [{name: out, from: b.nothing}]
    nodes: [{id: a, type: HTTP, inputs: {baseUri: 5}}, {id: b, type: Nope}, {id: c, type: Math, inputs: {a: 1, b: 1}}]
    edges: [{from: inputs.row, to: a.path}, {from: a.statusCode, to: c.x}]
nodes: [{id: a, type: Call, inputs: {subflow: second}}]
"""
    assert [path for path, _ in errors_of(text)] == [
        "spec.subflows[1].nodes[0].inputs.baseUri",
        "spec.subflows[1].nodes[1].type",
        "spec.subflows[1].edges[0].from",
        "spec.subflows[1].edges[1].to",
    ]


def test_unknown_output_of_a_call_is_an_error_at_the_edge() -> None:
    found = one(
        f"subflows: {PAGE}\n"
        "nodes: [{id: a, type: Call, inputs: {subflow: page, url: x}}, {id: b, type: DebugLog}]\n"
        "edges: [{from: a.texts, to: b.message}]"
    )
    assert found == ("spec.edges[0].from", "Call has no output 'texts'; did you mean 'text'?")


def test_type_of_results_is_known_to_edges() -> None:
    found = one(
        f"subflows: {PAGE}\n"
        "nodes: [{id: a, type: ForEach, inputs: {subflow: page, url: x, items: [1]}},"
        " {id: b, type: Math, inputs: {b: 1}}]\n"
        'edges: [{from: "a.results[0].text", to: b.a}]'
    )
    assert found[0] == "spec.edges[0].to"
    assert "needs a number" in found[1]


def test_circle_of_calls_is_refused_with_its_way() -> None:
    call = "nodes: [{{id: next, type: Call, inputs: {{subflow: {}}}}}]"
    text = f"""
subflows:
  - {{name: one, {call.format("two")}}}
  - {{name: two, {call.format("three")}}}
  - {{name: three, {call.format("one")}}}
nodes: [{{id: a, type: Call, inputs: {{subflow: one}}}}]
"""
    path, message = one(text)
    assert path == "spec.subflows[2].nodes[0].inputs.subflow"
    assert "one → two → three → one" in message
    path, message = one(f"subflows: [{{name: one, {call.format('one')}}}]\nnodes: [{{id: a, type: Fail}}]".replace(
        "type: Fail", "type: Fail, inputs: {message: x}"))  # fmt: skip
    assert "one → one" in message


def test_names_of_ports_that_a_node_has_itself_are_refused() -> None:
    text = """
subflows:
  - name: each
    inputs: [{name: items}]
    outputs: [{name: iterations, from: a.result}]
    nodes: [{id: a, type: Math}]
nodes:
  - {id: a, type: ForEach, inputs: {subflow: each, items: []}}
  - {id: b, type: Repeat, inputs: {subflow: each, until: x}}
"""
    found = dict(errors_of(text))
    assert "its input 'items' has the name of an input of ForEach" in found["spec.nodes[0].inputs.subflow"]
    assert "its output 'iterations' has the name of an output of Repeat" in found["spec.nodes[1].inputs.subflow"]


def test_listener_in_a_subflow_is_refused() -> None:
    text = """
subflows: [{name: one, nodes: [{id: hear, type: EventListener, inputs: {eventName: x}}]}]
nodes: [{id: a, type: Call, inputs: {subflow: one}}]
"""
    path, message = one(text)
    assert path == "spec.subflows[0].nodes[0].type"
    assert "a subflow takes no events" in message


def test_event_that_nothing_hears_is_found_in_a_subflow() -> None:
    text = """
subflows: [{name: one, nodes: [{id: tell, type: EventEmitter, inputs: {eventName: pst}}]}]
nodes: [{id: a, type: Call, inputs: {subflow: one}}]
"""
    (warning,) = unhandled_events(flow(text), BUILT_IN.catalogue)
    assert warning.path == "spec.subflows[0].nodes[0].inputs.eventName"
    assert warning.code is ErrorCode.UNHEARD_EVENT


def test_calls_that_multiply_are_refused() -> None:
    def calls(level: int) -> str:
        return ", ".join(f"{{id: n{n}, type: Call, inputs: {{subflow: s{level + 1}}}}}" for n in range(9))

    subflows = [f"{{name: s{level}, nodes: [{calls(level)}]}}" for level in range(6)]
    subflows.append("{name: s6, nodes: [{id: a, type: Fail, inputs: {message: x}}]}")
    found = errors_of(f"subflows: [{', '.join(subflows)}]\nnodes: [{{id: a, type: Call, inputs: {{subflow: s0}}}}]")
    assert found[0][0] == "spec.subflows[2].nodes"
    assert "nodes, counting those of a subflow for each call, and 5000 are possible" in found[0][1]


def test_calls_too_deep_are_refused() -> None:
    subflows = [
        f"{{name: s{level}, nodes: [{{id: n, type: Call, inputs: {{subflow: s{level + 1}}}}}]}}" for level in range(12)
    ]
    subflows.append("{name: s12, nodes: [{id: a, type: Fail, inputs: {message: x}}]}")
    found = errors_of(f"subflows: [{', '.join(subflows)}]\nnodes: [{{id: a, type: Call, inputs: {{subflow: s0}}}}]")
    assert [(path, message[:40]) for path, message in found] == [
        ("spec.subflows[3].nodes", "more than 8 calls are inside one another")
    ]


def test_paths_of_nodes_are_taken_apart_and_put_together() -> None:
    assert inside("", "a") == "a"
    assert inside(numbered("pages", 12), "fetch") == "pages[12].fetch"
    assert call_of("pages[12].fetch") == "pages[12]"
    assert caller_of("a.pages[12]") == ("a.pages", 12)
    assert caller_of("deploy") == ("deploy", None)
    assert unnumbered("a[1].b.c[22].d") == "a.b.c.d"


def test_places_name_each_node_once_for_each_call() -> None:
    spec = flow(
        f"subflows: {PAGE}\nnodes: [{{id: a, type: Call, inputs: {{subflow: page}}}},"
        " {id: b, type: Call, inputs: {subflow: page}}]"
    )
    assert [place for _, place, _ in places(content(spec))] == ["a", "a.show", "b", "b.show"]
