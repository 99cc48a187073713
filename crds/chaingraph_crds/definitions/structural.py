"""Convert a pydantic model to a structural OpenAPI v3 schema, the subset that a CustomResourceDefinition accepts.

Pydantic writes JSON Schema 2020-12: with `$ref`, with `anyOf [..., null]` for optional fields, with titles. The API
server needs one self-contained tree in which every node has a type. A model without a structural counterpart fails
here, in `make generate`, and not in a cluster.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from chaingraph_crds.forms import FORMS
from chaingraph_crds.model import IMMUTABLE, SCHEMA_DEFAULT, rule

Schema = dict[str, Any]

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
VALIDATIONS: Final = "x-kubernetes-validations"
_ITEM: Final = "[]"
"""Marks a list in a path. `kubectl apply` compares lists of custom resources as a whole, so a default that the API
server filled in there would make each apply of the same file a change: `configured` although nothing changed."""

_KEPT: Final = frozenset(
    {
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "type",
        VALIDATIONS,
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        PRESERVE,
    }
)
_DROPPED: Final = frozenset({"title", "default", IMMUTABLE, SCHEMA_DEFAULT})
_TREATED: Final = frozenset(
    {"$ref", "$defs", "allOf", "anyOf", "const", "items", "properties", "required", "additionalProperties"}
    | {"exclusiveMaximum", "exclusiveMinimum"}
)


class NotStructural(Exception):
    """The model has no structural counterpart. Change the field named in the message."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def structural_schema(model: type[BaseModel], path: str = "", *, people_write: bool = True) -> Schema:
    """Return the schema of a model, without references.

    Args:
        model: its fields' descriptions become the output of `kubectl explain`.
        path: where the model stands in the object, for error messages: `spec`.
        people_write: whether users write the part, like a spec. Then defaults are filled in, and descriptions end with
            default, bounds and immutability, since `kubectl explain` shows none of these itself.

    Raises:
        NotStructural: a field has no counterpart in a structural schema, or no description.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    converter = _Converter(document.get("$defs", {}), people_write=people_write)
    return converter.convert(document, path or model.__name__)


def immutable_fields(model: type[BaseModel]) -> list[str]:
    """Return the fields of a model, in the API's spelling, that cannot change after creation."""
    properties = model.model_json_schema(by_alias=True, mode="validation").get("properties", {})
    return [name for name, field in properties.items() if field.get(IMMUTABLE)]


class _Converter:
    """One conversion: the definitions that `$ref` may name, and whether users write the part."""

    def __init__(self, definitions: Mapping[str, Schema], *, people_write: bool) -> None:
        self._definitions = definitions
        self._people_write = people_write

    def convert(self, node: Mapping[str, Any], path: str) -> Schema:
        node = self._resolved(node, path)
        unknown = set(node) - _KEPT - _DROPPED - _TREATED
        if unknown:
            raise NotStructural(path, f"{', '.join(sorted(unknown))} has no counterpart in a structural schema")
        schema: Schema = {key: value for key, value in node.items() if key in _KEPT}
        schema |= _bounds(node)
        default = _default(node)
        if default is not None and self._people_write and _ITEM not in path:
            schema["default"] = default
        form = FORMS.get(schema.get("pattern", ""))
        if form is not None and self._people_write:
            schema[VALIDATIONS] = [*schema.get(VALIDATIONS, ()), _form_rule(schema.pop("pattern"), form)]
        if "const" in node:
            schema["enum"] = [node["const"]]
        if schema.get("type") == "array":
            schema["items"] = self.convert(node.get("items", {}), f"{path}{_ITEM}")
        elif schema.get("type") == "object":
            schema |= self._object(node, path)
        elif "type" not in schema and "x-kubernetes-int-or-string" not in schema:
            schema[PRESERVE] = True
        return _ordered(schema)

    def _resolved(self, node: Mapping[str, Any], path: str) -> Schema:
        """Resolve a node's reference, or its one alternative besides null. Its own keys take precedence."""
        merged = dict(node)
        while True:
            if "$ref" in merged:
                target = self._definitions[str(merged.pop("$ref")).removeprefix("#/$defs/")]
            elif "anyOf" in merged:
                target = _one_of(merged.pop("anyOf"), path)
            elif "allOf" in merged:
                target = _one_of(merged.pop("allOf"), path)
            else:
                return merged
            merged = {**target, **merged}

    def _object(self, node: Mapping[str, Any], path: str) -> Schema:
        if "properties" not in node:
            return self._open_object(node, path)
        immutable = []
        properties: Schema = {}
        for name, child in node["properties"].items():
            child_path = f"{path}.{name}"
            if not child.get("description"):
                raise NotStructural(child_path, "every field needs a description: kubectl explain shows it")
            properties[name] = self.convert(child, child_path)
            fixed = bool(child.get(IMMUTABLE))
            if self._people_write:
                default = _default(self._resolved(child, child_path))
                properties[name]["description"] += _note(properties[name], default, immutable=fixed)
            if fixed:
                immutable.append(_immutable_rule(name, always_set="default" in properties[name]))
        built: Schema = {"properties": properties}
        if node.get("required"):
            built["required"] = list(node["required"])
        if immutable:
            built[VALIDATIONS] = [*node.get(VALIDATIONS, ()), *immutable]
        return built

    def _open_object(self, node: Mapping[str, Any], path: str) -> Schema:
        """Convert a map, either of one type of values or of any values, which the API server stores unchanged.

        CEL has two forms for a map of any values, each with a flaw. `additionalProperties` compares correctly within a
        larger object but cannot be named in a rule. An object of unknown fields can be named, but two with the same
        number of keys and none in common count as equal (`policies` closes that gap). So only maps named in a rule have
        that form.
        """
        values = node.get("additionalProperties", True)
        if isinstance(values, Mapping) and values:
            return {"additionalProperties": self.convert(values, f"{path}.*")}
        if node.get(IMMUTABLE):
            return {PRESERVE: True}
        return {"additionalProperties": {PRESERVE: True}}


def _one_of(alternatives: list[Schema], path: str) -> Schema:
    """Return the one alternative that is not null."""
    real = [item for item in alternatives if item.get("type") != "null"]
    if len(real) != 1:
        raise NotStructural(path, "a union of several types has no structural schema: use one type, or Any")
    return real[0]


def _bounds(node: Mapping[str, Any]) -> Schema:
    """Convert exclusive bounds to OpenAPI 3.0: a flag beside the bound."""
    bounds: Schema = {}
    if "exclusiveMinimum" in node:
        bounds |= {"minimum": node["exclusiveMinimum"], "exclusiveMinimum": True}
    if "exclusiveMaximum" in node:
        bounds |= {"maximum": node["exclusiveMaximum"], "exclusiveMaximum": True}
    return bounds


def _default(node: Mapping[str, Any]) -> Any:
    """Return the default for the API server to fill in. Empty strings, lists and maps stay absent, as noise."""
    if SCHEMA_DEFAULT in node:
        return node[SCHEMA_DEFAULT]
    default = node.get("default")
    return None if default in ("", [], {}) else default


def _note(schema: Schema, default: Any, *, immutable: bool) -> str:
    """Return the end of a field's description: ` Immutable. Default: 600. 1 to 604800.`, or nothing."""
    parts = [" Immutable."] if immutable else []
    if default is not None and not isinstance(default, dict):
        parts.append(f" Default: {str(default).lower() if isinstance(default, bool) else default}.")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        parts.append(f" From {low:g} to {high}.")
    return "".join(parts)


def _form_rule(pattern: str, form: str) -> dict[str, str]:
    """Return a rule for the format of a string. A `pattern` would show users only the regular expression."""
    return {
        "rule": f"self.matches(r'{pattern}')",
        "message": f"must be {form}",
        "messageExpression": f'"\'" + self + "\' is not {form}"',
        "reason": "FieldValueInvalid",
    }


def _immutable_rule(name: str, *, always_set: bool) -> dict[str, str]:
    """Return a rule against adding, changing or removing a field.

    The parent has the rule, because a transition rule on an optional field itself does not run when the field is added
    or removed.
    """
    unchanged = f"self.{name} == oldSelf.{name}"
    expression = (
        unchanged if always_set else f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {unchanged})"
    )
    return rule(
        expression,
        f"{name} is immutable: create another Execution instead",
        field=f".{name}",
        reason="FieldValueForbidden",
    )


def _ordered(schema: Schema) -> Schema:
    """Order the schema for readers: description and type first, children last."""
    first = ("description", "type", "default", "enum")
    last = ("required", VALIDATIONS, "additionalProperties", "items", "properties")
    middle = sorted(set(schema) - set(first) - set(last))
    return {key: schema[key] for key in (*first, *middle, *last) if key in schema}
