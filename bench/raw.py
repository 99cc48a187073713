"""What PostgreSQL and DBOS take by themselves for a message, beside which our own figures are read."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from psycopg.types.json import Json

from chaingraph_worker.migrate import sqlalchemy_url

_TOPIC = "bench"
_SEND = "SELECT dbos.send_message(%s, %s::json, %s)"


async def messages(database_url: str, count: int) -> list[float]:
    """Milliseconds from the sending of a DBOS message to its receipt by a workflow that waits for it."""
    config: DBOSConfig = {
        "name": "bench-messages",
        "system_database_url": sqlalchemy_url(database_url),
        "application_version": "1",
        "executor_id": "bench",
        "serializer": DBOSPortableJSONSerializer(),
        "run_migrations": False,
        "log_level": "WARNING",
        "enable_otlp": False,
    }
    DBOS(config=config)
    received: asyncio.Queue[float] = asyncio.Queue()

    @DBOS.workflow(name="receive")
    async def receive() -> None:
        for _ in range(count):
            await DBOS.recv_async(_TOPIC, 60)
            received.put_nowait(time.time())

    DBOS.launch()
    try:
        workflow = await DBOS.start_workflow_async(receive)
        delays = []
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as sender:
            for _ in range(count):
                await asyncio.sleep(0.05)
                sent = time.time()
                await sender.execute(_SEND, (workflow.workflow_id, Json("x"), _TOPIC))
                delays.append((await received.get() - sent) * 1000)
        await workflow.get_result()
        return delays
    finally:
        await asyncio.to_thread(DBOS.destroy)


async def notifications(database_url: str, count: int) -> list[float]:
    """Milliseconds from a NOTIFY to its receipt by a connection that listens."""
    heard: asyncio.Queue[float] = asyncio.Queue()

    async def listen(connection: psycopg.AsyncConnection[Any]) -> None:
        async for _ in connection.notifies():
            heard.put_nowait(time.time())

    delays = []
    async with (
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as listener,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as sender,
    ):
        await listener.execute("LISTEN bench")
        listening = asyncio.create_task(listen(listener))
        for _ in range(count):
            await asyncio.sleep(0.01)
            sent = time.time()
            await sender.execute("NOTIFY bench")
            delays.append((await heard.get() - sent) * 1000)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return delays
