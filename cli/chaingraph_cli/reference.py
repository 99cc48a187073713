"""Two pages of the reference as Markdown: the settings of worker and operator, and the commands.

Used by `generated`.
"""

from __future__ import annotations

from typing import Any

import typer.main
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings
from typer.core import TyperOption

from chaingraph_cli.main import app
from chaingraph_operator.settings import Settings as OperatorSettings
from chaingraph_process.settings import variable_of
from chaingraph_worker.settings import WorkerSettings

_GENERATED = "<!-- Generated from the code by `make generate`. Do not edit. -->"

_SETTINGS_INTRODUCTION = f"""\
# Settings

{_GENERATED}

Worker and operator read their settings from environment variables, once, when they start. One that is missing or wrong
ends the process with exit code 2, and with the variable's name, its value and what would be right. `chaingraph up` sets
`DATABASE_URL_EXECUTIONS` and `CHAINGRAPH_HEALTH_PORT` itself and hands the rest of its own environment on.
"""

_OPERATOR_NOTE = """
The operator finds the API server as kubectl does: in a Pod by its service account, else by `KUBECONFIG` or
`~/.kube/config`.
"""

_COMMANDS_INTRODUCTION = f"""\
# Commands

{_GENERATED}

Every command ends with exit code 0 when it did what it says, 2 for arguments that it does not know, and another one
otherwise, with two lines on stderr: what happened, and what to do about it.
"""


def settings_markdown() -> str:
    """The page of all environment variables."""
    parts = [
        _SETTINGS_INTRODUCTION,
        "## Worker\n\n" + _table(WorkerSettings),
        "## Operator\n" + _OPERATOR_NOTE + "\n" + _table(OperatorSettings),
    ]
    return "\n".join(parts)


def _table(model: type[BaseSettings]) -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = _cell(field.description or "")
        lines.append(f"| `{variable_of(model, name)}` | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default_factory is not None or field.default is PydanticUndefined:
        return "made at the start"
    value: Any = field.default
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value not in ("", ()) else ""


def commands_markdown() -> str:
    """The page of all commands."""
    parts = [_COMMANDS_INTRODUCTION]
    for name, command in sorted(typer.main.get_group(app).commands.items()):
        lines = [f"## chaingraph {name}", "", (command.help or "").strip(), ""]
        lines += ["| option | default | meaning |", "|---|---|---|"]
        lines += [_option(each) for each in command.params if isinstance(each, TyperOption)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _option(option: TyperOption) -> str:
    flags = ", ".join(f"`{each}`" for each in option.opts)
    if option.metavar:
        flags += f" {option.metavar}"
    default = "" if option.default is None or option.default is False else f"`{option.default}`"
    return f"| {flags} | {default} | {_cell(option.help or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
