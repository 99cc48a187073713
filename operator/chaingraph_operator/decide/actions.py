"""What can be done about an Execution, and what is to be known of it to decide: the classes that `plan` speaks in."""

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


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What the plan has to know of the object itself."""

    uid: str
    namespace: str
    name: str
    generation: int
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no Flow of that name; `similar` are names that are there."""

    name: str
    similar: tuple[str, ...] = ()


FlowView = Missing | Validated | NotValidated | Unparseable | Checking | TooComplex


@dataclass(frozen=True, slots=True)
class Create:
    """Make row, announcement and enqueue (or hold) in one transaction."""

    new: NewExecution


@dataclass(frozen=True, slots=True)
class Adopt:
    """Bind the resource to the child that it says it stands for. The ledger may say otherwise: see `unconfirmed`."""

    id: ExecutionId
    parent: ExecutionId


@dataclass(frozen=True, slots=True)
class UpdateControl:
    """Make the row as the spec wants it: paused or not, a step, a resume, breakpoints.

    As every command, it is for the spec of one generation, and does nothing once a later one was obeyed.
    """

    id: ExecutionId
    wanted: DesiredControl
    generation: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an execution that has not ended, and with `children` what is below one that has.

    `generation` is None for a deletion, which no later spec takes back.
    """

    id: ExecutionId
    reason: str
    children: bool = True
    generation: int | None = None
    deleted: bool = False
    """Whatever else is said, all that is below it is stopped, and nothing of it gets a resource any more."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Begin the next attempt of an execution that failed or was stopped."""

    id: ExecutionId
    asked: retrying.RetryRequest
    generation: int


class RetryRefusal(StrEnum):
    """Why a retry is refused: the reason of the condition `RetryRefused`."""

    STILL_RUNNING = "StillRunning"
    ALREADY_COMPLETED = "AlreadyCompleted"
    STOP_IS_SET = "StopIsSet"
    NOT_IN_LEDGER = "NotInLedger"


@dataclass(frozen=True, slots=True)
class RefuseRetry:
    """Record that the retry of this token is refused, and why. That uses the token up."""

    id: ExecutionId
    token: str
    reason: RetryRefusal
    message: str
    generation: int


@dataclass(frozen=True, slots=True)
class ObserveGeneration:
    """Record that the spec of this generation asks for nothing, so that no earlier one is carried out any more.

    `seen` is the generation that the row had obeyed. A later one means that we are behind, or that the API server's
    data were restored from a backup: the spec has to be read anew before this is carried out.
    """

    id: ExecutionId
    generation: int
    seen: int
    tokens: Mapping[TokenKind, str]
    on_stop: str = "Stop"
    """`spec.children.onStop`, which is read when something above is stopped: mostly when this one has long ended."""


@dataclass(frozen=True, slots=True)
class RetryImpossible:
    """As `RefuseRetry`, of what ended without a row: the status alone can keep it."""

    token: str
    reason: RetryRefusal
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It cannot be made yet. `stalled`: not without a change by a person."""

    reason: str
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """It can never be made, because what cannot be changed is wrong. It ends Failed, unseen by the ledger."""

    reason: str
    message: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StopUncreated:
    """It was stopped before it was made: it ends Stopped without having been in the ledger."""

    reason: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """All is as it should be."""


Verdict = Wait | Refuse | StopUncreated | RetryImpossible
"""What is to be shown of an execution without a row."""
Command = UpdateControl | Stop | Retry | RefuseRetry | ObserveGeneration
"""What is to be done with a row. Then the plan is made again."""
Plan = Create | Adopt | Command | Verdict | Nothing
