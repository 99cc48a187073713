"""The execution's data for an engine, on its way from the worker to the runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

_BLOBS: Final = ("flow_spec", "inputs", "events", "integration", "options", "journal", "signals")


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """The limits of an execution: depth and number of children, cost of values, and egress."""

    max_depth: int
    max_children: int
    values: Mapping[str, int] = field(default_factory=dict)
    """Fields of `chaingraph_flow.Limits`; missing ones have their defaults."""
    egress_allow: str = ""
    egress_deny: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """An execution for a runner. User data is JSON as bytes, which only the runner parses."""

    execution_id: str
    namespace: str
    name: str
    attempt: int
    root_id: str
    parent_id: str | None
    depth: int
    started_before: bool
    paused: bool
    pause_node: str
    pause_logged: bool
    breakpoints: Sequence[str]
    held_nodes: Sequence[str]
    steps_owed: int
    ran_ms: int
    control_seq: int
    applied_seq: int
    """Number of the last command that an earlier engine has carried out."""
    killed: Sequence[Mapping[str, Any]]
    """Tries that ended with their process: the fields of `KilledTry`."""
    limits: Mapping[str, Any]
    subflow: str = ""
    """The subflow of `flow_spec` to run as its flow, or ''."""
    called: bool = False
    """A node of its parent has called it: its inputs are not checked yet."""
    flow_spec: bytes
    inputs: bytes
    events: bytes
    integration: bytes
    options: bytes
    journal: bytes
    """`[[attempt, record], …]`."""
    signals: bytes
    """`[[seq, id, name, by, at, attempt, payload], …]`."""

    def to_frame(self) -> tuple[dict[str, Any], list[bytes]]:
        """Encode it as a message."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        blobs = [fields.pop(name) for name in _BLOBS]
        return {"run": fields}, blobs

    @classmethod
    def of_frame(cls, header: Mapping[str, Any], blobs: Sequence[bytes]) -> Self:
        """Decode it from a message."""
        fields: dict[str, Any] = {**header["run"], **dict(zip(_BLOBS, blobs, strict=True))}
        return cls(**fields)
