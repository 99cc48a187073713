"""A path to nowhere delivers nothing: the node is skipped, an output left out, and the reason names the path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import EngineOptions, ExternalEvent, FlowOutcome
from chaingraph_flow.ports.json_values import obstacle, written
from chaingraph_flow.ports.types import BARE, Nowhere, found_at, parse_type
from fixtures.flows.json_values import JSON
from fixtures.flows.runs import Run, run_flow

VALUE = {"rows": [{"name": "a", "note": None}, {"name": "b"}], "text": "abc", "n": 1, "none": None}
NOWHERE = [
    ("read.value.rows[7]", "read.value.rows has 2 elements"),
    ("read.value.rows[1].note", "read.value.rows[1] has no property 'note'; available: 'name'"),
    ("read.value.rows[0].nam", "read.value.rows[0] has no property 'nam'; did you mean 'name'?"),
    ("read.value.rows.name", "read.value.rows is an array"),
    ("read.value[0]", "read.value is an object"),
    ("read.value.text[0]", "read.value.text is a string"),
    ("read.value.text.length", "read.value.text is a string"),
    ("read.value.n.x", "read.value.n is a number"),
    ("read.value.none.x", "read.value.none is null"),
    ("read.value.rows[0].note.x", "read.value.rows[0].note is null"),
    ("inputs.given.x", "inputs.given has no property 'x'; available: 'a'"),
    ("inputs.absent.x", "inputs.absent is null"),
]
"""Paths, and what there is instead."""


async def run(targets: list[dict[str, Any]], edges: list[tuple[str, str]], **more: Any) -> Run:
    spec = {
        "inputs": [{"name": "given", "type": "object", "default": {"a": 1}}, {"name": "absent", "type": "any"}],
        "nodes": [
            {"id": "give", "type": "Object", "inputs": {"value": VALUE}},
            {"id": "read", "type": "JSONRead"},
            {"id": "write", "type": "JSONWrite"},
            *targets,
        ],
        "edges": [
            {"from": "give.value", "to": "write.value"},
            {"from": "write.text", "to": "read.text"},
            *({"from": from_, "to": to} for from_, to in edges),
        ],
        **more,
    }
    return await run_flow(FlowSpec.model_validate(spec), options=EngineOptions())


@pytest.mark.parametrize(("path", "instead"), NOWHERE)
async def test_path_to_nowhere_skips_and_says_where(path: str, instead: str) -> None:
    found = await run(
        [
            {"id": "whole", "type": "ToText"},
            {"id": "part", "type": "Template", "inputs": {"template": "{{ x }}"}},
            {"id": "behind", "type": "ToText"},
            {"id": "emit", "type": "EventEmitter", "inputs": {"eventName": "e"}},
            {"id": "emit-part", "type": "EventEmitter", "inputs": {"eventName": "e", "payload": {"a": 1}}},
            {"id": "either", "type": "Join", "inputs": {"b": "instead"}},
        ],
        [
            (path, "whole.value"),
            (path, "part.values.x"),
            ("whole.text", "behind.value"),
            (path, "emit.payload"),
            (path, "emit-part.payload.b"),
            (path, "either.a"),
        ],
        **({"outputs": [{"name": "there", "from": "read.value.rows"}, {"name": "not", "from": path}]}
           if path.startswith("read") else {}),
    )  # fmt: skip
    assert found.result.outcome is FlowOutcome.COMPLETED, found.result.error
    outcomes = found.recorder.outcomes()
    skipped = ("whole", "part", "behind", "emit", "emit-part")
    assert {outcomes[each] for each in skipped} == {"skipped"}
    assert found.recorder.of("whole").reason == f"value: no value from {path}: {instead}"
    assert found.recorder.of("part").reason == f"values: no value from {path}: {instead}"
    assert found.recorder.of("either").outputs == {"result": "instead", "port": "b"}
    assert not found.result.emissions
    if path.startswith("read"):
        assert found.result.outputs == {"there": VALUE["rows"]}
        (log,) = [each["log"] for each in found.recorder.named("node:debug-log-string")]
        assert log == f"output 'not' is left out: nothing at {path}: {instead}"


async def test_path_to_null_delivers_null() -> None:
    found = await run(
        [{"id": "text", "type": "ToText"}],
        [("read.value.rows[0].note", "text.value")],
        outputs=[{"name": "null", "from": "read.value.none"}],
    )
    assert found.recorder.of("text").outputs == {"text": "null"}
    assert found.result.outputs == {"null": None}


async def test_missing_property_that_may_be_null_is_null() -> None:
    user = {"type": "object", "properties": {"nick": "string or null", "tags": "any", "name": "string"}}
    spec = FlowSpec.model_validate(
        {
            "nodes": [
                {"id": "read", "type": "JSONRead", "inputs": {"text": '{"name": "Ann"}', "schema": user}},
                {"id": "nick", "type": "ToText"},
                {"id": "tag", "type": "ToText"},
            ],
            "edges": [
                {"from": "read.value.nick", "to": "nick.value"},
                {"from": "read.value.tags[0]", "to": "tag.value"},
            ],
        }
    )
    found = await run_flow(spec)
    assert found.recorder.of("nick").outputs == {"text": "null"}
    assert found.recorder.of("tag").reason == "value: no value from read.value.tags[0]: read.value.tags is null"


async def test_execute_from_nowhere_skips() -> None:
    spec = """
        nodes:
        - {id: flags, type: JSONRead, inputs: {text: "[true]", schema: {type: array, items: boolean}}}
        - {id: "yes", type: Text}
        - {id: "no", type: Text}
        edges:
        - {from: "flags.value[0]", to: "yes.__execute"}
        - {from: "flags.value[1]", to: "no.__execute"}
    """
    found = await run_flow(spec)
    assert found.recorder.outcomes()["yes"] == "completed"
    assert found.recorder.of("no").reason == "__execute: no value from flags.value[1]: flags.value has 1 element"


async def test_path_into_an_event_payload_skips_too() -> None:
    spec = """
        nodes:
        - {id: heard, type: EventListener, inputs: {eventName: e}}
        - {id: it, type: ToText}
        edges:
        - {from: "heard.payload.items[2].id", to: it.value}
    """
    found = await run_flow(spec, trigger=[ExternalEvent("e", {"items": [1]})])
    assert found.recorder.of("it").reason.endswith(": heard.payload.items has 1 element")


@pytest.mark.parametrize(
    ("payload", "to", "said"),
    [
        ({"a": 1}, "payload[0]", "the value is an object and has no place [0]"),
        ([1], "payload.a", "the value is an array and has no place 'a'"),
        ({"a": "text"}, "payload.a.b", "a is a string and has no place 'b'"),
    ],
)
async def test_part_that_has_no_place_fails_the_node(payload: Any, to: str, said: str) -> None:
    found = await run(
        [{"id": "emit", "type": "EventEmitter", "inputs": {"eventName": "e", "payload": payload}}],
        [("read.value.n", f"emit.{to}")],
    )
    assert found.result.error is not None
    assert found.result.error.message == f"read.value.n cannot be written to emit.{to}: {said}"


def paths_of(value: Any) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((step, *rest) for step, part in inner for rest in paths_of(part))]


STEPS = st.lists(st.text(max_size=4) | st.integers(0, 5), max_size=4).map(tuple)


@given(st.data(), JSON, STEPS)
def test_value_is_found_exactly_where_it_is(data: st.DataObject, value: Any, odd: tuple[str | int, ...]) -> None:
    known = paths_of(value)
    path = data.draw(st.sampled_from(known))
    here = value
    for step in path:
        here = here[step]
    assert found_at(BARE, value, path, "n.p") is here
    assert isinstance(found_at(BARE, value, odd, "n.p"), Nowhere) == (odd not in known)


@given(JSON, STEPS, JSON)
def test_written_value_is_read_back_unless_something_is_in_the_way(
    value: Any, path: tuple[str | int, ...], part: Any
) -> None:
    before = paths_of(value)
    if obstacle(value, path) is None:
        made = written(value, path, part)
        assert found_at(BARE, made, path, "n.p") == part
        kept = [each for each in before if each[: len(path)] != path]
        assert all(not isinstance(found_at(BARE, made, each, "n.p"), Nowhere) for each in kept)
    else:
        assert isinstance(found_at(BARE, value, path, "n.p"), Nowhere)


def test_long_names_are_shortened_in_reasons() -> None:
    found = found_at(BARE, {"x" * 5000: 1}, ["y" * 5000], "n.p")
    assert isinstance(found, Nowhere)
    assert len(found.reason) < 200
    typed = parse_type({"type": "object", "properties": {"a": "number"}}, "schema")
    assert not isinstance(typed, list)
    assert isinstance(found_at(typed, {}, ["a"], "n.p"), Nowhere)
