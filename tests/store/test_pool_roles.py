"""CHAINGRAPH_POOL_ROLES: what it may say, and how the migration brings a database there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from chaingraph_store.errors import SettingsRefused
from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.pool_roles.own import refusal
from chaingraph_store.pool_roles.setting import PoolRole, parse
from fixtures.ledger.database import PostgresServer
from fixtures.ledger.pool_roles import POOLS, apply, queue_of, setting

ROLE = POOLS["alpha"]
POLICIES = "SELECT polrelid::regclass::text, polname::text, xmin::text FROM pg_policy ORDER BY 1, 2"
SECURED = "SELECT count(*) FROM pg_class WHERE relrowsecurity"


def test_pools_with_one_role_share_its_queues() -> None:
    pools = {"b": ("r", ["q2"]), "a": ("r", ["q1", "q2"]), "c": ("s", ["q3"])}
    text = {pool: {"role": role, "queues": queues} for pool, (role, queues) in pools.items()}
    assert parse(json.dumps(text)) == [PoolRole("r", ("a", "b"), ("q1", "q2")), PoolRole("s", ("c",), ("q3",))]
    assert parse("{}") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("billing", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"a": {"role": "r"}}', "a.queues: Field required"),
        ('{"a": {"role": "", "queues": ["q"]}}', "a.role: String should have at least 1 character"),
        ('{"a": {"role": "r", "queues": []}}', "a.queues: List should have at least 1 item"),
        ('{"a": {"role": "r", "queues": "q"}}', "a.queues: Input should be a valid array"),
        ('{"a": {"role": "r", "queues": ["q"], "queue": 1}}', "a.queue: Extra inputs are not permitted"),
        ('{"A b": {"role": "r", "queues": ["q"]}}', "A b: String should match pattern"),
        ('{"a": {"role": "r", "queues": ["q@v"]}}', "a.queues has 'q@v'"),
        ('{"a": {"role": "r", "queues": [" q"]}}', "a.queues has ' q'"),
        ('{"a": {"role": "r", "queues": ["chaingraph-held"]}}', "a.queues has 'chaingraph-held', which is reserved"),
    ],
)
def test_a_wrong_setting_says_where(text: str, said: str) -> None:
    with pytest.raises(SettingsRefused, match="CHAINGRAPH_POOL_ROLES") as refused:
        parse(text)
    assert said in str(refused.value)


def test_a_role_of_the_pool_and_its_queues_is_not_refused() -> None:
    role = PoolRole("r", ("a", "b"), ("q1", "q2"))
    assert refusal(role, pool="b", queues=["q2"]) is None
    assert "CHAINGRAPH_POOL is 'c'" in str(refusal(role, pool="c", queues=["q2"]))
    assert "CHAINGRAPH_QUEUES has 'q3'" in str(refusal(role, pool="a", queues=["q1", "q3"]))


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def count(url: str, table: str = "dbos.queues") -> int | None:
    """Rows that a role sees; None for a role without rights."""
    with psycopg.connect(url) as connection:
        try:
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split(".")))
            ).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            return None
    return None if row is None else int(row[0])


@pytest.mark.integration
def test_a_migration_without_changes_touches_no_table(
    database_url: str, owner: psycopg.Connection, pool_urls: dict[str, str]
) -> None:
    before = owner.execute(POLICIES).fetchall()
    for text in (None, setting(**{pool: [queue_of(pool)] for pool in POOLS})):
        apply(database_url, text)
        assert owner.execute(POLICIES).fetchall() == before
    apply(database_url, setting(alpha=[queue_of("alpha"), "more"], beta=[queue_of("beta")]))
    after = owner.execute(POLICIES).fetchall()
    assert len(after) == len(before)
    assert after != before


@pytest.mark.integration
def test_a_role_that_is_left_out_loses_its_rights(
    database_url: str, owner: psycopg.Connection, pool_urls: dict[str, str]
) -> None:
    apply(database_url, setting(beta=[queue_of("beta")]))
    assert [count(pool_urls[pool]) is None for pool in ("alpha", "beta")] == [True, False]
    apply(database_url, "{}")
    assert count(pool_urls["beta"]) is None
    assert owner.execute(POLICIES).fetchall() == []
    assert owner.execute(SECURED).fetchone() == (0,), "nobody pays for what is not used"
    assert owner.execute("SELECT task FROM chaingraph.upkeep ORDER BY 1").fetchall() == [("forget",), ("stranded",)]


@pytest.mark.integration
def test_an_installation_without_pool_roles_has_no_policies(database_url: str, owner: psycopg.Connection) -> None:
    apply(database_url, None)
    assert owner.execute(SECURED).fetchone() == (0,)
    assert owner.execute("SELECT chaingraph.pool_role()").fetchone() == ("",)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        (None, "does not exist. CREATE ROLE \"unfit\" LOGIN PASSWORD '...'"),
        ("SUPERUSER", "is a superuser, so it cannot be restricted to its queues"),
        ("BYPASSRLS", "has BYPASSRLS"),
        ("CREATEROLE", "has CREATEROLE"),
        ("IN ROLE pg_write_all_data", "is a member of the role pg_write_all_data"),
        (f'IN ROLE "{ROLE}"', f"is a member of the role {ROLE}"),
        ("IN ROLE chaingraph", "owns tables of the database"),
    ],
)
def test_a_role_that_cannot_be_kept_to_a_pool_is_refused(
    postgres_server: PostgresServer,
    database_url: str,
    pool_urls: dict[str, str],
    attribute: str | None,
    said: str,
) -> None:
    desired = json.loads(setting(alpha=["a"])) | {"extra": {"role": "unfit", "queues": ["x"]}}
    if attribute is not None:
        postgres_server.execute(sql.SQL(f"CREATE ROLE unfit LOGIN {attribute}"))
    try:
        with pytest.raises(SettingsRefused) as refused:
            apply(database_url, json.dumps(desired))
    finally:
        postgres_server.execute(sql.SQL("DROP ROLE IF EXISTS unfit"))
    assert str(refused.value).startswith("CHAINGRAPH_POOL_ROLES: role 'unfit' of pool extra ")
    assert said in str(refused.value)
    assert count(pool_urls["beta"]) is not None, "nothing was changed"


@pytest.mark.integration
def test_database_derives_ids_of_children_as_we_do(owner: psycopg.Connection) -> None:
    parent = ExecutionId("EX7DEJ4WXGJTFZ3SZSEGIRAFDK")
    found = owner.execute(
        "SELECT chaingraph.derived_id('child/' || %s || '/' || n) FROM generate_series(0, 199) n ORDER BY n", (parent,)
    ).fetchall()
    assert [row[0] for row in found] == [child_execution_id(parent, number) for number in range(200)]
