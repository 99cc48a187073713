"""The exceptions of the flow package. Each says what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from chaingraph_flow.field_errors import FieldError


class FlowError(Exception):
    """Base of everything this package raises on purpose."""


class InvalidFlow(FlowError):
    """The flow cannot run. Mend every error in `errors`; the list is complete."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(map(str, self.errors)))


class InvalidNodeClass(FlowError):
    """A Node class is declared wrongly (a reserved port name, an unknown input named by an output, ...)."""


class BrokenPlugins(FlowError):
    """Installed packages offer nodes that cannot be loaded. Fix or remove them; the message names file and line."""


class DuplicateNodeType(FlowError):
    """Two node classes or catalogues define one type differently. Rename one, or remove one package."""


class UnknownNodeType(FlowError):
    """The registry has no class for a type of the graph. Install the package with that node in the worker."""


class JournalMismatch(FlowError):
    """The journal names nodes that this graph would not run: it belongs to another revision or trigger."""


class NotJson(FlowError):
    """A value cannot be written as JSON; the message names the place. Ports carry JSON values alone."""


class NodeFailed(FlowError):
    """Raised by a node that cannot do its work; the message is shown to the user as it stands."""


class UnreadableText(NodeFailed):
    """A text or its bytes are not what they should be: of no known charset, not JSON, a number that cannot be kept."""


class EmissionRefused(NodeFailed):
    """Base of what `NodeContext.emit` raises at a limit of the installation, which another try would meet again."""


class TooDeep(EmissionRefused):
    """The execution is as deep in its tree as executions may be: it can have no children."""

    def __init__(self, name: str, depth: int, limit: int) -> None:
        super().__init__(
            f"the execution is {depth} deep in its tree, and children may be {limit} deep at most "
            f"(CHAINGRAPH_MAX_DEPTH): the event {name!r} spawns nothing"
        )


class TooManyChildren(EmissionRefused):
    """What the node emits is more than the execution may have children."""

    def __init__(self, own: int, of_others: int, limit: int) -> None:
        emitted = f"{own} by this node" + (f" and {of_others} by others" if of_others else "")
        super().__init__(
            f"with the events emitted, {emitted}, the execution would have {own + of_others} children, "
            f"and it may have {limit} at most (CHAINGRAPH_MAX_CHILDREN): those of this node spawn nothing"
        )


class LimitExceeded(NodeFailed):
    """A value or a piece of work is beyond a limit of the installation, which another try would meet again.

    The message names the limit, the size and the setting. Make the value smaller, or have the setting raised.
    """


class EgressDenied(NodeFailed):
    """The address that a node wants to reach is closed to flows. The installation's administrator can allow it."""


class NodeSkipped(FlowError):
    """Raised by a node that finds it has nothing to do: it ends skipped, its outputs are refused."""
