"""Query parameters, checked: every one that is unknown or wrong is refused by name, with what would be right. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from chaingraph_flow.events import EVENT_TYPES
from chaingraph_flow.faults import suggestion
from chaingraph_gateway.errors import BadRequest
from chaingraph_store.events import ANNOUNCEMENT_INDEX
from chaingraph_store.ids import ExecutionId
from chaingraph_store.tree import Place

MAX_PAGE: Final = 1000
_DEFAULT_PAGE: Final = 100
_LARGEST_INDEX: Final = 2**53 - 1
"""What a program in JavaScript can still count."""
_DIGITS: Final = 9
"""Longest number that is looked at: Python takes long for long ones."""


@dataclass(frozen=True)
class Subscription:
    """What a subscriber asks for.

    Attributes:
        from_index: the first event wanted.
        resumed: whether `from_index` follows from a Last-Event-ID.
        types: the event types wanted, None for all.
        follow: go on with what is still to come.
    """

    from_index: int
    resumed: bool
    types: frozenset[str] | None
    follow: bool


def known(query: Mapping[str, str], names: Collection[str]) -> None:
    """Refuses every parameter but these.

    Raises:
        BadRequest: there is another one.
    """
    for name, value in query.items():
        if name not in names:
            raise BadRequest(name, value, f"belongs to no parameter of this path{suggestion(name, names)}")


def subscription(query: Mapping[str, str], last_event_id: str | None) -> Subscription:
    """What the parameters and the header Last-Event-ID ask for; the header wins over `fromIndex`.

    Raises:
        BadRequest: one of them is unknown or wrong.
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
        raise BadRequest(field, text, f"is no index of an event; give {meaning}, a whole number from -1 on")
    return value


def _types(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    wanted = [each.strip() for each in text.split(",") if each.strip()]
    if not wanted:
        raise BadRequest("types", text, "names no event type; give some, separated by commas, or leave `types` out")
    for each in wanted:
        if each not in EVENT_TYPES:
            hint = suggestion(each, EVENT_TYPES) or f"; known are {', '.join(sorted(EVENT_TYPES))}"
            raise BadRequest("types", each, f"is no event type{hint}")
    return frozenset(wanted)


def flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """A parameter that is true or false.

    Raises:
        BadRequest: it is neither.
    """
    text = query.get(name, str(default).lower())
    if text not in ("true", "false"):
        raise BadRequest(name, text, "is neither true nor false; give one of them")
    return text == "true"


def page_size(query: Mapping[str, str]) -> int:
    """The parameter `limit`.

    Raises:
        BadRequest: it is no whole number from 1 to `MAX_PAGE`.
    """
    text = query.get("limit", str(_DEFAULT_PAGE))
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and 1 <= int(text) <= MAX_PAGE):
        raise BadRequest("limit", text, f"is no size of a page; give a whole number from 1 to {MAX_PAGE}")
    return int(text)


def place(query: Mapping[str, str]) -> Place | None:
    """Where the parameter `cursor` says to go on.

    Raises:
        BadRequest: it is none of ours.
    """
    text = query.get("cursor")
    if text is None:
        return None
    try:
        depth, created_at, execution = orjson.loads(base64.urlsafe_b64decode(text))
        if not isinstance(execution, str) or "\x00" in execution:
            raise ValueError("PostgreSQL has no such text")
        return Place(int(depth), datetime.fromisoformat(created_at), ExecutionId(execution))
    except (binascii.Error, UnicodeError, ValueError, TypeError) as error:
        raise BadRequest(
            "cursor", text, "is no cursor; give the `cursor` of the page before, or leave it out for the first page"
        ) from error


def cursor(after: Place) -> str:
    """The text of a cursor, for the parameter `cursor` of the next page."""
    content = orjson.dumps([after.depth, after.created_at.isoformat(), after.id])
    return base64.urlsafe_b64encode(content).decode()
