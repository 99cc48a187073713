"""The debugger on random graphs: whatever is commanded, and whenever, a run ends as if nobody had touched it.

A life is what a worker does with one attempt: engines one after another over one journal and one stream of events,
each with what the ledger would give it. The commands come between turns of the event loop, so they meet nodes at
every point: before a task's first turn, in the wait for the journal, in flight, on the way back to the gate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    ControlState,
    Engine,
    EngineOptions,
    FlowEvent,
    FlowOutcome,
    FlowResult,
    Graph,
    NodeRecord,
    RunContext,
)
from fixtures import soak
from fixtures.flows.graphs import REGISTRY, Observed, expected, graphs, observe, unhandled
from fixtures.flows.runs import MemoryRecorder

LONGEST = 2000
"""Turns of the event loop after which a run that should go on is taken to hang."""

COMMANDS = ("pause", "pause", "step", "step", "breakpoints", "resume", "park", "crash")


@dataclass(frozen=True)
class Command:
    """What is done after so many turns of the event loop."""

    turns: int
    kind: str
    breakpoints: tuple[str, ...] = ()


@st.composite
def commands(draw: st.DrawFn, spec: FlowSpec) -> list[Command]:
    ids = st.lists(st.sampled_from([node.id for node in spec.nodes]), max_size=4).map(tuple)
    each = st.builds(Command, st.integers(0, 4), st.sampled_from(COMMANDS), ids)
    return draw(st.lists(each, min_size=2, max_size=16))


class Watching(MemoryRecorder):
    """Tells a life of each node that begins."""

    life: Life

    def publish(self, event: FlowEvent) -> None:
        super().publish(event)
        if event.type == "node:started":
            self.life.begins(event.data["nodeId"])


@dataclass
class Life:
    """One attempt of an execution, over the engines that it takes."""

    spec: FlowSpec
    limit: int
    recorder: MemoryRecorder
    seen: Observed
    breakpoints: tuple[str, ...] = ()
    passed: set[str] = field(default_factory=set)
    in_flight: list[str] = field(default_factory=list)
    """The nodes that had begun and not ended when an engine was lost: they may run again."""
    let_go: set[str] = field(default_factory=set)
    """The nodes that a step of this pause may have let go."""
    owed: bool = False
    """Whether a step of this pause may be owed to any node."""
    broken: list[str] = field(default_factory=list)
    ran_ms: int = 0

    @property
    def announced(self) -> bool:
        """Whether the events say that it is paused."""
        told = [each.type for each in self.recorder.events if each.type in ("flow:paused", "flow:resumed")]
        return told[-1:] == ["flow:paused"]

    def begin(self, *, paused: bool, resumed: bool) -> None:
        state = ControlState(
            paused=paused,
            pause_node="",
            breakpoints=self.breakpoints,
            passed=frozenset(self.passed),
        )
        self.engine = Engine(
            Graph.build(self.spec, REGISTRY.catalogue),
            REGISTRY,
            context=RunContext("EXlife"),
            recorder=self.recorder,
            journal=list(self.recorder.records),
            options=EngineOptions(max_concurrency=self.limit),
            resumed=resumed,
            control=state,
            ran_ms=self.ran_ms,
        )
        self.task = asyncio.create_task(self.engine.run())

    async def lost(self) -> None:
        """The end of a worker, and another one with what the ledger has: all that came until now, and no more."""
        paused = self.engine.paused
        records, events = len(self.recorder.records), len(self.recorder.events)
        self.passed |= set(self.engine.progress.current_nodes)
        self.task.cancel()
        await asyncio.wait([self.task])
        del self.recorder.records[records:], self.recorder.events[events:]
        self.in_flight += set(self.seen.started) - {each.node_id for each in self.recorder.records}
        self.follow(paused=paused)

    async def park(self) -> None:
        quiet = self.engine.quiet
        if self.engine.park() != quiet:
            self.broken.append("parked when it was not quiet, or not when it was")
        if quiet:
            self.passed |= set(self.engine.held)
            result = await self.task
            if result.outcome is not FlowOutcome.PARKED or not set(self.engine.held):
                self.broken.append(f"a park ended {result.outcome}")
            self.follow(paused=True)

    def follow(self, *, paused: bool) -> None:
        started = any(each.type == "flow:started" for each in self.recorder.events)
        if paused != self.announced:  # the engine was lost before it said so: who hands it back does
            self.recorder.publish(FlowEvent("flow:paused" if paused else "flow:resumed", 0))
        self.ran_ms = self.engine.ran_ms
        self.begin(paused=paused, resumed=started)

    async def obey(self, command: Command) -> None:
        for _ in range(command.turns):
            await asyncio.sleep(0)
        if self.task.done():
            return
        engine = self.engine
        match command.kind:
            case "pause":
                engine.pause()
            case "resume":
                self.resume()
            case "step":
                waiting = set(engine.progress.current_nodes)
                self.let_go |= waiting
                self.owed |= not engine.held
                engine.step()
            case "breakpoints":
                self.breakpoints = command.breakpoints
                engine.set_breakpoints(command.breakpoints)
            case "park":
                await self.park()
            case "crash":
                await self.lost()

    def resume(self) -> None:
        self.let_go, self.owed = set(), False
        self.engine.resume()

    def begins(self, id_: str) -> None:
        """Told of each node that begins."""
        if self.engine.paused and not self.owed and id_ not in self.let_go:
            self.broken.append(f"{id_} began in a pause, and no step let it go")

    async def to_the_end(self) -> FlowResult:
        """Resume it as often as it takes."""
        for _ in range(LONGEST):
            if self.task.done():
                break
            if self.engine.paused:
                self.resume()
            await asyncio.sleep(0)
        assert self.task.done(), f"it hangs: {self.engine.progress}"
        return await self.task


def live(
    spec: FlowSpec, limit: int, script: Sequence[Command], *, stop: bool = False, breakpoints: tuple[str, ...] = ()
) -> tuple[FlowResult, Life]:
    recorder = Watching()
    life = recorder.life = Life(spec, limit, recorder, observe(recorder), breakpoints=breakpoints)

    async def whole() -> FlowResult:
        life.begin(paused=False, resumed=False)
        for command in script:
            await life.obey(command)
        if stop:
            life.engine.stop("enough")
            result = await life.task
        else:
            result = await life.to_the_end()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(whole()), life


def undisturbed(spec: FlowSpec) -> tuple[FlowResult, list[NodeRecord]]:
    result, life = live(spec, 50, ())
    return result, life.recorder.records


def alternate(events: Sequence[FlowEvent]) -> bool:
    told = [each.type for each in events if each.type in ("flow:paused", "flow:resumed")]
    return told == ["flow:paused" if index % 2 == 0 else "flow:resumed" for index in range(len(told))]


@pytest.mark.soak
@settings(max_examples=soak.examples(400), deadline=None)
@given(graphs(), st.integers(1, 4), st.data())
def test_commands_do_not_change_the_outcome(spec: FlowSpec, limit: int, data: st.DataObject) -> None:
    script = data.draw(commands(spec))
    plain, _ = undisturbed(spec)
    breakpoints = data.draw(st.lists(st.sampled_from([node.id for node in spec.nodes]), max_size=3))
    result, life = live(spec, limit, script, breakpoints=tuple(breakpoints))
    assert life.broken == []
    found = expected(spec)
    ids = [each.node_id for each in life.recorder.records]
    assert len(ids) == len(set(ids)), "a node ended twice"
    assert all(each.outcome == found[each.node_id].outcome for each in life.recorder.records)
    assert result.outcome is plain.outcome
    if result.outcome is FlowOutcome.COMPLETED:
        assert (result.outputs, result.emissions) == (plain.outputs, plain.emissions)
        assert result.progress == plain.progress
    else:
        assert result.error is not None
        assert result.error.node in unhandled(spec, found)
    again = Counter(life.seen.started) - Counter(set(life.seen.started))
    assert not again - Counter(life.in_flight), "a node that was not in flight ran again"
    assert life.seen.most <= limit
    types = [each.type for each in life.recorder.events]
    assert types.count("flow:started") == 1
    assert alternate(life.recorder.events)
    event(f"{types.count('flow:paused')} pauses")
    event(f"{types.count('debug:breakpoint-hit')} hits")


@pytest.mark.soak
@settings(max_examples=soak.examples(200), deadline=None)
@given(graphs(), st.integers(1, 4), st.data())
def test_stop_after_commands_leaves_resumable_journal(spec: FlowSpec, limit: int, data: st.DataObject) -> None:
    plain, _ = undisturbed(spec)
    result, life = live(spec, limit, data.draw(commands(spec)), stop=True)
    assert result.outcome in (FlowOutcome.STOPPED, plain.outcome)
    journal = list(life.recorder.records)
    recorder = MemoryRecorder()
    rest = Life(spec, limit, recorder, observe(recorder))
    recorder.records.extend(journal)

    async def go_on() -> FlowResult:
        rest.begin(paused=False, resumed=False)
        return await rest.to_the_end()

    assert asyncio.run(go_on()).outcome is plain.outcome
    assert not {each.node_id for each in journal} & set(rest.seen.started)


@pytest.mark.soak
@settings(max_examples=soak.examples(300), deadline=None)
@given(graphs(), st.integers(1, 4), st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=6))
def test_pause_holds_only_unstarted_nodes(spec: FlowSpec, limit: int, pauses: list[tuple[int, int]]) -> None:
    recorder = MemoryRecorder()
    life = Life(spec, limit, recorder, observe(recorder))

    async def whole() -> None:
        life.begin(paused=False, resumed=False)
        for before, length in pauses:
            for _ in range(before):
                await asyncio.sleep(0)
            if life.task.done():
                return
            life.engine.pause()
            started = len(life.seen.started)
            for _ in range(length * 4):
                await asyncio.sleep(0)
            assert len(life.seen.started) == started, "a node began in a pause"
            if not life.task.done():
                at_rest = not life.engine.progress.running and bool(life.engine.held)
                if life.engine.quiet != at_rest:
                    # A failure in this very turn has ended the run; its task takes a few more to say so.
                    await asyncio.wait([life.task], timeout=1)
                    assert life.task.done()
                    return
                ended = {each.node_id for each in recorder.records}
                assert not ended & set(life.engine.held)
            life.engine.resume()
        await life.to_the_end()

    asyncio.run(whole())


@pytest.mark.soak
@settings(max_examples=soak.examples(300), deadline=None)
@given(graphs(), st.integers(1, 4))
def test_steps_complete_run_layer_by_layer(spec: FlowSpec, limit: int) -> None:
    """Each step runs exactly what was held, and what follows from it is held then."""
    recorder = MemoryRecorder()
    life = Life(spec, limit, recorder, observe(recorder))

    async def quiet() -> bool:
        for _ in range(LONGEST):
            await asyncio.sleep(0)
            if life.task.done() or life.engine.quiet:
                return not life.task.done()
        raise AssertionError(f"it neither ends nor comes to rest: {life.engine.progress}")

    async def whole() -> FlowResult:
        life.begin(paused=True, resumed=True)
        while await quiet():
            held = set(life.engine.held)
            begun = len(life.seen.started)
            life.engine.step()
            more = await quiet()
            now_started = set(life.seen.started[begun:])
            assert now_started <= held, "something began that no step let go"
            if more:
                assert now_started == held - _never_began(recorder)
                assert not held & set(life.engine.held)
        return await life.task

    result = asyncio.run(whole())
    plain, _ = undisturbed(spec)
    assert result.outcome is plain.outcome
    assert not any(each.type in ("flow:paused", "flow:resumed") for each in recorder.events)


def _never_began(recorder: MemoryRecorder) -> set[str]:
    """Nodes that failed because a value did not fit: their code never ran."""
    return {each.node_id for each in recorder.records if each.reason == "InvalidInput"}


@pytest.mark.soak
@settings(max_examples=soak.examples(300), deadline=None)
@given(graphs(), st.integers(1, 4), st.data())
def test_breakpoint_is_hit_once_before_node_starts(spec: FlowSpec, limit: int, data: st.DataObject) -> None:
    ids = [node.id for node in spec.nodes]
    wanted = data.draw(st.sets(st.sampled_from(ids)))
    script = [Command(each.turns, each.kind) for each in data.draw(commands(spec)) if each.kind != "breakpoints"]
    _, life = live(spec, limit, script, breakpoints=tuple(wanted))
    hits: Counter[str] = Counter()
    for each in life.recorder.events:
        if each.type == "debug:breakpoint-hit":
            hits[each.data["nodeId"]] += 1
        elif each.type == "node:started" and each.data["nodeId"] in wanted:
            assert hits[each.data["nodeId"]] >= 1, "it started before its breakpoint was hit"
    assert set(hits) <= wanted
    assert all(count == 1 for count in hits.values())
