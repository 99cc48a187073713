"""Parse objects from the API server, however deep or malformed.

Fields without a schema (`x-kubernetes-preserve-unknown-fields`) contain user input, and the API server accepts
thousands of levels. A recursive decoder fails there, and with it the list or the watch that contains the object. So
anything that cannot be decoded is cut out here: the object has an empty `spec` or `status`, and the reason under
`unreadable`, which no object of the API server has. Its metadata is then parsed field by field.

`managedFields` are dropped: nothing reads them, and they repeat the depth of the spec.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

Object = dict[str, Any]
UNREADABLE: Final = "unreadable"
"""The field of an object with the reason why its spec was cut out."""
DEEPEST_SPEC: Final = 110
"""Maximum nesting of a spec: 100 levels for a value, and those above it."""
TOO_DEEP: Final = f"spec is nested deeper than {DEEPEST_SPEC} levels (100 for a value in it)"
NOT_JSON: Final = "is not valid JSON"
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]+|[\]}]+', re.DOTALL)
_METADATA: Final = ("name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp", "continue")
_SPACE: Final = b" \t\r\n"


def read(text: bytes) -> Object:
    """Parse an object, without the parts that cannot be parsed.

    Raises:
        ValueError: the text is not a JSON object.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _cut(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - as the decoder says it
    return sound(found, brackets=text.count(b"[") + text.count(b"{"))


def read_list(text: bytes) -> tuple[Object, Iterator[Object]]:
    """Parse a list: its own fields, and its objects, each as `read` returns it. Other items are skipped.

    Raises:
        ValueError: the text is not a list of objects.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        items = found.pop("items", None)
        # Go encodes an empty list as null.
        some = items if isinstance(items, list) else []
        return found, (sound(each) for each in some if isinstance(each, dict))
    parts = dict(_members(text))
    if "items" not in parts:
        raise ValueError("not a list")
    head: Object = {name: _value(parts[name]) for name in ("apiVersion", "kind") if name in parts}
    return {**head, "metadata": _metadata(parts.get("metadata", b"{}"))}, map(_element, _elements(parts["items"]))


def read_any(text: bytes) -> Object:
    """Parse the answer to a request: an object, or a list with its `items`.

    Raises:
        ValueError: the text is neither.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        if "items" in parts_of(text):
            head, items = read_list(text)
            return {**head, "items": list(items)}
        return _cut(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - as the decoder says it
    return found


def sound(found: Object, *, brackets: int | None = None) -> Object:
    """Return a decoded object in the expected shape: parts of another shape are cut out."""
    metadata = found.get("metadata")
    found["metadata"] = dict(metadata) if isinstance(metadata, dict) else {}
    found["metadata"].pop("managedFields", None)
    if not isinstance(found["metadata"].get("annotations") or {}, dict):
        found["metadata"].pop("annotations")
    found.pop(UNREADABLE, None)
    spec = found.get("spec")
    if spec is not None and not isinstance(spec, dict):
        found |= {"spec": {}, UNREADABLE: "spec is not an object"}
    elif (brackets is None or brackets > DEEPEST_SPEC) and deeper_than(spec, DEEPEST_SPEC):
        found |= {"spec": {}, UNREADABLE: TOO_DEEP}
    if not isinstance(found.get("status") or {}, dict):
        found["status"] = {}
    return found


def deeper_than(value: object, levels: int) -> bool:
    """Whether lists and objects are nested deeper than this many levels. Reads level by level, without recursion."""
    # There may be millions of plain values: a tuple is checked faster than a union.
    nests = (list, dict)
    level = [value] if isinstance(value, nests) else []
    for _ in range(levels):
        if not level:
            return False
        level = [inner for each in level for inner in _inside(each) if isinstance(inner, nests)]
    return bool(level)


def identity(body: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return namespace, name and UID of an object; None when it lacks one of them."""
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    namespace, name, uid = (metadata.get(field) for field in ("namespace", "name", "uid"))
    if not (isinstance(namespace, str) and isinstance(name, str) and isinstance(uid, str)):
        return None
    return (namespace, name, uid) if namespace and name and uid else None


def parts_of(text: bytes) -> dict[str, bytes]:
    """Return the fields of an object, each as the text of its value. Reads token by token, without recursion."""
    return dict(_members(text))


def _inside(value: object) -> Any:
    return value.values() if isinstance(value, dict) else value


def _cut(text: bytes) -> Object:
    """Return an object without the parts that cannot be decoded."""
    parts = dict(_members(text))
    if not parts:
        raise ValueError("not an object")
    found: Object = {name: _value(parts[name]) for name in ("apiVersion", "kind") if name in parts}
    metadata = _metadata(parts.get("metadata", b"{}"))
    found["metadata"] = metadata
    for name in parts.keys() - {"apiVersion", "kind", "metadata"}:
        try:
            found[name] = orjson.loads(parts[name])
        except orjson.JSONDecodeError as error:
            found[name] = {}
            if name == "spec":
                found[UNREADABLE] = TOO_DEEP if _is_deep(parts[name]) else f"spec {NOT_JSON}: {error}"
    why = found.get(UNREADABLE)
    made = sound(found)
    return made | {UNREADABLE: why} if why else made


def _metadata(text: bytes) -> Object:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        parts = dict(_members(text))
        found = {name: _value(parts[name]) for name in _METADATA if name in parts}
        annotations = _value(parts.get("annotations", b"{}"))
        found["annotations"] = annotations if isinstance(annotations, dict) else {}
    return found if isinstance(found, dict) else {}


def _is_deep(text: bytes) -> bool:
    """Whether a text is nested deeper than DEEPEST_SPEC."""
    depth = 0
    for token in _TOKEN.finditer(text):
        kind = text[token.start()]
        if kind != ord('"'):
            depth += (token.end() - token.start()) * (1 if kind in b"[{" else -1)
            if depth > DEEPEST_SPEC:
                return True
    return False


def _value(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _members(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the fields of an object, each with the text of its value."""
    depth, name, start = 0, "", 0
    for token in _TOKEN.finditer(text):
        kind, at, end = text[token.start()], token.start(), token.end()
        if kind == ord('"'):
            if depth == 1 and text[end : end + 20].lstrip(_SPACE)[:1] == b":":
                if start:
                    yield name, text[start:at].strip(_SPACE).removesuffix(b",").rstrip(_SPACE)
                name, start = str(_value(text[at:end])), text.index(b":", end) + 1
        elif kind in b"[{":
            if depth == 0 and text[at : at + 1] != b"{":
                return
            depth += end - at
        else:
            if depth <= end - at:
                if start:
                    yield name, text[start : at + depth - 1].strip(_SPACE)
                return
            depth -= end - at


def _elements(text: bytes) -> Iterator[bytes]:
    """Yield the objects of an array, each as text."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        kind, at, number = text[token.start()], token.start(), token.end() - token.start()
        if kind in b"[{":
            if depth < 2 <= depth + number:
                start = at + 1 - depth
            depth += number
        elif kind != ord('"'):
            if depth >= 2 > depth - number and text[start : start + 1] == b"{":
                yield text[start : at + depth - 1]
            depth -= number
            if depth <= 0:
                return


def _element(text: bytes) -> Object:
    try:
        return read(text)
    except ValueError:
        return {"metadata": {}}
