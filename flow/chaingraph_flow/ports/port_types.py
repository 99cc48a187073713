"""The classes of port types, each with its JSON form and its validation of values."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)

from chaingraph_crds.forms import FORMS
from chaingraph_crds.secret_references import problems
from chaingraph_flow.field_errors import shortened
from chaingraph_flow.ports.base_type import (
    MOST_ERRORS,
    BaseType,
    Errors,
    listed,
    plain,
    require_order,
    short,
    wrong,
    wrong_at,
)
from chaingraph_flow.ports.json_values import Path, article, kind
from chaingraph_flow.ports.patterns import MATCHERS, MOST_STEPS, PatternRefused

_LONGEST_LABEL: Final = 80


def _compilable(pattern: str | None) -> str | None:
    if pattern is not None:
        try:
            MATCHERS.get(pattern)
        except PatternRefused as refused:
            raise ValueError(str(refused)) from None
    return pattern


_Count = Annotated[int | None, Field(ge=0, strict=True)]
_Bound = Annotated[float | None, Field(strict=True, allow_inf_nan=False)]


class String(BaseType):
    """Text."""

    type: Literal["string"] = "string"
    min_length: _Count = None
    max_length: _Count = None
    pattern: Annotated[str | None, AfterValidator(_compilable)] = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        require_order("minLength", self.min_length, "maxLength", self.max_length)
        return self

    def empty(self) -> str:
        """Return the value of an input without one."""
        return ""

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if not isinstance(value, str):
            wrong(errors, path, f"must be a string, is {kind(value)}")
            return
        if self.min_length is not None and len(value) < self.min_length:
            wrong(errors, path, f"must have at least {self.min_length} characters, has {len(value)}")
        if self.max_length is not None and len(value) > self.max_length:
            wrong(errors, path, f"must have at most {self.max_length} characters, has {len(value)}")
        elif self.pattern is not None:
            self._match(self.pattern, value, path, errors)

    def _match(self, pattern: str, value: str, path: Path, errors: Errors) -> None:
        matcher, cost = MATCHERS.get(pattern)
        if len(value) * cost.positions > MOST_STEPS:
            longest = MOST_STEPS // cost.positions
            wrong(errors, path, f"has {len(value)} characters; its pattern supports at most {longest}")
        elif not matcher.isinstance_python(value):
            form = FORMS.get(pattern)
            # Our own formats are those of names. Any other pattern may describe a token or a password.
            is_ = short(value) if form else f"a string of {len(value)} characters"
            right = f"be {form}" if form else f"match {shortened(pattern, 200)!r}"
            wrong(errors, path, f"must {right}, is {is_}")


class Number(BaseType):
    """A finite number; with `integer`, one without a fraction."""

    type: Literal["number"] = "number"
    minimum: _Bound = None
    maximum: _Bound = None
    integer: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        require_order("minimum", self.minimum, "maximum", self.maximum)
        whole = self.integer and self.minimum is not None and self.maximum is not None
        if whole and math.ceil(self.minimum or 0) > math.floor(self.maximum or 0):
            raise wrong_at("integer", f"no whole number is between {plain(self.minimum)} and {plain(self.maximum)}")
        return self

    def empty(self) -> float:
        """Return the value of an input without one."""
        return 0

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            wrong(errors, path, f"must be a number, is {kind(value)}")
        elif value != value or value in (float("inf"), float("-inf")):
            wrong(errors, path, f"must be a finite number, is {value}")
        else:
            if self.integer and value != int(value):
                wrong(errors, path, f"must be a whole number, is {value}")
            if self.minimum is not None and value < self.minimum:
                wrong(errors, path, f"must be at least {plain(self.minimum)}, is {value}")
            if self.maximum is not None and value > self.maximum:
                wrong(errors, path, f"must be at most {plain(self.maximum)}, is {value}")


class Boolean(BaseType):
    """True or false."""

    type: Literal["boolean"] = "boolean"

    def empty(self) -> bool:
        """Return the value of an input without one."""
        return False

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if not isinstance(value, bool):
            wrong(errors, path, f"must be true or false, is {kind(value)}")


class Array(BaseType):
    """A list; without `items`, of any values."""

    type: Literal["array"] = "array"
    items: PortType | None = None
    min_items: _Count = None
    max_items: _Count = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        require_order("minItems", self.min_items, "maxItems", self.max_items)
        return self

    def empty(self) -> list[typing.Any]:
        """Return the value of an input without one."""
        return []

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`."""
        if not isinstance(value, list):
            wrong(errors, path, f"must be an array, is {kind(value)}")
            return
        if self.min_items is not None and len(value) < self.min_items:
            wrong(errors, path, f"must have at least {self.min_items} items, has {len(value)}")
        if self.max_items is not None and len(value) > self.max_items:
            wrong(errors, path, f"must have at most {self.max_items} items, has {len(value)}")
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


class Object(BaseType):
    """A mapping of names to values; without `properties`, any names; with them, extra names are allowed."""

    type: Literal["object"] = "object"
    properties: dict[str, PortType] | None = None

    def empty(self) -> dict[str, typing.Any]:
        """Return the value of an input without one."""
        return {}

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of `value`. A missing property counts as null."""
        if not isinstance(value, dict):
            wrong(errors, path, f"must be an object, is {kind(value)}")
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


class Enum(BaseType):
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
            wrong(errors, path, f"must be one of {listed(self.options)}; is {short(value)}")

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the options as a set."""
        return frozenset(self.options)


class Any(BaseType):
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


class Secret(BaseType):
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
            wrong(errors, place, message)


class Secrets(BaseType):
    """Secrets by name: an object of references. Null is no secret."""

    type: Literal["secrets"] = "secrets"

    def empty(self) -> dict[str, SecretStr]:
        """Return the value of an input without one."""
        return {}

    def check(self, value: object, path: Path, errors: Errors) -> None:
        """Append the errors of the references."""
        if not isinstance(value, dict):
            wrong(errors, path, f"must be an object of references to Secrets, is {kind(value)}")
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
        wrong(errors, path, f"must be {article(type_.label())}, is missing or null")
