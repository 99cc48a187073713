"""Where PostgreSQL's data goes when it has to run as another user; decided by permission bits alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaingraph_cli.cluster.programs import postgres
from chaingraph_cli.cluster.spec import Account

STRANGER = Account("stranger", 54_321, 54_321)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that everybody can get to; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _open_folder(base: Path) -> Path:
    folder = base / "home" / "project" / "state"
    folder.mkdir(parents=True)
    for each in (base / "home", base / "home" / "project", folder):
        each.chmod(0o755)
    return folder


def test_our_own_user_keeps_the_data_in_the_state_folder(base: Path) -> None:
    assert postgres.data_folder(base, None) == base / "postgres"


def test_other_account_uses_a_reachable_state_folder(base: Path) -> None:
    folder = _open_folder(base)
    assert postgres.traversable(folder, STRANGER)
    assert postgres.data_folder(folder, STRANGER) == folder / "postgres"


def test_unreachable_state_folder_gets_a_stable_other_place(base: Path) -> None:
    folder = _open_folder(base)
    (base / "home").chmod(0o700)
    assert not postgres.traversable(folder, STRANGER)
    elsewhere = postgres.data_folder(folder, STRANGER)
    assert not elsewhere.is_relative_to(base)
    assert postgres.data_folder(folder, STRANGER) == elsewhere
    assert postgres.data_folder(folder.with_name("other"), STRANGER) != elsewhere


def test_traversable_checks_owner_and_group_bits(base: Path) -> None:
    folder = _open_folder(base)
    info = folder.stat()
    (base / "home").chmod(0o710)
    assert postgres.traversable(folder, Account("member", 54_321, info.st_gid))
    (base / "home").chmod(0o601)
    assert not postgres.traversable(folder, Account("owner", info.st_uid, 54_321))
    (base / "home").chmod(0o755)


def test_future_folder_is_judged_by_its_parents(base: Path) -> None:
    folder = _open_folder(base) / "not" / "yet"
    assert postgres.traversable(folder, STRANGER)


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_unreachable_programs_are_copied_and_work(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_SHARED", base / "shared")
    monkeypatch.setattr(postgres, "traversable", lambda folder, account: folder.is_relative_to(base))
    layout = postgres.plan(base / "state", port=1, logs=base, durable=False)
    assert layout.programs.is_relative_to(base / "shared")
    postgres.initialise(layout)
    assert (layout.data / "PG_VERSION").stat().st_uid != 0
