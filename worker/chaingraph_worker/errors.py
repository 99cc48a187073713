"""The exceptions of the worker.

WorkerError
├── ForeignExecution    a workflow's arguments name another execution than its own, so nothing was done
├── InvalidInputs       a node has called a flow with inputs that do not fit
├── JournalIncomplete   children cannot be created, because their events are gone
├── SecretRefused       a flow cannot use a secret: `reason` says why, and the message what to change
├── StartRefused        the worker cannot start: the message says what to change
└── UnsafeValue         a value of DBOS's tables would run code, so it was not read
"""

from collections.abc import Iterable
from enum import StrEnum


class WorkerError(Exception):
    """Base of this package's exceptions."""


class StartRefused(WorkerError):
    """The worker cannot start. The message says what to change; the process exits with code 2."""


class SecretReason(StrEnum):
    """Why a secret cannot be used: the reason of the node's failure, and a label of metrics."""

    NOT_FOUND = "SecretNotFound"
    KEY_NOT_FOUND = "SecretKeyNotFound"
    NOT_ALLOWED = "SecretNotAllowed"
    """It lacks the label."""
    FORBIDDEN = "SecretForbidden"
    """The worker has no right to read it."""
    INVALID = "SecretInvalid"
    UNAVAILABLE = "SecretUnavailable"
    """The API server does not answer."""


class SecretRefused(WorkerError):
    """A flow cannot use a secret. The message names the secret and the key, and what to change."""

    def __init__(self, reason: SecretReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ForeignExecution(WorkerError):
    """A row of DBOS's tables makes a workflow act on another execution than its own. Nothing was done."""

    def __init__(self, workflow: str, execution: str) -> None:
        super().__init__(
            f"workflow {workflow} names execution {execution!r}, which is not its own. It was not run. "
            "No process of ChainGraph writes such rows. Find out who can write to this database"
        )


class InvalidInputs(WorkerError):
    """A node has called a flow with inputs that do not fit. The message has every error."""

    def __init__(self, errors: Iterable[object]) -> None:
        super().__init__("; ".join(map(str, errors)).replace("spec.inputs.", "inputs."))


class UnsafeValue(WorkerError):
    """A value is a Python pickle, which runs code when it is read. It was not read."""


class JournalIncomplete(WorkerError):
    """An execution has emitted more than its journal has, so its children cannot be created."""

    def __init__(self, execution: str, *, emitted: int, total: int) -> None:
        super().__init__(
            f"execution {execution} has {total} children to spawn, but its journal has {emitted} events. Restore the "
            "table chaingraph.journal, or stop the execution to give up the rest"
        )
