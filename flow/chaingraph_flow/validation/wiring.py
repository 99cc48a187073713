"""The connections of a flow, resolved: its edges, the inputs they fill, and its outputs.

Validation creates them; the graph and the engine read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaingraph_flow.catalogue import ERROR
from chaingraph_flow.ports.json_values import Segment
from chaingraph_flow.ports.types import AnyPortType


@dataclass(frozen=True, slots=True)
class Connection:
    """An edge, resolved. `source` is None when the value is an input of the flow (`source_port` names it)."""

    index: int
    source: str | None
    source_port: str
    source_segments: tuple[Segment, ...]
    target: str
    target_port: str
    target_segments: tuple[Segment, ...]
    tolerant: bool
    from_: str
    to: str

    @property
    def of_error(self) -> bool:
        """Whether it delivers the error of a failed node as a whole."""
        return self.source_port == ERROR and not self.source_segments


@dataclass(frozen=True, slots=True)
class InputSlot:
    """One input of a node of the flow, as the engine fills it."""

    key: str
    type: AnyPortType
    required: bool
    value: Any
    """The value when no edge delivers: the given one, else the default."""
    given: bool
    connections: tuple[Connection, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphOutput:
    """An output of the flow, resolved."""

    name: str
    source: str
    source_port: str
    source_segments: tuple[Segment, ...]
