"""The base of port types, and what their checks have in common: errors, and their texts."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_serializer
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from chaingraph_crds.limits import MAX_DESCRIPTION, MAX_TITLE
from chaingraph_crds.numbers import LARGEST_EXACT_IN_DOUBLE
from chaingraph_flow.field_errors import ErrorCode, FieldError, shortened
from chaingraph_flow.ports.json_values import Path, kind, quoted, render

MOST_ERRORS = 20
"""Maximum errors of a value that are described."""
LONGEST_NAME: Final = 80
_MOST_OPTIONS: Final = 20
"""Maximum options of an enum that a message names."""
_FOR_PEOPLE: Final = frozenset(("title", "description"))
"""Properties of a type that do not change what fits it."""
AT: Final = "at"
"""In the context of an error of pydantic: the property of the type that is wrong."""

Errors = list[FieldError]


class BaseType(BaseModel):
    """A port type: its JSON form, and the rules by which types are equal."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )

    nullable: bool = Field(default=False, strict=True, description="Inside an array or object: null is allowed here.")
    title: str = Field(default="", max_length=MAX_TITLE, description="Name for people, as the label of a form.")
    description: str = Field(default="", max_length=MAX_DESCRIPTION, description="Description for people.")

    @model_serializer
    def _without_defaults(self) -> dict[str, typing.Any]:
        given = {name: getattr(self, name) for name in type(self).model_fields}
        fields = type(self).model_fields
        return {
            to_camel(name): value for name, value in given.items() if name == "type" or value != fields[name].default
        }

    def model_copy(self, *, update: Mapping[str, typing.Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        for name in ("fingerprint", "depth", "required", "known"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def fingerprint(self) -> bytes:
        """Return bytes that are equal for equal types. Types share parts: comparing recursively is exponential."""
        names = (name for name in type(self).model_fields if name not in _FOR_PEOPLE)
        fields = [(name, _fingerprint(getattr(self, name))) for name in names]
        return hashlib.sha256(repr((type(self).__name__, fields)).encode("utf-8", "backslashreplace")).digest()

    @cached_property
    def depth(self) -> int:
        """Return the levels of nested types, including this one."""
        return 1 + max((each.depth for each in self.parts()), default=0)

    def parts(self) -> Iterable[BaseType]:
        """Return the types directly inside this one."""
        return ()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(self) is type(other) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def to_json(self) -> dict[str, typing.Any]:
        """Return the JSON form, without defaults."""
        return self.model_dump(mode="json")

    def label(self) -> str:
        """Return the name of this type for messages."""
        return str(self.__dict__["type"])


def _fingerprint(value: object) -> object:
    if isinstance(value, BaseType):
        return value.fingerprint
    if isinstance(value, dict):
        return sorted((name, each.fingerprint) for name, each in value.items())
    return value


def require_order(low_name: str, low: float | None, high_name: str, high: float | None) -> None:
    """Raise an error for a range in which nothing fits."""
    if low is not None and high is not None and low > high:
        message = f"is {plain(high)}, less than {low_name}, which is {plain(low)}: nothing fits"
        raise wrong_at(high_name, message)


def wrong_at(name: str, message: str) -> PydanticCustomError:
    """Return an error of a property of a type."""
    return PydanticCustomError("wrong_type", "{message}", {"message": message, AT: name})


def wrong(errors: Errors, path: Path, message: str) -> None:
    """Add an error, up to `MOST_ERRORS`."""
    if len(errors) < MOST_ERRORS:
        errors.append(FieldError(render(path), ErrorCode.INVALID_VALUE, message))


def plain(number: float | None) -> str:
    """Format a bound with all its digits, and a whole one without a fraction."""
    whole = number is not None and number == int(number) and abs(number) < LARGEST_EXACT_IN_DOUBLE
    return str(int(number)) if whole and number is not None else repr(number)


def short(value: object) -> str:
    """Format a value for a message."""
    if isinstance(value, list | dict):
        return kind(value)
    return quoted(value) if isinstance(value, str) else repr(value)


def listed(options: Sequence[str]) -> str:
    """List the first options, and the number of the others."""
    more = len(options) - _MOST_OPTIONS
    shown = ", ".join(shortened(each, LONGEST_NAME) for each in options[:_MOST_OPTIONS])
    return f"{shown} and {more} more" if more > 0 else shown
