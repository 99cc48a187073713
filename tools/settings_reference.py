"""Two pages of the reference as Markdown: the settings of worker, operator and gateway, and the commands.

Used by `generated`.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from chaingraph_cli.commands import Program, actions_of, parser_of
from chaingraph_cli.errors import EXIT_CODES
from chaingraph_cli.main import CHAINGRAPH, PLUGIN
from chaingraph_gateway.settings import Settings as GatewaySettings
from chaingraph_operator.removal import RemovalSettings
from chaingraph_operator.settings import Settings as OperatorSettings
from chaingraph_runtime.settings import variable_of
from chaingraph_worker.settings import WorkerSettings

_KUBECTL_OPTIONS: Final = ("namespace", "context", "kubeconfig")
_GENERATED = "<!-- Generated from the code by `make generate`. Do not edit. -->"

_SETTINGS_INTRODUCTION = f"""\
# Settings

{_GENERATED}

Worker, operator and gateway read their settings from environment variables, once, when they start. One that is missing
or wrong ends the process with exit code 2, and with the variable's name, its value and what would be right.
`chaingraph up` sets `DATABASE_URL_EXECUTIONS`, `CHAINGRAPH_HEALTH_HOST` and `CHAINGRAPH_HEALTH_PORT` itself and hands
the rest of its own environment on. Its workers have `CHAINGRAPH_EGRESS_ALLOW=127.0.0.0/8,::1/128`, unless your
environment says otherwise.
"""

_OPERATOR_NOTE = """
The operator finds the API server as kubectl does: in a Pod by its service account, else by `KUBECONFIG` or
`~/.kube/config`.
"""

_REMOVAL_NOTE = """
`chaingraph-operator remove-workers` deletes the worker Deployments of a release and waits until their Pods are gone.
The chart runs it before an uninstall.
"""

_GATEWAY_NOTE = """
The gateway finds the API server as the operator does. `chaingraph up` sets its address, its port and its certificate.
"""

_TRACES = """\
## Traces

OpenTelemetry's own variables, read by operator and workers; these are the ones that are mostly wanted, and its
specification has the others. Their use here: [Monitor ChainGraph](../how-to/see-what-it-does.md).

| variable | default | meaning |
|---|---|---|
| `OTEL_EXPORTER_OTLP_ENDPOINT` |  | where traces go, as `http://collector:4318`; unset: there are none |
| `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` |  | the same, with the whole path: `http://collector:4318/v1/traces` |
| `OTEL_EXPORTER_OTLP_PROTOCOL` | `http/protobuf` | no other is spoken |
| `OTEL_EXPORTER_OTLP_HEADERS` |  | headers to send along, as `authorization=Bearer%20...` |
| `OTEL_EXPORTER_OTLP_CERTIFICATE` |  | file of the authority that the collector's certificate is verified by |
| `OTEL_TRACES_SAMPLER` | `parentbased_always_on` | which traces are kept, as `parentbased_traceidratio` |
| `OTEL_TRACES_SAMPLER_ARG` |  | which share of them, as `0.1` |
| `OTEL_SERVICE_NAME` | `chaingraph-operator`, `chaingraph-worker` | the service |
| `OTEL_RESOURCE_ATTRIBUTES` |  | attributes of all spans, as `deployment.environment=test` |
| `OTEL_BSP_MAX_QUEUE_SIZE` | `2048` | spans that wait to be sent, at most; the rest is dropped |
| `OTEL_SDK_DISABLED` | `false` | `true`: no traces, whatever else is said |
"""

_MIGRATION = """\
## Migration

`chaingraph-worker migrate`, which brings the database to this release. Exit code 1 when it could not.

| variable | default | meaning |
|---|---|---|
| `DATABASE_URL_EXECUTIONS` | **required** | the database, by a role that owns its schemas or may make them |
| `CHAINGRAPH_MIGRATE_WAIT_SECONDS` | `0` | seconds until PostgreSQL has to answer, from 0 to 86400 |
| `CHAINGRAPH_POOL_ROLES` |  | database roles of pools with the queues that each may serve, as JSON: \
`{"billing": {"role": "chaingraph_worker_billing", "queues": ["billing"]}}`. \
A role that is left out loses its rights; unset: nothing changes |
| `DBOS_APPLICATION_NAME` | `chaingraph-executor` | DBOS's application, as the workers have it |
"""

_COMMANDS_INTRODUCTION = f"""\
# Commands

{_GENERATED}

`kubectl chaingraph VERB` and `chaingraph VERB` are the same command. Verbs run kubectl to read and edit resources, so
kubeconfig, contexts and permissions are those of kubectl. Each verb takes `-n` NAMESPACE, `--context` CONTEXT and
`--kubeconfig` FILE. Errors and their remedies are printed to stderr.

[Install the kubectl plugin](../how-to/install-with-helm.md#install-the-kubectl-plugin).
"""


def settings_markdown() -> str:
    """The page of all environment variables."""
    parts = [
        _SETTINGS_INTRODUCTION,
        "## Worker\n\n" + _table(WorkerSettings),
        _MIGRATION,
        "## Operator\n" + _OPERATOR_NOTE + "\n" + _table(OperatorSettings),
        "### Removal of workers\n" + _REMOVAL_NOTE + "\n" + _table(RemovalSettings),
        "## Gateway\n" + _GATEWAY_NOTE + "\n" + _table(GatewaySettings),
        _TRACES,
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
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    parts = [_COMMANDS_INTRODUCTION + "\n| exit code | meaning |\n|---|---|\n" + codes + "\n"]
    for title, section in CHAINGRAPH.sections.items():
        parts.append(f"## {title[0].upper()}{title[1:]}\n")
        parts += [_command(PLUGIN if title in PLUGIN.sections else CHAINGRAPH, name) for name in section]
    return "\n".join(parts)


def _command(program: Program, name: str) -> str:
    command = program.entries[name].load()
    parser = parser_of(program, name, command)
    lines = [f"### {program.name} {name}", "", command.description, ""]
    lines += ["| argument | default | meaning |", "|---|---|---|"]
    left_out = _KUBECTL_OPTIONS if command.of_cluster else ()
    lines += [_argument(each) for each in actions_of(parser) if each.dest not in left_out]
    if command.examples:
        lines += ["", "```", command.examples.strip("\n"), "```"]
    return "\n".join(lines) + "\n"


def _argument(action: argparse.Action) -> str:
    flags = ", ".join(f"`{each}`" for each in action.option_strings)
    metavar = str(action.metavar or "") if action.nargs != 0 else ""
    if not metavar and action.choices is not None:
        metavar = "\\|".join(map(str, action.choices))
    if not flags:
        flags = f"{metavar} ..." if action.nargs in ("*", "+") else metavar
        metavar = ""
    nothing = action.default in (None, False, "", [])
    default = "" if nothing or action.dest == "timeout" else f"`{action.default}`"
    return f"| {flags}{' ' + metavar if metavar else ''} | {default} | {_cell(action.help or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
