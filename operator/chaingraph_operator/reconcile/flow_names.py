"""Publish to the ledger which flow each name refers to: for every served Flow, at every change of its validation.

Executions that emit events to another Flow find it there, without the operator. Published values are remembered, so
that nothing is written twice. The sweep compares them with the ledger from time to time, because a Flow can be deleted
while no operator runs, and another operator may have written last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Final

import psycopg
import structlog

from chaingraph_crds import names
from chaingraph_flow.field_errors import ErrorCode
from chaingraph_flow.revision import content
from chaingraph_flow.validation.inputs import bind_inputs
from chaingraph_operator.decide.flow_status import (
    CHECKING,
    TOO_COMPLEX,
    WAITING_FOR_WORKERS,
    Checking,
    FlowValidation,
    NotValidated,
    TooComplex,
    Unparseable,
    Validated,
)
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.reconcile.flows import Flows
from chaingraph_store.errors import ConflictingRevision
from chaingraph_store.flows import flow_names
from chaingraph_store.flows.flow_names import Content, FlowName, Named
from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import is_outage

_log = structlog.get_logger(__name__)
_LONGEST_PROBLEM: Final = 1024
_LONGEST_RETRY: Final = 15.0


def named(validation: FlowValidation) -> tuple[Named, Content | None]:
    """Return what the name of a Flow with this validation refers to. Pure."""
    match validation:
        case Unparseable(errors):
            return _problem("FlowInvalid", "This operator version cannot read the flow", errors), None
        case NotValidated():
            return Named(None, problem=WAITING_FOR_WORKERS, reason="WaitingForWorkers"), None
        case Checking():
            return Named(None, problem=CHECKING, reason="CheckingFlow"), None
        case TooComplex(_, why):
            return _problem(TOO_COMPLEX, "", [why]), None
        case Validated(spec, revision, ()):
            inputs, missing = bind_inputs(spec.inputs, {})
            named = Named(revision, len(spec.nodes))
            if missing:
                # A node that calls it gives inputs.
                problem = _problem("InvalidInputs", "events provide no inputs", [error.message for error in missing])
                named = replace(problem, revision=named.revision, nodes=named.nodes)
            return named, Content(content(spec), inputs)
        case Validated(_, _, errors):
            reason = ErrorCode.UNKNOWN_NODE_TYPE if validation.lacks_types_only else "FlowInvalid"
            return _problem(reason, "", errors), None


def _problem(reason: str, summary: str, errors: Sequence[object]) -> Named:
    """Build a one-line problem: the first error, and the number of the others."""
    first = next(iter(str(errors[0]).splitlines()), "") if errors else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    line = ": ".join(each for each in (summary, first) if each)
    return Named(None, problem=line[:_LONGEST_PROBLEM] + more, reason=reason)


class FlowNames:
    """Keeps the ledger's names of Flows up to date.

    Args:
        namespaces: the served namespaces; empty for all. Names in other namespaces belong to other operators.
    """

    def __init__(self, flows: Flows, ledger: Ledger, *, namespaces: Sequence[str], metrics: Metrics) -> None:
        self._flows = flows
        self._ledger = ledger
        self._namespaces = tuple(namespaces) or None
        self._queue: WorkQueue[FlowName] = WorkQueue(max_delay=_LONGEST_RETRY)
        self._written: dict[FlowName, Named] = {}
        self._doubted: set[FlowName] = set()
        metrics.queue_depth("flow names", lambda: self._queue.depth)

    def changed(self, flow: FlowName) -> None:
        """Handle a change of the validation, or the deletion, of the Flow of this name."""
        self._queue.add(flow)

    async def run(self) -> None:
        """Publish names until cancelled. After a restart, it reads the published names from the ledger.

        Raises:
            psycopg.OperationalError: PostgreSQL is unavailable. Names still to be published are remembered.
        """
        self._written = await self.published()
        while True:
            flow = await self._queue.get()
            try:
                await self._keep(flow)
            except psycopg.Error as error:
                delay = self._queue.retry(flow)
                if is_outage(error):
                    raise
                self._doubted.add(flow)
                _log.warning(
                    "cannot publish a Flow's name to the ledger, retrying",
                    namespace=flow[0],
                    name=flow[1],
                    error=str(error).strip(),
                    retry_seconds=round(delay, 2),
                )
            else:
                self._queue.forget(flow)
            finally:
                self._queue.done(flow)

    async def published(self) -> dict[FlowName, Named]:
        """Return the names in the served namespaces as the ledger has them now."""
        async with self._ledger.connection() as connection:
            return await flow_names.published(connection, namespaces=self._namespaces)

    async def compare(self, published: Mapping[FlowName, Named], alive: Set[FlowName]) -> None:
        """Publish the names that differ again.

        Args:
            published: the ledger's names, read before the Flows were listed.
            alive: the names of all Flows in the served namespaces.
        """
        for flow in self._known(published):
            if self._flows.is_checking(*flow):
                continue  # published after its validation
            found = self._wanted(flow)
            # An existing Flow that is not known here yet will come with the watch: keep its published name until then.
            if found is None and flow in alive:
                continue
            if published.get(flow) != (None if found is None else found[0]):
                self._doubted.add(flow)
                self._queue.add(flow)
            # A Flow without a validation is validated now, which takes a while.
            await asyncio.sleep(0)

    def _known(self, published: Mapping[FlowName, Named]) -> Iterable[FlowName]:
        return {*published, *((cached.key.namespace, cached.key.name) for cached in self._flows.cache)}

    def _wanted(self, flow: FlowName) -> tuple[Named, Content | None] | None:
        validation = self._flows.validation(*flow)
        return None if validation is None else named(validation)

    async def _keep(self, flow: FlowName) -> None:
        if self._flows.is_checking(*flow):
            return
        found = self._wanted(flow)
        wanted = None if found is None else found[0]
        if flow not in self._doubted and wanted == self._written.get(flow):
            return
        self._doubted.discard(flow)
        wanted = await self._write(flow, found)
        if wanted is None:
            self._written.pop(flow, None)
        else:
            self._written[flow] = wanted
        _log.debug("published a Flow's name", namespace=flow[0], name=flow[1], problem=wanted and wanted.problem)

    async def _write(self, flow: FlowName, found: tuple[Named, Content | None] | None) -> Named | None:
        """Write the name. Returns what the ledger has now."""
        named, content = found or (None, None)
        try:
            async with self._ledger.transaction() as connection:
                if named is None:
                    await flow_names.forget(connection, flow)
                else:
                    await flow_names.publish(connection, flow, named, content)
        except ConflictingRevision as error:
            conflict = str(error)
            _log.error("a Flow cannot be run", namespace=flow[0], name=flow[1], error=conflict)
            refused = _problem(names.CONFLICTING_REVISION, "", [conflict])
            async with self._ledger.transaction() as connection:
                await flow_names.publish(connection, flow, refused, None)
            self._flows.note_conflict(flow, (named and named.revision) or "", conflict)
            return refused
        self._flows.note_conflict(flow, "", "")
        return named
