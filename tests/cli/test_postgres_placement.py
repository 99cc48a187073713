"""Where PostgreSQL's data goes when it has to run as another user; decided by permission bits alone."""

from __future__ import annotations

from pathlib import Path

from chaingraph_cli.cluster import postgres
from chaingraph_cli.cluster.spec import Account

STRANGER = Account("stranger", 54_321, 54_321)


def _open_folder(tmp_path: Path) -> Path:
    """A folder that everybody can get to: pytest keeps its own closed."""
    folder = tmp_path / "home" / "project" / "state"
    folder.mkdir(parents=True)
    for each in (folder, *folder.parents):
        if each == Path("/tmp"):
            break
        each.chmod(0o755)
    return folder


def test_our_own_user_keeps_the_data_in_the_state_folder(tmp_path: Path) -> None:
    assert postgres.data_folder(tmp_path, None) == tmp_path / "postgres"


def test_a_stranger_that_can_get_there_as_well(tmp_path: Path) -> None:
    folder = _open_folder(tmp_path)
    assert postgres.traversable(folder, STRANGER)
    assert postgres.data_folder(folder, STRANGER) == folder / "postgres"


def test_behind_a_closed_parent_it_lies_elsewhere_always_at_the_same_place(tmp_path: Path) -> None:
    folder = _open_folder(tmp_path)
    (tmp_path / "home").chmod(0o700)
    assert not postgres.traversable(folder, STRANGER)
    elsewhere = postgres.data_folder(folder, STRANGER)
    assert not elsewhere.is_relative_to(tmp_path)
    assert postgres.data_folder(folder, STRANGER) == elsewhere
    assert postgres.data_folder(folder.with_name("other"), STRANGER) != elsewhere


def test_owner_and_group_bits_are_those_that_count(tmp_path: Path) -> None:
    folder = _open_folder(tmp_path)
    info = folder.stat()
    (tmp_path / "home").chmod(0o710)
    assert postgres.traversable(folder, Account("member", 54_321, info.st_gid))
    (tmp_path / "home").chmod(0o601)
    assert not postgres.traversable(folder, Account("owner", info.st_uid, 54_321))
    (tmp_path / "home").chmod(0o755)


def test_a_folder_that_is_to_be_made_is_judged_by_its_parents(tmp_path: Path) -> None:
    folder = _open_folder(tmp_path) / "not" / "yet"
    assert postgres.traversable(folder, STRANGER)
