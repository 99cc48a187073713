"""Errors of the commands, each with a remedy, and the exit codes.

Every command prints a `CliError` as two lines (what happened, what to do) and exits with its `exit_code`. Any other
exception is a bug and keeps its traceback. Scripts rely on `EXIT_CODES`, which are part of the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLOSED_PIPE: Final = 141
"""The exit code of shells for a process that SIGPIPE has ended."""
EXIT_CODES: Final[Mapping[int, str]] = {
    0: "success",
    1: "the execution failed or was stopped, or another error without an exit code of its own",
    2: "invalid arguments, or the API server rejected the object",
    3: "not allowed in the current state of the execution; nothing was changed",
    4: "execution, Flow or another resource not found; or the execution has not started and has no data yet "
    "(`logs -f`, `events -f`, `wait` and `create --follow` wait for the start instead)",
    5: "forbidden: the user of the kubeconfig lacks a permission",
    6: "the API server or the gateway is unreachable, or rejected the credentials",
    124: "`--timeout` expired",
    130: "interrupted by Ctrl-C",
    CLOSED_PIPE: "the reader closed the output, as in `| head`",
}


class CliError(Exception):
    """Base of every error that is printed without a traceback.

    Args:
        message: what happened, with the name or path of the object.
        hint: how to fix it; empty if the message says it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class PackageMissing(CliError):
    """The command needs a Python package of an extra that is not installed."""


class BinariesMissing(CliError):
    """A program of the control plane was not found, and Go is not installed to build it."""


class BuildFailed(CliError):
    """`go build` failed; the message has its last lines and the path of the log."""


class StartFailed(CliError):
    """A process exited or was not ready in time while the cluster started."""


class AlreadyRunning(CliError):
    """Another supervisor holds the state folder."""


class NotRunning(CliError):
    """The state folder has no running cluster."""


class StateInvalid(CliError):
    """The state file is damaged or was written by another version."""


class DatabaseUnusable(CliError):
    """The database is unreachable, or its migration failed."""


class ExamplesInvalid(CliError):
    """The folder of the examples is missing, or `demo` cannot apply one of its files."""


class Usage(CliError):
    """Invalid arguments, or an object that the API server rejected."""

    exit_code = 2


class NotAllowed(CliError):
    """The verb does not apply in the current state of the execution."""

    exit_code = 3


class NotFound(CliError):
    """The resource does not exist."""

    exit_code = 4


class Forbidden(CliError):
    """The user of the kubeconfig lacks a permission."""

    exit_code = 5


class Unreachable(CliError):
    """The API server or the gateway is unreachable, or rejected the credentials."""

    exit_code = 6


class TimedOut(CliError):
    """`--timeout` expired."""

    exit_code = 124
