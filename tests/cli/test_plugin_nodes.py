"""`nodes`: what it makes of the gateway's answers. With a real one it runs in the documentation's debugging session."""

from __future__ import annotations

from typing import Any

from chaingraph_cli.verbs.nodes import in_order, listed, whole, with_current


def ended(node: str, outcome: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"node": node, "outcome": outcome, "durationSeconds": 1.5, "attempt": 1, "tries": 1} | fields


def execution(*current: str, paused: bool = False, running: int = 0) -> dict[str, Any]:
    return {"currentNodes": list(current), "paused": paused, "nodes": {"running": running}}


def outcomes(rows: list[Any]) -> list[tuple[str, str]]:
    return [(row["node"], row["outcome"]) for row in rows]


def test_current_nodes_follow_ended_ones() -> None:
    rows = with_current([ended("a"), ended("b", "skipped")], execution("c", running=1))
    assert outcomes(rows) == [("a", "completed"), ("b", "skipped"), ("c", "running")]


def test_a_pause_holds_the_current_nodes_once_nothing_runs() -> None:
    assert outcomes(with_current([], execution("c", "d", paused=True))) == [("c", "held"), ("d", "held")]
    running = with_current([], execution("c", "d", paused=True, running=1))
    assert outcomes(running) == [("c", "running or held"), ("d", "running or held")]


def test_a_node_that_runs_again_is_shown_once() -> None:
    rows = with_current([ended("a"), ended("b", "failed")], execution("b", running=1))
    assert outcomes(rows) == [("a", "completed"), ("b", "running")]


def test_the_table_has_the_values_and_the_errors() -> None:
    rows = [
        ended("a", outputs={"result": 36, "text": "é"}),
        ended("b", "failed", error="first line\nsecond line", outputs={}),
        ended("c", "skipped", reason="__execute is false"),
        {"node": "d", "outcome": "held"},
    ]
    assert listed(rows).splitlines() == [
        "NODE   OUTCOME     DURATION   OUTPUTS",
        'a      completed   1.5s       result=36  text="é"',
        "b      failed      1.5s       first line",
        "c      skipped     1.5s       __execute is false",
        "d      held        <none>     <none>",
    ]


def test_long_values_are_cut_unless_the_table_is_wide() -> None:
    rows = [ended("a", outputs={"text": "x" * 500}, startTime="2026-11-24T00:00:00.000Z")]
    assert listed(rows, headers=False).endswith("…")
    assert "x" * 500 in listed(rows, wide=True)


def test_nodes_stand_in_the_order_of_their_ends() -> None:
    rows = [ended("a", completionTime="3"), ended("b", completionTime="1"), ended("c", completionTime="1")]
    assert [row["node"] for row in in_order(rows)] == ["b", "c", "a"]


def test_large_outputs_are_told_by_size_and_fetched_for_json() -> None:
    row = ended("a", bytes=5_000_000, omitted=True)
    assert "(5,000,000 bytes: use -o json)" in listed([row])

    class Gateway:
        def get(self, path: str) -> dict[str, Any]:
            assert path == "/executions/EX1/nodes/a"
            return {"record": {"outputs": {"x": 1}, "attempts": 2, "error": "", "reason": "", "emissions": []}}

    gateway: Any = Gateway()
    found = whole(gateway, "EX1", row)
    assert (found["outputs"], found["tries"], "omitted" in found) == ({"x": 1}, 2, False)
    assert whole(gateway, "EX1", ended("b")) == ended("b")
