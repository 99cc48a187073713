"""The engine on random graphs: it agrees with a plain reading of the rules, and a journal's nodes never run again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import Engine, EngineOptions, FlowOutcome, NodeRecord, WaitRecord
from fixtures import soak
from fixtures.flows.graphs import REGISTRY, Observed, expected, graphs, observe, signals_of, sources_of, unhandled
from fixtures.flows.runs import MemoryRecorder, Run, engine

pytestmark = pytest.mark.soak
THOROUGH = settings(max_examples=soak.examples(300), deadline=None)


def run(
    spec: FlowSpec,
    limit: int = 50,
    journal: Sequence[NodeRecord] = (),
    waits: Sequence[WaitRecord] = (),
    late: Sequence[int] = (),
) -> tuple[Run, Observed]:
    """Run a flow. Each signal comes before the run or, with a number in `late`, after so many turns of the loop."""
    recorder = MemoryRecorder()
    seen = observe(recorder)
    signals = signals_of(spec)
    early = signals[: max(0, len(signals) - len(late))]

    async def to_the_end() -> Run:
        options = EngineOptions(max_concurrency=limit)
        made = engine(
            spec, registry=REGISTRY, recorder=recorder, journal=journal, options=options, waits=waits, signals=early
        )
        sending = asyncio.create_task(send(made))
        result = await made.run()
        sending.cancel()
        await asyncio.wait([sending])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return Run(result, recorder)

    async def send(to: Engine) -> None:
        for signal, turns in zip(signals[len(early) :], late, strict=False):
            for _ in range(turns):
                await asyncio.sleep(0)
            to.deliver(signal)

    return asyncio.run(to_the_end()), seen


def taken(records: Sequence[NodeRecord]) -> list[tuple[str, int]]:
    """The signals that nodes have taken, by the journal."""
    return sorted((each.node_id, each.signal) for each in records if each.signal is not None)


LATE = st.lists(st.integers(0, 12), max_size=4)


@THOROUGH
@given(graphs(waits=True), st.integers(1, 4), LATE)
def test_engine_matches_reference_rules(spec: FlowSpec, limit: int, late: list[int]) -> None:
    done, seen = run(spec, limit, late=late)
    found = expected(spec)
    assert taken(done.recorder.records) == sorted(seen.signals), "a signal was taken, and the journal does not say so"
    assert len({number for _, number in seen.signals}) == len(seen.signals), "a signal was taken twice"
    sent = [each["id"] for each in done.recorder.named("signal:received")]
    assert len(sent) == len(set(sent))
    ids = [each.node_id for each in done.recorder.records]
    assert len(ids) == len(set(ids)), "a node ended twice"
    for record in done.recorder.records:
        assert record.outcome == found[record.node_id].outcome, record
        if record.outcome == "completed":
            assert record.outputs["value"] == found[record.node_id].value
    bad = unhandled(spec, found)
    if bad:
        assert done.result.outcome is FlowOutcome.FAILED
        assert done.result.error is not None
        assert done.result.error.node in bad
    else:
        assert done.result.outcome is FlowOutcome.COMPLETED
        assert set(ids) == {node.id for node in spec.nodes}, "a node never ended"
        progress = done.result.progress
        assert progress.total == len(ids) == progress.completed + progress.failed + progress.skipped
        order = [node.id for node in spec.nodes]
        emitted = [each.payload for each in done.result.emissions]
        assert emitted == [id_ for id_ in order if found[id_].outcome == "completed"]
    assert len(seen.started) == len(set(seen.started)), "a node ran twice"
    assert seen.most <= limit


@THOROUGH
@given(graphs(waits=True), st.integers(1, 4))
def test_nodes_start_after_sources_and_effects_when_durable(spec: FlowSpec, limit: int) -> None:
    _, seen = run(spec, limit)
    sources = sources_of(spec)
    types = {node.id: node.type for node in spec.nodes}
    for id_ in seen.started:
        assert sources[id_] <= seen.ended_at_start[id_]
        if types[id_] == "Effect":
            assert sources[id_] <= seen.durable_at_start[id_]


@THOROUGH
@given(graphs(waits=True), st.integers(1, 4), LATE, st.data())
def test_journal_prefix_leads_to_the_same_outcome(
    spec: FlowSpec, limit: int, late: list[int], data: st.DataObject
) -> None:
    first, _ = run(spec, limit, late=late)
    journal, waits = first.recorder.cut(data.draw(st.integers(0, len(first.recorder.entries))))
    second, seen = run(spec, data.draw(st.integers(1, 4)), journal, waits)
    assert taken([*journal, *second.recorder.records]) == sorted({*taken(journal), *seen.signals})
    assert not {number for _, number in taken(journal)} & {number for _, number in seen.signals}, "taken again"
    kept = {each.node_id for each in journal}
    assert not kept & set(seen.started), "a node of the journal ran again"
    assert not kept & {each.node_id for each in second.recorder.records}
    assert not {each.node_id for each in waits} & {each.node_id for each in second.recorder.waits}, "waited again"
    assert second.result.outcome is first.result.outcome
    if first.result.outcome is FlowOutcome.COMPLETED:
        assert second.result.outputs == first.result.outputs
        assert second.result.emissions == first.result.emissions
        assert second.result.progress == first.result.progress
    else:
        assert second.result.error is not None
        assert second.result.error.node in unhandled(spec, expected(spec))


@settings(max_examples=soak.examples(150), deadline=None)
@given(graphs(waits=True), st.integers(0, 8))
def test_stop_at_any_moment_leaves_resumable_journal(spec: FlowSpec, turns: int) -> None:
    recorder = MemoryRecorder()
    observe(recorder)

    async def stopped() -> FlowOutcome:
        made = engine(spec, registry=REGISTRY, recorder=recorder, signals=signals_of(spec))
        task = asyncio.create_task(made.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        made.stop("enough")
        result = await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result.outcome

    outcome = asyncio.run(stopped())
    found = expected(spec)
    assert all(found[each.node_id].outcome == each.outcome for each in recorder.records)
    whole, _ = run(spec)
    assert outcome in (FlowOutcome.STOPPED, whole.result.outcome)
    journal, waits = recorder.cut(len(recorder.entries))
    rest, seen = run(spec, journal=journal, waits=waits)
    assert not {each.node_id for each in recorder.records} & set(seen.started)
    assert rest.result.outcome is whole.result.outcome
