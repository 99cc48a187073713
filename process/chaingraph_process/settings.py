"""Settings errors as a person reads them: the variable, its value, what would be right.

Called by the mains of the worker and the operator when their pydantic-settings models refuse the environment.
"""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_settings import BaseSettings


def explain(error: ValidationError, model: type[BaseSettings]) -> str:
    """One line a fault, each beginning with the environment variable's name."""
    lines = []
    for fault in error.errors():
        field = str(fault["loc"][0]) if fault["loc"] else ""
        value = fault.get("input")
        given = "is not set" if fault["type"] == "missing" else f"is {value!r}"
        lines.append(f"{variable_of(model, field)} {given}: {fault['msg']}{_hint(model, field)}")
    return "\n".join(lines)


def variable_of(model: type[BaseSettings], field: str) -> str:
    """The environment variable of a field. A fault of the whole model has an alias in the field's place already."""
    info = model.model_fields.get(field)
    if info is None:
        return field.upper()
    alias = info.validation_alias
    return alias if isinstance(alias, str) else field.upper()


def _hint(model: type[BaseSettings], field: str) -> str:
    for name, info in model.model_fields.items():
        if field in (name, info.validation_alias) and info.description:
            return f" ({info.description})"
    return ""
