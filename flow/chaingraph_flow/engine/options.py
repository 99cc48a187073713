"""The limits of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaingraph_flow.context import MAX_CHILDREN, MAX_DEPTH
from chaingraph_flow.egress import Egress
from chaingraph_flow.limits import Limits


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How much at once and for how long; seconds are of wall-clock time.

    The flow's time is that of one attempt of the execution, over all engines that it takes, without the time in which
    it is paused (see `Engine.ran_ms`). A node's time is that of one try and begins when it runs, not when it waits for
    a slot or for the journal; it goes on while the flow is paused.
    """

    max_concurrency: int = 50
    node_timeout_seconds: float = 600
    flow_timeout_seconds: float = 10_800
    debug: bool = False
    """Also publish node:status-changed and edge:transfer-started."""
    cancel_grace_seconds: float = 5
    """How long nodes that were cancelled may take to clean up before they are left behind."""
    stuck_grace_seconds: float = 2
    """How long a node whose time is over may go on before a supervisor ends its process."""
    max_children: int = MAX_CHILDREN
    """Emissions of the execution, over all its nodes and engines. A node whose emissions do not fit any more fails."""
    max_depth: int = MAX_DEPTH
    """How far from the root of its tree a child may be. In an execution that is so far a node that emits fails."""
    limits: Limits = field(default_factory=Limits)
    """How large values may be, and what nodes may spend on them."""
    egress: Egress = field(default_factory=Egress)
    """Which addresses the nodes may reach: public ones alone, unless the administrator allows others."""

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "node_timeout_seconds", "flow_timeout_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0, is {getattr(self, name)}")
        for name in ("max_children", "max_depth"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, which is none, is {getattr(self, name)}")
