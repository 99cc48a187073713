"""The Namespaces of executions: their UIDs and policies.

A Namespace is read when an execution is created, and periodically at a bounded rate. This needs the right to get
Namespaces, but not to list or watch them. A policy is written to the ledger before anything is created under it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from chaingraph_operator.decide import allowance
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_operator.kube.keys import Key
from chaingraph_runtime.cluster_errors import ApiError, ClusterError, NotFound
from chaingraph_store.ledger import Ledger
from chaingraph_store.tenancy import policies
from chaingraph_store.tenancy.policies import NamespacePolicy

_log = structlog.get_logger(__name__)
_FORBIDDEN: Final = 403
_PER_SECOND: Final = 5
"""Maximum Namespaces read again per second."""
KIND: Final = "Namespace"


@dataclass(frozen=True, slots=True)
class ObservedNamespace:
    """A Namespace as last read. `uid` is empty when the operator may not read it, or when it is gone."""

    name: str
    uid: str
    policy: NamespacePolicy
    problems: tuple[str, ...] = ()
    """Problems of its annotations."""


class NamespaceSource(Protocol):
    """Reads Namespaces: the operator's API client."""

    async def namespace(self, name: str) -> Mapping[str, Any]: ...


class Namespaces:
    """The cache.

    Args:
        defaults: the policy of a namespace without annotations.
        seconds: maximum age of the result of `get`.
        announce: posts a Kubernetes Event on a Namespace.
        changed: called with the name of a namespace whose policy has changed.
    """

    def __init__(
        self,
        source: NamespaceSource,
        ledger: Ledger,
        *,
        defaults: NamespacePolicy,
        seconds: float,
        announce: Callable[[Key, KubernetesEvent], None],
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._defaults = defaults
        self._seconds = seconds
        self._announce = announce
        self._changed = changed
        self._known: dict[str, ObservedNamespace] = {}
        self._read_at: dict[str, float] = {}
        self._saved: dict[str, NamespacePolicy] | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def invalid(self) -> int:
        """Return the number of known Namespaces with invalid annotations."""
        return sum(bool(each.problems) for each in self._known.values())

    @property
    def limited_in_bytes(self) -> list[str] | None:
        """Return the namespaces with a limit of bytes in the ledger; None for all."""
        if self._defaults.max_ledger_bytes is not None:
            return None
        return [name for name, policy in (self._saved or {}).items() if policy.max_ledger_bytes is not None]

    async def get(self, name: str) -> ObservedNamespace:
        """Return the Namespace, at most a few seconds old while the API server answers.

        Raises:
            ClusterError: the API server does not answer, and the Namespace was never read.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            now = asyncio.get_running_loop().time()
            if name in self._known and now - self._read_at[name] < self._seconds:
                return self._known[name]
            try:
                return await self._read(name)
            except ClusterError:
                if name not in self._known:
                    raise
                return self._known[name]

    async def uid(self, name: str) -> str:
        """Return the UID of the namespace; '' when the operator may not read it, or when it is gone.

        Raises:
            ClusterError: the API server does not answer.
        """
        return (await self.get(name)).uid

    def forget(self, name: str) -> None:
        """Read the namespace again before its next use, because an object in it was deleted and so may it be.

        A namespace is deleted only after everything in it. The watch shows the deletion of an object under the known
        UID before it shows anything of a later namespace of that name, so a remembered UID is never outdated.
        """
        self._known.pop(name, None)

    async def run(self) -> None:
        """Read the known Namespaces again, the oldest first, until cancelled."""
        await self._load()
        for name in list(self._saved or {}):
            if name != policies.DEFAULTS:
                self._read_at.setdefault(name, float("-inf"))
        while True:
            await asyncio.sleep(1 / _PER_SECOND)
            oldest = min(self._read_at, key=lambda name: self._read_at[name], default=None)
            now = asyncio.get_running_loop().time()
            if oldest is None or now - self._read_at[oldest] < self._seconds:
                continue
            async with self._locks.setdefault(oldest, asyncio.Lock()):
                try:
                    await self._read(oldest)
                except ClusterError as error:
                    self._read_at[oldest] = now
                    _log.warning("cannot read a Namespace, retrying", namespace=oldest, error=str(error))

    async def _load(self) -> dict[str, NamespacePolicy]:
        """Return the ledger's policies, with this operator's defaults filled in."""
        if self._saved is None:
            async with self._ledger.connection() as connection:
                saved = await policies.all_policies(connection)
            if saved.get(policies.DEFAULTS) != self._defaults:
                async with self._ledger.transaction() as connection:
                    await policies.save(connection, policies.DEFAULTS, self._defaults)
                saved[policies.DEFAULTS] = self._defaults
            self._saved = saved
        return self._saved

    async def _read(self, name: str) -> ObservedNamespace:
        try:
            body = await self._source.namespace(name)
        except NotFound:
            found, there = ObservedNamespace(name, "", self._defaults), False
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            found, there = self._unreadable(name), True
        else:
            metadata = body["metadata"]
            policy, problems = allowance.read(metadata.get("annotations") or {}, self._defaults)
            found, there = ObservedNamespace(name, str(metadata["uid"]), policy, problems), True
        await self._save(found)
        before = self._known.get(name)
        if there:
            self._known[name] = found
            self._read_at[name] = asyncio.get_running_loop().time()
        else:
            self._known.pop(name, None)
            self._read_at.pop(name, None)
        if found.problems and (before is None or found.problems != before.problems):
            self._report(found)
        if before is not None and before.policy != found.policy:
            _log.info("namespace policy changed", namespace=name)
            self._changed(name)
        return found

    def _unreadable(self, name: str) -> ObservedNamespace:
        if name not in self._known:
            _log.warning(
                "the operator may not get a Namespace, so defaults apply to it. Allow the operator to get namespaces",
                namespace=name,
            )
        return ObservedNamespace(name, "", self._defaults)

    async def _save(self, found: ObservedNamespace) -> None:
        saved = await self._load()
        wanted = None if found.policy == self._defaults else found.policy
        if saved.get(found.name) == wanted:
            return
        async with self._ledger.transaction() as connection:
            if wanted is None:
                await policies.forget(connection, found.name)
            else:
                await policies.save(connection, found.name, wanted)
        if wanted is None:
            saved.pop(found.name, None)
        else:
            saved[found.name] = wanted

    def _report(self, found: ObservedNamespace) -> None:
        message = "; ".join(found.problems)
        _log.error("invalid annotations of a Namespace", namespace=found.name, problems=found.problems)
        self._announce(
            Key(found.name, found.name, found.uid),
            KubernetesEvent("Warning", "NamespacePolicyInvalid", message, message),
        )
