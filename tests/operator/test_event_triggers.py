"""The change feed queues a changed execution immediately, a parent of many rarely, and never drops the last change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import child_execution_id
from fixtures.cluster.execution_cases import ID, UID, row_of

KEY = Key("team", "nightly", UID)


class Watched:
    """An triggers whose queue goes by a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.queue: WorkQueue[Key] = WorkQueue(clock=lambda: self.now)
        self.triggers = ExecutionTriggers(self.queue)

    def sees(self, key: Key) -> None:
        metadata = {"namespace": key.namespace, "name": key.name, "uid": key.uid, "resourceVersion": "1"}
        self.triggers.observed({"metadata": metadata | {"generation": 1}, "spec": {}})

    async def awaken(self) -> list[Key]:
        """The keys that are due, each worked on."""
        self.queue.release_due()
        keys = []
        while self.queue.depth:
            key = await self.queue.get()
            self.queue.done(key)
            keys.append(key)
        return keys


@pytest.fixture
async def watched() -> Watched:
    made = Watched()
    made.sees(KEY)
    assert await made.awaken() == [KEY]
    return made


def parent(**fields: Any) -> ExecutionRow:
    return row_of("Completed", **{"children_total": 1000, "children_spawned": 1000, "children_active": 1000} | fields)


def child(number: int, phase: str = "Running") -> ExecutionRow:
    return row_of(phase, id=child_execution_id(ID, number), uid=None, parent_id=ID, change_seq=100 + number)


async def test_parent_wakes_once_for_many_children_and_for_the_last(watched: Watched) -> None:
    watched.triggers.changed(parent())
    assert await watched.awaken() == [KEY], "its own end is shown at once"
    watched.triggers.follow_children(parent(), KEY)
    for number in range(1000):
        watched.triggers.changed(child(number))
        watched.now += 0.001
    assert await watched.awaken() == []
    watched.now += 1.1
    assert await watched.awaken() == [KEY]
    watched.now += 60
    assert await watched.awaken() == [], "nothing has changed since"
    watched.triggers.changed(child(7, "Completed"))
    watched.now += 2.1
    assert await watched.awaken() == [KEY], "nobody is the last to be left unseen"


async def test_child_change_during_a_parents_turn_wakes_it_again(watched: Watched) -> None:
    watched.triggers.follow_children(parent(), KEY)
    watched.queue.add(KEY)
    key = await watched.queue.get()
    watched.triggers.changed(child(1))
    watched.queue.done(key)
    watched.now += 2.1
    assert await watched.awaken() == [KEY]


async def test_counts_wake_a_parent_seldom_and_its_trees_end_at_once(watched: Watched) -> None:
    watched.triggers.follow_children(parent(), KEY)
    for still_open in range(999, 0, -1):
        watched.triggers.changed(parent(children_active=still_open, change_seq=2000 - still_open))
    assert await watched.awaken() == []
    assert watched.triggers.rows[KEY].children_active == 1
    watched.triggers.changed(parent(children_active=0, change_seq=2000))
    assert await watched.awaken() == [KEY]


async def test_ended_or_forgotten_family_does_not_wake_its_parent(watched: Watched) -> None:
    watched.triggers.follow_children(parent(), KEY)
    watched.triggers.follow_children(parent(children_active=0), KEY)
    watched.triggers.changed(child(1))
    watched.now += 10
    assert await watched.awaken() == []
    watched.triggers.follow_children(parent(), KEY)
    watched.triggers.forget_children(ID)
    watched.triggers.changed(child(1))
    watched.now += 10
    assert await watched.awaken() == []


async def test_a_child_with_a_resource_of_its_own_is_woken_at_once(watched: Watched) -> None:
    key = Key("team", "nightly-1", "uid-of-the-child")
    watched.sees(key)
    assert await watched.awaken() == [key]
    watched.triggers.follow_children(parent(), KEY)
    watched.triggers.changed(replace(child(1), uid=key.uid))
    assert await watched.awaken() == [key]
    watched.now += 2.1
    assert await watched.awaken() == [KEY]
