"""Pydantic's JSON Schema to a structural OpenAPI schema."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, ConfigDict, Field

from chaingraph_crds.definitions.structural import NotStructural, immutable_fields, structural_schema
from chaingraph_crds.model import ApiModel, kubernetes, rule, validations

ANY = {"x-kubernetes-preserve-unknown-fields": True}


class Inner(ApiModel):
    """The inner one."""

    size: int = Field(default=1, ge=1, le=9, description="How large.")


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


def field_schema(annotation: Any, **field: Any) -> dict[str, Any]:
    """The schema of the field `it` of a model that has this alone, as part of a status: without notes."""
    model = type(
        "Outer",
        (ApiModel,),
        {"__annotations__": {"it": annotation}, "__doc__": "Outer.", "it": Field(description="It.", **field)},
    )
    schema = structural_schema(model, "status", people_write=False)["properties"]["it"]
    assert schema.pop("description") == "It."
    return dict(schema)


@pytest.mark.parametrize(
    ("annotation", "field", "expected"),
    [
        (str, {"max_length": 5, "pattern": "^a"}, {"type": "string", "maxLength": 5, "pattern": "^a"}),
        (str | None, {"default": None, "min_length": 1}, {"type": "string", "minLength": 1}),
        (int, {"ge": 1, "le": 5}, {"type": "integer", "minimum": 1, "maximum": 5}),
        (float, {"gt": 0}, {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        (float, {"lt": 2}, {"type": "number", "maximum": 2, "exclusiveMaximum": True}),
        (bool, {}, {"type": "boolean"}),
        (Any, {}, ANY),
        (dict[str, Any], {}, {"type": "object", "additionalProperties": ANY}),
        (
            dict[str, Any],
            {"json_schema_extra": kubernetes(immutable=True)},
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        ),
        (dict[str, int], {}, {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dict[str, Any], {"max_length": 3}, {"type": "object", "maxProperties": 3, "additionalProperties": ANY}),
        (Literal["a"], {}, {"type": "string", "enum": ["a"]}),
        (Literal["a", "b"], {}, {"type": "string", "enum": ["a", "b"]}),
        (Colour, {}, {"type": "string", "enum": ["Red", "Blue"]}),
        (AwareDatetime, {}, {"type": "string", "format": "date-time"}),
        (list[str], {"max_length": 3}, {"type": "array", "maxItems": 3, "items": {"type": "string"}}),
    ],
)
def test_schema_maps_python_types(annotation: Any, field: dict[str, Any], expected: dict[str, Any]) -> None:
    assert field_schema(annotation, **field) == expected


def test_optional_model_is_inlined_with_field_description() -> None:
    schema = field_schema(Inner | None, default=None)
    assert schema == {
        "type": "object",
        "properties": {"size": {"description": "How large.", "type": "integer", "minimum": 1, "maximum": 9}},
    }


def test_schema_of_model_list_carries_its_keys() -> None:
    schema = field_schema(list[Inner], max_length=2, json_schema_extra=kubernetes(list_keys=["size"]))
    assert schema["x-kubernetes-list-type"] == "map"
    assert schema["x-kubernetes-list-map-keys"] == ["size"]
    assert schema["items"]["description"] == "The inner one."


@pytest.mark.parametrize("annotation", [int | str, list[int | str], Annotated[int, Field(multiple_of=3)] | bool])
def test_schema_rejects_union_with_path(annotation: Any) -> None:
    with pytest.raises(NotStructural, match=r"status\.it.*union"):
        field_schema(annotation)


def test_schema_rejects_type_without_counterpart() -> None:
    with pytest.raises(NotStructural, match=r"status\.it: prefixItems"):
        field_schema(tuple[int, str])


class Spec(ApiModel):
    """What people write."""

    model_config = ConfigDict(json_schema_extra=validations(rule("self.count > 0", "count must be above 0")))

    count: int = Field(default=3, ge=0, le=5, description="How many.", json_schema_extra=kubernetes(immutable=True))
    on: bool = Field(default=False, description="Whether.")
    text: str = Field(default="", description="Words.", json_schema_extra=kubernetes(immutable=True))
    inner: Inner = Field(default_factory=Inner, description="Parts.", json_schema_extra=kubernetes(default={}))


def test_description_ends_with_default_bounds_and_immutability() -> None:
    properties = structural_schema(Spec, "spec")["properties"]
    assert properties["count"]["description"] == "How many. Immutable. Default: 3. From 0 to 5."
    assert properties["on"]["description"] == "Whether. Default: false."
    assert properties["text"]["description"] == "Words. Immutable."


def test_schema_omits_empty_defaults_and_status_defaults() -> None:
    properties = structural_schema(Spec, "spec")["properties"]
    assert (properties["count"]["default"], properties["on"]["default"]) == (3, False)
    assert properties["inner"]["default"] == {}
    assert "default" not in properties["text"]
    told = structural_schema(Spec, "status", people_write=False)["properties"]
    assert not any("default" in field for field in told.values())


def test_immutable_fields_add_rules_after_parent_rules() -> None:
    rules = structural_schema(Spec, "spec")["x-kubernetes-validations"]
    assert [item["rule"] for item in rules] == [
        "self.count > 0",
        "self.count == oldSelf.count",
        "has(self.text) == has(oldSelf.text) && (!has(self.text) || self.text == oldSelf.text)",
    ]
    assert rules[1]["fieldPath"] == ".count"
    assert immutable_fields(Spec) == ["count", "text"]


def test_schema_rejects_field_without_description() -> None:
    class Silent(ApiModel):
        """Says nothing."""

        inner: list[Inner] = Field(default_factory=list)

    with pytest.raises(NotStructural, match=r"spec\.inner: every field needs a description"):
        structural_schema(Silent, "spec")
