"""Accept or refuse the entries of `spec.signals`, and show what became of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from chaingraph_crds import limits
from chaingraph_crds.conditions import ConditionType
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import SignalState, SignalStatus
from chaingraph_crds.node_paths import inside, places
from chaingraph_crds.signals import Signal
from chaingraph_flow.catalogue import APPROVERS, SCHEMA, Catalogue
from chaingraph_flow.field_errors import Suggestions
from chaingraph_flow.ports.json_values import DEEPEST
from chaingraph_flow.ports.types import Any as AnyType
from chaingraph_flow.ports.types import AnyPortType, Boolean, Object, String, check_value, parse_type
from chaingraph_flow.validation.flow_limits import TOO_DEEP, deeper_than, rounded_numbers
from chaingraph_operator.kube.conditions import ConditionValue, shortened
from chaingraph_store.signals import KnownSignals, NewSignal, RefusedSignal

MOST_SIGNALS: Final = 1000
"""Maximum signals of one execution, over its whole life."""
MOST_BYTES: Final = 1024 * 1024
"""Maximum size of all their payloads together, as JSON."""
_NAMED: Final = 3
_ANY_NUMBER: Final = "[N]"
_NUMBER: Final = re.compile(r"\[[0-9]{1,5}\]")
"""The number of a call in the name of a signal."""
_MOST_LISTED: Final = 20


class SignalReason(StrEnum):
    """Why a signal is refused."""

    UNKNOWN_SIGNAL = "UnknownSignal"
    INVALID_PAYLOAD = "InvalidPayload"
    NOT_AN_APPROVER = "NotAnApprover"
    EXECUTION_ENDED = "ExecutionEnded"
    TOO_MANY_SIGNALS = "TooManySignals"
    TOO_LARGE = "TooLarge"


@dataclass(frozen=True, slots=True)
class SignalNode:
    """A node that waits for a signal.

    Attributes:
        schema: the type of the payload; of an approval, that of the answer.
        users, groups: who may send it; of a node that is no approval, None.
    """

    node: str
    schema: AnyPortType
    users: frozenset[str] | None = None
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SignalFacts:
    """What has to be known to decide about signals.

    Attributes:
        known: what became of earlier ones.
        nodes: the nodes of the flow that take signals, by the names of the signals.
        complete: whether these are all. Without a worker for one of the flow's node types, that is unknown.
    """

    known: KnownSignals
    nodes: Mapping[str, SignalNode]
    complete: bool


@dataclass(frozen=True, slots=True)
class SignalDecisions:
    """The new entries of a spec: to accept, in order, and to refuse."""

    accepted: tuple[NewSignal, ...] = ()
    refused: tuple[RefusedSignal, ...] = ()


def signal_nodes(flow: Mapping[str, Any], catalogue: Catalogue) -> tuple[dict[str, SignalNode], bool]:
    """Return the nodes of a valid flow that take signals, and whether all node types are known.

    The name of a signal for a node inside a call has the path of the call, with its number as `[N]`.
    """
    found: dict[str, SignalNode] = {}
    complete = True
    shown = {"": ""}
    for call, place, node in places(flow):
        node_type = catalogue.get(node["type"])
        if node_type is None:
            complete = False
            continue
        if node_type.calls is not None:
            number = "" if node_type.calls == "once" else _ANY_NUMBER
            shown[place] = inside(shown[call], node["id"]) + number
        elif node_type.takes_signals is not None:
            given = node.get("inputs") or {}
            schema = parse_type(given[SCHEMA], SCHEMA) if given.get(SCHEMA) is not None else AnyType()
            people = given.get(APPROVERS) or {}
            name = str(given.get(node_type.takes_signals) or node["id"])
            found[inside(shown.get(call, call), name)] = SignalNode(
                place,
                AnyType() if isinstance(schema, list) else schema,
                frozenset(people.get("users") or ()) if node_type.approval else None,
                frozenset(people.get("groups") or ()),
            )
    return found, complete


def decide(spec: ExecutionSpec, facts: SignalFacts | None, *, ended: bool) -> SignalDecisions:
    """Decide about the entries that are neither accepted nor refused yet."""
    if facts is None:
        return SignalDecisions()
    accepted: list[NewSignal] = []
    refused: list[RefusedSignal] = []
    suggest = Suggestions()
    count, size = facts.known.count, facts.known.size
    for index, signal in enumerate(spec.signals):
        if signal.id in facts.known.accepted or signal.id in facts.known.refused:
            continue
        path = f"spec.signals[{index}]"
        found = _refusal(path, signal, facts, suggest, ended=ended)
        if found is _LATER:
            continue
        payload = b"" if found else orjson.dumps(signal.payload)
        found = found or _over_limit(path, count + 1, size + len(payload))
        if found is not None:
            refused.append(RefusedSignal(signal.id, signal.name, *found))
            continue
        count, size = count + 1, size + len(payload)
        accepted.append(NewSignal(signal.id, signal.name, payload, signal.by.user if signal.by is not None else ""))
    return SignalDecisions(tuple(accepted), tuple(refused))


_Refusal = tuple[SignalReason, str]
_LATER: Final = (SignalReason.UNKNOWN_SIGNAL, "")
"""It cannot be decided before a worker has the node types of the flow."""


def _refusal(path: str, signal: Signal, facts: SignalFacts, suggest: Suggestions, *, ended: bool) -> _Refusal | None:
    if ended:
        return SignalReason.EXECUTION_ENDED, f"{path}: the execution has ended, so nothing can take a signal"
    node = facts.nodes.get(signal.name) or facts.nodes.get(_NUMBER.sub(_ANY_NUMBER, signal.name))
    if node is None and not facts.complete:
        return _LATER
    if node is None:
        names = ", ".join(list(facts.nodes)[:_MOST_LISTED])
        which = f" (signals: {names})" if names else " (no node of the flow waits for a signal)"
        hint = suggest.nearest(signal.name, facts.nodes)
        return SignalReason.UNKNOWN_SIGNAL, f"{path}.name: no node takes the signal {signal.name!r}{hint}{which}"
    if deeper_than(signal.payload, DEEPEST):
        return SignalReason.INVALID_PAYLOAD, f"{path}.payload: {TOO_DEEP}"
    rounded = rounded_numbers(signal.payload, f"{path}.payload")
    if rounded:
        return SignalReason.INVALID_PAYLOAD, str(rounded[0])
    if node.users is not None:
        return _approver(path, signal, node) or _answer(path, signal, node)
    return _wrong(check_value(node.schema, signal.payload, f"{path}.payload"))


def _approver(path: str, signal: Signal, node: SignalNode) -> _Refusal | None:
    if signal.by is None:
        told = f"{path}.by: an approval needs the user who gives it. Use `kubectl chaingraph approve`"
        return SignalReason.NOT_AN_APPROVER, told
    if signal.by.user in (node.users or ()) or node.groups & set(signal.by.groups):
        return None
    may = [
        *(f"user {each!r}" for each in sorted(node.users or ())),
        *(f"group {each!r}" for each in sorted(node.groups)),
    ]
    more = f" and {len(may) - _MOST_LISTED} more" if len(may) > _MOST_LISTED else ""
    told = f"{path}.by: {signal.by.user!r} may not approve {node.node!r}: {', '.join(may[:_MOST_LISTED])}{more} may"
    return SignalReason.NOT_AN_APPROVER, told


_APPROVED: Final = Object(properties={"approved": Boolean(), "comment": String(nullable=True)})


def _answer(path: str, signal: Signal, node: SignalNode) -> _Refusal | None:
    where, payload = f"{path}.payload", signal.payload
    wrong = _wrong(check_value(_APPROVED, payload, where))
    if wrong is not None:
        return wrong
    unknown = [each for each in payload if each not in ("approved", "answer", "comment")]
    if unknown:
        told = f"{where}.{unknown[0]}: unknown; an approval takes `approved`, `answer` and `comment`"
        return SignalReason.INVALID_PAYLOAD, told
    if payload["approved"] or payload.get("answer") is not None:
        return _wrong(check_value(node.schema, payload.get("answer"), f"{where}.answer"))
    return None


def _wrong(errors: Sequence[object]) -> _Refusal | None:
    return (SignalReason.INVALID_PAYLOAD, "; ".join(map(str, errors[:_NAMED]))) if errors else None


def _over_limit(path: str, count: int, size: int) -> _Refusal | None:
    if count > MOST_SIGNALS:
        told = f"{path}: the execution has had {MOST_SIGNALS} signals, which is the limit"
        return SignalReason.TOO_MANY_SIGNALS, told
    if size > MOST_BYTES:
        told = f"{path}.payload: with it, the payloads of all signals have {size} bytes; the limit is {MOST_BYTES}"
        return SignalReason.TOO_LARGE, told
    return None


def statuses(spec: ExecutionSpec, known: KnownSignals | None) -> list[SignalStatus]:
    """Return what became of the entries of the spec, as far as it is decided."""
    if known is None:
        return []
    found = []
    for signal in spec.signals:
        if signal.id in known.accepted:
            found.append(SignalStatus(id=signal.id, state=SignalState.ACCEPTED))
        elif signal.id in known.refused:
            reason, message = known.refused[signal.id]
            told = shortened(message, limits.MAX_ATTEMPT_MESSAGE)
            found.append(SignalStatus(id=signal.id, state=SignalState.REFUSED, reason=reason, message=told))
    return found


def refused(shown: Sequence[SignalStatus]) -> list[ConditionValue]:
    """Return the condition while an entry of the spec is refused; nothing otherwise."""
    lines = [(each.reason or "", f"signal {each.id!r}: {each.message}") for each in shown if each.reason]
    if not lines:
        return []
    more = [f"... and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
    message = "\n".join([*(line for _, line in lines[:_NAMED]), *more])
    return [ConditionValue(ConditionType.SIGNAL_REFUSED, "True", lines[0][0], message)]
