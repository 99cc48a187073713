"""Create the resources that represent children: at a bounded rate, oldest first, without delaying their execution.

A child runs with or without a resource. Its row says whether it gets one, and the UID from the API server is bound to
the row at once. A crash in between leaves a resource that names its child. It is found under the child's name, or comes
with the watch, and is bound then. Several operators may do this at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

import structlog

from chaingraph_crds import names
from chaingraph_operator.decide import child_manifest
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.rate_limiter import RateLimiter
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_runtime.cluster_errors import ApiError, ClusterError, Conflict, NotFound, Unavailable
from chaingraph_store import ids
from chaingraph_store.children import child_rows, turns
from chaingraph_store.children.child_rows import ChildResource
from chaingraph_store.children.turns import PendingChildResource, ResourceTurn
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import SERIALIZATION_ERRORS, TRANSIENT_ERRORS, is_outage

_log = structlog.get_logger(__name__)
IN_FLIGHT: Final = 4
_PAGE: Final = 100
_LOOK_SECONDS: Final = 5.0
"""Seconds between two searches for children without a resource, when no change was notified."""
_PAUSE: Final = 0.1
"""Minimum seconds between two searches, whatever changes."""
_GIVE_WAY_SECONDS: Final = 1.0
"""Maximum seconds that a resource waits for statuses to be written."""
_GIVE_WAY_STEPS: Final = 50
_SOON: Final = 3.0
"""Seconds after which a temporary obstacle is checked again."""
_REFUSED_HERE: Final = 30.0
"""Cooldown in seconds of a namespace in which no resource can be created: a quota, or a missing right."""
_REFUSED_THIS: Final = 300.0
"""Cooldown in seconds of a child whose resource is rejected for its content."""
_MOST_REFUSED: Final = 500
"""Maximum children in a cooldown of their own. Beyond that, their namespace is in cooldown."""
_LONGEST_REST: Final = 15.0

K = TypeVar("K", bound=Hashable)


class _Owner(Enum):
    """The state of the resource that would own the child's resource."""

    THERE = auto()
    GOING = auto()
    GONE = auto()


class Cooldown(Generic[K]):
    """Keys that are skipped for a while."""

    def __init__(self) -> None:
        self._until: dict[K, float] = {}

    def __contains__(self, key: K) -> bool:
        """Whether the key is skipped, as of the last call of `active`."""
        return key in self._until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, key: K, seconds: float) -> None:
        self._until[key] = asyncio.get_running_loop().time() + seconds

    def remove(self, key: K) -> None:
        self._until.pop(key, None)

    def active(self) -> list[K]:
        """Return the keys that are still skipped, and forget the others."""
        now = asyncio.get_running_loop().time()
        self._until = {key: until for key, until in self._until.items() if until > now}
        return list(self._until)


class ChildResources:
    """Creates the resources.

    Args:
        announce: posts a Kubernetes Event on a parent.
        namespaces: the served namespaces; empty for all.
        per_second: maximum resources created per second.
        busy: whether statuses are waiting to be written. They come first.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        api: KubernetesApi,
        triggers: ExecutionTriggers,
        announce: Callable[[Key, KubernetesEvent], None],
        namespaces: Sequence[str],
        per_second: float,
        busy: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._triggers = triggers
        self._announce = announce
        self._namespaces = tuple(namespaces) or None
        self._pace = RateLimiter(per_second)
        self._busy = busy
        self._metrics = metrics
        self._news = asyncio.Event()
        self._children: Cooldown[ExecutionId] = Cooldown()
        self._parents: Cooldown[ExecutionId] = Cooldown()
        self._resting: Cooldown[str] = Cooldown()
        self._error: Unavailable | None = None
        self._errors = 0
        self._pending = 0
        self._turn = ResourceTurn()
        self._counted = float("-inf")
        metrics.queue_depth("child resources", lambda: self._pending)

    def changed(self, row: ExecutionRow) -> None:
        """Handle a changed row: it may have new children, or a new resource to own theirs."""
        if row.children_total and row.resources == "Create":
            self._news.set()

    async def run(self) -> None:
        """Create resources until cancelled. It can be restarted after a failure.

        Raises:
            psycopg.OperationalError: PostgreSQL is unavailable.
        """
        while True:
            self._news.clear()
            await self._make_all()
            await asyncio.sleep(self._rest() if self._error is not None else _PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._error is not None else _LOOK_SECONDS):
                    await self._news.wait()

    async def _make_all(self) -> None:
        """Create resources until none is missing, or until the API server is unavailable."""
        self._error = None
        while self._error is None and (page := await self._page()):
            await self._make_page(page)
        if self._error is None:
            self._errors = 0

    def _rest(self) -> float:
        """Return the seconds until the next attempt: as the API server asks, and longer each time."""
        asked = self._error.retry_after if self._error is not None else 0.0
        self._errors += 1
        return float(max(asked, min(_LONGEST_REST, 0.5 * 2.0 ** min(self._errors, 10))))

    async def _page(self) -> list[PendingChildResource]:
        """Return the next children without a resource, by namespaces and roots in turn, except those in a cooldown."""
        now = asyncio.get_running_loop().time()
        async with self._ledger.connection() as connection:
            if now - self._counted > _LOOK_SECONDS:
                self._pending = await turns.count(connection, namespaces=self._namespaces)
                self._counted = now
            page, self._turn = await turns.page(
                connection,
                namespaces=self._namespaces,
                limit=_PAGE,
                last=self._turn,
                children=self._children.active(),
                parents=self._parents.active(),
                resting=self._resting.active(),
            )
        return page

    async def _make_page(self, page: list[PendingChildResource]) -> None:
        left = list(reversed(page))

        async def work() -> None:
            while left and self._error is None:
                child = left.pop()
                # A finding on one child of the page applies to the rest of the page.
                if child.namespace not in self._resting and child.parent_id not in self._parents:
                    await self._make(child)

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(IN_FLIGHT):
                    group.create_task(work(), name=f"child resources {number}")
        except* (*TRANSIENT_ERRORS, ClusterError) as errors:
            raise _first(errors) from None

    async def _make(self, child: PendingChildResource) -> None:
        """Handle one child. Afterwards it has a resource, will get none, or is in a cooldown."""
        try:
            await self._see_to(child)
        except Unavailable as error:
            self._count("error")
            self._error = error
            _log.warning("cannot create the resource of a child, retrying", execution_id=child.id, error=str(error))
        except ApiError as error:
            self._refused(child, error)
        except ClusterError:
            raise
        except Exception as problem:
            if is_outage(problem):
                raise
            # A problem with one child must not stop the others.
            self._count("error")
            self._children.add(child.id, _SOON if isinstance(problem, SERIALIZATION_ERRORS) else _REFUSED_THIS)
            _log.exception("cannot create the resource of a child, retrying later", execution_id=child.id)

    async def _see_to(self, child: PendingChildResource) -> None:
        match await self._owner(child):
            case _Owner.GONE:
                await self._hide(child)
                return
            case _Owner.GOING:
                # Its children are decided together with it.
                self._parents.add(child.parent_id, _SOON)
                return
        await self._give_way()
        await self._pace.turn()
        async with self._ledger.connection() as connection:
            portrait = await child_rows.portrait(connection, child.id)
        if portrait is None:
            return
        try:
            body = await self._api.create(names.EXECUTION_PLURAL, portrait.namespace, child_manifest.manifest(portrait))
        except Conflict:
            await self._taken(portrait)
        except NotFound:
            # The namespace is gone, or the kind. In the first case the parent's resource is gone as well.
            self._children.add(child.id, _SOON)
            if await self._look(_owner_key(child)) is _Owner.GONE:
                await self._hide(child)
        else:
            if not await self._bind(portrait, body, "created"):
                await self._discard(body)

    async def _owner(self, child: PendingChildResource) -> _Owner:
        key = _owner_key(child)
        cached = self._triggers.cache.get(key)
        if cached is None:
            return await self._look(key)
        return _Owner.GOING if cached.gone or cached.deleting else _Owner.THERE

    async def _look(self, key: Key) -> _Owner:
        try:
            body = await self._api.get(names.EXECUTION_PLURAL, key)
        except NotFound:
            return _Owner.GONE
        if body["metadata"]["uid"] != key.uid:
            return _Owner.GONE
        return _Owner.GOING if "deletionTimestamp" in body["metadata"] else _Owner.THERE

    async def _give_way(self) -> None:
        """Let pending statuses go first, up to a limit."""
        for _ in range(_GIVE_WAY_STEPS):
            if not self._busy():
                return
            await asyncio.sleep(_GIVE_WAY_SECONDS / _GIVE_WAY_STEPS)

    async def _bind(self, portrait: ChildResource, body: Mapping[str, Any], result: str) -> bool:
        """Bind the resource to the child, and have its status written.

        Returns:
            False when another resource represents the child, or the child is no longer in the ledger.
        """
        async with self._ledger.transaction() as connection:
            bound = await child_rows.adopt(
                connection,
                portrait.id,
                parent=portrait.parent_id,
                uid=body["metadata"]["uid"],
                namespace=portrait.namespace,
                name=portrait.name,
            )
        if bound:
            self._pending = max(0, self._pending - 1)
            self._count(result)
            self._triggers.observed(body)
        return bound

    async def _discard(self, body: Mapping[str, Any]) -> None:
        """Delete the resource just created: it is not needed."""
        metadata = body["metadata"]
        with suppress(NotFound, Conflict):
            await self._api.delete(
                names.EXECUTION_PLURAL, Key(metadata["namespace"], metadata["name"], metadata["uid"])
            )

    async def _taken(self, portrait: ChildResource) -> None:
        """Handle an existing Execution with the child's name."""
        self._children.add(portrait.id, _SOON)
        try:
            body = await self._api.get(names.EXECUTION_PLURAL, Key(portrait.namespace, portrait.name, ""))
        except NotFound:
            return  # Deleted again. Or the conflict came from the quota.
        if _is_ours(body, portrait):
            await self._bind(portrait, body, "adopted")
            return
        if _goes_soon(body, portrait):
            return
        name = ids.long_child_name(portrait.parent_name, portrait.id)
        if portrait.name == name:
            raise Conflict(409, f"Execution {name!r} exists, and so does one with the child's original name")
        async with self._ledger.transaction() as connection:
            await child_rows.rename(connection, portrait.id, name)
        self._children.remove(portrait.id)
        self._count("renamed")
        _log.info("a child's name is taken, using another one", execution_id=portrait.id, name=name)

    async def _hide(self, child: PendingChildResource) -> None:
        """Hide all descendants, because the parent's resource is gone. Running ones are stopped elsewhere."""
        async with self._ledger.transaction() as connection:
            hidden = await child_rows.hide(connection, child.parent_id)
        self._parents.add(child.parent_id, _SOON)
        self._counted = float("-inf")
        _log.info("children get no resources: their parent's is gone", execution_id=child.parent_id, children=hidden)

    def _refused(self, child: PendingChildResource, error: ApiError) -> None:
        if error.status == 403 or len(self._children) >= _MOST_REFUSED:
            self._resting.add(child.namespace, _REFUSED_HERE)
        else:
            self._children.add(child.id, _REFUSED_THIS)
        self._count("refused")
        message = f"Cannot create the resource of child {child.name!r}, it runs without one: {error}"
        self._announce(_owner_key(child), KubernetesEvent("Warning", "ChildResourceRefused", message, ""))
        _log.warning(
            "the API server rejected the resource of a child, retrying later",
            execution_id=child.id,
            namespace=child.namespace,
            name=child.name,
            error=str(error),
        )

    def _count(self, result: str) -> None:
        self._metrics.child_resources.labels(result).inc()


def _owner_key(child: PendingChildResource) -> Key:
    return Key(child.namespace, child.parent_name, child.parent_uid)


def _is_ours(body: Mapping[str, Any], portrait: ChildResource) -> bool:
    """Whether it was created for this child, by an operator that crashed before binding it."""
    said = body["spec"].get("spawnedBy") or {}
    return (said.get("executionID"), said.get("parentExecutionID")) == (portrait.id, portrait.parent_id)


def _goes_soon(body: Mapping[str, Any], portrait: ChildResource) -> bool:
    """Whether it belongs to a former Execution with the parent's name, and is being garbage-collected with it."""
    owners = body["metadata"].get("ownerReferences") or ()
    former = any(
        each["kind"] == names.EXECUTION_KIND
        and each["name"] == portrait.parent_name
        and each["uid"] != portrait.parent_uid
        for each in owners
    )
    return former or "deletionTimestamp" in body["metadata"]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return an exception of a group whose members are all of one kind."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
