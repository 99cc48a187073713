"""Retries from a node and with another revision: what is kept is as in a run from scratch, and nothing else is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    ExternalEvent,
    FlowOutcome,
    Graph,
    NodeRecord,
    Registry,
    WaitRecord,
    without_unhandled_failures,
)
from chaingraph_flow.engine.binding import active_nodes
from chaingraph_flow.rerun import FlowVersion, Rerun, rerun
from fixtures import soak
from fixtures.flows.graphs import REGISTRY, expected, graphs, observe, signals_of, sources_of, unhandled
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, Run, engine, flow, run_flow

THOROUGH = settings(max_examples=soak.examples(150), deadline=None)

CUT = st.integers(0, 25)
"""After how many entries of the journal the first attempt ends; random graphs write fewer."""


def version(spec: FlowSpec, registry: Registry = REGISTRY, **inputs: Any) -> FlowVersion:
    return FlowVersion(spec, inputs, registry.catalogue)


def run(
    spec: FlowSpec,
    journal: Sequence[NodeRecord] = (),
    attempt: int = 1,
    sent: FlowSpec | None = None,
    waits: Sequence[WaitRecord] = (),
) -> tuple[Run, list[str]]:
    """Run an attempt of a random flow, with the signals of the flow of the first attempt.

    Returns the nodes that started as well.
    """
    recorder = MemoryRecorder()
    seen = observe(recorder)
    made = asyncio.run(
        run_flow(
            spec,
            registry=REGISTRY,
            recorder=recorder,
            journal=journal,
            signals=signals_of(sent or spec),
            attempt=attempt,
            waits=waits,
        )
    )
    return made, seen.started


def outcomes(records: Sequence[NodeRecord]) -> dict[str, str]:
    return {each.node_id: str(each.outcome) for each in records}


@st.composite
def repaired(draw: st.DrawFn, spec: FlowSpec) -> FlowSpec:
    """The same flow with some nodes and edges changed, added or removed."""
    content = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    nodes, edges = content["nodes"], content.get("edges", [])
    for node in nodes:
        if draw(st.integers(0, 4)) == 0:
            node["inputs"]["behaviour"] = draw(st.sampled_from(["complete", "complete", "fail", "skip"]))
        if draw(st.integers(0, 9)) == 0:
            node["retry"] = {"maxAttempts": 2, "backoffSeconds": 0}
    edges = [edge for edge in edges if draw(st.integers(0, 7))]
    gone = {node["id"] for node in nodes[1:] if draw(st.integers(0, 7)) == 0}
    nodes = [node for node in nodes if node["id"] not in gone]
    edges = [edge for edge in edges if not gone & {edge["from"].split(".")[0], edge["to"].split(".")[0]}]
    if draw(st.booleans()):
        nodes.append({"id": "new", "type": "Effect", "inputs": {"behaviour": "complete"}})
        source = draw(st.sampled_from(nodes[:-1]))["id"]
        edges.append({"from": f"{source}.value", "to": "new.a"})
    return FlowSpec.model_validate({"nodes": draw(st.permutations(nodes)), "edges": draw(st.permutations(edges))})


def upstream(spec: FlowSpec, id_: str) -> set[str]:
    found: set[str] = set()
    waiting = [id_]
    while waiting:
        for each in sources_of(spec)[waiting.pop()] - found:
            found.add(each)
            waiting.append(each)
    return found


def check_next_attempt(
    spec: FlowSpec, records: Sequence[NodeRecord], decided: Rerun, *, sent: FlowSpec, lost_after: int
) -> None:
    """The next attempt keeps what was decided, and everything ends as in a run from scratch.

    Its first worker is lost after so many entries of the journal.
    """
    kept = [each for each in records if each.node_id in decided.kept]
    assert set(decided.kept) | set(decided.dropped) == {each.node_id for each in records}
    assert not set(decided.kept) & set(decided.dropped)
    assert set(decided.again) | set(decided.removed) == set(decided.dropped)
    graph = Graph.build(spec, REGISTRY.catalogue)
    assert list(without_unhandled_failures(graph, kept, None)) == kept, "a runner would drop more"
    found = expected(spec)
    for record in kept:
        assert upstream(spec, record.node_id) <= set(decided.kept), f"{record.node_id} depends on one that runs again"
        assert record.outcome == found[record.node_id].outcome, record
        if record.outcome == "completed":
            assert record.outputs["value"] == found[record.node_id].value
    second, started = run(spec, kept, attempt=2, sent=sent)
    assert not set(started) & set(decided.kept), "a kept node ran again"
    ids = [each.node_id for each in second.recorder.records]
    assert len(ids) == len(set(ids))
    for record in second.recorder.records:
        assert record.outcome == found[record.node_id].outcome, record
        if record.outcome == "completed":
            assert record.outputs["value"] == found[record.node_id].value
    own, waits = second.recorder.cut(lost_after)
    third, started = run(spec, [*kept, *own], attempt=2, sent=sent, waits=waits)
    assert not set(started) & {*decided.kept, *(each.node_id for each in own)}, "a worker that continues repeats a node"
    assert third.result.outcome is second.result.outcome
    bad = unhandled(spec, found)
    assert (second.result.outcome is FlowOutcome.COMPLETED) == (not bad)
    if not bad:
        scratch, _ = run(spec, sent=sent)
        assert second.result.outputs == scratch.result.outputs
        assert second.result.emissions == scratch.result.emissions
        assert second.result.progress == scratch.result.progress
        assert set(decided.again) <= {each.node_id for each in second.recorder.records}


@pytest.mark.soak
@THOROUGH
@given(graphs(waits=True), st.data())
def test_retry_from_a_node_ends_as_a_run_from_scratch(spec: FlowSpec, data: st.DataObject) -> None:
    first, _ = run(spec)
    records, waits = first.recorder.cut(data.draw(CUT))
    node = data.draw(st.sampled_from([each.id for each in spec.nodes]))
    same = version(spec)
    waiting = {each.node_id: "waiting" for each in waits}
    decided = rerun(outcomes(records) | waiting, former=same, flow=same, events=None, node=node)
    assert node not in decided.kept
    assert waiting.keys() <= set(decided.dropped)
    ended = rerun(outcomes(records), former=same, flow=same, events=None, node=node)
    check_next_attempt(spec, records, ended, sent=spec, lost_after=data.draw(CUT))
    bad = unhandled(spec, expected(spec))
    for record in records:
        runs_again = record.node_id == node or node in upstream(spec, record.node_id) or record.node_id in bad
        assert (record.node_id in decided.again) == runs_again, "no more runs again than has to"


@pytest.mark.soak
@THOROUGH
@given(graphs(waits=True), st.data())
def test_retry_with_a_repaired_flow_ends_as_a_run_from_scratch(spec: FlowSpec, data: st.DataObject) -> None:
    first, _ = run(spec)
    records, _ = first.recorder.cut(data.draw(CUT))
    fixed = data.draw(repaired(spec))
    node = data.draw(st.sampled_from(["", *(each.id for each in fixed.nodes)]))
    decided = rerun(outcomes(records), former=version(spec), flow=version(fixed), events=None, node=node)
    assert set(decided.removed) == {each.node_id for each in records} - {each.id for each in fixed.nodes}
    check_next_attempt(fixed, records, decided, sent=spec, lost_after=data.draw(CUT))


@given(graphs())
def test_unchanged_flow_keeps_all_but_unhandled_failures(spec: FlowSpec) -> None:
    first, _ = run(spec)
    content = spec.model_dump(mode="json", by_alias=True)
    nodes = [node | {"title": "Another title", "timeoutSeconds": 7} for node in content["nodes"]]
    copy = FlowSpec.model_validate(content | {"description": "The same", "nodes": nodes})
    journal = {id_: outcome for id_, outcome in outcomes(first.recorder.records).items() if outcome != "failed"}
    decided = rerun(journal, former=version(spec), flow=version(copy), events=None)
    failed = {each.node_id for each in first.recorder.records} - journal.keys()
    assert not failed or set(decided.kept) == journal.keys()
    assert decided.again == decided.removed == ()


LISTENING = """
nodes:
  - {id: event, type: EventListener, inputs: {eventName: paid}}
  - {id: prepare, type: Text, inputs: {value: a}}
  - {id: book, type: Join}
  - {id: idle, type: Text, inputs: {value: b}}
  - {id: shout, type: Length}
edges:
  - {from: event.payload, to: book.a}
  - {from: prepare.value, to: book.b}
  - {from: idle.value, to: shout.value}
"""


@pytest.mark.parametrize("events", [None, {"paid"}, {"other"}])
def test_active_nodes_are_those_of_the_engine(events: set[str] | None) -> None:
    spec = flow(LISTENING)
    trigger = None if events is None else tuple(ExternalEvent(name) for name in events)
    found = active_nodes(Graph.build(spec, BUILT_IN.catalogue), trigger)
    assert version(spec, BUILT_IN).active(events) == found


def test_node_bound_to_another_event_is_removed() -> None:
    spec, journal = flow(LISTENING), {"idle": "completed", "shout": "completed", "prepare": "completed"}
    edges = [*spec.model_dump(by_alias=True)["edges"], {"from": "event.payload", "to": "shout.__execute"}]
    bound = FlowSpec.model_validate(spec.model_dump(by_alias=True) | {"edges": edges})
    decided = rerun(journal, former=version(spec, BUILT_IN), flow=version(bound, BUILT_IN), events=None)
    assert decided == Rerun(kept=(), again=(), removed=("prepare", "idle", "shout"), dropped=tuple(journal))


INPUTS = """
inputs:
  - {name: one, type: number, default: 1}
  - {name: two, type: any}
nodes:
  - {id: a, type: Not}
  - {id: b, type: Not}
  - {id: c, type: Text, inputs: {value: {x: 1}}, retry: {maxAttempts: 2}}
edges:
  - {from: inputs.one, to: a.value}
  - {from: inputs.two, to: b.value}
  - {from: c.__error, to: b.__execute}
"""


@pytest.mark.parametrize(
    ("replaced", "by", "inputs", "again"),
    [
        ("default: 1", "default: 2", {"one": 2, "two": None}, ("a",)),
        ("default: 1", "default: 1.0", {"one": 1.0, "two": None}, ("a",)),
        ("type: any", "type: number", {"one": 1, "two": None}, ("b",)),
        ("{x: 1}", "{x: true}", {"one": 1, "two": None}, ("b", "c")),
        ("maxAttempts: 2", "maxAttempts: 3", {"one": 1, "two": None}, ("b", "c")),
        ("from: inputs.two", "from: inputs.one", {"one": 1, "two": None}, ("b",)),
        ("to: b.__execute", "to: a.__execute", {"one": 1, "two": None}, ("a", "b")),
        ("inputs:\n  - {name: one", "description: hello\ninputs:\n  - {name: one", {"one": 1, "two": None}, ()),
    ],
)
def test_what_counts_as_a_change(replaced: str, by: str, inputs: Mapping[str, Any], again: tuple[str, ...]) -> None:
    journal = {"a": "completed", "b": "completed", "c": "failed"}
    assert replaced in INPUTS
    former = FlowVersion(flow(INPUTS), {"one": 1, "two": None}, BUILT_IN.catalogue)
    latest = FlowVersion(flow(INPUTS.replace(replaced, by)), inputs, BUILT_IN.catalogue)
    assert rerun(journal, former=former, flow=latest, events=None).again == again


RELEASE = """
nodes:
  - {id: build, type: Text, inputs: {value: a}}
  - {id: ask, type: Approval, inputs: {prompt: Deploy, approvers: {users: [ann]}}}
  - {id: deploy, type: Text, inputs: {value: b}}
  - {id: other, type: Approval, inputs: {prompt: Tell, approvers: {users: [ann]}}}
  - {id: both, type: Join}
  - {id: tell, type: Fail}
  - {id: alone, type: Approval, inputs: {prompt: And, approvers: {users: [ann]}}}
edges:
  - {from: build.__success, to: ask.__execute}
  - {from: ask.approved, to: deploy.__execute}
  - {from: deploy.value, to: both.a}
  - {from: other.by, to: both.b}
  - {from: both.result, to: tell.message}
"""
BOTH_ASKED = ("ask", "deploy", "other", "both", "tell")


@pytest.mark.parametrize(
    ("replaced", "by", "node", "again"),
    [
        ("", "", "tell", ("tell",)),
        ("", "", "both", BOTH_ASKED),
        ("", "", "deploy", BOTH_ASKED),
        ("", "", "build", ("build", *BOTH_ASKED)),
        ("", "", "other", BOTH_ASKED),
        ("type: Fail", "type: DebugLog", "", BOTH_ASKED),
        ("value: b", "value: other", "", BOTH_ASKED),
        ("value: a", "value: other", "", ("build", *BOTH_ASKED)),
        ("prompt: And", "prompt: Really", "", ("tell", "alone")),
    ],
)
def test_approval_is_for_one_run_of_its_dependents(replaced: str, by: str, node: str, again: tuple[str, ...]) -> None:
    """A failed node runs again under the approval that it had: nothing that was approved has been done."""
    former = version(flow(RELEASE), BUILT_IN)
    latest = version(flow(RELEASE.replace(replaced, by)), BUILT_IN) if replaced else former
    journal = dict.fromkeys(former.nodes, "completed") | {"tell": "failed"}
    assert rerun(journal, former=former, flow=latest, events=None, node=node).again == again


def test_approval_inside_a_call_is_for_one_run_of_the_nodes_after_it() -> None:
    text = """
subflows:
  - name: asking
    outputs: [{name: go, from: ask.approved}]
    nodes: [{id: ask, type: Approval, inputs: {prompt: Deploy, approvers: {users: [ann]}}}]
nodes:
  - {id: gate, type: Call, inputs: {subflow: asking}}
  - {id: deploy, type: Text, inputs: {value: b}}
  - {id: tell, type: Fail, inputs: {message: x}}
edges: [{from: gate.go, to: deploy.__execute}, {from: deploy.__success, to: tell.__execute}]
"""
    former = version(flow(text), BUILT_IN)
    journal = {"gate.ask": "completed", "gate": "completed", "deploy": "completed", "tell": "failed"}
    again = rerun(journal, former=former, flow=former, events=None, node="deploy")
    assert again.again == ("gate", "deploy", "tell")
    assert "gate.ask" in again.dropped
    other = version(flow(text.replace("prompt: Deploy", "prompt: Really")), BUILT_IN)
    assert rerun(journal, former=former, flow=other, events=None).again == ("gate", "deploy", "tell")
    assert rerun(journal, former=former, flow=former, events=None).kept == ("gate", "deploy")


def test_entries_inside_a_node_belong_to_it() -> None:
    spec = flow(
        "{nodes: [{id: pages, type: Text}, {id: sum, type: Length}], edges: [{from: pages.value, to: sum.value}]}"
    )
    same = version(spec, BUILT_IN)
    journal = {"pages[0].fetch": "completed", "pages[1].fetch": "completed", "pages": "failed"}
    continued = rerun(journal, former=same, flow=same, events=None)
    assert (continued.dropped, continued.again) == (("pages",), ("pages",)), "what it has finished stays"
    chosen = rerun(journal, former=same, flow=same, events=None, node="pages")
    assert (chosen.dropped, chosen.again) == (tuple(journal), ("pages",))
    del journal["pages"]
    stopped = rerun(journal, former=same, flow=same, events=None, node="sum")
    assert (stopped.dropped, stopped.again) == ((), ())


def test_engine_accepts_the_kept_nodes_of_a_stopped_run() -> None:
    spec = flow(LISTENING)
    done = asyncio.run(run_flow(spec, registry=BUILT_IN))
    same = version(spec, BUILT_IN)
    decided = rerun(outcomes(done.recorder.records), former=same, flow=same, events=None, node="shout")
    kept = [each for each in done.recorder.records if each.node_id in decided.kept]
    again = MemoryRecorder()
    result = asyncio.run(engine(spec, registry=BUILT_IN, journal=kept, recorder=again, attempt=2).run())
    assert result.outputs == done.result.outputs
    assert [each.node_id for each in again.records] == ["shout"]
