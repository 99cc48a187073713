"""What can go wrong on a person's machine, each with what to do about it.

Every command prints `CliError` as two lines (what happened, what to do) and ends with `exit_code`; anything
else that escapes is a bug and keeps its traceback.

The exit codes of the verbs (`EXIT_CODES`) are for scripts, and part of the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLOSED_PIPE: Final = 141
"""As shells tell of a process that SIGPIPE has ended."""
EXIT_CODES: Final[Mapping[int, str]] = {
    0: "it did what it says",
    1: "the execution that was waited for failed or was stopped; or an error that has no code of its own",
    2: "arguments that it does not know, or that the API server refuses",
    3: "not allowed in the state that the execution is in; nothing was changed",
    4: "there is no such execution, flow or other resource; or it has not started, and nothing of it can be read yet "
    "(`logs -f`, `events -f`, `wait` and `create --follow` wait for the start instead)",
    5: "the permissions of the kubeconfig's user do not suffice",
    6: "the API server or the gateway cannot be reached, or does not know the user",
    124: "the time of `--timeout` was over",
    130: "interrupted by Ctrl-C",
    CLOSED_PIPE: "nobody read on, as after `| head`",
}


class CliError(Exception):
    """Base of every error meant for the person at the terminal.

    Args:
        message: what happened, with the name or path it happened to.
        hint: what to do about it; empty when the message says it already.
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
    """A program of the control plane is nowhere to be found, and there is no Go to build it with."""


class BuildFailed(CliError):
    """`go build` ended with an error; the message holds its last lines and the path of the whole log."""


class StartFailed(CliError):
    """A process ended, or did not become ready in time, while the cluster was coming up."""


class AlreadyRunning(CliError):
    """Another supervisor holds the state folder."""


class NotRunning(CliError):
    """The command needs a running cluster, and the state folder has none."""


class StateInvalid(CliError):
    """The state file cannot be read: written by another version, or damaged."""


class ClusterUnreachable(CliError):
    """The Kubernetes cluster named by `--kubeconfig` and `--context` does not answer or refuses us."""


class DatabaseUnusable(CliError):
    """The database cannot be reached, or its schema could not be migrated."""


class ExamplesInvalid(CliError):
    """The folder of the examples is missing, or one of its files is not what `demo` can apply."""


class ResourceRefused(CliError):
    """The API server refused a Flow or an Execution; the message is the server's."""


class Usage(CliError):
    """Arguments that do not go together, or that the API server refuses."""

    exit_code = 2


class NotAllowed(CliError):
    """What is asked for makes no sense in the state that the execution is in."""

    exit_code = 3


class NotFound(CliError):
    """There is no such resource."""

    exit_code = 4


class Forbidden(CliError):
    """The kubeconfig's user may not do it."""

    exit_code = 5


class Unreachable(CliError):
    """The API server or the gateway does not answer, or does not know the user."""

    exit_code = 6


class TimedOut(CliError):
    """What was waited for has not happened in the time given."""

    exit_code = 124
