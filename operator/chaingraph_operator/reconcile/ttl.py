"""Apply `spec.ttlSecondsAfterFinished`: delete an execution's resource after that time.

The time is a delayed key in the executions' queue, derived from spec and status, so a restart loses nothing. The ledger
keeps the execution.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from chaingraph_crds import names
from chaingraph_crds.conditions import ConditionType
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.metrics import Metrics
from chaingraph_runtime.cluster_errors import Conflict, NotFound

_log = structlog.get_logger(__name__)


def expiry(spec: Mapping[str, Any], status: Mapping[str, Any]) -> datetime | None:
    """Return when an execution and its children's resources are to be deleted; None for never, or not known yet."""
    seconds = spec.get("ttlSecondsAfterFinished")
    ended = _ended(status)
    return None if seconds is None or ended is None else ended + timedelta(seconds=seconds)


def _ended(status: Mapping[str, Any]) -> datetime | None:
    """Return when it and all descendants ended; None while any of them is active."""
    known = ExecutionStatus.fitting(status)
    at = known.completion_time
    tree = next((each for each in known.conditions if each.type == ConditionType.TREE_SUCCEEDED), None)
    if at is None or (tree is not None and tree.status == "Unknown"):
        return None
    if tree is None or known.children is None or not known.children.total:
        return at  # Without children, the condition only shows when the operator saw the end.
    return max(at, tree.last_transition_time)


class TtlExpiry:
    """The executions that will expire.

    Args:
        note: called with the UID before a resource is deleted, so that its execution stays readable.
        now: the time by the clock that set the times of the ends: the database's. The operator's clock may be wrong,
            and
            would delete too early.
    """

    def __init__(
        self,
        api: KubernetesApi,
        queue: WorkQueue[Key],
        metrics: Metrics,
        *,
        now: Callable[[], Awaitable[datetime]],
        note: Callable[[str], Awaitable[None]],
    ) -> None:
        self._api = api
        self._now = now
        self._note = note
        self._queue = queue
        self._metrics = metrics
        self._expires: dict[Key, datetime] = {}
        self._expired: set[Key] = set()

    def consider(self, key: Key, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Schedule the expiry of a finished execution."""
        at = expiry(spec, status)
        if at is None:
            self._expires.pop(key, None)
        else:
            self._expires[key] = at

    def forget(self, key: Key) -> None:
        self._expires.pop(key, None)
        self._expired.discard(key)

    def has_expired(self, key: Key) -> bool:
        """Whether the execution was deleted here because it expired."""
        return key in self._expired

    async def apply(self, key: Key) -> None:
        """Delete the execution if it has expired, else schedule its expiry.

        Raises:
            ApiError: it could not be deleted; the caller retries.
        """
        at = self._expires.get(key)
        if at is None:
            return
        remaining = (at - await self._now()).total_seconds()
        if remaining > 0:
            self._queue.add_after(key, remaining)
            return
        self._expired.add(key)
        await self._note(key.uid)
        try:
            await self._api.delete(names.EXECUTION_PLURAL, key)
        except (NotFound, Conflict):
            _log.debug("expired execution already deleted")
        else:
            self._metrics.expired.inc()
            _log.info("deleted an execution by its ttlSecondsAfterFinished")
        self._expires.pop(key, None)
