"""Read what a retry from a node, or with the latest revision of the Flow, is decided from."""

from __future__ import annotations

from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_flow.catalogue import Catalogue
from chaingraph_operator.decide.actions import FlowView, Missing
from chaingraph_operator.decide.plan import wants_cut
from chaingraph_operator.decide.retry_cut import RetryFacts
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.reconcile.flows import Flows
from chaingraph_runtime.cluster_errors import NotFound
from chaingraph_store.commands import journal_cut
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ledger import Ledger


class RetryFactsReader:
    """Reads them for a requested retry."""

    def __init__(self, ledger: Ledger, api: KubernetesApi, flows: Flows) -> None:
        self._ledger = ledger
        self._api = api
        self._flows = flows

    async def of(self, key: Key, spec: ExecutionSpec, row: ExecutionRow | None) -> RetryFacts | None:
        """Return the facts; None when the spec requests no such retry now.

        The execution is woken when the validation of the Flow ends, or workers with other node types start.
        """
        if row is None or spec.retry is None or not wants_cut(spec, row):
            return None
        async with self._ledger.connection() as connection:
            ended = await journal_cut.ended_attempt(connection, row.id)
        if ended is None:
            return None
        latest = spec.retry.flow_revision == "Latest"
        flow = await self._current(row.namespace, row.flow_name) if latest else None
        facts = RetryFacts(ended, self._flows.catalogue or Catalogue(), row.flow_name, flow)
        if facts.waits and not latest:
            self._flows.wait_for_types(key)
        elif facts.waits:
            self._flows.wait_for(key, row.namespace, row.flow_name)
        return facts

    async def _current(self, namespace: str, name: str) -> FlowView:
        """Return the Flow as the API server has it now: the watch may be behind an edit of a moment ago."""
        try:
            self._flows.observed(await self._api.get(names.FLOW_PLURAL, Key(namespace, name, "")))
        except NotFound:
            return Missing(name, self._flows.similar(namespace, name))
        return self._flows.validation(namespace, name) or Missing(name)
