"""References to secrets, as flows and executions hold them. Messages never repeat a part of what was given.

{secretKeyRef: {name: shop-api, key: token}}    a key of a Secret in the execution's namespace
{secretFileRef: {name: shop-token}}             a file that is mounted into the worker
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from chaingraph_crds.limits import MAX_RESOURCE_NAME

KEY_REF: Final = "secretKeyRef"
FILE_REF: Final = "secretFileRef"
ALLOW_LABEL: Final = "chaingraph.dev/allow"
"""Label of a Secret that flows may use. Its value is `true`."""
_FIELDS: Final = {KEY_REF: ("name", "key"), FILE_REF: ("name",)}
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_KEY: Final = re.compile(r"(?!\.\.?$)(?!\.\.)[-._a-zA-Z0-9]{1,253}")
_RIGHT: Final = f"{{{KEY_REF}: {{name: NAME, key: KEY}}}}"

Problem = tuple[tuple[str, ...], str]
"""The steps to the place inside the value, and the message."""


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A valid reference. `key` is '' for a file."""

    name: str
    key: str = ""

    @classmethod
    def of(cls, value: object) -> Self | None:
        """Return the reference that a value is, or None when it is none."""
        if next(problems(value), None) is not None:
            return None
        assert isinstance(value, dict)
        [given] = value.values()
        return cls(given["name"], given.get("key", ""))

    def __str__(self) -> str:
        return f"key {self.key!r} of Secret {self.name!r}" if self.key else f"secret file {self.name!r}"


def problems(value: object) -> Iterator[Problem]:
    """Yield why a value is not a reference to a secret. Neither it nor its parts are in the messages."""
    if not isinstance(value, dict):
        message = (
            f"must be a reference to a Secret, {_RIGHT}, and is {_kind(value)}. If that is the secret itself, remove "
            "it from here and replace it: everyone who may read this object can read it"
        )
        yield (), message
        return
    if len(value) != 1 or not value.keys() <= _FIELDS.keys():
        yield (), f"must be a reference to a Secret with one field, {KEY_REF} or {FILE_REF}: {_RIGHT}"
        return
    [(kind, given)] = value.items()
    if not isinstance(given, dict):
        yield (kind,), f"must be an object with {' and '.join(_FIELDS[kind])}, and is {_kind(given)}"
        return
    yield from _field_problems(kind, given)


def _field_problems(kind: str, given: dict[object, object]) -> Iterator[Problem]:
    if "namespace" in given:
        message = "a Secret is read from the namespace of the execution: remove this field"
        yield (kind, "namespace"), message
    if given.keys() - {"namespace", *_FIELDS[kind]}:
        yield (kind,), f"takes only the fields {' and '.join(_FIELDS[kind])}"
    for name in _FIELDS[kind]:
        text = given.get(name)
        if not isinstance(text, str):
            yield (kind, name), f"must be a string, and is {_kind(text) if name in given else 'missing'}"
        elif kind == KEY_REF and name == "name":
            if len(text) > MAX_RESOURCE_NAME or not _NAME.fullmatch(text):
                yield (kind, name), "must be the name of a Secret: small letters, digits, '-' and '.'"
        elif not _KEY.fullmatch(text):
            yield (kind, name), "must have letters, digits, '-', '_' and '.' only, and not start with '..'"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
