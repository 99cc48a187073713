"""From a pydantic model to a structural OpenAPI v3 schema, the subset that a CustomResourceDefinition takes.

Pydantic writes JSON Schema 2020-12: with `$ref`, with `anyOf [..., null]` for optional fields, with titles.
The API server wants one self-contained tree in which every node has a type. `structural_schema` makes the
one from the other and refuses what has no counterpart, so that a model that cannot be expressed fails in
`make generate` and not in a cluster. Called by `manifests`, and by `reference` for the tables.
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
"""In a path: inside a list. `kubectl apply` compares lists of custom resources as wholes, so a default that the API
server filled in there would make each apply of the same file a change: `configured` where nothing is."""

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
    """A model says something that a CustomResourceDefinition cannot: change the model's field named here."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def structural_schema(model: type[BaseModel], path: str = "", *, people_write: bool = True) -> Schema:
    """The schema of a model, without references.

    Args:
        model: Its fields' descriptions become what `kubectl explain` shows.
        path: Where the model stands in the object, for error messages: `spec`.
        people_write: Whether people write the part, as a spec. Then defaults are filled in, and descriptions
            end with default, bounds and immutability, since `kubectl explain` shows none of these itself.

    Raises:
        NotStructural: A field has no counterpart in a structural schema, or has no description.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    converter = _Converter(document.get("$defs", {}), people_write=people_write)
    return converter.convert(document, path or model.__name__)


def immutable_fields(model: type[BaseModel]) -> list[str]:
    """The fields of a model, in the API's spelling, that cannot change after creation."""
    properties = model.model_json_schema(by_alias=True, mode="validation").get("properties", {})
    return [name for name, field in properties.items() if field.get(IMMUTABLE)]


class _Converter:
    """One conversion: the definitions that `$ref` may name, and who writes the part."""

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
        """The node with what its reference, or its one alternative beside null, says; its own words win."""
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
        """A map: of one type of values, or of any, which the API server then stores as they are.

        CEL knows two forms of a map of any values, each with a flaw. `additionalProperties` compares well within
        a larger object but cannot be named in a rule. An object of unknown fields can be named, but takes two of
        as many keys and none in common for equal (`policies` closes that). So only what a rule names has it.
        """
        values = node.get("additionalProperties", True)
        if isinstance(values, Mapping) and values:
            return {"additionalProperties": self.convert(values, f"{path}.*")}
        if node.get(IMMUTABLE):
            return {PRESERVE: True}
        return {"additionalProperties": {PRESERVE: True}}


def _one_of(alternatives: list[Schema], path: str) -> Schema:
    """The one alternative that is not null."""
    real = [item for item in alternatives if item.get("type") != "null"]
    if len(real) != 1:
        raise NotStructural(path, "a union of several types has no structural schema: use one type, or Any")
    return real[0]


def _bounds(node: Mapping[str, Any]) -> Schema:
    """Exclusive bounds in the spelling of OpenAPI 3.0: a flag beside the bound."""
    bounds: Schema = {}
    if "exclusiveMinimum" in node:
        bounds |= {"minimum": node["exclusiveMinimum"], "exclusiveMinimum": True}
    if "exclusiveMaximum" in node:
        bounds |= {"maximum": node["exclusiveMaximum"], "exclusiveMaximum": True}
    return bounds


def _default(node: Mapping[str, Any]) -> Any:
    """What the API server shall fill in. Empty texts, lists and maps stay absent: they would only add noise."""
    if SCHEMA_DEFAULT in node:
        return node[SCHEMA_DEFAULT]
    default = node.get("default")
    return None if default in ("", [], {}) else default


def _note(schema: Schema, default: Any, *, immutable: bool) -> str:
    """What a field's description ends with: ` Immutable. Default: 600. 1 to 604800.`, or nothing."""
    parts = [" Immutable."] if immutable else []
    if default is not None and not isinstance(default, dict):
        parts.append(f" Default: {str(default).lower() if isinstance(default, bool) else default}.")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        parts.append(f" From {low:g} to {high}.")
    return "".join(parts)


def _form_rule(pattern: str, form: str) -> dict[str, str]:
    """Demands the form of a text. With `pattern`, the API server would show people the regular expression alone."""
    return {
        "rule": f"self.matches(r'{pattern}')",
        "message": f"must be {form}",
        "messageExpression": f'"\'" + self + "\' is not {form}"',
        "reason": "FieldValueInvalid",
    }


def _immutable_rule(name: str, *, always_set: bool) -> dict[str, str]:
    """Forbids to add, change or remove a field.

    It stands on the parent, because a transition rule on an optional field itself is not run when the field
    is added or removed.
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
    """Description and type first, children last: the order in which people read."""
    first = ("description", "type", "default", "enum")
    last = ("required", VALIDATIONS, "additionalProperties", "items", "properties")
    middle = sorted(set(schema) - set(first) - set(last))
    return {key: schema[key] for key in (*first, *middle, *last) if key in schema}
