"""The base classes of the API's models, and field markers for what pydantic cannot express.

`ApiModel` is for user input. It is strict, as the API server is: unknown fields and wrong types are errors.
`StatusModel` is for what the operator writes and reads back. It ignores unknown fields of a newer version, so that an
older operator can still read the object.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel

from chaingraph_crds import forms, limits

IMMUTABLE: Final = "x-chaingraph-immutable"
"""Field marker: the generator adds the CEL rule to the parent, and the reference mentions it."""
SCHEMA_DEFAULT: Final = "x-chaingraph-default"
"""Field marker: the default that the API server fills in where pydantic's own is a factory."""

Token = Annotated[str, Field(min_length=1, max_length=limits.MAX_TOKEN, pattern=forms.TOKEN)]
"""A word that the user changes to request something once: a time, a number or a random string.

A token present at creation requests nothing, nor does removing one, so a manifest without it can still be applied. Used
tokens are remembered, so that setting one again requests nothing.
"""


def api_name(name: str) -> str:
    """Convert a Python field name to Kubernetes' spelling, such as `execution_id` to `executionID`."""
    camel = to_camel(name)
    return camel.removesuffix("Id") + "ID" if camel.endswith("Id") else camel


class ApiModel(BaseModel):
    """A part of a spec: immutable, strictly typed, and without unknown fields, as for the API server."""

    model_config = ConfigDict(
        alias_generator=api_name,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=False,
    )

    def manifest(self) -> dict[str, Any]:
        """Return the part of a manifest: Kubernetes spelling, JSON values, no unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)

    def complete(self) -> dict[str, Any]:
        """Return the part as `manifest` does, with every default written out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(BaseModel):
    """A part of a status. Unknown fields are ignored; enumerations and times are parsed from text."""

    model_config = ConfigDict(alias_generator=api_name, populate_by_name=True, frozen=True, extra="ignore")

    def manifest(self) -> dict[str, Any]:
        """Return the part as a JSON object for a status patch, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def of(cls, status: Mapping[str, Any] | None) -> Self:
        """Parse the status of an object as read from the API; an object without one has the defaults."""
        return cls.model_validate(dict(status or {}))

    @classmethod
    def fitting(cls, status: Mapping[str, Any] | None) -> Self:
        """Parse a status that anybody may have written, as `of`: an invalid field counts as absent."""
        given = dict(status or {})
        try:
            return cls.of(given)
        except ValidationError as error:
            wrong = {each["loc"][0] if each["loc"] else "" for each in error.errors(include_input=False)}
            return cls.of({name: value for name, value in given.items() if name not in wrong})


def _utc_text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _utc_text_milliseconds(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[AwareDatetime, PlainSerializer(_utc_text, return_type=str, when_used="json")]
"""A time with its zone, written as RFC 3339 in UTC with whole seconds, as `metav1.Time`."""
PreciseTimestamp = Annotated[AwareDatetime, PlainSerializer(_utc_text_milliseconds, return_type=str, when_used="json")]
"""As `Timestamp`, with milliseconds: for durations below a second."""


def kubernetes(
    *,
    immutable: bool = False,
    list_type: Literal["atomic", "set"] | None = None,
    list_keys: Sequence[str] = (),
    default: Any = None,
) -> dict[str, Any]:
    """Return the `json_schema_extra` of a field.

    Args:
        immutable: the field cannot be added, changed or removed after creation.
        list_type: `x-kubernetes-list-type` of a list without keys.
        list_keys: the fields that identify an item. The list is then a `map` for server-side apply, and the API server
            rejects two items with the same key.
        default: the value that the API server fills in when the field is absent.
    """
    extra: dict[str, Any] = {}
    if immutable:
        extra[IMMUTABLE] = True
    if list_keys:
        extra |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(list_keys)}
    elif list_type:
        extra["x-kubernetes-list-type"] = list_type
    if default is not None:
        extra[SCHEMA_DEFAULT] = default
    return extra


def rule(
    expression: str,
    message: str,
    *,
    field: str | None = None,
    reason: Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"] = "FieldValueInvalid",
) -> dict[str, str]:
    """Return one CEL rule of `x-kubernetes-validations`.

    Args:
        expression: the rule; `self` is the object that has it, `oldSelf` makes it a transition rule.
        message: what is wrong, and what would be right.
        field: the child that the error names, such as `.stop`; the object itself when absent.
        reason: the machine-readable cause in the API server's answer.
    """
    built = {"rule": expression, "message": message, "reason": reason}
    return built if field is None else built | {"fieldPath": field}


def validations(*rules: Mapping[str, str]) -> dict[str, Any]:
    """Return the `json_schema_extra` of a model with CEL rules."""
    return {"x-kubernetes-validations": [dict(item) for item in rules]}
