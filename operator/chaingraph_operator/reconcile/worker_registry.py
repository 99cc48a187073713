"""Who is there to work: the node types in force and the queues that live workers serve.

Read again every few seconds, because a lease that runs out tells nobody, and at once when a worker publishes a
catalogue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import ValidationError

from chaingraph_flow.catalogue import Catalogue, NodeType
from chaingraph_store.ledger import CATALOGUES, Ledger
from chaingraph_store.queue import leases

_log = structlog.get_logger(__name__)
_REFRESH_SECONDS: Final = 3.0


def merged(published: Sequence[Mapping[str, Any]]) -> tuple[Catalogue | None, list[str]]:
    """The catalogues of all workers as one, and what was wrong with them.

    While a new version of the workers comes in, two of them may have a type of the same name with other ports: the
    first one given holds, and executions run on whichever worker takes them. None when nothing is published.
    """
    if not published:
        return None, []
    types: dict[str, NodeType] = {}
    errors: list[str] = []
    for each in published:
        try:
            catalogue = Catalogue.from_json(each)
        except ValidationError as error:
            errors.append(f"a catalogue cannot be read, its workers are newer than the operator: {error}")
            continue
        for name, node_type in catalogue.items():
            if types.setdefault(name, node_type) != node_type:
                errors.append(f"workers of two versions have different node types called {name!r}")
    return Catalogue(types.values()), errors


class WorkerRegistry:
    """What the live workers can do.

    Args:
        catalogue_changed: called with the node types that are in force from now on.
        queues_changed: called when other queues than before are served.
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
        self._news = asyncio.Event()

    def serves(self, queue: str) -> bool | None:
        """Whether a live worker takes from the queue; None while that is not known."""
        return None if self._queues is None else queue in self._queues

    async def refresh(self) -> None:
        """Reads what there is, and tells when it has changed."""
        async with self._ledger.connection() as connection:
            published = await leases.catalogues_in_force(connection)
            queues = await leases.served_queues(connection)
        if published != self._published:
            self._published = published
            catalogue, errors = merged(published)
            for error in errors:
                _log.warning(error)
            _log.info("node types in force", types=0 if catalogue is None else len(catalogue))
            self._catalogue_changed(catalogue)
        if queues != self._queues:
            self._queues = queues
            _log.info("queues that are served", queues=sorted(queues))
            self._queues_changed()

    async def listen(self) -> None:
        """Hears of workers that publish catalogues, for ever."""

        async def connected() -> None:
            self._news.set()

        await self._ledger.listen(CATALOGUES, lambda _: self._news.set(), connected=connected)

    async def follow(self) -> None:
        """Refreshes for ever."""
        while True:
            try:
                async with asyncio.timeout(_REFRESH_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            await self.refresh()
