"""Query parameters, checked: every one that is unknown or wrong is refused by name, with what would be right. Pure."""

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
"""Each costs a count of its whole tree."""
_SECRETIVE: Final = re.compile(r"(?i)token|auth|bearer|secret|password|jwt|key")
_NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")
_DEFAULT_PAGE: Final = 100
_LARGEST_INDEX: Final = 2**53 - 1
"""What a program in JavaScript can still count."""
_MOST_LEVELS: Final = 1_000_000
"""More than any tree has."""
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
        UnknownParameter: there is another one.
    """
    for name in query:
        if name in names:
            continue
        if _SECRETIVE.search(name):
            raise UnknownParameter(
                name,
                "tokens are not taken from an address, which is written to logs; send `Authorization: Bearer TOKEN`",
            )
        raise UnknownParameter(name, f"belongs to no parameter of this path{suggestion(name[:64], names)}")


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


def phases(query: Mapping[str, str]) -> list[str] | None:
    """The parameter `phase`: one or several, separated by commas; None where it is left out.

    Raises:
        BadRequest: it names none, or one that does not exist.
    """
    text = query.get("phase")
    if text is None:
        return None
    wanted = [each.strip() for each in text.split(",") if each.strip()]
    if not wanted:
        raise BadRequest("phase", text, "names no phase; give some, separated by commas, or leave `phase` out")
    known_phases = [each.value for each in ExecutionPhase]
    for each in wanted:
        if each not in known_phases:
            raise BadRequest("phase", each, f"is no phase{suggestion(each, known_phases)}")
    return wanted


def page_size(query: Mapping[str, str], *, most: int = MAX_PAGE) -> int:
    """The parameter `limit`.

    Raises:
        BadRequest: it is no whole number from 1 to `most`.
    """
    found = _number(query.get("limit", str(_DEFAULT_PAGE)))
    if found is None or not 1 <= found <= most:
        raise BadRequest("limit", query["limit"], f"is no size of a page; give a whole number from 1 to {most}")
    return found


def levels(query: Mapping[str, str]) -> int | None:
    """The parameter `depth`: how many levels below the execution; None for all.

    Raises:
        BadRequest: it is no whole number from 0 on.
    """
    text = query.get("depth")
    if text is None:
        return None
    found = _number(text)
    if found is None:
        raise BadRequest("depth", text, "is no number of levels; give a whole number from 0 on, or leave `depth` out")
    return min(found, _MOST_LEVELS)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def place(query: Mapping[str, str]) -> TreeCursor | None:
    """Where the parameter `cursor` says to go on in a tree.

    Raises:
        BadRequest: it is none of ours.
    """
    text = query.get("cursor")
    if text is None:
        return None
    depth, parent, position = _content(text, 3)
    if not (_small(depth) and _small(position) and plain(parent)):
        raise _no_cursor(text)
    return TreeCursor(depth, parent, position)


def root_place(query: Mapping[str, str]) -> RootCursor | None:
    """Where the parameter `cursor` says to go on in a list of roots.

    Raises:
        BadRequest: it is none of ours.
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
    """Whether it is text that PostgreSQL can have: it has no NUL, and UTF-8 no halves of surrogate pairs."""
    return isinstance(value, str) and not _NO_TEXT.search(value)


def _small(value: object) -> bool:
    return type(value) is int and -1 <= value < 2**31


def _no_cursor(text: str) -> BadRequest:
    return BadRequest(
        "cursor",
        f"a text of {len(text)} characters",
        "is no cursor of this path; give the `cursor` of the page before, or leave it out for the first",
    )


def node_place(query: Mapping[str, str]) -> str:
    """After which node the parameter `cursor` says to go on in a journal; '' for the first page.

    Raises:
        BadRequest: it is none of ours.
    """
    text = query.get("cursor")
    if text is None:
        return ""
    (node,) = _content(text, 1)
    if not plain(node):
        raise _no_cursor(text)
    return str(node)


def event_index(text: str) -> int:
    """An event's index in a path.

    Raises:
        BadRequest: it is none.
    """
    return _index("index", text, "that of an event")


def cursor(after: TreeCursor | RootCursor | str) -> str:
    """The text of a cursor, for the parameter `cursor` of the next page."""
    match after:
        case TreeCursor():
            content = orjson.dumps([after.depth, after.parent, after.position])
        case RootCursor():
            content = orjson.dumps([after.created_at.isoformat(), after.id])
        case str():
            content = orjson.dumps([after])
    return base64.urlsafe_b64encode(content).decode()
