"""The inputs and results of `plan`: facts about an Execution, and the actions it can decide on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from chaingraph_operator.decide.flow_status import Checking, NotValidated, TooComplex, Unparseable, Validated
from chaingraph_store.commands import retrying
from chaingraph_store.commands.control import DesiredControl
from chaingraph_store.commands.creation import NewExecution
from chaingraph_store.commands.tokens import TokenKind
from chaingraph_store.ids import ExecutionId
from chaingraph_store.signals import RefusedSignal


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """The object's metadata that the plan needs."""

    uid: str
    namespace: str
    name: str
    generation: int
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """No Flow has this name. `similar` lists existing names that resemble it."""

    name: str
    similar: tuple[str, ...] = ()


FlowView = Missing | Validated | NotValidated | Unparseable | Checking | TooComplex


@dataclass(frozen=True, slots=True)
class Create:
    """Insert the row, its event, and the queue entry (or hold) in one transaction."""

    new: NewExecution


@dataclass(frozen=True, slots=True)
class Adopt:
    """Bind the resource to the child that it claims to represent. The ledger may disagree: see `unconfirmed`."""

    id: ExecutionId
    parent: ExecutionId


@dataclass(frozen=True, slots=True)
class UpdateControl:
    """Update the row to match the spec: pause, step, resume, breakpoints.

    Every command belongs to one generation of the spec, and has no effect once a later generation was observed.
    """

    id: ExecutionId
    wanted: DesiredControl
    generation: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an active execution and, with `children`, the active descendants of an ended one.

    `generation` is None for a deletion, which no later spec reverts.
    """

    id: ExecutionId
    reason: str
    children: bool = True
    generation: int | None = None
    deleted: bool = False
    """The resource was deleted: stop all descendants whatever `children` says, and create no resources for them."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Start the next attempt of a failed or stopped execution."""

    id: ExecutionId
    asked: retrying.RetryRequest
    generation: int


class RetryRefusal(StrEnum):
    """Why a retry is refused: the reason of the condition `RetryRefused`."""

    STILL_RUNNING = "StillRunning"
    ALREADY_COMPLETED = "AlreadyCompleted"
    STOP_IS_SET = "StopIsSet"
    NOT_IN_LEDGER = "NotInLedger"
    UNKNOWN_NODE = "UnknownNode"
    NODE_NOT_IN_RUN = "NodeNotInRun"
    FLOW_NOT_FOUND = "FlowNotFound"
    FLOW_INVALID = "FlowInvalid"
    UNKNOWN_NODE_TYPE = "UnknownNodeType"
    TOO_COMPLEX = "TooComplex"
    INVALID_INPUTS = "InvalidInputs"


@dataclass(frozen=True, slots=True)
class RefuseRetry:
    """Record that the retry with this token is refused, and why. The token counts as used."""

    id: ExecutionId
    token: str
    reason: RetryRefusal
    message: str
    generation: int


@dataclass(frozen=True, slots=True)
class RefuseSignals:
    """Record that these signals are refused, and why. Their ids count as used while the spec has them."""

    id: ExecutionId
    refused: tuple[RefusedSignal, ...]
    spec_ids: tuple[str, ...]
    generation: int


@dataclass(frozen=True, slots=True)
class ObserveGeneration:
    """Record that the spec of this generation requests nothing, so that no earlier generation takes effect any more.

    `seen` is the generation that the row had observed. A later one means that this operator is behind, or that the API
    server was restored from a backup: the spec must be read again before this command runs.
    """

    id: ExecutionId
    generation: int
    seen: int
    tokens: Mapping[TokenKind, str]
    on_stop: str = "Stop"
    """`spec.children.onStop`. It is read when an ancestor is stopped, usually long after this execution ended."""


@dataclass(frozen=True, slots=True)
class RetryImpossible:
    """A refused retry of an execution that ended without a row. Only the status can record it."""

    token: str
    reason: RetryRefusal
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The execution cannot be created yet. `stalled`: it needs a change by a person."""

    reason: str
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """The execution can never be created, because an immutable field is wrong. It ends Failed, without a row."""

    reason: str
    message: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StopUncreated:
    """The execution was stopped before it was created. It ends Stopped, without a row."""

    reason: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row matches the spec."""


Verdict = Wait | Refuse | StopUncreated | RetryImpossible
"""The outcome to show for an execution without a row."""
Command = UpdateControl | Stop | Retry | RefuseRetry | RefuseSignals | ObserveGeneration
"""A change to a row. The plan is made again afterwards."""
Plan = Create | Adopt | Command | Verdict | Nothing
