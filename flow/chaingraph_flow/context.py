"""The context of a run and of a node in it: the execution, its trigger, and the node's emissions and logs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn, Protocol, Self, TypeVar

from chaingraph_crds.forms import OPTIONAL_RESOURCE_NAME
from chaingraph_crds.limits import MAX_EVENT_NAME, MAX_RESOURCE_NAME
from chaingraph_flow.egress import Egress
from chaingraph_flow.errors import EmissionRefused, LimitExceeded, NodeFailed, TooDeep, TooManyChildren
from chaingraph_flow.limits import Limits, setting
from chaingraph_flow.ports.json_values import copied, plain_text, require_json, size_of
from chaingraph_flow.ports.types import String, check_value
from chaingraph_flow.secrets.scrubbing import Scrubber

LOG_OVERHEAD = 100
"""Bytes that a log message costs besides its text: it is an event, and a row."""
LONGEST_LOG = 65_536
"""Maximum characters of one log message. The rest is cut off, with a notice."""
LONGEST_PROMPT = 1024
"""Maximum characters of a prompt. The rest is cut off."""
LAST_TIME = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970."""
MAX_CHILDREN = 10_000
"""Default for the maximum emissions of an execution. Each becomes a child."""
MAX_DEPTH = 100
"""Default for the maximum depth of a child in its tree."""
EVENT_NAME = String(min_length=1, max_length=MAX_EVENT_NAME)
"""The type of an event name: as in an Execution's `spec.events`, where each emission ends up."""
FLOW_NAME = String(max_length=MAX_RESOURCE_NAME, pattern=OPTIONAL_RESOURCE_NAME)
"""The name of a Flow in the same namespace; '' is the node's own flow."""


@dataclass(frozen=True, slots=True)
class ExternalEvent:
    """An event that triggered the execution."""

    name: str
    payload: Any = None


Trigger = tuple[ExternalEvent, ...]
"""The events that an execution was started with."""


@dataclass(frozen=True, slots=True)
class Emission:
    """An event that a node emitted. It becomes a child execution once the flow has completed."""

    name: str
    payload: Any = None
    flow: str = ""
    """The Flow, in the same namespace, whose listeners it starts; '' is the emitter's own."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form for the journal; `flow` only when one is named."""
        value = {"name": self.name, "payload": self.payload}
        return value | {"flow": self.flow} if self.flow else value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Parse the JSON form. Missing fields have their defaults."""
        return cls(value["name"], value.get("payload"), value.get("flow") or "")


@dataclass(frozen=True, slots=True)
class RunContext:
    """The execution that a flow runs for. `attempt` counts the execution's attempts from 1."""

    execution_id: str
    namespace: str = ""
    name: str = ""
    attempt: int = 1
    root_execution_id: str = ""
    parent_execution_id: str = ""
    depth: int = 0
    integration: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that was sent to a node from outside.

    Attributes:
        seq: its number among the commands of the execution.
        id: chosen by the sender; the same id is delivered once.
        name: says which node takes it.
        by: the user who sent it, when that is known.
        at: when it was accepted, in milliseconds since 1970.
        attempt: the attempt of the execution in which it was accepted.
    """

    seq: int
    id: str
    name: str
    payload: Any = None
    by: str = ""
    at: int = 0
    attempt: int = 1


class WaitKind(StrEnum):
    """What a node waits for."""

    RETRY = "Retry"
    TIME = "Time"
    SIGNAL = "Signal"
    APPROVAL = "Approval"
    CALL = "Call"
    CHILD = "Child"


class NodeWaits(BaseException):
    """Raised by `NodeContext.wait_until` and `wait_for_signal` to end a pass of the node.

    Not an Exception: a node's own `except Exception` must not catch it.
    """

    def __init__(self, kind: WaitKind, until: int | None = None, prompt: str = "") -> None:
        super().__init__(f"waits: {kind}")
        self.kind = kind
        self.until = until
        self.prompt = prompt


@dataclass(frozen=True, slots=True)
class Woken:
    """The wait that has ended before this pass of a node. Times are milliseconds since 1970.

    Attributes:
        since: when the wait began.
        until: when it was due; None for a wait that has no time.
        signal: what the node waited for.
    """

    since: int
    until: int | None = None
    signal: Signal | None = None


class Closable(Protocol):
    """Something that is open for the nodes of a run, such as connections."""

    def aclose(self) -> Awaitable[None]:
        """Close it."""


C = TypeVar("C", bound=Closable)


class RunResources:
    """What the nodes of one run share: limits, the egress policy, known secrets, and open resources."""

    def __init__(
        self, limits: Limits | None = None, egress: Egress | None = None, scrubber: Scrubber | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.egress = egress or Egress()
        self.scrubber = Scrubber() if scrubber is None else scrubber
        self._log_bytes = 0
        self._open: dict[object, Closable] = {}
        self._closed = False

    def opened(self, key: type[C], make: Callable[[], C]) -> C:
        """Return the run's instance of this class. It is created on the first call and closed with the run."""
        found = self._open.get(key)
        if self._closed:
            raise NodeFailed("the run has ended")
        if found is None:
            found = self._open[key] = make()
        assert isinstance(found, key)
        return found

    def log_room(self, message: str) -> str | None:
        """Return the message if there is room, a notice in place of the first one without room, and then None."""
        limit = self.limits.log_bytes
        if self._log_bytes > limit:
            return None
        self._log_bytes += len(message) + LOG_OVERHEAD
        if self._log_bytes > limit:
            return f"further log messages are dropped: the limit of {limit} bytes is reached ({setting('log_bytes')})"
        return message

    async def close(self) -> None:
        """Close what the nodes have left open."""
        self._closed = True
        while self._open:
            await self._open.popitem()[1].aclose()


class NodeContext:
    """What a node can use while it runs. Usable from a thread too."""

    __slots__ = (
        "_emissions", "_emitted_bytes", "_log", "_max_children", "_max_depth", "_run",
        "_takes_signals", "event", "given", "node_attempt", "node_id", "refused", "resources", "woken",
    )  # fmt: skip

    def __init__(
        self,
        run: RunContext,
        node_id: str,
        *,
        node_attempt: int,
        given: frozenset[str],
        event: ExternalEvent | None,
        log: Callable[[str], None],
        max_children: int = MAX_CHILDREN,
        max_depth: int = MAX_DEPTH,
        resources: RunResources | None = None,
        woken: Woken | None = None,
        takes_signals: bool = False,
    ) -> None:
        self._run = run
        self._takes_signals = takes_signals
        self.resources = resources or RunResources()
        """What the nodes of this run share."""
        self._log = log
        self._max_children = max_children
        self._max_depth = max_depth
        self._emissions: list[Emission] = []
        self._emitted_bytes = 0
        self.node_id = node_id
        self.node_attempt = node_attempt
        """The number of this node's try, from 1 (see the node's `retry`)."""
        self.given = given
        """The inputs with a value from the flow or from an edge, not from their default."""
        self.event = event
        """For a listener: the event that triggered it."""
        self.woken = woken
        """The wait that has ended before this pass; None on the first pass of a try."""
        self.refused: EmissionRefused | LimitExceeded | None = None
        """Why an event that this try of the node emitted cannot spawn an execution. It fails the try."""

    @property
    def execution_id(self) -> str:
        """The execution's id."""
        return self._run.execution_id

    @property
    def namespace(self) -> str:
        """The namespace of the Execution resource."""
        return self._run.namespace

    @property
    def name(self) -> str:
        """The name of the Execution resource."""
        return self._run.name

    @property
    def attempt(self) -> int:
        """The attempt of the execution, from 1."""
        return self._run.attempt

    @property
    def root_execution_id(self) -> str:
        """The id of the execution at the root of the tree; its own when it is the root."""
        return self._run.root_execution_id or self._run.execution_id

    @property
    def parent_execution_id(self) -> str:
        """The id of the execution that emitted what triggered this one, or ''."""
        return self._run.parent_execution_id

    @property
    def depth(self) -> int:
        """How far from the root of the tree, which is 0."""
        return self._run.depth

    @property
    def integration(self) -> Mapping[str, Any]:
        """The execution's free-form integration context."""
        return self._run.integration

    @property
    def idempotency_key(self) -> str:
        """The same for every try within one attempt of the execution, so that a service can detect repetitions."""
        return f"{self._run.execution_id}:{self.node_id}:{self._run.attempt}"

    @property
    def limits(self) -> Limits:
        """The limits of values and work."""
        return self.resources.limits

    @property
    def emitted_bytes(self) -> int:
        """The size of the payloads that this try has emitted."""
        return self._emitted_bytes

    @property
    def emissions(self) -> tuple[Emission, ...]:
        """What this try of the node has emitted."""
        return tuple(self._emissions)

    def wait_until(self, milliseconds: float) -> NoReturn:
        """End this pass of the node. The next one begins at this time, in milliseconds since 1970, with `woken` set.

        The node holds no slot until then, and a long wait needs no worker. Its inputs are the same in each pass;
        nothing else is kept. It is no new try.

        Raises:
            NodeFailed: this pass has emitted an event. Emit after the wait.
        """
        self._check_wait()
        raise NodeWaits(WaitKind.TIME, min(max(round(milliseconds), 0), LAST_TIME))

    def wait_for_signal(self, *, prompt: str = "", approval: bool = False) -> NoReturn:
        """End this pass of the node. The next one begins when a signal has come, with `woken.signal` set.

        A signal that came before is taken at once. When the node fails and is tried again, that try takes the same
        signal. The node's `timeoutSeconds` limits the wait.

        Args:
            prompt: what a person is asked; shown in `status.waiting`.
            approval: the wait is shown as one for an approval.

        Raises:
            NodeFailed: the class does not declare `takes_signals`, this try has taken its signal already, or this pass
                has emitted an event.
        """
        self._check_wait()
        if not self._takes_signals:
            raise NodeFailed("the class of the node does not declare takes_signals, so no signal can reach it")
        if self.woken is not None and self.woken.signal is not None:
            raise NodeFailed("the node has taken its signal; use another node for the next one")
        prompt = self.resources.scrubber.text(plain_text(prompt))
        if len(prompt) > LONGEST_PROMPT:
            prompt = f"{prompt[: LONGEST_PROMPT - 3]}..."
        raise NodeWaits(WaitKind.APPROVAL if approval else WaitKind.SIGNAL, prompt=prompt)

    def _check_wait(self) -> None:
        if self._emissions:
            raise NodeFailed("the node emitted an event before it waited; emit after the wait")

    def log(self, message: str) -> None:
        """Write to the execution's event stream, up to the limit of `Limits.log_bytes`."""
        message = self.resources.scrubber.text(plain_text(message))
        if len(message) > LONGEST_LOG:
            message = f"{message[:LONGEST_LOG]}... ({len(message) - LONGEST_LOG} characters more)"
        room = self.resources.log_room(message)
        if room is not None:
            self._log(room)

    def conceal(self, text: str) -> None:
        """Remove a text from all that the execution writes from now on: one that the node makes of a secret.

        Raises:
            NodeFailed: the text is too short or too long.
        """
        self.resources.scrubber.add(text, "a text that the node conceals")

    def emit(self, name: str, payload: Any = None, *, flow: str = "") -> None:
        """Emit an event: once the flow has completed, a child execution starts at the nodes that listen to it.

        It takes effect only when this try of the node completes. With `flow`, the listeners are those of the Flow of
        that name in the same namespace, else those of this flow.

        Raises:
            NodeFailed: the name of the event or flow is invalid.
            EmissionRefused: the execution is too deep in its tree, or would have too many children. The node fails,
                even if
                it catches this.
            LimitExceeded: the payload is too large, or all payloads of the node are. The node fails likewise.
            NotJson: the name or the payload is not a JSON value.
        """
        last = self._emissions[-1] if self._emissions else None
        if last is None or last.name != name or last.flow != flow:  # check a repeated name only once
            _require_names(name, flow)
        if self._run.depth >= self._max_depth:
            self.refused = TooDeep(name, self._run.depth, self._max_depth)
        elif len(self._emissions) >= self._max_children:
            self.refused = TooManyChildren(len(self._emissions) + 1, 0, self._max_children)
        else:
            self.refused = self._too_large(payload)
        if self.refused is not None:
            raise self.refused
        require_json(payload, ("payload",))
        self._emissions.append(Emission(name, copied(payload), flow))

    def _too_large(self, payload: Any) -> LimitExceeded | None:
        size = size_of(payload, self.limits.value_bytes)
        if size > self.limits.value_bytes:
            return self.limits.exceeded("value_bytes", "the payload of an event")
        self._emitted_bytes += size
        if self._emitted_bytes > self.limits.node_bytes:
            return self.limits.exceeded("node_bytes", "the node's events together", self._emitted_bytes)
        return None


def _require_names(event: str, flow: str) -> None:
    """Raise NodeFailed or NotJson when the name of an event or flow is invalid."""
    for type_, value, path in ((EVENT_NAME, event, "the event's name"), (FLOW_NAME, flow, "flow")):
        for error in check_value(type_, value, path):
            shown = repr(event[:MAX_EVENT_NAME]) if isinstance(event, str) else "of that name"
            raise NodeFailed(f"cannot emit the event {shown}: {error}" if event else "an event needs a name")
    require_json(str.__str__(event), ("the event's name",))  # a member of a team's own StrEnum will do
