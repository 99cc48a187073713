"""The silence of a runner: what counts when the machine is too busy, and what the system reports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from chaingraph_worker.runner.limits import processor_of
from chaingraph_worker.supervision.runner import Silence

LIMIT = 5.0
TICK = 0.25


def silent_after(ticks: int, *, wants: bool, share: float, beats: bool = False) -> float | None:
    """After how many seconds a runner counts as silent that gets this share of a processor; None if it does not."""
    silence = Silence()
    silence.watch(TICK, 1, (wants, 10.0))
    for number in range(1, ticks + 1):
        silence.watch(TICK, 1 + number * beats, (wants, 10.0 + number * TICK * share))
        if silence.lasts(LIMIT):
            return number * TICK
    return None


def test_node_that_burns_or_sleeps_is_silent() -> None:
    assert silent_after(100, wants=True, share=1.0) == LIMIT
    assert silent_after(100, wants=False, share=0.0) == LIMIT
    assert silent_after(100, wants=True, share=1.0, beats=True) is None


def test_runner_without_processor_is_not_silent_before_a_limit() -> None:
    assert silent_after(59, wants=True, share=0.0) is None
    assert silent_after(100, wants=True, share=0.5) == LIMIT / 0.5
    assert silent_after(1000, wants=True, share=0.0) == LIMIT * 3


def test_silence_begins_anew_with_a_heartbeat() -> None:
    silence = Silence()
    for beats in (1, 1, 1, 2, 2):
        silence.watch(2.4, beats, None)
    assert not silence.lasts(LIMIT)
    silence.watch(2.7, 2, None)
    assert silence.lasts(LIMIT)


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[int]:
    running = subprocess.Popen([sys.executable, "-c", request.param])
    try:
        yield running.pid
    finally:
        running.kill()
        running.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports it")
@pytest.mark.parametrize(
    ("process", "busy"), [("while True: pass", True), ("import time; time.sleep(60)", False)], indirect=["process"]
)
def test_system_reports_processor_of_a_process(process: int, busy: bool) -> None:
    deadline = time.monotonic() + 30
    while True:
        before = processor_of(process)
        time.sleep(0.3)
        after = processor_of(process)
        assert before is not None
        assert after is not None
        if (after[0], after[1] > before[1]) == (busy, busy):
            return
        assert time.monotonic() < deadline, (before, after)


def test_ended_process_reports_nothing() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processor_of(done.pid) is None
