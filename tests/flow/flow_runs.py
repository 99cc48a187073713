"""Running flows in tests: from YAML to a result, with a recorder that keeps everything in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    Engine,
    EngineOptions,
    ExternalEvent,
    FlowEvent,
    FlowResult,
    Graph,
    NodeRecord,
    Registry,
    RunContext,
    bind_inputs,
)

BUILT_IN = Registry.discover()


class MemoryRecorder:
    """Keeps records and events; everything is durable once `settled` was awaited."""

    def __init__(self) -> None:
        self.records: list[NodeRecord] = []
        self.events: list[FlowEvent] = []
        self.durable = 0

    def record(self, record: NodeRecord) -> None:
        self.records.append(record)

    def publish(self, event: FlowEvent) -> None:
        self.events.append(event)

    async def settled(self) -> None:
        await asyncio.sleep(0)
        self.durable = len(self.records)

    def outcomes(self) -> dict[str, str]:
        return {each.node_id: str(each.outcome) for each in self.records}

    def named(self, type_: str) -> list[dict[str, Any]]:
        return [each.data for each in self.events if each.type == type_]

    def of(self, node_id: str) -> NodeRecord:
        (record,) = [each for each in self.records if each.node_id == node_id]
        return record


@dataclass
class Run:
    result: FlowResult
    recorder: MemoryRecorder


def flow(text: str) -> FlowSpec:
    return FlowSpec.model_validate(yaml.safe_load(text))


def engine(
    spec: FlowSpec | str,
    *,
    registry: Registry = BUILT_IN,
    inputs: Mapping[str, Any] | None = None,
    trigger: Sequence[ExternalEvent] | None = None,
    journal: Sequence[NodeRecord] = (),
    options: EngineOptions | None = None,
    recorder: MemoryRecorder | None = None,
    resumed: bool = False,
) -> Engine:
    spec = flow(spec) if isinstance(spec, str) else spec
    bound, faults = bind_inputs(spec.inputs, inputs or {})
    assert not faults, faults
    return Engine(
        Graph.build(spec, registry.catalogue),
        registry,
        context=RunContext("EXtest", namespace="default", name="test", root_execution_id="EXroot"),
        recorder=recorder or MemoryRecorder(),
        inputs=bound,
        trigger=None if trigger is None else tuple(trigger),
        journal=journal,
        options=options,
        resumed=resumed,
    )


async def run_flow(spec: FlowSpec | str, **how: Any) -> Run:
    """Run a flow to its end, and see that no task is left."""
    recorder = how.setdefault("recorder", MemoryRecorder())
    before = asyncio.all_tasks()
    result = await engine(spec, **how).run()
    assert asyncio.all_tasks() <= before, "the engine left tasks behind"
    return Run(result, recorder)


async def outputs_of(type_: str, **inputs: Any) -> dict[str, Any]:
    """The outputs of one built-in node with these inputs."""
    run = await run_flow(FlowSpec.model_validate({"nodes": [{"id": "it", "type": type_, "inputs": inputs}]}))
    assert run.result.error is None, run.result.error
    return dict(run.recorder.of("it").outputs)


async def failure_of(type_: str, **inputs: Any) -> str:
    """Why one built-in node with these inputs fails."""
    run = await run_flow(FlowSpec.model_validate({"nodes": [{"id": "it", "type": type_, "inputs": inputs}]}))
    assert run.result.error is not None, run.recorder.of("it")
    return run.result.error.message
