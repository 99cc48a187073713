"""Decide whether an execution may be created now: queue, priority and quotas of its namespace.

An execution that its namespace never allows is refused. One that exceeds a quota waits, oldest first, and is created
once there is room: it is not lost, and not in the ledger yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from chaingraph_crds import names
from chaingraph_operator.decide.actions import Refuse, Wait
from chaingraph_operator.decide.ignored import Reason
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.tenancy.namespaces import Namespaces, ObservedNamespace
from chaingraph_runtime.cluster_errors import ClusterError
from chaingraph_store.commands.creation import NewExecution
from chaingraph_store.ledger import Ledger
from chaingraph_store.tenancy import policies
from chaingraph_store.tenancy.policies import NamespacePolicy, NamespaceUsage

_log = structlog.get_logger(__name__)
QUOTA_EXCEEDED: Final = "QuotaExceeded"
_LOOK_SECONDS: Final = 1.0
"""Seconds for which a count is valid, apart from own creations, and between two checks for room."""


class Admission:
    """The executions waiting for room, and the usage of their namespaces.

    Args:
        wake: triggers the reconciliation of these executions.
    """

    def __init__(self, ledger: Ledger, namespaces: Namespaces, *, wake: Callable[[Iterable[Key]], None]) -> None:
        self._ledger = ledger
        self._namespaces = namespaces
        self._wake = wake
        self._waiting: dict[str, dict[Key, None]] = {}
        self._called: set[Key] = set()
        self._usage: dict[str, tuple[float, NamespaceUsage]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def refusal(self, key: Key, new: NewExecution) -> Refuse | Wait | None:
        """Return why the execution cannot be created now; None when it can. Then it counts from now on."""
        namespace = await self._namespaces.get(new.namespace)
        never = _never(namespace, new)
        async with self._locks.setdefault(new.namespace, asyncio.Lock()):
            # One at a time: two concurrent checks would both take the last place.
            full = None if never is not None else await self._full(key, namespace)
        line = self._waiting.get(new.namespace, {})
        self._called.discard(key)
        if full is None:
            line.pop(key, None)
            return never
        self._waiting.setdefault(new.namespace, {}).setdefault(key)
        return full

    def forget(self, key: Key) -> None:
        """Forget a deleted execution."""
        self._called.discard(key)
        self._waiting.get(key.namespace, {}).pop(key, None)

    def changed(self, namespace: str) -> None:
        """Handle a changed policy: every waiting execution of the namespace is reconciled."""
        self._usage.pop(namespace, None)

    async def run(self) -> None:
        """Wake waiting executions, as far as there is room, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for name in [name for name, line in self._waiting.items() if line]:
                await self._call(name)

    async def _call(self, name: str) -> None:
        try:
            policy = (await self._namespaces.get(name)).policy
        except ClusterError as error:
            _log.warning("cannot read a Namespace, retrying", namespace=name, error=str(error))
            return
        line = self._waiting[name]
        used = await self._used(name, policy, at_once=True)
        if _bytes_spent(policy, used):
            return
        room = len(line) if policy.max_waiting is None else max(0, policy.max_waiting - used.waiting)
        called = list(line)[:room]
        self._called.update(called)
        self._wake(called)

    async def _full(self, key: Key, namespace: ObservedNamespace) -> Wait | None:
        policy = namespace.policy
        if policy.max_waiting is None and policy.max_ledger_bytes is None:
            return None
        used = await self._used(namespace.name, policy)
        if _bytes_spent(policy, used):
            return Wait(
                QUOTA_EXCEEDED,
                f"The executions of namespace {namespace.name!r} take {used.ledger_bytes} bytes in the database, the "
                f"limit is {policy.max_ledger_bytes} ({names.MAX_LEDGER_BYTES_ANNOTATION}). This execution is queued "
                "once old executions are deleted and removed from the database.",
            )
        first = next(iter(self._waiting.get(namespace.name, {})), key)
        overtakes = first != key and key not in self._called
        if policy.max_waiting is not None and (overtakes or used.waiting >= policy.max_waiting):
            return Wait(
                QUOTA_EXCEEDED,
                f"Namespace {namespace.name!r} has {used.waiting} waiting executions, the limit is "
                f"{policy.max_waiting} ({names.MAX_WAITING_ANNOTATION}). This execution is queued once others have "
                "started or ended.",
            )
        self._usage[namespace.name] = (
            self._usage[namespace.name][0],
            NamespaceUsage(used.waiting + 1, used.ledger_bytes),
        )
        return None

    async def _used(self, name: str, policy: NamespacePolicy, *, at_once: bool = False) -> NamespaceUsage:
        now = asyncio.get_running_loop().time()
        known = self._usage.get(name)
        if known is not None and not at_once and now - known[0] < _LOOK_SECONDS:
            return known[1]
        async with self._ledger.connection() as connection:
            used = await policies.usage(connection, name, enough=policy.max_waiting or 0)
        self._usage[name] = (now, used)
        return used


def _bytes_spent(policy: NamespacePolicy, used: NamespaceUsage) -> bool:
    return policy.max_ledger_bytes is not None and used.ledger_bytes >= policy.max_ledger_bytes


def _never(namespace: ObservedNamespace, new: NewExecution) -> Refuse | None:
    policy = namespace.policy
    if names.reserved_queue(new.queue) or (policy.queues is not None and new.queue not in policy.queues):
        allowed = ", ".join((policy.queues or ())[:10]) or "none"
        return _refuse(
            "QueueNotAllowed",
            f"spec.queue: namespace {namespace.name!r} may not use queue {new.queue!r}. Allowed: {allowed}. A cluster "
            f"administrator can allow it in the annotation {names.QUEUES_ANNOTATION} of the Namespace",
        )
    problem = priority_problem(policy, new.priority, namespace.name)
    return None if problem is None else _refuse(Reason.PRIORITY_TOO_HIGH, problem)


def priority_problem(policy: NamespacePolicy, priority: int, namespace: str) -> str | None:
    """Return why the namespace does not allow this priority; None when it does."""
    if policy.max_priority is None or priority <= policy.max_priority:
        return None
    return (
        f"spec.priority: {priority} is above {policy.max_priority}, the maximum of namespace {namespace!r} "
        f"({names.MAX_PRIORITY_ANNOTATION})"
    )


def _refuse(reason: str, message: str) -> Refuse:
    return Refuse(reason, message, (message,))
