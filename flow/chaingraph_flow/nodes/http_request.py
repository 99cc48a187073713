"""Build the request of an HTTP node from its inputs: URL, headers and body. Messages contain no values of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

import httpx
import orjson

from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.reading import encoded

FORM: Final = "application/x-www-form-urlencoded"
_FORM_OF_URL: Final = "write it as https://api.example.com/v1"


def url_of(base: str, path: str, query: Mapping[str, Any]) -> httpx.URL:
    """Build the URL from baseUri, path and query.

    The path is appended to that of the base, with one slash between. Parameters of `query` replace those of the same
    name in the path's own query, and these replace those of the base's. All others are unchanged. There is no fragment.

    Raises:
        NodeFailed: it is not a http or https URL, or a parameter is a list or an object.
    """
    before, base_query = _parts(base)
    added, path_query = _parts(path)
    if added:
        before = f"{before.rstrip('/')}/{added.lstrip('/')}"
    given = [(name, text) for name, value in query.items() if (text := parameter("query", name, value)) is not None]
    pairs = _without(base_query, _names(path_query)) + path_query
    pairs = _without(pairs, {name for name, _ in given})
    if given:
        pairs.append(urlencode(given))
    try:
        url = httpx.URL(f"{before}?{'&'.join(pairs)}" if pairs else before)
    except (httpx.InvalidURL, ValueError):
        raise NodeFailed(f"baseUri and path are not a URL: {_FORM_OF_URL}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise NodeFailed("baseUri must start with http:// or https:// and name a host")
    return url


def _parts(text: str) -> tuple[str, list[str]]:
    """Split a URL into the part before the query, and the query's parameters, without the fragment."""
    before, _, query = text.partition("#")[0].partition("?")
    return before, [each for each in query.split("&") if each]


def _without(pairs: list[str], names: Iterable[str]) -> list[str]:
    names = set(names)
    return [each for each in pairs if _name(each) not in names]


def _names(pairs: list[str]) -> set[str]:
    return {_name(each) for each in pairs}


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def parameter(port: str, name: str, value: Any) -> str | None:
    """Format a value for URLs, headers and forms: texts unchanged, else as JSON; None for null, which is left out."""
    if isinstance(value, list | dict):
        raise NodeFailed(f"{port}: {name!r} must be a text, a number or a boolean")
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


class Fields:
    """Header fields by name, case-insensitive."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._found: dict[str, tuple[str, str]] = {}
        for name, value in given.items():
            text = parameter("headers", name, value)
            if text is not None:
                self._found[name.lower()] = (name, text)

    def default(self, name: str, value: str) -> None:
        """Add a field, before the others, unless it exists."""
        if name.lower() not in self._found:
            self._found = {name.lower(): (name, value)} | self._found

    def add(self, name: str, value: str) -> None:
        """Add a field. Raises NodeFailed when it exists."""
        if name.lower() in self._found:
            raise NodeFailed(f"the header {name} is set twice, once of them from a secret: remove one", retryable=False)
        self._found[name.lower()] = (name, value)

    def get(self, name: str) -> str:
        """Return the value of a field; empty when it does not exist."""
        return self._found.get(name.lower(), ("", ""))[1]

    def all(self) -> tuple[tuple[str, str], ...]:
        """Return names and values in order."""
        return tuple(self._found.values())


def body_of(body: Any, fields: Fields) -> bytes | None:
    """Encode a body, in the form and charset of the Content-Type; None for null.

    A text is sent unchanged. An object is sent as a form when the Content-Type says so. Anything else is JSON.
    """
    if body is None:
        return None
    if not isinstance(body, str):
        fields.default("Content-Type", "application/json")
    content_type = fields.get("Content-Type")
    if isinstance(body, str):
        text = body
    elif content_type.partition(";")[0].strip().lower() == FORM:
        if not isinstance(body, dict):
            raise NodeFailed(f"the body of {FORM} must be an object or a text")
        texts = [(name, parameter("body", name, value)) for name, value in body.items()]
        text = urlencode([(name, each) for name, each in texts if each is not None])
    else:
        text = orjson.dumps(body).decode()
    return encoded(text, content_type, "the body")


def authorized(url: httpx.URL, fields: Fields) -> httpx.URL:
    """Return the URL without user and password, which become a header unless there is one."""
    if url.userinfo:
        user = f"{url.username}:{url.password}".encode()
        if not fields.get("Authorization"):
            fields.default("Authorization", f"Basic {base64.b64encode(user).decode()}")
    return url.copy_with(userinfo=b"", fragment=None)
