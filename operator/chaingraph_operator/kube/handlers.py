"""The kopf handlers: one `on.event` per kind, which caches the object and queues its key.

They do nothing else, because kopf swallows a handler's exception and never calls it again: the queue owns retries. No
change handlers (they write the object into an annotation), no finalizers, no indices, no patching.

kopf passes only the object's identity. The object itself comes from the inbox (`reading`).
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
    """Receives the objects of one kind."""

    def observed(self, body: Mapping[str, Any]) -> None:
        """Handle a new or changed object."""

    def deleted(self, body: Mapping[str, Any]) -> None:
        """Handle a deleted object, in its last version."""


def register(
    registry: kopf.OperatorRegistry,
    plural: str,
    observer: ObjectObserver,
    *,
    inbox: ObjectInbox,
    unreadable: Callable[[str], None],
) -> None:
    """Register the handler of one kind.

    Args:
        unreadable: called with the kind for each object that could not be read completely.
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
            _log.exception("cannot process an object", kind=plural, object=str(objects.identity(body)))
            kept = {field: identity.get(field) for field in ("namespace", "name", "uid", "resourceVersion")}
            reason = f"the operator cannot read the object: {type(error).__name__}"
            body = {"metadata": kept, "spec": {}, "status": {}, UNREADABLE: reason}
            deliver(event["type"], body)
        why = body.get(UNREADABLE)
        if why:
            unreadable(plural)
            _log.warning("cannot read an object", kind=plural, object=str(objects.identity(body)), why=why)

    kopf.on.event(names.GROUP, names.VERSION, plural, id=f"observe-{plural}", registry=registry)(handle)
