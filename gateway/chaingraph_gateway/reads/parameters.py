"""Parse query parameters. Every unknown or invalid one is rejected by name, with a valid form. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from chaingraph_crds.execution_status import ExecutionPhase
from chaingraph_flow.events import EVENT_TYPES
from chaingraph_flow.field_errors import suggestion
from chaingraph_gateway.errors import BadRequest, UnknownParameter
from chaingraph_store.events import ANNOUNCEMENT_INDEX
from chaingraph_store.ids import ExecutionId
from chaingraph_store.reads.tree import RootCursor, TreeCursor

MAX_PAGE: Final = 1000
MAX_ROOTS: Final = 100
"""Each row costs a count of its whole tree."""
_SECRETIVE: Final = re.compile(r"(?i)token|auth|bearer|secret|password|jwt|key")
_NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")
_DEFAULT_PAGE: Final = 100
_LARGEST_INDEX: Final = 2**53 - 1
"""The largest integer in JavaScript."""
_MOST_LEVELS: Final = 1_000_000
"""More levels than any tree has."""
_DIGITS: Final = 9
"""Maximum length of a number: Python is slow for long ones."""


@dataclass(frozen=True)
class Subscription:
    """A subscriber's request.

    Attributes:
        from_index: the first requested event.
        resumed: whether `from_index` follows from a Last-Event-ID.
        types: the requested event types, None for all.
        follow: continue with future events.
    """

    from_index: int
    resumed: bool
    types: frozenset[str] | None
    follow: bool


def known(query: Mapping[str, str], names: Collection[str]) -> None:
    """Reject every parameter except these.

    Raises:
        UnknownParameter: there is another one.
    """
    for name in query:
        if name in names:
            continue
        if _SECRETIVE.search(name):
            raise UnknownParameter(
                name,
                "tokens are not accepted in a URL, which is logged; send `Authorization: Bearer TOKEN`",
            )
        raise UnknownParameter(name, f"unknown query parameter{suggestion(name[:64], names)}")


def subscription(query: Mapping[str, str], last_event_id: str | None) -> Subscription:
    """Parse the parameters and the header Last-Event-ID of a stream; the header overrides `fromIndex`.

    Raises:
        BadRequest: one of them is unknown or invalid.
    """
    known(query, ("fromIndex", "types", "follow"))
    from_index = _index("fromIndex", query.get("fromIndex", str(ANNOUNCEMENT_INDEX)), "the first event to send")
    if last_event_id:
        from_index = _index("Last-Event-ID", last_event_id, "the id of the last event received") + 1
    return Subscription(
        from_index, bool(last_event_id), _types(query.get("types")), flag(query, "follow", default=True)
    )


def _index(field: str, text: str, meaning: str) -> int:
    try:
        value = int(text) if text.isascii() else None
    except ValueError:
        value = None
    if value is None or not ANNOUNCEMENT_INDEX <= value <= _LARGEST_INDEX:
        raise BadRequest(field, text, f"is not an event index; use {meaning}, a whole number from -1 on")
    return value


def _types(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    wanted = [each.strip() for each in text.split(",") if each.strip()]
    if not wanted:
        raise BadRequest("types", text, "has no event type; name some, separated by commas, or omit `types`")
    for each in wanted:
        if each not in EVENT_TYPES:
            hint = suggestion(each, EVENT_TYPES) or f"; available: {', '.join(sorted(EVENT_TYPES))}"
            raise BadRequest("types", each, f"is not an event type{hint}")
    return frozenset(wanted)


def flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Parse a boolean parameter.

    Raises:
        BadRequest: it is neither true nor false.
    """
    text = query.get(name, str(default).lower())
    if text not in ("true", "false"):
        raise BadRequest(name, text, "is not a boolean; use true or false")
    return text == "true"


def phases(query: Mapping[str, str]) -> list[str] | None:
    """Parse the parameter `phase`: one or several, separated by commas; None without it.

    Raises:
        BadRequest: it names none, or an unknown one.
    """
    text = query.get("phase")
    if text is None:
        return None
    wanted = [each.strip() for each in text.split(",") if each.strip()]
    if not wanted:
        raise BadRequest("phase", text, "has no phase; name some, separated by commas, or omit `phase`")
    known_phases = [each.value for each in ExecutionPhase]
    for each in wanted:
        if each not in known_phases:
            raise BadRequest("phase", each, f"is not a phase{suggestion(each, known_phases)}")
    return wanted


def page_size(query: Mapping[str, str], *, most: int = MAX_PAGE) -> int:
    """Parse the parameter `limit`.

    Raises:
        BadRequest: it is not a whole number from 1 to `most`.
    """
    found = _number(query.get("limit", str(_DEFAULT_PAGE)))
    if found is None or not 1 <= found <= most:
        raise BadRequest("limit", query["limit"], f"is not a page size; use a whole number from 1 to {most}")
    return found


def levels(query: Mapping[str, str]) -> int | None:
    """Parse the parameter `depth`: how many levels below the execution; None for all.

    Raises:
        BadRequest: it is not a whole number from 0 on.
    """
    text = query.get("depth")
    if text is None:
        return None
    found = _number(text)
    if found is None:
        raise BadRequest("depth", text, "is not a number of levels; use a whole number from 0 on, or omit `depth`")
    return min(found, _MOST_LEVELS)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def place(query: Mapping[str, str]) -> TreeCursor | None:
    """Parse the parameter `cursor` of a tree.

    Raises:
        BadRequest: it is not one of ours.
    """
    text = query.get("cursor")
    if text is None:
        return None
    depth, parent, position = _content(text, 3)
    if not (_small(depth) and _small(position) and plain(parent)):
        raise _no_cursor(text)
    return TreeCursor(depth, parent, position)


def root_place(query: Mapping[str, str]) -> RootCursor | None:
    """Parse the parameter `cursor` of a list of roots.

    Raises:
        BadRequest: it is not one of ours.
    """
    text = query.get("cursor")
    if text is None:
        return None
    created_at, execution = _content(text, 2)
    try:
        moment = datetime.fromisoformat(created_at)
    except (ValueError, TypeError) as error:
        raise _no_cursor(text) from error
    if moment.tzinfo is None or not plain(execution):
        raise _no_cursor(text)
    return RootCursor(moment, ExecutionId(execution))


def _content(text: str, length: int) -> list[Any]:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(text))
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise _no_cursor(text) from error
    if not isinstance(content, list) or len(content) != length:
        raise _no_cursor(text)
    return content


def plain(value: object) -> bool:
    """Whether it is text that PostgreSQL can store: without NUL and halves of surrogate pairs."""
    return isinstance(value, str) and not _NO_TEXT.search(value)


def _small(value: object) -> bool:
    return type(value) is int and -1 <= value < 2**31


def _no_cursor(text: str) -> BadRequest:
    return BadRequest(
        "cursor",
        f"text of {len(text)} characters",
        "is not a cursor of this path; use the `cursor` of the previous page, or omit it for the first",
    )


def node_place(query: Mapping[str, str]) -> str:
    """Parse the parameter `cursor` of a journal: the last node of the previous page; '' for the first page.

    Raises:
        BadRequest: it is not one of ours.
    """
    text = query.get("cursor")
    if text is None:
        return ""
    (node,) = _content(text, 1)
    if not plain(node):
        raise _no_cursor(text)
    return str(node)


def event_index(text: str) -> int:
    """Parse an event's index in a path.

    Raises:
        BadRequest: it is not valid.
    """
    return _index("index", text, "the index of an event")


def cursor(after: TreeCursor | RootCursor | str) -> str:
    """Encode a cursor, for the parameter `cursor` of the next page."""
    match after:
        case TreeCursor():
            content = orjson.dumps([after.depth, after.parent, after.position])
        case RootCursor():
            content = orjson.dumps([after.created_at.isoformat(), after.id])
        case str():
            content = orjson.dumps([after])
    return base64.urlsafe_b64encode(content).decode()
