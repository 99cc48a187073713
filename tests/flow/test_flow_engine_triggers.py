"""Which nodes an event concerns, and what a run emits."""

from __future__ import annotations

import pytest

from chaingraph_flow import (
    ExternalEvent,
    FailureReason,
)
from fixtures.flows.runs import run_flow

BINDING = """
    nodes:
    - {id: shared, type: Text, inputs: {value: shared}}
    - {id: only, type: Text, inputs: {value: only}}
    - {id: plain, type: Text}
    - {id: placed, type: EventListener, inputs: {eventName: placed}}
    - {id: paid, type: EventListener, inputs: {eventName: paid}}
    - {id: onPlaced, type: Object}
    - {id: both, type: Join}
    edges:
    - {from: shared.value, to: plain.value}
    - {from: shared.value, to: onPlaced.value.shared}
    - {from: only.value, to: onPlaced.value.only}
    - {from: placed.payload, to: onPlaced.value.payload}
    - {from: placed.payload, to: both.a}
    - {from: paid.payload, to: both.b}
"""


@pytest.mark.parametrize(
    ("events", "active"),
    [
        (None, {"shared", "plain"}),
        (["placed"], {"shared", "only", "placed", "onPlaced", "both", "paid"}),
        (["paid"], {"paid", "both", "placed"}),
        (["placed", "paid"], {"shared", "only", "placed", "onPlaced", "both", "paid"}),
    ],
)
async def test_trigger_activates_only_its_nodes(events: list[str] | None, active: set[str]) -> None:
    trigger = None if events is None else [ExternalEvent(name, {"of": name}) for name in events]
    run = await run_flow(BINDING, trigger=trigger)
    assert set(run.recorder.outcomes()) == active
    assert run.result.progress.total == len(active)
    if events == ["paid"]:
        assert run.recorder.of("placed").reason == "event 'placed' did not trigger this execution"
        assert run.recorder.of("both").outputs == {"result": {"of": "paid"}, "port": "b"}
    if events == ["placed", "paid"]:
        assert run.recorder.of("both").outputs["result"] == {"of": "placed"}


async def test_trigger_without_listener_fails() -> None:
    run = await run_flow(BINDING, trigger=[ExternalEvent("paied")])
    assert run.result.error is not None
    assert run.result.error.reason == FailureReason.NO_LISTENER
    assert "did you mean 'paid'?" in run.result.error.message


async def test_emissions_follow_node_order() -> None:
    run = await run_flow("""
        nodes:
        - {id: wait, type: Sleep, inputs: {milliseconds: 5}}
        - {id: late, type: EmitEach, inputs: {eventName: late, items: [1, 2]}}
        - {id: early, type: EventEmitter, inputs: {eventName: early, payload: {a: 1}}}
        edges: [{from: wait.__success, to: late.__execute}]
    """)
    assert [(each.name, each.payload) for each in run.result.emissions] == [
        ("late", 1), ("late", 2), ("early", {"a": 1}),
    ]  # fmt: skip
