"""The exceptions of the worker.

WorkerError
└── StartRefused   the worker cannot start: the message says what to change
"""


class WorkerError(Exception):
    """Base of every error of this package."""


class StartRefused(WorkerError):
    """The worker cannot start. The message names what to change; the process exits with code 2."""
