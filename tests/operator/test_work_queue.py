"""The work queue: each rule by example, and all of them at once under random use."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_operator.kube.work_queue import WorkQueue
from fixtures import soak
from fixtures.waiting import eventually


async def test_a_key_waits_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert queue.depth == 2
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert queue.depth == 0


async def test_key_added_during_its_work_comes_again_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a")
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not getter.done(), "two workers had one key"
    queue.done(key)
    assert await getter == "a"
    queue.done("a")
    assert queue.idle


@pytest.mark.looptime
async def test_earliest_of_several_delays_wins() -> None:
    queue: WorkQueue[str] = WorkQueue()
    loop = asyncio.get_running_loop()
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 7)
    queue.add_after("b", 5)
    assert (queue.delayed, queue.depth) == (2, 0)
    assert await queue.get() == "a"
    assert loop.time() == 3
    queue.done("a")
    assert await queue.get() == "b"
    assert loop.time() == 5
    queue.done("b")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


@pytest.mark.looptime
async def test_adding_a_key_now_cancels_its_later_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 5)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


@pytest.mark.looptime
async def test_retries_wait_twice_as_long_each_time_up_to_a_limit() -> None:
    queue: WorkQueue[str] = WorkQueue(base_delay=1, max_delay=6, jitter=lambda: 1.0)
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(5):
        began = loop.time()
        queue.retry("a")
        await queue.get()
        queue.done("a")
        waits.append(loop.time() - began)
    assert waits == [1, 2, 4, 6, 6]
    queue.forget("a")
    assert queue.retry("a") == 1


async def test_a_worker_that_gives_up_waiting_loses_no_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(second, 1) == "a"


async def test_wait_idle_waits_for_the_last_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    await queue.wait_idle()
    queue.add("a")
    waiter = asyncio.create_task(queue.wait_idle())
    key = await queue.get()
    await asyncio.sleep(0)
    assert not waiter.done()
    queue.done(key)
    await asyncio.wait_for(waiter, 1)


@settings(deadline=None, max_examples=soak.examples(60))
@given(
    moves=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["add", "later", "yield"])), max_size=80),
    workers=st.integers(1, 4),
)
def test_queue_gives_a_key_one_worker_and_forgets_none(moves: list[tuple[int, str]], workers: int) -> None:
    asyncio.run(_under_random_use(moves, workers))


async def _under_random_use(moves: list[tuple[int, str]], workers: int) -> None:
    queue: WorkQueue[int] = WorkQueue(base_delay=0.0001, max_delay=0.001)
    working: Counter[int] = Counter()
    asked = 0
    last_asked: dict[int, int] = {}
    last_begun: dict[int, int] = {}

    async def work() -> None:
        while True:
            key = await queue.get()
            working[key] += 1
            assert working[key] == 1, "two workers had one key"
            last_begun[key] = asked
            await asyncio.sleep(0)
            working[key] -= 1
            queue.done(key)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    for key, move in moves:
        if move == "yield":
            await asyncio.sleep(0)
            continue
        asked += 1
        last_asked[key] = asked
        if move == "add":
            queue.add(key)
        else:
            queue.add_after(key, 0.0005)

    async def through() -> bool:
        return queue.idle and not queue.delayed

    await eventually(through, what="an empty queue")
    for task in tasks:
        task.cancel()
    failures = [each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Exception)]
    assert not failures
    assert {key for key in last_asked if last_begun.get(key, 0) < last_asked[key]} == set()
