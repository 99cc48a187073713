"""Removal of old executions: how the operator gets through many, and the whole in a process."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chaingraph_operator.loops import pruning
from chaingraph_operator.settings import Settings
from chaingraph_store import executions
from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.view import Cluster
from fixtures.ledger import old_executions
from fixtures.ledger.old_executions import left
from fixtures.ledger.pruners import prune, pruner
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

INLINE = {"flow": {"nodes": [{"id": "a", "type": "Text"}]}}


@pytest.mark.parametrize(
    ("value", "kept"),
    [(None, timedelta(days=30)), ("", None), ("0", None), ("0.5", timedelta(hours=12)), ("365", timedelta(days=365))],
)
def test_retention_is_in_days_and_zero_or_empty_disables_it(
    value: str | None, kept: timedelta | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL_EXECUTIONS", "postgresql://host/database")
    if value is not None:
        monkeypatch.setenv("CHAINGRAPH_LEDGER_RETENTION_DAYS", value)
    assert Settings().ledger_retention == kept


async def age(ledger: Ledger, execution: ExecutionId, *, days: float = 60) -> None:
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET finished_at = now() - %s WHERE id = %s AND finished_at IS NOT NULL",
            (timedelta(days=days), execution),
        )


async def ended(ledger: Ledger, uid: str, **options: Any) -> ExecutionId:
    return await old_executions.ended(ledger, uid=uid, id=execution_id(uid), **options)


@pytest.mark.integration
async def test_pruning_keeps_live_recent_and_foreign_executions(ledger: Ledger) -> None:
    kept = {await ended(ledger, "lives"), await ended(ledger, "recent", days=3)}
    kept.add(await ended(ledger, "elsewhere", namespace="other"))
    gone = await ended(ledger, "gone")
    assert await prune(pruner(ledger, namespaces=["team"]), alive=["lives"]) == 1
    assert await left(ledger, {gone, *kept}) == kept
    assert await prune(pruner(ledger), alive=["lives"]) == 1, "who serves the whole cluster sees every namespace"


@pytest.mark.integration
async def test_live_executions_do_not_hide_prunable_ones_behind_them(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_EXAMINED", 3)
    monkeypatch.setattr(pruning, "_BATCH", 2)
    alive = {f"lives-{number}" for number in range(7)}
    for each in alive:
        await ended(ledger, each, days=90)
    gone = [await ended(ledger, f"gone-{number}") for number in range(5)]
    pruned = pruner(ledger)
    counts = [await prune(pruned, alive) for _ in range(5)]
    assert counts == [0, 0, 2, 3, 0]
    assert await left(ledger, gone) == set()
    late = await ended(ledger, "late", days=100)
    assert await prune(pruned, alive) == 1, "it begins again at the oldest"
    assert await left(ledger, [late]) == set()


@pytest.mark.integration
async def test_pruning_has_no_cutoff_when_disabled(ledger: Ledger) -> None:
    await ended(ledger, "gone")
    assert await pruner(ledger, keep=None).cutoff() is None


@pytest.mark.integration
async def test_refused_removal_is_retried_next_time(ledger: Ledger) -> None:
    gone = await ended(ledger, "gone")
    async with ledger.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not allowed'; END$$"
        )
        await connection.execute(
            "CREATE TRIGGER no BEFORE DELETE ON chaingraph.executions FOR EACH ROW EXECUTE FUNCTION no()"
        )
    pruned = pruner(ledger)
    assert await prune(pruned) == 0
    assert await left(ledger, [gone]) == {gone}
    async with ledger.connection() as connection:
        await connection.execute("DROP TRIGGER no ON chaingraph.executions")
    assert await prune(pruned) == 1


@pytest.mark.integration
async def test_unused_flow_revision_goes_with_its_last_execution(ledger: Ledger) -> None:
    await ended(ledger, "gone")
    await prune(pruner(ledger))
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM chaingraph.flow_revisions")
        assert await cursor.fetchone() == (0,)


@pytest.mark.integration
async def test_operator_prunes_deleted_executions_and_keeps_others(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker()
    operator = run_operator(CHAINGRAPH_SWEEP_SECONDS="1", CHAINGRAPH_LEDGER_RETENTION_DAYS="1")
    uids = [cluster.apply("Execution", name, INLINE) for name in ("gone", "kept")]
    gone, kept = [(await cluster.row(uid)).id for uid in uids]
    elsewhere = await ended(ledger, "elsewhere", namespace="other")
    cluster.kubectl("delete", "cgx", "gone")
    cluster.kubectl("patch", "cgx", "kept", "--type=merge", '-p={"spec":{"stop":true}}')
    await cluster.condition("Execution", "kept", "Succeeded", status="False")

    async def both_ended() -> bool:
        async with ledger.connection() as connection:
            rows = await executions.by_ids(connection, [gone, kept])
        return all(row.ended for row in rows.values())

    await eventually(both_ended, what="the end of both")
    await age(ledger, kept)
    await age(ledger, gone)

    async def removed() -> bool:
        return await left(ledger, [gone]) == set()

    await eventually(removed, what="removal")
    assert await left(ledger, [kept, elsewhere]) == {kept, elsewhere}

    async def counted() -> bool:
        return "chaingraph_operator_pruned_total 1.0" in operator.get("/metrics").text.splitlines()

    await eventually(counted, what="the count of what was removed")
