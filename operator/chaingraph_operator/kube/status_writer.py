"""Write statuses with as few patches as possible. Reconcilers submit the desired status, and the newest wins.

A change of phase is written at once, everything else at most once per second and object. A status that was never shown
before (a waiting execution) is written only if it still holds after a second: a short execution is patched twice in its
life. A patch contains only the difference to the API server's status, and without a difference none is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.cache import ObjectCache, Seen
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.merge_patch import difference, storable
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.metrics import Metrics
from chaingraph_runtime.cluster_errors import ApiError, Conflict, NotFound, Rejected

Status = Mapping[str, Any]
Written = Callable[[Key, Status, Status], None]
"""Called after each patch that was sent, with the object and its status before and after."""

_log = structlog.get_logger(__name__)
INTERVAL: Final = 1.0
"""Minimum seconds between two patches of an object, except for changes of phase."""


@dataclass(frozen=True, slots=True)
class _Desired:
    status: Status
    urgent: bool
    number: int


class StatusWriter:
    """The writer of one kind.

    Args:
        changed: called for an object that has changed meanwhile, as the answer to a patch shows.
        written: called after each patch.
    """

    def __init__(
        self,
        plural: str,
        api: KubernetesApi,
        cache: ObjectCache,
        *,
        writers: int,
        changed: Callable[[Key], None],
        written: Written,
        metrics: Metrics,
    ) -> None:
        self._plural = plural
        self._api = api
        self._cache = cache
        self._writers = writers
        self._changed = changed
        self._written = written
        self._desired: dict[Key, _Desired] = {}
        self._last: dict[Key, float] = {}
        self._newest: dict[Key, int] = {}
        self._in_flight: set[Key] = set()
        self._queue: WorkQueue[Key] = WorkQueue(base_delay=0.2, max_delay=15.0)
        metrics.queue_depth(f"{plural} status", lambda: self._queue.depth)

    @property
    def backlog(self) -> int:
        """Number of objects whose status is ready to be written and waits for a free writer."""
        return self._queue.depth

    def submit(self, key: Key, status: Status, *, urgent: bool) -> None:
        """Set the desired status of an object. `urgent` writes it at once, otherwise within a second."""
        cached = self._cache.get(key)
        if cached is None or cached.gone:
            return
        status = storable(status)
        number = self._newest[key] = self._newest.get(key, 0) + 1
        # While a patch is in flight, the cache has the status before it. The difference is computed later.
        if key not in self._in_flight and not difference(cached.status_object(), status):
            self._desired.pop(key, None)
            return
        self._desired[key] = _Desired(status, urgent, number)
        if urgent:
            self._queue.add(key)
            return
        last = self._last.get(key)
        self._queue.add_after(key, INTERVAL if last is None else INTERVAL - (time.monotonic() - last))

    def forget(self, key: Key) -> None:
        """Drop the object: it is gone, or needs no more writes."""
        self._desired.pop(key, None)
        self._last.pop(key, None)
        self._newest.pop(key, None)
        self._queue.forget(key)

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._writers):
                group.create_task(self._work(), name=f"{self._plural} status writer {number}")

    async def flush(self, seconds: float) -> None:
        """Write all pending statuses without their delays, at most for this many seconds."""
        for key in list(self._desired):
            self._queue.add(key)
        try:
            async with asyncio.timeout(seconds):
                await self._queue.wait_idle()
        except TimeoutError:
            _log.warning("statuses were not written, the next start writes them", count=len(self._desired))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            self._in_flight.add(key)
            try:
                await self._write(key)
            except Exception as error:  # noqa: BLE001 - whatever one status holds, the others are written
                delay = self._queue.retry(key)
                _log.exception("cannot write a status", object=str(key), error=str(error), retry_seconds=delay)
            finally:
                self._in_flight.discard(key)
                self._queue.done(key)

    async def _write(self, key: Key) -> None:
        desired = self._desired.pop(key, None)
        cached = self._cache.get(key)
        if desired is None or cached is None or cached.gone or cached.partial:
            return
        before = cached.status_object()
        patch = difference(before, desired.status)
        if not patch:
            return
        try:
            answer = await self._api.patch_status(self._plural, key, patch)
        except (NotFound, Conflict) as error:
            _log.debug("object deleted, status not written", object=str(key), error=str(error))
        except Rejected as error:
            _log.error("the API server rejected a status", object=str(key), error=str(error))
        except ApiError as error:
            # A status submitted meanwhile is newer, even if it needed no patch.
            if self._newest.get(key) == desired.number:
                self._desired[key] = desired
            delay = self._queue.retry(key)
            _log.warning("cannot write a status, retrying", object=str(key), error=str(error), retry_seconds=delay)
        else:
            self._succeeded(key, desired, before, answer)

    def _succeeded(self, key: Key, desired: _Desired, before: Status, answer: Mapping[str, Any]) -> None:
        self._queue.forget(key)
        self._last[key] = time.monotonic()
        if self._cache.observe(answer, own_write=True) is Seen.CHANGE:
            self._changed(key)
        if difference(storable(answer.get("status") or {}), desired.status):
            # Another client wrote meanwhile, so our difference was based on an older version: write again.
            self._desired.setdefault(key, desired)
            self._queue.add(key)
        self._written(key, before, desired.status)
