"""Reduce the objects that kopf receives to their identity, and pass the objects themselves through an inbox.

kopf decodes lists and watches with `json`, which ends the process on an object that is nested too deep, and kopf's own
handling depends on the object's content. So `chaingraph_runtime.objects` reads the responses of its session here. kopf
receives an identity and a ticket, and the handler uses the ticket to take the object.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
import orjson
import structlog

from chaingraph_runtime import objects
from chaingraph_runtime.objects import Object

_log = structlog.get_logger(__name__)
_LARGE: Final = 64 * 1024
"""Texts of at least this many bytes are parsed in a thread, so that the event loop keeps running."""
_ERROR_SECONDS: Final = 1.0
_GONE: Final = 410
_CHANGES: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})


class ObjectInbox:
    """Objects that bypass kopf.

    Args:
        lost: called with the kind for an object without namespace, name or UID. Nothing more is known of it.
    """

    def __init__(self, *, lost: Callable[[str], None]) -> None:
        self._objects: dict[int, Object] = {}
        self._tickets = itertools.count(1)
        self._lost = lost

    def put(self, plural: str, body: Object) -> Object | None:
        """Return the reduced object for kopf; None when it cannot be identified."""
        identity = objects.identity(body)
        if identity is None:
            self._lost(plural)
            return None
        ticket = next(self._tickets)
        self._objects[ticket] = body
        namespace, name, uid = identity
        version = str(body["metadata"].get("resourceVersion") or "")
        metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": version}
        # kopf logs the kind.
        shown = {field: str(body.get(field) or plural) for field in ("apiVersion", "kind")}
        return {**shown, "metadata": metadata, "ticket": ticket}

    def take(self, shown: Any) -> Object | None:
        """Return the object for the reduced one that kopf received."""
        return self._objects.pop(shown.get("ticket", 0), None)


def responses(inbox: ObjectInbox, plurals: frozenset[str]) -> type[aiohttp.ClientResponse]:
    """Create the response class for kopf's session."""

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            started = await super().start(connection)
            plural = self._plural()
            if plural and "watch" in self.url.query and self.status == 200:
                self.content = _Watch(self.content, plural, inbox)  # type: ignore[assignment]
            return started

        async def json(self, **options: Any) -> Any:
            plural = self._plural()
            if not plural or self.status != 200:
                return await super().json(**options)
            text = await self.read()
            try:
                return await asyncio.to_thread(_page, text, plural, inbox)
            except ValueError as error:
                # kopf restarts after this error.
                raise aiohttp.ClientPayloadError(f"cannot read the list of {plural}: {error}") from error

        def _plural(self) -> str:
            last = self.url.path.rpartition("/")[2]
            return last if last in plurals and self.method == "GET" else ""

    return Response


def _page(text: bytes, plural: str, inbox: ObjectInbox) -> Object:
    head, items = objects.read_list(text)
    shown = [inbox.put(plural, each) for each in items]
    return {**head, "items": [each for each in shown if each is not None]}


class _Watch:
    """The lines of a watch with reduced objects. Replaces the response's content."""

    def __init__(self, content: aiohttp.StreamReader, plural: str, inbox: ObjectInbox) -> None:
        self._content = content
        self._plural = plural
        self._inbox = inbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        begun: list[bytes] = []
        async for chunk in self._content.iter_chunked(size):
            *ended, rest = chunk.split(b"\n")
            for each in ended:
                line = b"".join([*begun, each])
                begun = []
                shown = await self._shown(line)
                if shown is not None:
                    yield orjson.dumps(shown) + b"\n"
            if rest:
                begun.append(rest)

    async def _shown(self, line: bytes) -> Object | None:
        try:
            type_, body = await asyncio.to_thread(_event, line) if len(line) > _LARGE else _event(line)
        except ValueError as error:
            if line.strip():
                _log.error("cannot read a line of the watch, skipping it", kind=self._plural, error=str(error))
                self._inbox.put(self._plural, {})
            return None
        if type_ in _CHANGES:
            shown = self._inbox.put(self._plural, body)
            return None if shown is None else {"type": type_, "object": shown}
        if type_ == "BOOKMARK":
            version = body.get("metadata", {}).get("resourceVersion")
            return {"type": type_, "object": {"metadata": {"resourceVersion": version}}} if version else None
        if type_ == "ERROR":
            if body.get("code") != _GONE:
                # kopf ends the process on any other error. Listing again is right after each of them.
                _log.error("watch failed, restarting it", kind=self._plural, error=str(body.get("message")))
                await asyncio.sleep(_ERROR_SECONDS)
            return {"type": type_, "object": {"code": _GONE}}
        return None


def _event(line: bytes) -> tuple[str, Object]:
    """Split a watch event into its type and its object."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        parts = objects.parts_of(line)
        if "object" not in parts:
            raise
        return str(orjson.loads(parts.get("type", b'""'))), objects.read(parts["object"])
    if not isinstance(found, dict) or not isinstance(found.get("object"), dict):
        raise ValueError("not a watch event")  # noqa: TRY004 - as the decoder says it
    brackets = line.count(b"[") + line.count(b"{")
    return str(found.get("type")), objects.sound(found["object"], brackets=brackets)
