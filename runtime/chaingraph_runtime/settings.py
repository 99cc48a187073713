"""Errors of settings that prevent a start: the variable, its value, and a valid form.

They are logged like everything else, one record per error, so that log collectors get the reason in the same form.
"""

from __future__ import annotations

import re
import sys
from typing import Final, NoReturn

import structlog
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from chaingraph_runtime import logs

SETTINGS_EXIT: int = 2
"""Exit code of a process with invalid settings."""
_IN_URL: Final = re.compile(r"(://[^:/@\s]*:)(?!password@)[^\s]*@")
"""Everything up to the last @: a password may have one. The hint's `user:password@host` is kept."""
_IN_STRING: Final = re.compile(r"(\b(?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*(?:'|$)|\S+)", re.DOTALL)
"""An unclosed quote may be the error in the string: then everything after it is removed."""
_log = structlog.get_logger(__name__)


def refuse(error: ValidationError, model: type[BaseSettings], *, component: str) -> NoReturn:
    """Log every error, and end the process."""
    cannot_start(explain(error, model).splitlines(), component=component)


def cannot_start(reasons: list[str], *, component: str) -> NoReturn:
    """Log why the process cannot start, before its own log is configured, and end it."""
    logs.configure("info", component=component)
    for reason in reasons:
        _log.critical(reason)
    sys.exit(SETTINGS_EXIT)


def explain(error: ValidationError, model: type[BaseSettings]) -> str:
    """Format the errors one per line, each starting with the environment variable's name."""
    lines = []
    for problem in error.errors():
        if not problem["loc"]:
            # An error of several variables together: it names them itself, and its input is all of them.
            lines.append(problem["msg"].removeprefix("Value error, "))
            continue
        field = str(problem["loc"][0])
        value = problem.get("input")
        # Before it is written as a literal, which escapes the quotes that end a password.
        shown = without_passwords(value) if isinstance(value, str) else value
        given = "is not set" if problem["type"] == "missing" else f"is {shown!r}"
        lines.append(without_passwords(f"{variable_of(model, field)} {given}: {problem['msg']}{_hint(model, field)}"))
    return "\n".join(lines)


def without_passwords(text: str) -> str:
    """Remove the passwords of connection strings from a text, in both forms that libpq accepts."""
    return _IN_STRING.sub(r"\1***", _IN_URL.sub(r"\1***@", text))


def variable_of(model: type[BaseSettings], field: str) -> str:
    """Return the environment variable of a field. An error of the whole model has an alias in the field's place."""
    info = model.model_fields.get(field)
    if info is None:
        return field.upper()
    alias = info.validation_alias
    return alias if isinstance(alias, str) else field.upper()


def _hint(model: type[BaseSettings], field: str) -> str:
    for name, info in model.model_fields.items():
        if field in (name, info.validation_alias) and info.description:
            return f" ({info.description.rstrip('.')})"
    return ""
