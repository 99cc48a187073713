"""What is counted and timed of a run and of its nodes. Made by `attempt` for each run."""

from __future__ import annotations

import time

from chaingraph_flow import NodeRecord
from chaingraph_store.runs import Claim
from chaingraph_worker import metrics


class Observer:
    """Of one run, from its claim on."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._types: dict[str, str] = {node["id"]: node["type"] for node in claim.flow_spec["nodes"]}
        self._began = time.monotonic()

    def node_ended(self, record: NodeRecord) -> None:
        """A node has ended, or will not run. Called for each, between two turns of the engine: it must cost little."""
        node_type = self._types[record.node_id]
        metrics.NODES.labels(node_type, record.outcome).inc()
        if record.attempts:
            metrics.NODE_SECONDS.labels(node_type).observe((record.finished_at - record.started_at) / 1000)

    def ended(self, outcome: str) -> None:
        """The run has ended so."""
        queue = self._claim.queue
        metrics.ATTEMPTS.labels(queue, outcome).inc()
        metrics.ATTEMPT_SECONDS.labels(queue).observe(time.monotonic() - self._began)
