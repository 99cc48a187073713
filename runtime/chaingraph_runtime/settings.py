"""What keeps a process from starting, as a person reads it: the variable, its value, what would be right.

Called by the mains when their pydantic-settings models refuse the environment. It is logged as all else is, one line a
error: whoever collects the logs of Pods gets the reason in the form of every other line.
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
"""Exit code of a process that was started with what cannot be right."""
_IN_URL: Final = re.compile(r"(://[^:/@\s]*:)(?!password@)[^\s]*@")
"""All up to the last @: a password may have one. That of the hint, `user:password@host`, stays."""
_IN_STRING: Final = re.compile(r"(\b(?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*(?:'|$)|\S+)", re.DOTALL)
"""A quote that is never closed is what may be wrong with the string: then all after it."""
_log = structlog.get_logger(__name__)


def refuse(error: ValidationError, model: type[BaseSettings], *, component: str) -> NoReturn:
    """Logs every error, and ends the process."""
    cannot_start(explain(error, model).splitlines(), component=component)


def cannot_start(reasons: list[str], *, component: str) -> NoReturn:
    """Logs why the process cannot start, before its own log is configured, and ends it."""
    logs.configure("info", component=component)
    for reason in reasons:
        _log.critical(reason)
    sys.exit(SETTINGS_EXIT)


def explain(error: ValidationError, model: type[BaseSettings]) -> str:
    """One line an error, each beginning with the environment variable's name."""
    lines = []
    for problem in error.errors():
        if not problem["loc"]:
            # Of several variables together: it names them itself, and its input is all of them.
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
    """The text with the passwords of connection strings taken out, in both forms that libpq reads."""
    return _IN_STRING.sub(r"\1***", _IN_URL.sub(r"\1***@", text))


def variable_of(model: type[BaseSettings], field: str) -> str:
    """The environment variable of a field. An error of the whole model has an alias in the field's place already."""
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
