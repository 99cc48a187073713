"""Migrations: from nothing, twice, after a killed one; and connection strings."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from chaingraph_store import schema
from chaingraph_store.errors import SchemaOutdated, SettingsRefused
from chaingraph_store.ledger import Ledger, checked_dsn


@pytest.mark.integration
async def test_schema_check_rejects_empty_database_with_hint(empty_database_url: str) -> None:
    ledger = Ledger(empty_database_url, application_name="tests")
    await ledger.open()
    try:
        async with ledger.connection() as connection:
            with pytest.raises(SchemaOutdated, match="chaingraph-worker migrate"):
                await schema.check(connection)
    finally:
        await ledger.close()


@pytest.mark.integration
def test_a_migration_can_be_repeated_also_after_a_killed_one(empty_database_url: str) -> None:
    applied = schema.migrate(empty_database_url)
    assert applied == ["0001.schema"]
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    assert schema.migrate(empty_database_url) == []


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("", "names no database"),
        ("mysql://host/db", "not a PostgreSQL connection string"),
        ("postgresql://host:5432", "names no database"),
        ("nonsense", "not a PostgreSQL connection string"),
    ],
)
def test_invalid_dsn_error_names_variable_and_valid_form(dsn: str, said: str) -> None:
    with pytest.raises(SettingsRefused, match=said) as refused:
        checked_dsn(dsn)
    assert "DATABASE_URL_EXECUTIONS" in str(refused.value)
    assert "postgresql://user:password@host:5432/database" in str(refused.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p%40ss%2Fword@db.example:5433/name?sslmode=require",
        "host=/var/run/postgresql user=u dbname=name",
        "postgresql:///name?host=/tmp&port=5433",
    ],
)
def test_url_keeps_all_connection_string_fields(dsn: str) -> None:
    fields = conninfo_to_dict(dsn)
    assert conninfo_to_dict(schema.url(fields, scheme="postgresql")) == {
        key: str(value) for key, value in fields.items()
    }


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3c%zzret@h:1/x",
        "postgresql://u:s3c%@h:1/x",
        "postgresql://u:s3c%00ret@h:1/x",
        "postgresql://u:s3c ret@h:1/x",
        "host=h user=u password=s3c ret dbname=x",
        'host=h user=u password=a"s3c ret dbname=x',
        "host=h user=u dbname=x password='s3c ret",
    ],
)
def test_invalid_dsn_error_omits_the_password(dsn: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        checked_dsn(dsn)
    said = str(refused.value)
    assert "s3c" not in said
    assert "ret" not in said.replace("secret", "")
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
