"""A recorded process is recognised, and nothing else is ever taken for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from chaingraph_cli.cluster.identity import ProcessIdentity, end

# `end` waits for the parent to reap: as in life, where the processes to end are not our own children.
_FORK = "import os, sys, time\npid = os.fork()\nif pid: print(pid, flush=True); os._exit(0)\n"


def _orphan(code: str) -> ProcessIdentity:
    done = subprocess.run(
        [sys.executable, "-c", _FORK + "os.setsid(); os.close(1)\n" + code], stdout=subprocess.PIPE, check=True
    )
    identity = ProcessIdentity.of(int(done.stdout))
    assert identity is not None
    return identity


@pytest.fixture
def sleeper() -> Iterator[ProcessIdentity]:
    identity = _orphan("time.sleep(60)")
    yield identity
    identity.signal(signal.SIGKILL)


def test_a_live_process_is_itself(sleeper: ProcessIdentity) -> None:
    assert sleeper.alive()
    assert ProcessIdentity.of(sleeper.pid) == sleeper


def test_the_same_pid_with_another_birth_is_left_alone(sleeper: ProcessIdentity) -> None:
    impostor = ProcessIdentity(sleeper.pid, sleeper.birth + "0")
    assert not impostor.alive()
    impostor.signal(signal.SIGKILL)
    assert end([impostor], seconds=1) == ()
    assert sleeper.alive()


def test_a_gone_pid_and_a_zombie_have_no_identity() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 10
    while ProcessIdentity.of(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ProcessIdentity.of(child.pid) is None  # a zombie: not yet waited for
    child.wait()
    assert ProcessIdentity.of(child.pid) is None


def test_end_asks_first(sleeper: ProcessIdentity) -> None:
    assert end([sleeper], seconds=10) == ()
    assert not sleeper.alive()


def test_end_kills_a_process_that_ignores_sigterm() -> None:
    deaf = _orphan("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)")
    time.sleep(0.3)
    assert end([deaf], seconds=0.3) == (deaf,)
    assert not deaf.alive()
