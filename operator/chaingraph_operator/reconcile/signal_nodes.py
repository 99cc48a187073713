"""The nodes of flows that take signals, by revision."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from chaingraph_crds.node_paths import flow_of
from chaingraph_flow.catalogue import Catalogue
from chaingraph_operator.decide.signals import SignalNode, signal_nodes
from chaingraph_store.flows import flow_revisions
from chaingraph_store.ledger import Ledger

_REMEMBERED: Final = 256


class SignalNodes:
    """A cache: a revision never changes, and a type that takes signals stays one.

    Args:
        catalogue: returns the active node types; None while there are none.
    """

    def __init__(self, ledger: Ledger, catalogue: Callable[[], Catalogue | None]) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._known: OrderedDict[tuple[str, str], Mapping[str, SignalNode]] = OrderedDict()

    async def of(self, revision: str, subflow: str = "") -> tuple[Mapping[str, SignalNode], bool]:
        """Return the nodes by the names of their signals, and whether these are all: all node types are known.

        Args:
            subflow: the subflow that takes the place of the flow, or ''.
        """
        key = (revision, subflow)
        if key in self._known:
            return self._known[key], True
        catalogue = self._catalogue()
        if not revision or catalogue is None:
            return {}, False
        async with self._ledger.connection() as connection:
            flow = flow_of(await flow_revisions.spec(connection, revision) or {}, subflow)
        found, complete = await asyncio.to_thread(signal_nodes, flow or {}, catalogue)
        if complete:
            self._known[key] = found
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found, complete
