"""The places of nodes in flows, by revision, as the ledger has them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from chaingraph_store.flows import flow_revisions
from chaingraph_store.ledger import Ledger

_REMEMBERED: Final = 256


class FlowNodes:
    """A cache: a revision never changes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()

    async def of(self, revision: str, subflow: str = "") -> frozenset[str]:
        """Return the places of the nodes of a revision; none when the ledger does not have it.

        Args:
            subflow: the subflow that takes the place of the flow, or ''.
        """
        key = (revision, subflow)
        if key not in self._known:
            async with self._ledger.connection() as connection:
                found = await flow_revisions.node_places(connection, revision, subflow)
            if found is None:
                return frozenset()
            self._known[key] = found
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]
