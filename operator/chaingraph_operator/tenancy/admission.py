"""Whether an execution may be created now: queue, priority and quotas of its namespace.

What its namespace may never do is refused. What only has no room now waits, oldest first, and is created when there is
room: it is not lost, and not in the ledger either.
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
"""How long a count holds, to which what was created since is added; and the pause between two looks for room."""


class Admission:
    """What waits for room, and how much there is of it.

    Args:
        wake: has these executions looked at again.
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
        """Why the execution cannot be created now; None when it can, and counts from now on."""
        namespace = await self._namespaces.get(new.namespace)
        never = _never(namespace, new)
        async with self._locks.setdefault(new.namespace, asyncio.Lock()):
            # In turn: two that count at the same time would both take the last room.
            full = None if never is not None else await self._full(key, namespace)
        line = self._waiting.get(new.namespace, {})
        self._called.discard(key)
        if full is None:
            line.pop(key, None)
            return never
        self._waiting.setdefault(new.namespace, {}).setdefault(key)
        return full

    def forget(self, key: Key) -> None:
        """The execution is gone."""
        self._called.discard(key)
        self._waiting.get(key.namespace, {}).pop(key, None)

    def changed(self, namespace: str) -> None:
        """The policy of a namespace has changed: whatever waits is looked at again."""
        self._usage.pop(namespace, None)

    async def run(self) -> None:
        """Calls up what waits, as far as there is room, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for name in [name for name, line in self._waiting.items() if line]:
                await self._call(name)

    async def _call(self, name: str) -> None:
        try:
            policy = (await self._namespaces.get(name)).policy
        except ClusterError as error:
            _log.warning("cannot read a Namespace, trying again", namespace=name, error=str(error))
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
                f"executions of namespace {namespace.name!r} take {used.ledger_bytes} bytes in the database, of "
                f"{policy.max_ledger_bytes} allowed ({names.MAX_LEDGER_BYTES_ANNOTATION}). This one starts once old "
                "executions are deleted and removed from the database",
            )
        first = next(iter(self._waiting.get(namespace.name, {})), key)
        overtakes = first != key and key not in self._called
        if policy.max_waiting is not None and (overtakes or used.waiting >= policy.max_waiting):
            return Wait(
                QUOTA_EXCEEDED,
                f"namespace {namespace.name!r} has {used.waiting} waiting executions, of {policy.max_waiting} allowed "
                f"({names.MAX_WAITING_ANNOTATION}). This one is queued once others have started or ended",
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
            f"spec.queue: namespace {namespace.name!r} may not use the queue {new.queue!r}. Allowed: {allowed}. A "
            f"cluster administrator can allow it in the annotation {names.QUEUES_ANNOTATION} of the Namespace",
        )
    problem = priority_problem(policy, new.priority, namespace.name)
    return None if problem is None else _refuse(Reason.PRIORITY_TOO_HIGH, problem)


def priority_problem(policy: NamespacePolicy, priority: int, namespace: str) -> str | None:
    """Why executions of a namespace may not have this priority; None when they may."""
    if policy.max_priority is None or priority <= policy.max_priority:
        return None
    return (
        f"spec.priority: {priority} is above {policy.max_priority}, the highest of namespace {namespace!r} "
        f"({names.MAX_PRIORITY_ANNOTATION})"
    )


def _refuse(reason: str, message: str) -> Refuse:
    return Refuse(reason, message, (message,))
