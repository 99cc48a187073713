"""A DBOS worker with the reference's workflow: three steps and three stream writes. Run by `throughput` as a process.

It enqueues `--count` workflows, runs them at the setting that suits DBOS best here, and prints how long it took.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID

QUEUE = "plain"


@DBOS.step(name="step")
async def step(number: int) -> int:
    return number + 1


@DBOS.workflow(name="plain")
async def plain(number: int) -> int:
    for _ in range(3):
        number = await step(number)
        await DBOS.write_stream_async("events", {"number": number})
    return number


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    DBOS(
        config={
            "name": "plain",
            "system_database_url": arguments.url,
            "application_version": "1",
            "executor_id": "plain",
            "serializer": DBOSPortableJSONSerializer(),
            "max_executor_threads": 16,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    await DBOS.register_queue_async(QUEUE, worker_concurrency=20, polling_interval_sec=0.05)
    began = time.monotonic()
    handles = []
    for number in range(arguments.count):
        with SetWorkflowID(f"plain-{number}"):
            handles.append(await DBOS.enqueue_workflow_async(QUEUE, plain, number))
    for handle in handles:
        await handle.get_result(polling_interval_sec=0.1)
    print(time.monotonic() - began)
    await asyncio.to_thread(DBOS.destroy)


if __name__ == "__main__":
    asyncio.run(main())
