"""How many HTTP connections each execution of a namespace may have open, so that a worker's are shared between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ConnectionShares:
    """Connections that were granted, by namespace. An execution keeps its grant as long as it runs here.

    Args:
        per_execution: the most that one execution gets.
        per_namespace: the most that a namespace's executions get together. Each gets one at least.
    """

    def __init__(self, *, per_execution: int, per_namespace: int) -> None:
        self._per_execution = per_execution
        self._per_namespace = per_namespace
        self._granted: Counter[str] = Counter()

    @contextmanager
    def grant(self, namespace: str) -> Iterator[int]:
        """Connections for an execution of the namespace, as long as this is entered."""
        left = self._per_namespace - self._granted[namespace]
        granted = max(1, min(self._per_execution, left))
        self._granted[namespace] += granted
        try:
            yield granted
        finally:
            self._granted[namespace] -= granted
            if not self._granted[namespace]:
                del self._granted[namespace]
