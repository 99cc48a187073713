"""Depth and age of queues, as served to Prometheus and to an autoscaler."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from chaingraph_operator.loops.queue_metrics import QueueMetrics
from chaingraph_operator.metrics import Metrics
from chaingraph_store.ledger import Ledger
from fixtures.ledger.new_executions import APP, create, dequeue
from fixtures.ledger.worker_by_hand import StartWorker

pytestmark = pytest.mark.integration


def lines(metrics: Metrics, *prefixes: str) -> list[str]:
    return [line for line in generate_latest(metrics.registry).decode().splitlines() if line.startswith(prefixes)]


async def test_queue_metrics_include_its_workers(ledger: Ledger, start_worker: StartWorker) -> None:
    metrics = Metrics()
    backlog = QueueMetrics(ledger, application_name=APP, metrics=metrics, queues=["reports"])
    await start_worker()
    await create(ledger, queue="reports")
    running = await create(ledger, queue="reports")
    async with ledger.connection() as connection:
        await dequeue(connection, running.id, "worker-1")
    await backlog.read()
    assert 'chaingraph_queue_waiting{queue="reports"} 1.0' in lines(metrics, "chaingraph_queue_waiting")
    assert 'chaingraph_queue_running{queue="reports"} 1.0' in lines(metrics, "chaingraph_queue_running")
    assert 'chaingraph_queue_slots{queue="reports"} 0.0' in lines(metrics, "chaingraph_queue_slots")
    served = lines(metrics, "chaingraph_queue_workers{")
    assert len(served) == 1
    assert served[0].startswith('chaingraph_queue_workers{pool="",queue="chaingraph-executions",state="serving"')


async def test_emptied_queue_reports_zero_waiting(ledger: Ledger) -> None:
    metrics = Metrics()
    backlog = QueueMetrics(ledger, application_name=APP, metrics=metrics, queues=["reports"])
    await create(ledger, queue="reports")
    await backlog.read()
    async with ledger.connection() as connection:
        await connection.execute("UPDATE dbos.workflow_status SET status = 'SUCCESS'")
    await backlog.read()
    assert lines(metrics, "chaingraph_queue_waiting{", "chaingraph_queue_oldest_seconds{") == [
        'chaingraph_queue_waiting{queue="reports"} 0.0',
        'chaingraph_queue_oldest_seconds{queue="reports"} 0.0',
    ]


async def test_unserved_queues_share_one_series(ledger: Ledger, start_worker: StartWorker) -> None:
    metrics = Metrics()
    backlog = QueueMetrics(ledger, application_name=APP, metrics=metrics)
    await start_worker(queues=("served",))
    for number in range(20):
        await create(ledger, queue=f"made-up-{number}")
    await create(ledger, queue="served")
    await backlog.read()
    assert lines(metrics, "chaingraph_queue_waiting{", "chaingraph_queue_slots{") == [
        'chaingraph_queue_waiting{queue="(other)"} 20.0',
        'chaingraph_queue_waiting{queue="served"} 1.0',
        'chaingraph_queue_slots{queue="(other)"} 0.0',
        'chaingraph_queue_slots{queue="served"} 5.0',
    ]
    async with ledger.connection() as connection:
        await connection.execute("DELETE FROM chaingraph.workers")
        await connection.execute("UPDATE dbos.workflow_status SET status = 'SUCCESS'")
    await backlog.read()
    assert lines(metrics, "chaingraph_queue_waiting{") == [
        'chaingraph_queue_waiting{queue="(other)"} 0.0',
        'chaingraph_queue_waiting{queue="served"} 0.0',
    ]


@pytest.mark.parametrize(("took", "pause"), [(0.01, 5), (0.1, 5), (0.2, 10), (3, 20)])
def test_slow_backlog_reading_runs_less_often(ledger: Ledger, took: float, pause: float) -> None:
    assert QueueMetrics(ledger, application_name=APP, metrics=Metrics()).pause(took) == pytest.approx(pause)


async def test_outdated_backlog_reading_is_not_exported(ledger: Ledger) -> None:
    metrics = Metrics()
    backlog = QueueMetrics(ledger, application_name=APP, metrics=metrics, told=0)
    assert lines(metrics, "chaingraph_queue_", "chaingraph_children_") == []
    await create(ledger)
    await backlog.read()
    assert lines(metrics, "chaingraph_queue_", "chaingraph_children_") == []
