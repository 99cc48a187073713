"""The handlers of kopf: one `on.event` a kind, which puts the object into a cache and its key into a queue.

Nothing else happens here, because kopf swallows a handler's exception and never calls it again: the queue owns
retries. No change handlers (they write the object into an annotation), no finalizers, no indices, no patching.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import kopf

from chaingraph_crds import names


class Observer(Protocol):
    """What takes in the objects of one kind."""

    def observed(self, body: Mapping[str, Any]) -> None:
        """The object is there, in this version."""

    def deleted(self, body: Mapping[str, Any]) -> None:
        """The object is gone; this was its last version."""


def register(registry: kopf.OperatorRegistry, plural: str, observer: Observer) -> None:
    """Registers the handler of one kind."""

    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        # kopf's own view of the body is a wrapper that looks up every field anew; the raw object is a plain dict.
        body: Mapping[str, Any] = event["object"]
        if event["type"] == "DELETED":
            observer.deleted(body)
        else:
            observer.observed(body)

    kopf.on.event(names.GROUP, names.VERSION, plural, id=f"observe-{plural}", registry=registry)(handle)
