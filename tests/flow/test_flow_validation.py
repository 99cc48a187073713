"""Validation: every error at once, each with its path; right flows have none."""

from __future__ import annotations

import pytest

from chaingraph_flow import (
    ErrorCode,
    Graph,
    Input,
    InvalidFlow,
    Node,
    NodeContext,
    Number,
    Object,
    Output,
    Registry,
    validate,
)
from chaingraph_flow.ports.endpoint import Endpoint, parse_endpoint
from fixtures.flows.runs import BUILT_IN, flow

CATALOGUE = BUILT_IN.catalogue


def errors_of(text: str) -> list[tuple[str, str]]:
    return [(str(each.code), each.path) for each in validate(flow(text), CATALOGUE)]


def messages_of(text: str) -> list[str]:
    return [each.message for each in validate(flow(text), CATALOGUE)]


def test_validation_reports_every_error_in_order() -> None:
    assert errors_of("""
        inputs: [{name: n, type: number, default: x}, {name: n}]
        nodes:
        - {id: a, type: Numbr}
        - {id: m, type: Math, inputs: {b: x, operaton: divide}}
        - {id: m, type: Text}
        - {id: inputs, type: Text}
        - {id: t, type: Text}
        - {id: x, type: Not}
        - {id: y, type: Not}
        - {id: s, type: Switch, inputs: {cases: {default: 1, "a b": 2, fine: 3}}}
        edges:
        - {from: t.value, to: m.a}
        - {from: t.valu, to: s.__execute}
        - {from: t.value, to: mm.a}
        - {from: x.result, to: y.value}
        - {from: y.result, to: x.value}
        - {from: inputs.k, to: t.value}
        - {from: x.result, to: t.value}
        - {from: "x.result[", to: y.__execute}
        - {from: t.value, to: inputs.n}
        - {from: t.value, to: s.cases}
        outputs: [{name: o, from: t.q}, {name: o, from: t.value}, {name: p, from: inputs.n}, {name: q, from: z.v}]
    """) == [
        ("InvalidValue", "spec.inputs[0].default"),
        ("DuplicateInput", "spec.inputs[1].name"),
        ("MisspelledNodeType", "spec.nodes[0].type"),
        ("UnknownPort", "spec.nodes[1].inputs.operaton"),
        ("InvalidValue", "spec.nodes[1].inputs.b"),
        ("DuplicateNodeId", "spec.nodes[2].id"),
        ("ReservedId", "spec.nodes[3].id"),
        ("InvalidValue", "spec.nodes[7].inputs.cases.default"),
        ("InvalidValue", 'spec.nodes[7].inputs.cases["a b"]'),
        ("TypeMismatch", "spec.edges[0].to"),
        ("UnknownPort", "spec.edges[1].from"),
        ("UnknownNode", "spec.edges[2].to"),
        ("Cycle", "spec.edges[4]"),
        ("UnknownInput", "spec.edges[5].from"),
        ("PortTaken", "spec.edges[6].to"),
        ("MalformedEdge", "spec.edges[7].from"),
        ("UnknownNode", "spec.edges[8].to"),
        ("StaticPort", "spec.edges[9].to"),
        ("UnknownPort", "spec.outputs[0].from"),
        ("DuplicateOutput", "spec.outputs[1].name"),
        ("UnknownNode", "spec.outputs[2].from"),
        ("UnknownNode", "spec.outputs[3].from"),
    ]  # fmt: skip


def test_validation_suggests_similar_names() -> None:
    messages = messages_of("""
        nodes:
        - {id: fetch, type: HTPP, inputs: {baseUri: "http://x"}}
        - {id: get, type: HTTP, inputs: {baseUrl: "http://x"}}
        - {id: t, type: Text}
        edges: [{from: get.responce, to: t.value}, {from: gett.response, to: t.__execute}]
    """)
    for hint in ("'HTTP'", "'baseUri'", "'response'", "'get'"):
        assert any(f"did you mean {hint}?" in each for each in messages), hint


def test_validation_reports_misspelt_type_once() -> None:
    assert errors_of("""
        nodes: [{id: a, type: Txt}, {id: b, type: Text}, {id: c, type: Math, inputs: {b: 1}}]
        edges: [{from: a.value, to: b.value}, {from: a.other, to: c.a}]
        outputs: [{name: o, from: a.what}]
    """) == [("MisspelledNodeType", "spec.nodes[0].type")]


@pytest.mark.parametrize(
    ("edge", "codes"),
    [
        ("{from: rows.value, to: pluck.items}", []),
        ('{from: "rows.value[0].name", to: text.value}', []),
        ('{from: "rows.value[0].nam", to: text.value}', ["UnknownPort"]),
        ('{from: "rows.value[0].n", to: text.value}', ["TypeMismatch"]),
        ("{from: rows.value.name, to: text.value}", ["UnknownPort"]),
        ("{from: text.value, to: tpl.values.city}", []),
        ("{from: text.value, to: tpl.values.deep.city}", []),
        ("{from: text.value, to: tpl.template.city}", ["UnknownPort"]),
        ("{from: open.value, to: text.value}", ["TypeMismatch"]),
        ("{from: open.value, to: tpl.values.any}", []),
        ("{from: text.__error, to: tpl.__execute}", []),
        ("{from: text.__errorMessage, to: tpl.__execute}", ["TypeMismatch"]),
        ("{from: text.value, to: tpl.__success}", ["UnknownPort"]),
        ("{from: tpl.template, to: text.value}", ["UnknownPort"]),
    ],
)
def test_validation_checks_edge_ports_and_types(edge: str, codes: list[str]) -> None:
    required = "" if "pluck.items" in edge else ", items: [{name: b}]"
    found = errors_of(f"""
        nodes:
        - {{id: rows, type: Array, inputs: {{value: [{{name: Bern, n: 1}}]}}}}
        - {{id: open, type: JSONRead, inputs: {{text: "1"}}}}
        - {{id: pluck, type: Pluck, inputs: {{field: name{required}}}}}
        - {{id: text, type: Text}}
        - {{id: tpl, type: Template, inputs: {{template: x}}}}
        edges: [{edge}]
    """)
    assert sorted(code for code, _ in found) == sorted(codes), found


def test_validation_infers_types_through_transforms() -> None:
    base = """
        nodes:
        - id: read
          type: CSVRead
          inputs: {text: "a", schema: {type: object, properties: {name: string, country: string, n: number or null}}}
        - {id: filter, type: Filter, inputs: {field: n, operator: ">", value: 1}}
        - {id: sort, type: Sort, inputs: {field: n}}
        - {id: groups, type: GroupBy, inputs: {by: country}}
        - {id: sums, type: Summarize, inputs: {by: country, field: n, operation: sum}}
        - {id: names, type: Pluck, inputs: {field: name}}
        - {id: first, type: First}
        - {id: text, type: Text}
        - {id: number, type: Number}
        edges:
        - {from: read.rows, to: filter.items}
        - {from: filter.result, to: sort.items}
        - {from: sort.result, to: groups.items}
        - {from: sort.result, to: sums.items}
        - {from: sort.result, to: names.items}
        - {from: sort.result, to: first.items}
    """
    good = (
        base
        + """
        - {from: "groups.groups[0].items[2].name", to: text.value}
        - {from: "sums.rows[0].value", to: number.value}
    """
    )
    assert errors_of(good) == []
    resolved = Graph.build(flow(good), CATALOGUE).nodes
    assert resolved["names"].outputs["result"].to_json() == {"type": "array", "items": {"type": "string"}}
    assert resolved["first"].outputs["result"].to_json()["properties"]["name"] == {"type": "string"}
    bad = base + '\n        - {from: "names.result[0]", to: number.value}'
    assert errors_of(bad) == [("TypeMismatch", "spec.edges[6].to")]


def test_validation_rejects_incomplete_object_from_edges() -> None:
    class Place(Node):
        """Needs a whole place."""

        place = Input(Object(properties={"x": Number(), "y": Number()}), required=True)
        result = Output(Number())

        async def run(self, context: NodeContext) -> None:
            self.result = self.place["x"] + self.place["y"]

    catalogue = BUILT_IN.merge(Registry([Place])).catalogue
    text = """
        nodes: [{id: n, type: Number}, {id: p, type: Place}]
        edges: [{from: n.value, to: p.place.x}%s]
    """
    whole = flow(text % ", {from: n.value, to: p.place.y}")
    assert validate(whole, catalogue) == []
    (error,) = validate(flow(text % ""), catalogue)
    assert (error.code, error.path) == (ErrorCode.MISSING_INPUT, "spec.nodes[1].inputs.place")
    assert "'y'" in error.message
    (error,) = validate(flow(text % ", {from: n.value, to: p.place.z}"), catalogue)[:1]
    assert error.code is ErrorCode.MISSING_INPUT or error.code is ErrorCode.UNKNOWN_PORT


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ("tpl.values", "tpl.values", True),
        ("tpl.values", "tpl.values.a", True),
        ("tpl.values.a", "tpl.values.a.b", True),
        ("tpl.values.a", "tpl.values.b", False),
        ("tpl.values.a[0]", "tpl.values.a[1]", False),
        ("tpl.values.a[0]", "tpl.values.a[0]", True),
    ],
)
def test_validation_rejects_overlapping_edges(first: str, second: str, taken: bool) -> None:
    found = errors_of(f"""
        nodes: [{{id: o, type: Object}}, {{id: tpl, type: Template, inputs: {{template: x}}}}]
        edges: [{{from: o.value, to: "{first}"}}, {{from: o.value, to: "{second}"}}]
    """)
    assert found == ([("PortTaken", "spec.edges[1].to")] if taken else [])


def test_port_takes_value_and_edge_only_if_tolerant() -> None:
    text = "nodes: [{{id: a, type: Text}}, {{id: b, type: {0}}}]\nedges: [{{from: a.value, to: b.{1}}}]"
    assert errors_of(text.format("Text, inputs: {value: x}", "value")) == [("PortTaken", "spec.edges[0].to")]
    assert errors_of(text.format("Join, inputs: {a: x}", "a")) == []


def test_validation_reports_misspelt_port_within_cycle() -> None:
    assert errors_of("""
        nodes: [{id: a, type: Not}, {id: b, type: Not}]
        edges: [{from: a.resul, to: b.value}, {from: b.resul, to: a.value}]
    """) == [
        ("UnknownPort", "spec.edges[0].from"), ("Cycle", "spec.edges[1]"), ("UnknownPort", "spec.edges[1].from"),
    ]  # fmt: skip


def test_validation_names_every_cycle_with_path() -> None:
    messages = messages_of("""
        nodes: [{id: a, type: Not}, {id: b, type: Not}, {id: c, type: And}, {id: d, type: Not}]
        edges:
        - {from: a.result, to: b.value}
        - {from: b.result, to: c.a}
        - {from: c.result, to: a.value}
        - {from: d.result, to: d.value}
        - {from: a.result, to: c.b}
    """)
    assert [each.split(":")[0] for each in messages] == [
        "closes the cycle a → b → c → a", "closes the cycle d → d",
    ]  # fmt: skip


def test_graph_build_raises_all_errors() -> None:
    with pytest.raises(InvalidFlow) as raised:
        Graph.build(flow("nodes: [{id: a, type: Nope}, {id: b, type: Math}]"), CATALOGUE)
    assert len(raised.value.errors) == 3
    assert "spec.nodes[1].inputs.a" in str(raised.value)


def test_validation_rejects_schema_unfit_for_output() -> None:
    found = validate(flow("nodes: [{id: a, type: Array, inputs: {value: [], schema: string}}]"), CATALOGUE)
    assert [(each.code, each.path) for each in found] == [(ErrorCode.INVALID_VALUE, "spec.nodes[0].inputs.schema")]
    found = validate(
        flow("nodes: [{id: a, type: JSONRead, inputs: {text: x, schema: {type: array, items: nope}}}]"), CATALOGUE
    )
    assert [each.path for each in found] == ["spec.nodes[0].inputs.schema.items"]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("a.b", Endpoint("a", "b")),
        ("a.__error", Endpoint("a", "__error")),
        ("fetch.response.items[0].name", Endpoint("fetch", "response", ("items", 0, "name"))),
        ('a.b["x.y"][3]', Endpoint("a", "b", ("x.y", 3))),
        ("a-b.c-d.größe", Endpoint("a-b", "c-d", ("größe",))),
        ("a", None),
        ("a.", None),
        ("a.b.", None),
        ("a.b[", None),
        ("a.b[x]", None),
        ("a.b[-1]", None),
        ("a.b[99999]", None),
        ("a.b c", None),
    ],
)
def test_parse_endpoint_accepts_only_valid_paths(text: str, end: Endpoint | None) -> None:
    assert parse_endpoint(text) == end


def test_unknown_type_upstream_of_derived_types_is_one_error() -> None:
    assert errors_of("""
        inputs: [{name: s, type: string}]
        nodes:
        - {id: read, type: JSONRaed, inputs: {schema: {type: array, items: {type: object, properties: {k: string}}}}}
        - {id: sort, type: Sort, inputs: {field: k}}
        - {id: tell, type: Template}
        edges:
        - {from: inputs.s, to: read.text}
        - {from: read.value, to: sort.items}
        - {from: "sort.result[0].k", to: tell.template}
    """) == [("MisspelledNodeType", "spec.nodes[0].type")]
