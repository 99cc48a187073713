"""The cache: versions, echoes of our own patches, what is let go, and who is counted."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from chaingraph_operator.kube.cache import ObjectCache, Seen, key_of


def body(version: int, *, generation: int = 1, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team",
            "name": "nightly",
            "uid": "u1",
            "resourceVersion": str(version),
            "generation": generation,
            **metadata,
        },
        "spec": {"flowRef": {"name": "report"}, "generation": generation},
        "status": status or {"observedGeneration": -1},
    }


RUNNING = {"phase": "Running", "observedGeneration": 1}
DONE = {"phase": "Completed", "observedGeneration": 1}
KEY = key_of(body(1))


def test_cache_reports_changes_and_ignores_echoes() -> None:
    cache = ObjectCache()
    assert cache.observe(body(10)) is Seen.CHANGE
    assert cache.observe(body(10)) is Seen.NOTHING
    assert cache.observe(body(11, status=RUNNING), own_write=True) is Seen.NOTHING
    assert cache.observe(body(11, status=RUNNING)) is Seen.NOTHING, "the watch's echo of our own patch"
    assert cache.observe(body(12, status=RUNNING)) is Seen.NOTHING, "labels alone"
    assert cache.observe(body(13, generation=2, status=RUNNING)) is Seen.CHANGE
    assert cache.observe(body(14, generation=2, status=DONE)) is Seen.CHANGE, "somebody else's status"
    assert cache.observe(body(15, generation=2, status=DONE, deletionTimestamp="now")) is Seen.CHANGE


def test_own_patch_answer_reveals_a_concurrent_spec_change() -> None:
    cache = ObjectCache()
    cache.observe(body(10))
    assert cache.observe(body(12, generation=2, status=RUNNING), own_write=True) is Seen.CHANGE


def test_an_older_version_changes_nothing() -> None:
    cache = ObjectCache()
    cache.observe(body(100, generation=2, status=RUNNING))
    assert cache.observe(body(99, generation=1)) is Seen.NOTHING
    cached = cache.get(KEY)
    assert cached is not None
    assert (cached.generation, cached.phase) == (2, "Running")


def test_shrunk_object_is_cached_whole_when_seen_again() -> None:
    cache = ObjectCache()
    cache.observe(body(10, status=DONE))
    cache.shrink(KEY)
    cached = cache.get(KEY)
    assert cached is not None
    assert (cached.partial, cached.finished, cached.spec) == (True, True, b"")
    cache.observe(body(10, status=DONE))
    cached = cache.get(KEY)
    assert cached is not None
    assert cached.spec_object()["flowRef"] == {"name": "report"}
    assert not cached.partial


def test_an_edit_makes_a_finished_execution_unfinished() -> None:
    cache = ObjectCache()
    cache.observe(body(10, status=DONE))
    assert cache.observe(body(11, generation=2, status=DONE)) is Seen.CHANGE
    cached = cache.get(KEY)
    assert cached is not None
    assert not cached.finished


@pytest.mark.parametrize(("tree", "finished"), [(None, True), ("Unknown", False), ("True", True), ("False", True)])
def test_execution_is_finished_once_its_tree_has_ended(tree: str | None, finished: bool) -> None:
    """Statuses of before there were children say nothing of it."""
    conditions = [{"type": "Succeeded", "status": "True"}, {"type": "Paused", "status": "Unknown"}]
    if tree is not None:
        conditions.append({"type": "TreeSucceeded", "status": tree})
    cache = ObjectCache()
    cache.observe(body(10, status=DONE | {"conditions": conditions}))
    cached = cache.get(KEY)
    assert cached is not None
    assert cached.finished is finished


def test_gone_object_stays_until_dropped_and_never_returns() -> None:
    cache = ObjectCache()
    assert not cache.mark_gone(KEY)
    cache.observe(body(10, status=RUNNING))
    assert cache.mark_gone(KEY)
    assert cache.observe(body(11, status=RUNNING)) is Seen.NOTHING
    assert cache.key_of("u1") == KEY
    cache.drop(KEY)
    assert (cache.get(KEY), cache.key_of("u1"), len(cache), cache.count("Running")) == (None, None, 0, 0)


def test_phases_are_counted() -> None:
    cache = ObjectCache()
    for number, phase in enumerate(["Running", "Running", "Completed"]):
        cache.observe(body(10, status={"phase": phase}, uid=f"u{number}", name=f"e{number}"))
    cache.observe(body(11, status={"phase": "Completed"}, uid="u0", name="e0"))
    assert (cache.count("Running"), cache.count("Completed")) == (1, 2)


def test_an_execution_takes_little_memory() -> None:
    tracemalloc.start()
    cache = ObjectCache()
    for number in range(1000):
        cache.observe(body(10, status=RUNNING, uid=f"u{number}", name=f"e{number}"))
    whole, _ = tracemalloc.get_traced_memory()
    for cached in cache:
        cache.shrink(cached.key)
    least, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert whole / 1000 < 2000
    assert least < whole
