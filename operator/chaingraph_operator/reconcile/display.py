"""Build the status of an execution from its row or from the verdict, and submit it to the status writer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from chaingraph_operator.decide.actions import Verdict
from chaingraph_operator.decide.ignored import Ignored, of_active
from chaingraph_operator.decide.status import execution_status
from chaingraph_operator.kube.status_writer import StatusWriter
from chaingraph_operator.reconcile import child_counts
from chaingraph_operator.reconcile.flow_nodes import FlowNodes
from chaingraph_operator.reconcile.snapshot import Snapshot
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_operator.reconcile.worker_registry import WorkerRegistry
from chaingraph_store.executions import TERMINAL_PHASES
from chaingraph_store.ledger import Ledger


class Display:
    """Builds statuses."""

    def __init__(
        self, *, triggers: ExecutionTriggers, ledger: Ledger, writer: StatusWriter, worker_registry: WorkerRegistry
    ) -> None:
        self._triggers = triggers
        self._ledger = ledger
        self._writer = writer
        self._worker_registry = worker_registry
        self._flow_nodes = FlowNodes(ledger)

    async def show(self, snapshot: Snapshot, verdict: Verdict | None) -> None:
        """Show the row, or the reason why there is none."""
        cached, row, spec, previous = snapshot.cached, snapshot.row, snapshot.spec, snapshot.status
        if cached.deleting and row is None:
            return
        if row is not None:
            # Read before the children, so that no change of theirs is missed in between.
            self._triggers.follow_children(row, cached.key)
            self._triggers.cache.mark_seq(cached.key, row.change_seq)
        counts = await child_counts.read(self._ledger, row)
        shown = execution_status(
            snapshot.meta,
            spec,
            row,
            verdict,
            previous,
            now=datetime.now(UTC),
            queue_served=self._worker_registry.serves(row.queue) if row is not None else None,
            children=counts.children,
            below=counts.below,
            parent_name=previous.parent_ref.name if spec.spawned_by is None and previous.parent_ref else None,
            ignored=await self._ignored(snapshot),
            known_signals=None if snapshot.signals is None else snapshot.signals.known,
        )
        phase = shown.get("phase")
        # The start of a retry is shown at once, waiting only if it lasts. For a child, the same applies to its run:
        # there are thousands, and most end before anybody could look.
        quiet = {"Pending"} if spec.spawned_by is None else {"Pending", "Running"}
        urgent = phase != cached.phase and (phase not in quiet or cached.phase in TERMINAL_PHASES)
        tree_has_ended = row is not None and row.children_total > 0 and row.tree_ended and not cached.finished
        self._writer.submit(cached.key, shown, urgent=urgent or tree_has_ended)

    async def _ignored(self, snapshot: Snapshot) -> Sequence[Ignored]:
        row, spec = snapshot.row, snapshot.spec
        if row is None or snapshot.unreadable is not None:
            return snapshot.ignored if row is not None else ()
        looks_up = spec.options.breakpoints and not row.ended and row.flow_revision is not None
        nodes = (
            await self._flow_nodes.of(row.flow_revision, row.subflow)
            if looks_up and row.flow_revision
            else frozenset[str]()
        )
        return (*snapshot.ignored, *of_active(spec, row, nodes or spec.options.breakpoints))
