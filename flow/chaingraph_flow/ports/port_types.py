"""The classes of port types, each with its JSON form and its validation of values."""

from __future__ import annotations

import hashlib
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from chaingraph_crds.forms import FORMS
from chaingraph_crds.limits import MAX_DESCRIPTION, MAX_TITLE
from chaingraph_crds.numbers import LARGEST_EXACT_IN_DOUBLE
from chaingraph_crds.secret_references import problems
from chaingraph_flow.field_errors import ErrorCode, FieldError, shortened
from chaingraph_flow.ports.json_values import Path, article, kind, quoted, render
from chaingraph_flow.ports.patterns import MATCHERS, MOST_STEPS, PatternRefused

MOST_ERRORS = 20
"""Maximum errors of a value that are described."""
_LONGEST_LABEL: Final = 80
LONGEST_NAME: Final = 80
_MOST_OPTIONS: Final = 20
"""Maximum options of an enum that a message names."""
_FOR_PEOPLE: Final = frozenset(("title", "description"))
"""Properties of a type that do not change what fits it."""
AT: Final = "at"
"""In the context of an error of pydantic: the property of the type that is wrong."""

Errors = list[FieldError]


class _Type(BaseModel):
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

    def parts(self) -> Iterable[AnyPortType]:
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
    if isinstance(value, _Type):
        return value.fingerprint
    if isinstance(value, dict):
        return sorted((name, each.fingerprint) for name, each in value.items())
    return value


def _compilable(pattern: str | None) -> str | None:
    if pattern is not None:
        try:
            MATCHERS.get(pattern)
        except PatternRefused as refused:
            raise ValueError(str(refused)) from None
    return pattern


_Count = Annotated[int | None, Field(ge=0, strict=True)]
_Bound = Annotated[float | None, Field(strict=True, allow_inf_nan=False)]


def _require_order(low_name: str, low: float | None, high_name: str, high: float | None) -> None:
    """Raise an error for a range in which nothing fits."""
    if low is not None and high is not None and low > high:
        message = f"is {plain(high)}, less than {low_name}, which is {plain(low)}: nothing fits"
        raise _wrong_at(high_name, message)


def _wrong_at(name: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("wrong_type", "{message}", {"message": message, AT: name})


class String(_Type):
    """Text."""

    type: Literal["string"] = "string"
    min_length: _Count = None
    max_length: _Count = None
    pattern: Annotated[str | None, AfterValidator(_compilable)] = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _require_order("minLength", self.min_length, "maxLength", self.max_length)
        return self

    def empty(self) -> str:
        """Return the value of an input without one."""
        return ""

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if not isinstance(value, str):
            _wrong(errors, path, f"must be a string, is {kind(value)}")
            return
        if self.min_length is not None and len(value) < self.min_length:
            _wrong(errors, path, f"must have at least {self.min_length} characters, has {len(value)}")
        if self.max_length is not None and len(value) > self.max_length:
            _wrong(errors, path, f"must have at most {self.max_length} characters, has {len(value)}")
        elif self.pattern is not None:
            self._match(self.pattern, value, path, errors)

    def _match(self, pattern: str, value: str, path: Path, errors: Errors) -> None:
        matcher, cost = MATCHERS.get(pattern)
        if len(value) * cost.positions > MOST_STEPS:
            longest = MOST_STEPS // cost.positions
            _wrong(errors, path, f"has {len(value)} characters; its pattern supports at most {longest}")
        elif not matcher.isinstance_python(value):
            form = FORMS.get(pattern)
            # Our own formats are those of names. Any other pattern may describe a token or a password.
            is_ = _short(value) if form else f"a string of {len(value)} characters"
            right = f"be {form}" if form else f"match {shortened(pattern, 200)!r}"
            _wrong(errors, path, f"must {right}, is {is_}")


class Number(_Type):
    """A finite number; with `integer`, one without a fraction."""

    type: Literal["number"] = "number"
    minimum: _Bound = None
    maximum: _Bound = None
    integer: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _require_order("minimum", self.minimum, "maximum", self.maximum)
        whole = self.integer and self.minimum is not None and self.maximum is not None
        if whole and math.ceil(self.minimum or 0) > math.floor(self.maximum or 0):
            raise _wrong_at("integer", f"no whole number is between {plain(self.minimum)} and {plain(self.maximum)}")
        return self

    def empty(self) -> float:
        """Return the value of an input without one."""
        return 0

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            _wrong(errors, path, f"must be a number, is {kind(value)}")
        elif value != value or value in (float("inf"), float("-inf")):
            _wrong(errors, path, f"must be a finite number, is {value}")
        else:
            if self.integer and value != int(value):
                _wrong(errors, path, f"must be a whole number, is {value}")
            if self.minimum is not None and value < self.minimum:
                _wrong(errors, path, f"must be at least {plain(self.minimum)}, is {value}")
            if self.maximum is not None and value > self.maximum:
                _wrong(errors, path, f"must be at most {plain(self.maximum)}, is {value}")


class Boolean(_Type):
    """True or false."""

    type: Literal["boolean"] = "boolean"

    def empty(self) -> bool:
        """Return the value of an input without one."""
        return False

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if not isinstance(value, bool):
            _wrong(errors, path, f"must be true or false, is {kind(value)}")


class Array(_Type):
    """A list; without `items`, of any values."""

    type: Literal["array"] = "array"
    items: PortType | None = None
    min_items: _Count = None
    max_items: _Count = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _require_order("minItems", self.min_items, "maxItems", self.max_items)
        return self

    def empty(self) -> list[typing.Any]:
        """Return the value of an input without one."""
        return []

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if not isinstance(value, list):
            _wrong(errors, path, f"must be an array, is {kind(value)}")
            return
        if self.min_items is not None and len(value) < self.min_items:
            _wrong(errors, path, f"must have at least {self.min_items} items, has {len(value)}")
        if self.max_items is not None and len(value) > self.max_items:
            _wrong(errors, path, f"must have at most {self.max_items} items, has {len(value)}")
        if self.items is not None:
            for index, item in enumerate(value):
                if len(errors) >= MOST_ERRORS:
                    return
                _check_inner(self.items, item, (path, index), errors)

    def parts(self) -> Iterable[AnyPortType]:
        """Return its items."""
        return () if self.items is None else (self.items,)

    def label(self) -> str:
        """Return the name of this type for messages."""
        return "array" if self.items is None else shortened(f"array of {self.items.label()}", _LONGEST_LABEL)


class Object(_Type):
    """A mapping of names to values; without `properties`, any names; with them, extra names are allowed."""

    type: Literal["object"] = "object"
    properties: dict[str, PortType] | None = None

    def empty(self) -> dict[str, typing.Any]:
        """Return the value of an input without one."""
        return {}

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`. A missing property counts as null."""
        if not isinstance(value, dict):
            _wrong(errors, path, f"must be an object, is {kind(value)}")
        elif self.properties is not None:
            for name in self._concerned(value):
                if len(errors) >= MOST_ERRORS:
                    return
                _check_inner(self.properties[name], value.get(name), (path, name), errors)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the required properties."""
        found = (self.properties or {}).items()
        return tuple(name for name, inner in found if not inner.nullable and not isinstance(inner, Any))

    def _concerned(self, value: Mapping[str, typing.Any]) -> Iterable[str]:
        """Return the properties to check: for an object with few values, skip the many it may omit."""
        properties = self.properties or {}
        if len(properties) <= 2 * len(value) + 32:
            return properties
        return dict.fromkeys([*self.required, *(name for name in value if name in properties)])

    def parts(self) -> Iterable[AnyPortType]:
        """Return its properties."""
        return (self.properties or {}).values()


class Enum(_Type):
    """One of several texts."""

    type: Literal["enum"] = "enum"
    options: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.options)) != len(self.options):
            raise ValueError("options must differ")
        return self

    def empty(self) -> str:
        """Return the value of an input without one: the first option."""
        return self.options[0]

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if not isinstance(value, str) or value not in self.known:
            _wrong(errors, path, f"must be one of {listed(self.options)}; is {_short(value)}")

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the options as a set."""
        return frozenset(self.options)


class Any(_Type):
    """Any JSON value, including null; `underlying` is the type it has adopted."""

    type: Literal["any"] = "any"
    underlying: PortType | None = None

    def empty(self) -> typing.Any:
        """Return the value of an input without one."""
        return None

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if self.underlying is not None:
            self.underlying.check(value, path, errors)

    def parts(self) -> Iterable[AnyPortType]:
        """Return the adopted type."""
        return () if self.underlying is None else (self.underlying,)


class Secret(_Type):
    """The value of a secret. A flow holds a reference to it; only the code of the node gets the value."""

    type: Literal["secret"] = "secret"

    def empty(self) -> SecretStr:
        """Return the value of an input without one."""
        return SecretStr("")

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of a reference. They do not repeat it: it may be the secret itself."""
        for steps, message in problems(value):
            place = path
            for step in steps:
                place = (place, step)
            _wrong(errors, place, message)


class Secrets(_Type):
    """Secrets by name: an object of references. Null is no secret."""

    type: Literal["secrets"] = "secrets"

    def empty(self) -> dict[str, SecretStr]:
        """Return the value of an input without one."""
        return {}

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of the references."""
        if not isinstance(value, dict):
            _wrong(errors, path, f"must be an object of references to Secrets, is {kind(value)}")
            return
        for name, inner in value.items():
            if inner is not None:
                Secret().check(inner, (path, name), errors)


def _expand(value: object) -> object:
    if isinstance(value, str):
        name = value.removesuffix(" or null")
        return {"type": name, "nullable": True} if name != value else {"type": name}
    return value


PortType = Annotated[
    String | Number | Boolean | Array | Object | Enum | Any | Secret | Secrets,
    Field(discriminator="type"),
    BeforeValidator(_expand),
]
AnyPortType = String | Number | Boolean | Array | Object | Enum | Any | Secret | Secrets
"""The same union, for annotations of plain code."""

Array.model_rebuild()
Object.model_rebuild()
Any.model_rebuild()
BARE = Any()
"""A port type about which nothing is known."""


def _check_inner(type_: AnyPortType, value: object, path: Path, errors: Errors) -> None:
    if value is not None:
        type_.check(value, path, errors)
    elif not type_.nullable and not isinstance(type_, Any):
        _wrong(errors, path, f"must be {article(type_.label())}, is missing or null")


def _wrong(errors: Errors, path: Path, message: str) -> None:
    if len(errors) < MOST_ERRORS:
        errors.append(FieldError(render(path), ErrorCode.INVALID_VALUE, message))


def plain(number: float | None) -> str:
    """Format a bound with all its digits, and a whole one without a fraction."""
    whole = number is not None and number == int(number) and abs(number) < LARGEST_EXACT_IN_DOUBLE
    return str(int(number)) if whole and number is not None else repr(number)


def _short(value: object) -> str:
    if isinstance(value, list | dict):
        return kind(value)
    return quoted(value) if isinstance(value, str) else repr(value)


def listed(options: Sequence[str]) -> str:
    """List the first options, and the number of the others."""
    more = len(options) - _MOST_OPTIONS
    shown = ", ".join(shortened(each, LONGEST_NAME) for each in options[:_MOST_OPTIONS])
    return f"{shown} and {more} more" if more > 0 else shown
