"""Going on from a journal, and retrying a failed execution."""

from __future__ import annotations

import pytest

from chaingraph_flow import (
    FlowOutcome,
    Graph,
    JournalMismatch,
    NodeRecord,
    Outcome,
    without_unhandled_failures,
)
from fixtures.flows.runs import BUILT_IN, engine, flow, run_flow


async def test_resumed_run_does_not_repeat_journal_events() -> None:
    text = """
        nodes: [{id: a, type: Text, inputs: {value: x}}, {id: b, type: Text}]
        edges: [{from: a.value, to: b.value}]
    """
    first = await run_flow(text)
    again = await run_flow(text, journal=first.recorder.records[:1], resumed=True)
    assert again.result == first.result
    assert [each.type for each in again.recorder.events] == [
        "edge:transfer-completed", "node:started", "node:completed", "flow:completed",
    ]  # fmt: skip
    assert again.recorder.outcomes() == {"b": "completed"}


async def test_engine_rejects_journal_of_another_flow() -> None:
    record = NodeRecord("other", Outcome.COMPLETED, 0, 0)
    with pytest.raises(JournalMismatch, match="'other'"):
        engine("nodes: [{id: a, type: Text}]", journal=[record])
    known = NodeRecord("a", Outcome.COMPLETED, 0, 0)
    with pytest.raises(JournalMismatch, match="twice"):
        engine("nodes: [{id: a, type: Text}]", journal=[known, known])


async def test_retry_runs_failed_and_unreached_nodes() -> None:
    text = """
        inputs: [{name: b, type: number}]
        nodes:
        - {id: a, type: Number, inputs: {value: 6}}
        - {id: handled, type: Fail, inputs: {message: known}}
        - {id: rescue, type: Text, inputs: {value: rescued}}
        - {id: divide, type: Math, inputs: {operation: divide}}
        - {id: use, type: ToText}
        edges:
        - {from: a.value, to: divide.a}
        - {from: inputs.b, to: divide.b}
        - {from: handled.__error, to: rescue.__execute}
        - {from: divide.result, to: use.value}
        outputs: [{name: text, from: use.text}]
    """
    first = await run_flow(text, inputs={"b": 0})
    assert first.result.outcome is FlowOutcome.FAILED
    spec = flow(text)
    graph = Graph.build(spec, BUILT_IN.catalogue)
    journal = without_unhandled_failures(graph, first.recorder.records, None)
    assert {each.node_id for each in journal} >= {"a", "handled"}
    second = await run_flow(text, inputs={"b": 2}, journal=journal)
    assert second.result.outputs == {"text": "3"}
    assert not {"a", "handled"} & set(second.recorder.outcomes())


async def test_journal_with_unhandled_failure_fails_at_once() -> None:
    text = "nodes: [{id: bad, type: Fail, inputs: {message: x}}, {id: b, type: Sleep}]"
    journal = [NodeRecord("bad", Outcome.FAILED, 0, 0, error="x", reason="NodeFailed")]
    run = await run_flow(text, journal=journal)
    assert run.result.outcome is FlowOutcome.FAILED
    assert run.recorder.records == []


def test_node_record_round_trips_through_json() -> None:
    from chaingraph_flow import Emission

    record = NodeRecord(
        "a", Outcome.FAILED, 1, 2, outputs={"x": [1]}, error="e", reason="NodeFailed", attempts=2,
        emissions=(Emission("n", {"p": 1}),),
    )  # fmt: skip
    assert NodeRecord.from_json(record.to_json()) == record
