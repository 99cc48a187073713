"""Post Kubernetes Events (core/v1) for `kubectl describe`, without blocking the caller.

The name of an Event is derived from its content, so that a repeated one, after a crash, is rejected as existing. Events
beyond the bounded backlog are dropped and counted: Events are informational, the conditions are the record.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from chaingraph_crds import names
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.conditions import shortened
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.metrics import Metrics
from chaingraph_runtime.cluster_errors import ApiError, Conflict, NotFound, Unavailable

_log = structlog.get_logger(__name__)
_BACKLOG: Final = 2000
_REMEMBERED: Final = 5000
_MAX_MESSAGE: Final = 1024
"""The API server's limit for an Event's message."""
_ATTEMPTS: Final = 5
_COMPONENT: Final = "chaingraph-operator"


@dataclass(frozen=True, slots=True)
class _Posting:
    namespace: str
    event: dict[str, Any]


class EventRecorder:
    """The backlog of Events, and the tasks that post them."""

    def __init__(self, api: KubernetesApi, *, instance: str, metrics: Metrics, posters: int = 4) -> None:
        self._api = api
        self._instance = instance
        self._metrics = metrics
        self._posters = posters
        self._backlog: asyncio.Queue[_Posting] = asyncio.Queue(maxsize=_BACKLOG)
        self._posted: OrderedDict[str, None] = OrderedDict()
        metrics.queue_depth("events", self._backlog.qsize)

    def post(self, kind: str, key: Key, announcement: KubernetesEvent, *, api_version: str = names.API_VERSION) -> None:
        """Add an Event to the backlog, unless it was posted before."""
        event = _event(api_version, kind, key, announcement, self._instance)
        name = f"{key.namespace}/{event['metadata']['name']}"
        if name in self._posted:
            return
        self._posted[name] = None
        if len(self._posted) > _REMEMBERED:
            self._posted.popitem(last=False)
        try:
            self._backlog.put_nowait(_Posting(key.namespace, event))
        except asyncio.QueueFull:
            self._metrics.events_dropped.inc()

    async def run(self) -> None:
        """Post Events until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._posters):
                group.create_task(self._work(), name=f"event poster {number}")

    async def flush(self, seconds: float) -> None:
        """Wait until the backlog is empty, at most for this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._backlog.join()
        except TimeoutError:
            _log.warning("Kubernetes Events were not posted before the shutdown", count=self._backlog.qsize())

    async def _work(self) -> None:
        while True:
            posting = await self._backlog.get()
            try:
                await self._post(posting)
            except Exception:  # noqa: BLE001 - whatever one Event holds, the others are posted
                self._metrics.events_dropped.inc()
                _log.exception("cannot post a Kubernetes Event", namespace=posting.namespace)
            finally:
                self._backlog.task_done()

    async def _post(self, posting: _Posting) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await self._api.create_event(posting.namespace, posting.event)
            except (Conflict, NotFound):
                # It exists already, or its namespace is being deleted: nothing is left to do.
                return
            except Unavailable:
                await asyncio.sleep(0.5 * 2**attempt)
            except ApiError as error:
                _log.warning("the API server rejected a Kubernetes Event", error=str(error))
                return
            else:
                return
        self._metrics.events_dropped.inc()


def _event(api_version: str, kind: str, key: Key, announcement: KubernetesEvent, instance: str) -> dict[str, Any]:
    seed = f"{key.uid}/{announcement.reason}/{announcement.since}"
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            # An Event's name is limited to 253 characters, like its object's. Cut the object's name, not the digest.
            "name": f"{key.name[:230]}.{hashlib.sha256(seed.encode()).hexdigest()[:16]}",
            "namespace": key.namespace,
        },
        "involvedObject": {
            "apiVersion": api_version,
            "kind": kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": key.uid,
        },
        "type": announcement.type,
        "reason": announcement.reason[:128],
        "message": shortened(announcement.message, _MAX_MESSAGE),
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": _COMPONENT},
        "reportingComponent": f"{names.GROUP}/operator",
        "reportingInstance": shortened(instance, 128),
    }
