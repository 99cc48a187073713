"""The live workers: the active node types, and the queues with a worker.

It is read every few seconds, because an expiring lease notifies nobody, and at once when a worker publishes a
catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import ValidationError

from chaingraph_flow.catalogue import Catalogue, NodeType
from chaingraph_store.hints import Hints
from chaingraph_store.ledger import CATALOGUES, Ledger
from chaingraph_store.queue import leases

_log = structlog.get_logger(__name__)
_REFRESH_SECONDS: Final = 3.0


def merged(published: Sequence[Mapping[str, Any]]) -> tuple[Catalogue | None, list[str]]:
    """Merge the catalogues of all workers. Returns the result and a list of problems.

    During an upgrade, two workers may have a type of the same name with different ports. The first one given wins, and
    executions run on whichever worker takes them. The catalogue is None when nothing is published.
    """
    if not published:
        return None, []
    types: dict[str, NodeType] = {}
    errors: list[str] = []
    for each in published:
        try:
            catalogue = Catalogue.from_json(each)
        except ValidationError as error:
            errors.append(f"cannot read a catalogue, its workers are newer than the operator: {error}")
            continue
        for name, node_type in catalogue.items():
            if types.setdefault(name, node_type) != node_type:
                errors.append(f"workers of two versions have different node types named {name!r}")
    return Catalogue(types.values()), errors


class WorkerRegistry:
    """The capabilities of the live workers.

    Args:
        catalogue_changed: called with the node types that are active from now on.
        queues_changed: called when the set of served queues has changed.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        catalogue_changed: Callable[[Catalogue | None], None],
        queues_changed: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._catalogue_changed = catalogue_changed
        self._queues_changed = queues_changed
        self._published: list[dict[str, Any]] | None = None
        self._queues: set[str] | None = None
        self._hints = Hints(reread_seconds=_REFRESH_SECONDS)

    def serves(self, queue: str) -> bool | None:
        """Whether a live worker serves the queue; None while unknown."""
        return None if self._queues is None else queue in self._queues

    async def refresh(self) -> None:
        """Read the registry, and report changes."""
        async with self._ledger.connection() as connection:
            published = await leases.catalogues_in_force(connection)
            queues = await leases.served_queues(connection)
        if published != self._published:
            self._published = published
            catalogue, errors = merged(published)
            for error in errors:
                _log.warning(error)
            _log.info("active node types", types=0 if catalogue is None else len(catalogue))
            self._catalogue_changed(catalogue)
        if queues != self._queues:
            self._queues = queues
            _log.info("served queues", queues=sorted(queues))
            self._queues_changed()

    async def listen(self) -> None:
        """Listen for published catalogues until cancelled."""
        await self._hints.listen(self._ledger, CATALOGUES)

    async def follow(self) -> None:
        """Refresh until cancelled."""

        async def look(_named: Sequence[str], _everything: bool) -> None:
            await self.refresh()

        await self._hints.follow(look)
