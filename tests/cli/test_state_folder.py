"""The state file: what is written is read again, damage is named, and only one supervisor holds a folder."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chaingraph_cli.cluster.identity import ProcessIdentity
from chaingraph_cli.cluster.programs.probes import HttpProbe, PostgresProbe
from chaingraph_cli.cluster.spec import ProcessCondition, ProcessSpec, Report, Tier
from chaingraph_cli.cluster.state import (
    ClusterSettings,
    ClusterState,
    Phase,
    StateFolder,
    end_leftovers,
    leftovers,
    record,
    supervised,
)
from chaingraph_cli.errors import AlreadyRunning, StateInvalid


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder.at(tmp_path / "state")
    folder.create()
    return folder


def _report(name: str, pid: int | None = None, *, tier: Tier = Tier.COMPONENTS) -> Report:
    spec = ProcessSpec(
        name=name,
        argv=("true",),
        log=Path("/logs") / name,
        probe=HttpProbe(url="http://127.0.0.1:1/"),
        tier=tier,
        port=1,
    )
    identity = ProcessIdentity.of(pid) if pid else None
    return Report(spec, ProcessCondition.RUNNING, since=5.0, identity=identity, restarts=2, last_exit="exit code 1")


def test_saved_state_is_loaded_unchanged(folder: StateFolder) -> None:
    state = ClusterState(settings=ClusterSettings(workers=3, context="kind"), phase=Phase.RUNNING, ports={"etcd": 1234})
    state = record(state, _report("etcd", tier=Tier.STORAGE))
    folder.save(state)
    assert folder.load() == state


def test_state_file_is_private_to_its_owner(folder: StateFolder) -> None:
    folder.save(ClusterState(settings=ClusterSettings(database_url="postgresql://u:secret@h/d")))
    assert stat.S_IMODE(folder.file.stat().st_mode) == 0o600
    assert (folder.path / ".gitignore").read_text() == "*\n"


def test_missing_state_file_loads_as_none(folder: StateFolder) -> None:
    assert folder.load() is None
    assert StateFolder.at(folder.path / "elsewhere").load() is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "the whole file"),
        ('{"version": 2}', "version"),
        ('{"phase": "Sleeping"}', "phase"),
        ('{"ports": {"etcd": "many"}}', "ports.etcd"),
    ],
)
def test_a_damaged_file_is_named_with_the_field(folder: StateFolder, text: str, named: str) -> None:
    folder.file.write_text(text)
    with pytest.raises(StateInvalid) as raised:
        folder.load()
    assert str(folder.file) in raised.value.message
    assert named in raised.value.message


def test_second_supervisor_is_rejected_until_the_first_ends(folder: StateFolder) -> None:
    with folder.locked(), pytest.raises(AlreadyRunning), folder.locked():
        pass
    with folder.locked():
        pass


def test_killed_supervisor_releases_its_lock(folder: StateFolder) -> None:
    code = f"""
import time
from pathlib import Path
from chaingraph_cli.cluster.state import StateFolder
with StateFolder.at(Path({str(folder.path)!r})).locked():
    print("locked", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(AlreadyRunning), folder.locked():
            pass
        holder.kill()
    with folder.locked():
        pass


def test_a_new_report_replaces_the_old_one_in_its_place() -> None:
    state = record(record(record(ClusterState(), _report("a")), _report("b")), _report("a"))
    assert [each.spec.name for each in state.processes] == ["a", "b"]
    assert (state.processes[0].restarts, state.processes[0].last_exit) == (2, "exit code 1")


def test_leftovers_are_found_by_identity_and_ended_users_first() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep) as store, subprocess.Popen(sleep) as worker:
        state = record(ClusterState(), _report("store", store.pid, tier=Tier.STORAGE))
        state = record(state, _report("worker", worker.pid))
        state = record(state, replace(_report("stale"), identity=ProcessIdentity(worker.pid, birth="-")))
        assert [each.spec.name for each in leftovers(state)] == ["worker", "store"]
        assert [each.spec.name for each in end_leftovers(state)] == ["worker", "store"]
        assert {store.wait(5), worker.wait(5)} == {-signal.SIGTERM}
    assert leftovers(state) == ()


def test_supervised_means_that_very_process_lives() -> None:
    assert not supervised(ClusterState())
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        report = record(ClusterState(), _report("me", process.pid)).processes[0]
        state = ClusterState(supervisor=report.identity)
        assert supervised(state)
        process.kill()
        process.wait()
        assert not supervised(state)


def test_both_kinds_of_probe_survive_the_file(folder: StateFolder) -> None:
    web = record(ClusterState(), _report("etcd")).processes[0]
    database = replace(web.spec, name="postgres", probe=PostgresProbe(url="postgresql://h/d"))
    folder.save(ClusterState(processes=(web, replace(web, spec=database))))
    loaded = folder.load()
    assert loaded is not None
    assert [type(each.spec.probe) for each in loaded.processes] == [HttpProbe, PostgresProbe]
