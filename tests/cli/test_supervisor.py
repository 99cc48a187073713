"""The supervisor against real processes: readiness, restarts with back-off, order of stopping, last lines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chaingraph_cli.cluster import ports
from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.log_tail import size, tail
from chaingraph_cli.cluster.programs.probes import HttpProbe, check
from chaingraph_cli.cluster.spec import ProcessCondition, ProcessSpec, Report, Tier
from chaingraph_cli.cluster.supervisor import Supervisor, backoff, describe_exit
from chaingraph_cli.errors import StartFailed

_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2])); self.end_headers(); self.wfile.write(b"answer")
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
MakeSpec = Callable[..., ProcessSpec]


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    def make(
        name: str, code: str = _SERVER, *, status: int = 200, tier: Tier = Tier.COMPONENTS, ready_seconds: float = 20.0
    ) -> ProcessSpec:
        port = ports.assign([name], {})[name]
        return ProcessSpec(
            name=name,
            argv=(sys.executable, "-c", code, str(port), str(status)),
            log=tmp_path / f"{name}.log",
            probe=HttpProbe(url=f"http://{ports.LOOPBACK}:{port}/"),
            tier=tier,
            port=port,
            stop_seconds=5.0,
            ready_seconds=ready_seconds,
        )

    return make


@pytest.fixture
def reports() -> list[Report]:
    return []


@pytest.fixture
async def supervisor(reports: list[Report]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(reports.append)
    yield supervisor
    await supervisor.stop_all()


def _identity(supervisor: Supervisor, name: str) -> ProcessIdentity:
    identity = supervisor.report(name).identity
    assert identity is not None
    return identity


async def _eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within ten seconds."""
    for _ in range(500):
        if holds():
            return True
        await asyncio.sleep(0.02)
    return False


async def test_started_means_healthy_and_stopped_means_gone(
    supervisor: Supervisor, make_spec: MakeSpec, reports: list[Report]
) -> None:
    spec = make_spec("server")
    await supervisor.start(spec)
    assert await check(spec.probe) is None
    identity = _identity(supervisor, "server")
    await supervisor.stop("server")
    assert not identity.alive()
    assert [each.condition for each in reports] == [
        ProcessCondition.STARTING,
        ProcessCondition.RUNNING,
        ProcessCondition.STOPPED,
    ]


async def test_a_process_that_dies_at_once_shows_its_last_lines(supervisor: Supervisor, make_spec: MakeSpec) -> None:
    spec = make_spec("broken", "import sys; print('no such table'); sys.exit(3)")
    with pytest.raises(StartFailed) as raised:
        await supervisor.start(spec)
    assert "broken did not start: exit code 3" in raised.value.message
    assert "no such table" in raised.value.message
    assert str(spec.log) in raised.value.hint
    assert supervisor.report("broken").last_exit == "exit code 3"


async def test_last_lines_are_those_of_this_run(supervisor: Supervisor, make_spec: MakeSpec) -> None:
    spec = make_spec("broken", "import sys; sys.exit('the second')")
    spec.log.write_text("the first\n")
    with pytest.raises(StartFailed) as raised:
        await supervisor.start(spec)
    assert "the second" in raised.value.message
    assert "the first" not in raised.value.message


async def test_a_process_that_others_do_without_is_tried_again(
    supervisor: Supervisor, make_spec: MakeSpec, tmp_path: Path
) -> None:
    fixed = tmp_path / "fixed"
    spec = make_spec("worker", f"import pathlib\nif not pathlib.Path({str(fixed)!r}).exists(): 1 / 0\n{_SERVER}")
    error = await supervisor.start_or_retry(spec)
    assert error is not None
    assert "worker did not start: exit code 1" in error.message
    assert "ZeroDivisionError" in error.message
    assert supervisor.report("worker").condition == ProcessCondition.BACKING_OFF
    fixed.touch()
    assert await _eventually(lambda: supervisor.report("worker").condition == ProcessCondition.RUNNING)
    assert await check(spec.probe) is None


async def test_a_process_that_is_never_ready_is_ended(supervisor: Supervisor, make_spec: MakeSpec) -> None:
    with pytest.raises(StartFailed, match="not ready in time"):
        await supervisor.start(make_spec("sick", status=503, ready_seconds=1.0))
    assert supervisor.report("sick").identity is None


async def test_a_killed_process_is_started_again(
    supervisor: Supervisor, make_spec: MakeSpec, reports: list[Report]
) -> None:
    await supervisor.start(make_spec("server"))
    before = _identity(supervisor, "server")
    before.signal(signal.SIGKILL)
    assert await _eventually(lambda: [each.condition for each in reports].count(ProcessCondition.RUNNING) == 2)
    assert _identity(supervisor, "server") != before
    assert supervisor.report("server").last_exit == "killed by SIGKILL"
    assert ProcessCondition.BACKING_OFF in [each.condition for each in reports]


async def test_higher_tiers_are_stopped_before_those_they_use(
    supervisor: Supervisor, make_spec: MakeSpec, reports: list[Report]
) -> None:
    for name, tier in (("worker", Tier.COMPONENTS), ("store", Tier.STORAGE), ("api", Tier.API)):
        await supervisor.start(make_spec(name, tier=tier))
    await supervisor.stop_all()
    stopped = [each.spec.name for each in reports if each.condition == ProcessCondition.STOPPED]
    assert stopped == ["worker", "api", "store"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_processes_end_with_a_supervisor_that_is_killed(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec("server")
    code = f"""
import asyncio, sys
from pathlib import Path
from chaingraph_cli.cluster.programs.probes import HttpProbe
from chaingraph_cli.cluster.spec import ProcessSpec, Tier
from chaingraph_cli.cluster.supervisor import Supervisor
async def main():
    supervisor = Supervisor()
    await supervisor.start(ProcessSpec("server", {spec.argv!r}, Path({str(spec.log)!r}),
                                       HttpProbe(url={spec.probe.url!r}), Tier.COMPONENTS, {spec.port}))
    print(supervisor.report("server").identity.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        assert child is not None
        os.kill(parent.pid, signal.SIGKILL)
    assert asyncio.run(_eventually(lambda: not child.alive()))


def test_backoff_doubles_up_to_its_bound() -> None:
    assert [backoff(failures) for failures in (1, 2, 3, 6, 7, 8, 1000)] == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("code", "said"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_an_exit_is_described(code: int, said: str) -> None:
    assert describe_exit(code) == said


def test_tail_shows_the_last_lines_and_shortens_long_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(log, lines=2) == "line 9998\nline 9999"
    log.write_text("a" * 1000 + "b" * 1000)
    assert tail(log) == "a" * 200 + " [...] " + "b" * 200


def test_tail_shows_a_traceback_whole_and_json_as_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "def deep(n):\n  try: deep(n - 1) if n else 1 / 0\n  except Exception as e: raise ValueError(n) from e\ndeep(4)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    log.write_text("before\n" + done.stderr)
    assert tail(log) == f"before\n{done.stderr.rstrip()}"
    line = {
        "message": "cannot start",
        "level": "critical",
        "reason": "it is broken",
        "exception": done.stderr,
        "time": "t",
    }
    begin = size(log)
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert tail(log, begin) == f"critical: cannot start reason=it is broken\n{done.stderr.rstrip()}"
