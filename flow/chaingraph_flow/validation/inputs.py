"""The inputs of a flow: their declared types, and binding the values of an execution to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from chaingraph_crds.flow import FlowInput
from chaingraph_flow.field_errors import ErrorCode, FieldError, Suggestions
from chaingraph_flow.ports.json_values import DEEPEST, copied, render
from chaingraph_flow.ports.types import (
    BARE,
    AnyPortType,
    Array,
    Boolean,
    Number,
    Object,
    Secret,
    String,
    check_value,
    parse_type,
)
from chaingraph_flow.validation.flow_limits import TOO_DEEP, deeper_than, rounded_numbers

SECRET: Final = "secret"
"""The type of an input whose value is a reference to a secret."""
_TYPES: dict[str, AnyPortType] = {
    "string": String(),
    "number": Number(),
    "boolean": Boolean(),
    "array": Array(),
    "object": Object(),
    "any": BARE,
    "secret": Secret(),
}


def declared_type(declared: FlowInput) -> AnyPortType:
    """Return the port type of a flow input; of one with an invalid schema, what its `type` says."""
    if declared.schema_ is None:
        return _TYPES[declared.type]
    described = parse_type(_described(declared), "schema")
    return _TYPES[declared.type] if isinstance(described, list) else described


def _described(declared: FlowInput) -> object:
    """Return the schema of an input as a description of a type: without a type in it, that of the input."""
    schema = declared.schema_
    return {"type": declared.type, **schema} if isinstance(schema, dict) and "type" not in schema else schema


def schema_faults(declared: FlowInput, path: str) -> list[FieldError]:
    """Return the errors of a flow input's schema: of the schema itself, and where it and `type` disagree."""
    described = parse_type(_described(declared), path)
    if isinstance(described, list):
        return described
    told = "string" if described.type == "enum" else described.type
    if declared.type in ("any", told):
        return []
    where = render(path, ["type"]) if isinstance(declared.schema_, dict) else path
    message = f"is {described.type!r}, but the input's `type` is {declared.type!r}: remove one of them"
    return [FieldError(where, ErrorCode.INVALID_VALUE, message)]


def default_faults(declared: FlowInput, path: str) -> list[FieldError]:
    """Return the errors of a flow input's default."""
    if declared.default is None:
        return []
    errors = check_value(declared_type(declared), declared.default, path)
    # A message about a number would repeat it, and it may be the secret.
    return errors if declared.type == SECRET else [*rounded_numbers(declared.default, path), *errors]


def rounded_inputs(declared: Sequence[FlowInput], given: Mapping[str, Any]) -> list[FieldError]:
    """Return an error for the first number of an Execution's inputs that may have been rounded. Not of secrets."""
    secrets = {each.name for each in declared if each.type == SECRET}
    return rounded_numbers({name: value for name, value in given.items() if name not in secrets}, "spec.inputs")


def bind_inputs(declared: Sequence[FlowInput], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the value of every declared input, and every error of the given values (paths `spec.inputs.NAME`).

    An input without a value and without a default is null. If it is required, that is an error. Null counts as no
    value.
    """
    bound: dict[str, Any] = {}
    errors: list[FieldError] = []
    known = {each.name: each for each in declared}
    suggest = Suggestions()
    for name in given:
        if name not in known:
            message = f"the flow has no input {name!r}{suggest(name, known)}"
            errors.append(FieldError(render("spec.inputs", [name]), ErrorCode.UNKNOWN_INPUT, message))
    for name, each in known.items():
        value = given.get(name)
        path = render("spec.inputs", [name])
        if value is None:
            value = each.default
            if value is None and each.required:
                message = f"the flow requires input {name!r} of type {declared_type(each).label()}"
                errors.append(FieldError(path, ErrorCode.MISSING_INPUT, message))
        elif deeper_than(value, DEEPEST):
            errors.append(FieldError(path, ErrorCode.TOO_DEEP, TOO_DEEP))
            continue
        else:
            errors += check_value(declared_type(each), value, path)
        bound[name] = copied(value)
    return bound, errors
