"""What the commands say of running nodes, of edges and workers, and how outputs become text: pure functions."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_cli.execution import Execution, describe, waits_for
from chaingraph_cli.gateway.event_stream import Event
from chaingraph_cli.local import examples
from chaingraph_cli.local.examples import first_example
from chaingraph_cli.render import output_text, running_nodes
from chaingraph_cli.render.event_lines import LOG_TYPES, event_line, log_lines
from chaingraph_cli.verbs.nodes import listed, with_current
from fixtures.paths import ROOT

NOW = datetime(2026, 11, 30, 22, 15, 31, tzinfo=UTC)
SINCE = "2026-11-30T22:15:01.500Z"


def event(type_: str, **data: Any) -> Event:
    return Event(3, type_, SINCE, data, "")


def test_logs_name_skipped_nodes_and_never_call_a_skipped_edge_failed() -> None:
    assert {"node:skipped", "worker:lost"} <= set(LOG_TYPES)
    assert log_lines(event("edge:transfer-failed", **{"from": "b.value", "to": "c.x"}, error="no", skipped=True)) == []
    (failed,) = log_lines(event("edge:transfer-failed", **{"from": "b.value", "to": "c.x"}, error="no"))
    assert failed.endswith("FAILED: b.value -> c.x: no")
    (skipped,) = log_lines(event("node:skipped", nodeId="c", reason="values.b: b was skipped"))
    assert skipped == f"{SINCE}  c  skipped: values.b: b was skipped"


@pytest.mark.parametrize(
    ("next_", "words"),
    [
        ("queued", "the execution is queued again"),
        ("paused", "the execution stays paused"),
        ("failed", "the execution fails"),
    ],
)
def test_a_lost_worker_is_told_with_its_attempt_and_what_follows(next_: str, words: str) -> None:
    lost = event("worker:lost", worker="w-1", attempt=2, nodes=["load", "save"], losses=1, next=next_)
    (line,) = log_lines(lost)
    assert line.endswith(f"worker w-1 was lost in attempt 2 while it ran load, save: {words}")
    assert "worker:lost" in event_line(lost)


def node(**fields: Any) -> dict[str, Any]:
    return {"node": "load", "try": 1, "maxTries": 3, "startTime": SINCE, "nextTryTime": None} | fields


def execution(**fields: Any) -> dict[str, Any]:
    return {"currentNodes": ["load"], "paused": False, "nodes": {"running": 1}, "attempt": 1} | fields


def test_running_nodes_show_try_elapsed_time_and_next_try() -> None:
    again = node(**{"try": 2}, nextTryTime="2026-11-30T22:15:43.000Z")
    assert running_nodes.short(node(), NOW) == "load 29s"
    assert running_nodes.short(node(**{"try": 2}), NOW) == "load 29s (try 2 of 3)"
    assert running_nodes.short(again, NOW) == "load (try 3 of 3 in 12s)"
    assert running_nodes.said(running_nodes.row(again), NOW) == (
        "try 2 of 3 failed, next try at 2026-11-30T22:15:43Z (in 12s)"
    )
    lines = listed(with_current([], execution(runningNodes=[node()]))).splitlines()
    assert lines[1].split()[:2] == ["load", "running"]
    assert lines[1].endswith("try 1 of 3, since 2026-11-30T22:15:01Z")
    assert "retrying" in listed(with_current([], execution(runningNodes=[again])))


def test_waiting_nodes_are_shown_with_the_end_of_their_wait() -> None:
    waits = node(waitsFor="Time", untilTime="2026-11-30T22:15:43.000Z")
    assert running_nodes.short(waits, NOW) == "load (in 12s)"
    said = "since 2026-11-30T22:15:01Z, until 2026-11-30T22:15:43Z"
    assert running_nodes.said(running_nodes.row(waits), NOW) == f"{said} (in 12s)"
    asleep = execution(currentNodes=[], nodes={"running": 0, "waiting": 1}, runningNodes=[waits])
    lines = listed(with_current([], asleep)).splitlines()
    assert lines[1].split()[:2] == ["load", "waiting"]
    ended = execution(currentNodes=[], completionTime="2026-11-30T22:15:31.500Z", runningNodes=[waits])
    lines = listed(with_current([], ended)).splitlines()
    assert lines[1].split()[:2] == ["load", "interrupted"]
    assert lines[1].endswith(said), "it is not to come any more"


def test_waiting_execution_is_described_by_its_wait() -> None:
    condition = {"type": "Waiting", "status": "True", "reason": "Time", "message": "'nap' waiting since 1"}
    status = {"phase": "Running", "nodes": {"total": 1, "waiting": 1}, "waiting": [{"node": "nap", "kind": "Time"}]}
    item = {"metadata": {"name": "a"}, "spec": {}, "status": status | {"conditions": [condition]}}
    assert describe(Execution(item)) == "running: 'nap' waiting since 1"


def test_nodes_that_an_end_interrupted_are_shown_with_how_long_they_ran() -> None:
    ended = execution(currentNodes=[], completionTime="2026-11-30T22:15:31.500Z", runningNodes=[node()])
    lines = listed(with_current([{"node": "a", "outcome": "completed", "attempt": 1}], ended)).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["a", "completed", "<none>"], ["load", "interrupted", "30s"]]
    assert lines[2].endswith("try 1 of 3, since 2026-11-30T22:15:01Z")
    # One whose end came after what was told last.
    done = {"node": "load", "outcome": "completed", "attempt": 1}
    assert with_current([done], ended) == [done]


def test_what_an_execution_waits_for_is_said_in_the_operators_words() -> None:
    said = {"type": "Succeeded", "status": "Unknown", "reason": "NoWorker", "message": "no live worker\nmore"}
    item: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {}, "status": {"phase": "Pending", "conditions": [said]}}
    assert waits_for(Execution(item)) == "no live worker"
    assert waits_for(Execution(item | {"status": {}})) == "waiting for the operator"
    assert waits_for(Execution(item | {"status": {"phase": "Running"}})) == ""


def test_up_names_an_example_that_is_there_wherever_it_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    assert first_example() == Path("examples/01-hello.yaml")
    monkeypatch.chdir(tmp_path)
    assert first_example() == ROOT / "examples" / "01-hello.yaml"
    # An installed package has no checkout around it: the wheel brings the file, beside the module.
    monkeypatch.setattr(examples, "_CHECKOUT", tmp_path)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    brought = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    module = Path(examples.__file__).parent.relative_to(ROOT / "cli")
    assert brought == {"examples/01-hello.yaml": f"{module}/{first_example().name}"}
    assert first_example().parent == Path(examples.__file__).parent


@pytest.mark.parametrize("program", ["chaingraph", "kubectl-chaingraph"])
@pytest.mark.parametrize("arguments", [(), ("get", "--help"), ("--help",), ("completion", "bash"), ("nonsense",)])
def test_whoever_stops_reading_hears_of_no_error(program: str, arguments: tuple[str, ...]) -> None:
    command = [str(Path(sys.executable).parent / program), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
        assert process.wait(60) in (0, 2, 141)
    assert "Traceback" not in complaint
    assert "BrokenPipe" not in complaint


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(value=json_values, ascii_=st.booleans(), size=st.integers(1, 9))
def test_a_value_is_cut_out_of_its_page_whatever_the_pieces_are(value: Any, ascii_: bool, size: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_)
    page = f'{{"executionID":"EX1","output":"a","attempt":1,"value":{text}}}\n'.encode()
    pieces = [page[start : start + size] for start in range(0, len(page), size)]
    assert "".join(output_text.value_of(pieces, "value")) == text
    raw = "".join(output_text.raw(output_text.value_of(pieces, "value")))
    assert raw == (value if isinstance(value, str) else text)


@pytest.mark.parametrize("text", [r"\ud800", r"\ud800x\u0041", r"\ud800\n", r"\udc00\ud83d\ude00", "\\\\", r"\\u0041"])
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_escapes_of_a_text_are_read_whole(text: str, size: int) -> None:
    quoted = f'"{text}"'
    pieces = [quoted[start : start + size] for start in range(0, len(quoted), size)]
    assert "".join(output_text.raw(pieces)) == json.loads(quoted)
