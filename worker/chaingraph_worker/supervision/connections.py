"""Share a worker's HTTP connections between the executions of each namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ConnectionShares:
    """Granted connections, by namespace. An execution keeps its grant as long as it runs here.

    Args:
        per_execution: maximum for one execution.
        per_namespace: maximum for all executions of a namespace. Each gets at least one.
    """

    def __init__(self, *, per_execution: int, per_namespace: int) -> None:
        self._per_execution = per_execution
        self._per_namespace = per_namespace
        self._granted: Counter[str] = Counter()

    @contextmanager
    def grant(self, namespace: str) -> Iterator[int]:
        """Grant connections to an execution of the namespace, while the context is open."""
        left = self._per_namespace - self._granted[namespace]
        granted = max(1, min(self._per_execution, left))
        self._granted[namespace] += granted
        try:
            yield granted
        finally:
            self._granted[namespace] -= granted
            if not self._granted[namespace]:
                del self._granted[namespace]
