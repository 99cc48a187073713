"""The handlers of kopf: one `on.event` a kind, which puts the object into a cache and its key into a queue.

Nothing else happens here, because kopf swallows a handler's exception and never calls it again: the queue owns
retries. No change handlers (they write the object into an annotation), no finalizers, no indices, no patching.

What kopf hands over is the object's identity; the object itself comes from the inbox (`reading`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import kopf
import structlog

from chaingraph_crds import names
from chaingraph_operator.kube.reading import ObjectInbox
from chaingraph_runtime import objects
from chaingraph_runtime.objects import UNREADABLE, Object

_log = structlog.get_logger(__name__)


class ObjectObserver(Protocol):
    """What takes in the objects of one kind."""

    def observed(self, body: Mapping[str, Any]) -> None:
        """The object is there, in this version."""

    def deleted(self, body: Mapping[str, Any]) -> None:
        """The object is gone; this was its last version."""


def register(
    registry: kopf.OperatorRegistry,
    plural: str,
    observer: ObjectObserver,
    *,
    inbox: ObjectInbox,
    unreadable: Callable[[str], None],
) -> None:
    """Registers the handler of one kind.

    Args:
        unreadable: told of each object of which something could not be read, by kind.
    """

    def deliver(type_: str | None, body: Object) -> None:
        if type_ == "DELETED":
            observer.deleted(body)
        else:
            observer.observed(body)

    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        body = inbox.take(event["object"])
        if body is None:
            return
        try:
            deliver(event["type"], body)
        except Exception as error:  # noqa: BLE001 - whatever an object is, the others are served
            identity = body["metadata"]
            _log.exception("an object cannot be taken in", kind=plural, object=str(objects.identity(body)))
            kept = {field: identity.get(field) for field in ("namespace", "name", "uid", "resourceVersion")}
            reason = f"the operator cannot read the object: {type(error).__name__}"
            body = {"metadata": kept, "spec": {}, "status": {}, UNREADABLE: reason}
            deliver(event["type"], body)
        why = body.get(UNREADABLE)
        if why:
            unreadable(plural)
            _log.warning("an object cannot be read", kind=plural, object=str(objects.identity(body)), why=why)

    kopf.on.event(names.GROUP, names.VERSION, plural, id=f"observe-{plural}", registry=registry)(handle)
