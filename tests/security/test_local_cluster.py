"""Nobody but its owner reaches what `chaingraph up` runs: by no network, by no flow, by none of its files (H2)."""

from __future__ import annotations

import os
import re
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from chaingraph_cli.cluster import private
from chaingraph_cli.cluster.programs import postgres
from chaingraph_cli.cluster.programs.control_plane import ControlPlaneLayout, EtcdFiles
from chaingraph_cli.cluster.programs.probes import HttpProbe, PostgresProbe, check
from chaingraph_cli.cluster.state import StateFolder
from chaingraph_cli.errors import StateInvalid
from fixtures.cluster.local import Local

pytestmark = [pytest.mark.timeout(600)]

LISTENING = "0A"
# As /proc/net/tcp and tcp6 write 127.0.0.1 and ::1, each 32 bits in the machine's order.
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def descendants(pids: set[int]) -> set[int]:
    """The processes, and all that they have started."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                content = (folder / "stat").read_text()
            except OSError:
                continue
            parents[int(folder.name)] = int(content.rpartition(")")[2].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets(pids: set[int]) -> set[str]:
    """The inodes of the sockets that they have open."""
    found = set()
    for pid in pids:
        for link in descriptors(pid):
            if inode := re.fullmatch(r"socket:\[(\d+)\]", link):
                found.add(inode[1])
    return found


def descriptors(pid: int) -> Iterator[str]:
    try:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            try:
                yield str(each.readlink())
            except OSError:
                continue
    except OSError:
        return


def listeners(pids: set[int]) -> dict[int, str]:
    """The ports at which they listen, each with its address as the kernel writes it."""
    open_ = sockets(pids)
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in open_:
                address, _, port = fields[1].partition(":")
                found[int(port, 16)] = address
    return found


@pytest.fixture(scope="module")
def pids(local_cluster: Local) -> set[int]:
    status = local_cluster.status()
    return descendants({each["pid"] for each in status["processes"]} | {status["supervisorPid"]})


@pytest.fixture(scope="module")
def ports(local_cluster: Local) -> Mapping[str, int]:
    state = StateFolder.at(local_cluster.folder).load()
    assert state is not None
    return state.ports


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_local_cluster_listens_on_loopback_only(pids: set[int], ports: Mapping[str, int]) -> None:
    found = listeners(pids)
    assert set(found) >= set(ports.values())
    assert {port: address for port, address in found.items() if address not in LOOPBACK} == {}


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_listeners_on_all_addresses_are_found() -> None:
    """The test above could not fail otherwise."""
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        with socket.socket(family, socket.SOCK_STREAM) as open_:
            open_.bind((address, 0))
            open_.listen()
            found = listeners(descendants({os.getpid()}))
            assert found[open_.getsockname()[1]] not in LOOPBACK


@pytest.mark.integration
@pytest.mark.parametrize("name", ["etcd", "etcd-peer"])
def test_etcd_refuses_callers_without_certificate(local_cluster: Local, ports: Mapping[str, int], name: str) -> None:
    layout = ControlPlaneLayout(local_cluster.folder / "control-plane", local_cluster.folder / "logs", {}, ports)
    address = f"127.0.0.1:{ports[name]}"
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{address}/health", trust_env=False).raise_for_status()
    for context in (unverified(), unverified(layout.certificate, layout.key)):
        for path in ("/health", "/metrics", "/version", "/v3/kv/range"):
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"https://{address}{path}", verify=context, trust_env=False)


@pytest.mark.integration
async def test_etcd_answers_who_has_its_certificate(local_cluster: Local, ports: Mapping[str, int]) -> None:
    files = EtcdFiles(local_cluster.folder / "control-plane" / "pki" / "etcd")
    url = f"https://127.0.0.1:{ports['etcd']}/health"
    certificate, key = files.client
    assert await check(HttpProbe(url=url, ca=files.ca, certificate=certificate, key=key)) is None
    assert await check(HttpProbe(url=url, ca=files.ca)) is not None


def unverified(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Of a caller who does not care whom it speaks to."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


@pytest.mark.integration
@pytest.mark.parametrize("password", ["", "wrong", "postgres", "chaingraph"])
@pytest.mark.parametrize("user", [postgres.USER, "postgres"])
def test_postgresql_lets_nobody_in_without_password(ports: Mapping[str, int], user: str, password: str) -> None:
    url = make_conninfo(host="127.0.0.1", port=ports["postgres"], user=user, password=password, dbname="postgres")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, passfile="/dev/null")


@pytest.mark.integration
def test_postgresql_trusts_no_way_in(local_cluster: Local) -> None:
    """Whatever way there is, also a socket: its rules ask for a password everywhere."""
    record = local_cluster.remembered("postgres")
    assert isinstance(record.spec.probe, PostgresProbe)
    with psycopg.connect(record.spec.probe.url) as connection:
        rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        way = connection.execute("SELECT current_setting('unix_socket_directories')").fetchone()
    assert rules == [("scram-sha-256",)]
    assert way == ("",)


@pytest.mark.integration
def test_state_folder_is_private_down_to_each_file(local_cluster: Local) -> None:
    state = StateFolder.at(local_cluster.folder).load()
    assert state is not None
    # PostgreSQL's data may lie elsewhere, and belong to another user of the machine.
    for top in (local_cluster.folder, *state.outside):
        found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (top, *top.rglob("*")) if not path.is_symlink()}
        assert len(found) > 10
        assert {str(path): oct(mode) for path, mode in found.items() if mode & 0o077} == {}


@pytest.mark.integration
def test_no_secret_stands_in_a_command_line(local_cluster: Local, pids: set[int]) -> None:
    """Every user of the machine can read those."""
    folder = local_cluster.folder
    tokens = (folder / "control-plane" / "pki" / "tokens.csv").read_text()
    secrets = [line.partition(",")[0] for line in tokens.splitlines()] + [(folder / "postgres.password").read_text()]
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in pids if Path(f"/proc/{pid}").exists()}
    assert any("kube-apiserver" in line for line in lines.values())
    for secret in secrets:
        assert len(secret) > 20
        assert not any(secret in line for line in lines.values())


def test_folder_of_an_earlier_version_becomes_private(tmp_path: Path) -> None:
    folder = StateFolder.at(tmp_path / "state")
    folder.logs.mkdir(parents=True)
    log = folder.logs / "worker-1.log"
    log.write_text("old\n")
    for each, mode in ((folder.path, 0o755), (folder.logs, 0o777), (log, 0o644)):
        each.chmod(mode)
    folder.create()
    with private.append_to(log) as opened:
        opened.write(b"new\n")
    assert log.read_text() == "old\nnew\n"
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (folder.path, folder.logs, log)]
    assert modes == [0o700, 0o700, 0o600]


def test_shared_folder_is_not_taken_as_state_folder(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(StateInvalid, match="shared"):
        StateFolder.at(shared).create()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_user_is_not_taken(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    os.chown(foreign, 54_321, 54_321)
    with pytest.raises(StateInvalid, match="another user"):
        StateFolder.at(foreign).create()


def test_processes_start_with_a_private_umask(tmp_path: Path) -> None:
    """What the supervisor passes on: also where the shell's own lets everybody read."""
    code = (
        "import asyncio, os, pathlib, sys\n"
        "from chaingraph_cli.cluster.programs.probes import HttpProbe\n"
        "from chaingraph_cli.cluster.spec import ProcessSpec, Tier\n"
        "from chaingraph_cli.cluster.supervisor import Supervisor\n"
        "os.umask(0)\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "spec = ProcessSpec('touch', ('/bin/sh', '-c', 'mkdir %s/made; echo > %s/made/file' % (here, here)),\n"
        "                   here / 'log', HttpProbe(url='http://127.0.0.1:1/'), Tier.COMPONENTS, 1)\n"
        "async def main():\n"
        "    await (await Supervisor()._spawn(spec, 0)).wait()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], check=True)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.rglob("*")}
    assert modes == {"made": 0o700, "file": 0o600, "log": 0o600}
