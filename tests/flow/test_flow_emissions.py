"""Emissions: what each carries, the order that decides which child each becomes, and their way through the journal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.limits import MAX_EVENT_NAME, MAX_RESOURCE_NAME
from chaingraph_flow import (
    Emission,
    FailureReason,
    InvalidFlow,
    NodeContext,
    NodeFailed,
    NodeRecord,
    NotJson,
    Outcome,
    RunContext,
    emissions_in_order,
)
from fixtures.flows.json_values import JSON
from fixtures.flows.runs import engine, run_flow

BAD_NAMES = ["Bad Name", "-other", "other.", "naïve", "a/b", "other\n"]
FORM = r"must be empty or the name of a Kubernetes object \(small letters, digits, '-' and '\.'\)"


def context() -> NodeContext:
    return NodeContext(RunContext("EX1"), "n", node_attempt=1, given=frozenset(), event=None, log=print)


# -- what an emission carries --------------------------------------------------------------------------------


async def test_emission_targets_named_flow_or_own_flow() -> None:
    run = await run_flow("""
        nodes:
        - {id: own, type: EventEmitter, inputs: {eventName: placed}}
        - {id: ship, type: Text, inputs: {value: shipping.eu}}
        - {id: other, type: EventEmitter, inputs: {eventName: placed, payload: {id: 7}}}
        - {id: empty, type: Text}
        - {id: each, type: EmitEach, inputs: {eventName: line, items: [1, 2], flow: lines}}
        - {id: eachOwn, type: EmitEach, inputs: {eventName: line, items: [3]}}
        edges:
        - {from: ship.value, to: other.flow}
        - {from: empty.value, to: eachOwn.flow}
    """)
    assert run.result.emissions == (
        Emission("placed"),
        Emission("placed", {"id": 7}, "shipping.eu"),
        Emission("line", 1, "lines"),
        Emission("line", 2, "lines"),
        Emission("line", 3),
    )


@pytest.mark.parametrize(
    "type_", ["{type: EventEmitter, inputs: {eventName: e, ", "{type: EmitEach, inputs: {items: [], eventName: e, "]
)
@pytest.mark.parametrize("name", BAD_NAMES)
def test_validation_rejects_invalid_flow_name(type_: str, name: str) -> None:
    with pytest.raises(InvalidFlow, match=FORM) as caught:
        engine(f"nodes: [{type_.replace('{', '{id: tell, ', 1)} flow: {json.dumps(name)}}}}}]")
    (error,) = caught.value.errors
    assert error.path == "spec.nodes[0].inputs.flow"
    assert error.message.endswith(f"is {name!r}")


@pytest.mark.parametrize("type_", ["EventEmitter", "EmitEach"])
async def test_invalid_flow_name_from_edge_fails_node(type_: str) -> None:
    items = ", items: [1]" if type_ == "EmitEach" else ""
    run = await run_flow(f"""
        nodes:
        - {{id: name, type: Text, inputs: {{value: Not One}}}}
        - {{id: tell, type: {type_}, inputs: {{eventName: e{items}}}}}
        edges: [{{from: name.value, to: tell.flow}}]
    """)
    assert run.result.error is not None
    assert (run.result.error.node, run.result.error.reason) == ("tell", FailureReason.INVALID_INPUT)
    assert run.result.error.message == (
        "flow must be empty or the name of a Kubernetes object (small letters, digits, '-' and '.'), "
        "is 'Not One' (from name.value)"
    )
    assert run.result.emissions == ()


@pytest.mark.parametrize("name", [*BAD_NAMES, "a" * (MAX_RESOURCE_NAME + 1), None, 5])
def test_emit_rejects_invalid_flow_name(name: Any) -> None:
    emitting = context()
    for _ in range(2):  # what was emitted before, to a good flow, makes no difference
        with pytest.raises(NodeFailed, match="cannot emit the event 'e': flow: must"):
            emitting.emit("e", flow=name)
        emitting.emit("e", flow="good")
    assert emitting.emissions == (Emission("e", None, "good"),) * 2


def test_emit_rejects_invalid_event_name() -> None:
    emitting = context()
    emitting.emit("x" * MAX_EVENT_NAME)
    for name, message in (
        ("x" * (MAX_EVENT_NAME + 1), f"must have at most {MAX_EVENT_NAME} characters"),
        ("", "an event needs a name"),
        (None, "an event needs a name"),
        (5, "the event's name: must be a string"),
    ):
        with pytest.raises(NodeFailed, match=message):
            emitting.emit(name)  # type: ignore[arg-type]
    with pytest.raises(NotJson, match="the event's name: holds half of a surrogate pair"):
        emitting.emit("half \ud800")
    assert len(emitting.emissions) == 1


# -- the journal ---------------------------------------------------------------------------------------------

EMISSIONS = st.lists(
    st.builds(Emission, st.text(min_size=1), JSON, st.sampled_from(["", "other", "a.b-c"])), max_size=4
).map(tuple)


def record(node_id: str, emissions: tuple[Emission, ...]) -> NodeRecord:
    return NodeRecord(node_id, Outcome.COMPLETED, 1, 2, emissions=emissions)


@given(EMISSIONS)
def test_emissions_round_trip_through_journal(emissions: tuple[Emission, ...]) -> None:
    kept = record("n", emissions)
    written = json.loads(json.dumps(kept.to_json()))
    assert NodeRecord.from_json(written) == kept
    assert all(("flow" in each) == bool(of.flow) for each, of in zip(written["emissions"], emissions, strict=True))


def test_old_node_record_reads_emissions_to_own_flow() -> None:
    old = record("n", (Emission("e", 1),)).to_json() | {"emissions": [{"name": "e", "payload": 1}, {"name": "f"}]}
    assert NodeRecord.from_json(old).emissions == (Emission("e", 1, ""), Emission("f", None, ""))


# -- the order -----------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from("abcdefgh"), EMISSIONS), st.data())
def test_emission_order_follows_spec_not_journal(emitted: dict[str, tuple[Emission, ...]], data: st.DataObject) -> None:
    spec = data.draw(st.permutations("abcdefgh"))
    journal = [record(id_, emissions) for id_, emissions in data.draw(st.permutations(list(emitted.items())))]
    found = emissions_in_order(spec, iter(journal))
    rest = list(found)
    for id_ in spec:
        mine = emitted.get(id_, ())
        assert tuple(rest[: len(mine)]) == mine
        del rest[: len(mine)]
    assert rest == []
    assert found == emissions_in_order(spec, [NodeRecord.from_json(each.to_json()) for each in reversed(journal)])


async def test_run_and_resume_emit_in_spec_order() -> None:
    text = """
        nodes:
        - {id: wait, type: Sleep, inputs: {milliseconds: 5}}
        - {id: late, type: EmitEach, inputs: {eventName: late, items: [1, 2]}}
        - {id: early, type: EventEmitter, inputs: {eventName: early}}
        edges: [{from: wait.__success, to: late.__execute}]
    """
    run = await run_flow(text)
    assert [each.node_id for each in run.recorder.records] == ["early", "wait", "late"]
    assert run.result.emissions == (Emission("late", 1), Emission("late", 2), Emission("early"))
    assert emissions_in_order(["wait", "late", "early"], run.recorder.records) == run.result.emissions
    again = await run_flow(text, journal=run.recorder.records[:1], resumed=True)
    assert again.result.emissions == run.result.emissions
