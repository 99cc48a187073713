"""The exceptions of the flow package. Each names the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaingraph_flow.field_errors import FieldError


class FlowError(Exception):
    """Base of this package's exceptions."""


class InvalidFlow(FlowError):
    """The flow cannot run. `errors` is the complete list of errors to fix."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(map(str, self.errors)))


class InvalidNodeClass(FlowError):
    """A Node class is declared incorrectly (a reserved port name, an unknown input named by an output, ...)."""


class BrokenPlugins(FlowError):
    """Installed packages have nodes that cannot be loaded. Fix or remove them; the message names file and line."""


class DuplicateNodeType(FlowError):
    """Two node classes or catalogues define one type differently. Rename one, or remove one package."""


class UnknownNodeType(FlowError):
    """The registry has no class for a type of the graph. Install the package with that node in the worker."""


class JournalMismatch(FlowError):
    """The journal names nodes that do not run in this graph: it belongs to another revision or trigger."""


class NotJson(FlowError):
    """A value cannot be written as JSON; the message names the place. Ports carry only JSON values."""


class NodeFailed(FlowError):
    """Raised by a node that fails. The message is shown to the user unchanged.

    Args:
        message: what happened, and what would be right.
        reason: the kind of failure, one word in CamelCase, for `retryOn` and `__error.reason`; '' for NodeFailed.
        details: a JSON value for programs: `__error.details`.
        retryable: False when another try would fail as well.
        retry_after: the seconds after which another try may succeed, if that is known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        reason: str = "",
        details: Any = None,
        retryable: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details
        self.retryable = retryable
        self.retry_after = retry_after


class UnreadableText(NodeFailed):
    """A text or its bytes are invalid: an unknown charset, invalid JSON, a number that cannot be kept."""


class EmissionRefused(NodeFailed):
    """Base of the errors of `NodeContext.emit` at a limit of the installation, which another try would exceed again."""


class TooDeep(EmissionRefused):
    """The execution is at the maximum depth of its tree, and cannot have children."""

    def __init__(self, name: str, depth: int, limit: int) -> None:
        super().__init__(
            f"event {name!r} cannot spawn an execution: this execution is at depth {depth} of its tree, and the "
            f"maximum depth of children is {limit} (CHAINGRAPH_MAX_DEPTH)"
        )


class TooManyChildren(EmissionRefused):
    """The node's emissions exceed the maximum number of children."""

    def __init__(self, own: int, of_others: int, limit: int) -> None:
        emitted = f"{own} emitted by this node" + (f" and {of_others} by others" if of_others else "")
        super().__init__(
            f"the execution would have {own + of_others} children, {emitted}; the limit is {limit} "
            f"(CHAINGRAPH_MAX_CHILDREN)"
        )


class LimitExceeded(NodeFailed):
    """A value or a piece of work exceeds a limit of the installation, which another try would exceed again.

    The message names the limit, the size and the setting. Make the value smaller, or raise the setting.
    """


class EgressDenied(NodeFailed):
    """Flows may not connect to the address. The installation's administrator can allow it."""


class NodeSkipped(FlowError):
    """Raised by a node with nothing to do: it ends skipped, and its outputs are refused."""
