"""JSON values of ports: validate them, copy them, and access places inside them.

A node's outputs are validated once when it ends, and copied for each target that is about to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, Union

import orjson

from chaingraph_crds.numbers import LARGEST_INTEGER, SMALLEST_INTEGER
from chaingraph_flow.errors import NotJson

Path = tuple[Union[str, int, "Path"], ...]
"""A path as linked pairs `(parent, step)`, cheap to extend; `(root,)` at the top. Rendered for errors only."""

Segment = str | int
"""One step into a value: a property's name or an element's index."""

DEEPEST = 100
"""Maximum nesting of a value: well within the limits of JSON writers and recursive code."""

_SPELT_WITH_A_VOWEL = "AEFHILMNORSX"
"""Letters whose names start with a vowel, for abbreviations."""


def kind(value: object) -> str:
    """Name the kind of a value for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    return f"{article(type(value).__name__)}, which is not a JSON value"


def article(name: str) -> str:
    """Return the name with its indefinite article: `an object`, `a string`, `an EventListener`, `an HTTP`."""
    vowels = _SPELT_WITH_A_VOWEL if name.isupper() else "aeioAEIO"
    return f"an {name}" if name.startswith(tuple(vowels)) else f"a {name}"


def render(path: Path | str, steps: Iterable[Segment] = ()) -> str:
    """Render a linked path, or a root and its steps, as `spec.inputs.rows[3].name`."""
    if isinstance(path, str):
        root, tail = path, list(steps)
    else:
        reverse: list[Segment] = []
        while len(path) == 2:
            parent, step = path
            assert isinstance(parent, tuple)
            assert not isinstance(step, tuple)
            reverse.append(step)
            path = parent
        root, tail = str(path[0]), [*reversed(reverse), *steps]
    for step in tail:
        if isinstance(step, int):
            root += f"[{step}]"
        elif step.replace("_", "a").replace("-", "a").isalnum():
            root += f".{step}" if root else step
        else:
            root += f'["{step}"]'
    return root


UNLIMITED = 2**62
"""For the size of a value parsed from JSON, which shares no parts."""
CONTAINER_BYTES = 32
"""Size of a list or an object besides its JSON: an empty one is 2 bytes there, but 60 or more in memory."""
SCALAR_BYTES = 8
_SMALL = 1 << 26
QUOTED = 20
"""Maximum characters of a value that a message may quote: enough to find it, too few for a token."""


def size_of(value: object, limit: int) -> int:
    """Return the size of a value: the bytes of its JSON, plus a constant for each list and object.

    A part referenced twice counts twice, as when the value is written or copied. The walk stops once it exceeds `limit`
    and returns the size so far. It costs at most O(limit), whatever is shared, and ends for a value that contains
    itself.
    """
    size = 0
    stack: list[object] = [value]
    while stack and size <= limit:
        each = stack.pop()
        cls = type(each)
        if cls is str:
            size += _text_bytes(each, limit)
        elif cls is dict:
            assert isinstance(each, dict)
            size += CONTAINER_BYTES + 2 + 4 * len(each)
            if size > limit:
                break
            for name in each:
                size += _text_bytes(name, limit)
            stack.extend(each.values())
        elif cls is list:
            assert isinstance(each, list)
            size += CONTAINER_BYTES + 2 + len(each)
            if size > limit:
                break
            stack.extend(each)
        elif cls is float or (cls is int and not -_SMALL < each < _SMALL):  # type: ignore[operator]  # an int here
            size += 2 * SCALAR_BYTES
        else:
            size += SCALAR_BYTES
    return size


def indented_size(value: object, limit: int) -> int:
    """Return the bytes of a value's JSON with indents, which may be many times the value. Stops beyond `limit`."""
    size = 0
    level: list[object] = [value]
    depth = 0
    while level and size <= limit:
        size += (2 * depth + 2) * len(level)
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                size += sum(_text_bytes(name, limit) + 2 for name in each)
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
            else:
                size += size_of(each, limit)
            if size + len(inner) > limit:
                return limit + 1
        level, depth = inner, depth + 1
    return size


def _text_bytes(text: object, limit: int) -> int:
    if not isinstance(text, str):
        return SCALAR_BYTES
    if len(text) > limit:
        return len(text)
    try:
        return len(orjson.dumps(text))
    except (TypeError, orjson.JSONEncodeError):
        return 3 * len(text) + 2  # half a surrogate pair: rejected when the value is validated


def quoted(text: str) -> str:
    """Quote a text in messages when it is short, else give its length. It may be a token."""
    if len(text) > QUOTED:
        return f"a string of {len(text)} characters"
    return repr(plain_text(text))


def copied(value: Any) -> Any:
    """Return a deep copy of a JSON value (not validated: it was when its node ended)."""
    if type(value) is dict:
        return {name: copied(inner) if type(inner) in (dict, list) else inner for name, inner in value.items()}
    if type(value) is list:
        return [copied(inner) if type(inner) in (dict, list) else inner for inner in value]
    return value


def require_json(value: object, path: Path, depth: int = 0) -> None:
    """Raise NotJson, naming the place, unless `value` survives a JSON round trip unchanged."""
    cls = type(value)
    if cls is str:
        assert isinstance(value, str)
        if not value.isascii():
            _require_unicode(value, path)
    elif cls is bool or value is None:
        return
    elif cls is int:
        assert isinstance(value, int)
        if not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            raise NotJson(f"{render(path)}: is a whole number of more than 64 bits; make it a string")
    elif cls is float:
        assert isinstance(value, float)
        if not isfinite(value):
            raise NotJson(f"{render(path)}: is {value}, which JSON cannot carry")
    elif depth >= DEEPEST:
        raise NotJson(f"{render(path)[:200]}: is nested deeper than {DEEPEST} levels")
    elif cls is list:
        assert isinstance(value, list)
        for index, item in enumerate(value):
            require_json(item, (path, index), depth + 1)
    elif cls is dict:
        assert isinstance(value, dict)
        for name, inner in value.items():
            if type(name) is not str:
                raise NotJson(f"{render(path)}: has a key that is {kind(name)}; the keys of a JSON object are strings")
            require_json(name, path)
            require_json(inner, (path, name), depth + 1)
    else:
        raise NotJson(f"{render(path)}: is {kind(value)}")


def _require_unicode(value: str, path: Path) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotJson(f"{render(path)}: holds half of a surrogate pair at character {error.start}") from None


def obstacle(root: Any, segments: Sequence[Segment]) -> str | None:
    """Return why nothing can be written at a place inside `root`, or None when it can: `.rows is a string`."""
    here = root
    for depth, segment in enumerate(segments):
        if here is None:
            return None
        if not isinstance(here, list if isinstance(segment, int) else dict):
            step = f"[{segment}]" if isinstance(segment, int) else repr(segment)
            return f"{render('', segments[:depth]) or 'the value'} is {kind(here)} and has no place {step}"
        if isinstance(here, list):
            assert isinstance(segment, int)
            here = here[segment] if segment < len(here) else None
        else:
            here = here.get(segment)
    return None


def written(root: Any, segments: Sequence[Segment], value: Any) -> Any:
    """Return `root` with `value` at a place inside it. Missing containers on the way are created.

    Call it only when there is no `obstacle`. It changes the containers of `root` in place and returns the root, which
    may be a new one.
    """
    if not segments:
        return value
    head, rest = segments[0], segments[1:]
    if isinstance(head, int):
        array = root if isinstance(root, list) else []
        array.extend([None] * (head + 1 - len(array)))
        array[head] = written(array[head], rest, value)
        return array
    mapping = root if isinstance(root, dict) else {}
    mapping[head] = written(mapping.get(head), rest, value)
    return mapping


def plain_text(text: str) -> str:
    """Remove characters that cannot be stored: halves of surrogate pairs, as in undecodable file names, and NUL."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
