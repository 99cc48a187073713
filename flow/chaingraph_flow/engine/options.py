"""The limits of a run, and where its secrets come from."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaingraph_flow.context import MAX_CHILDREN, MAX_DEPTH
from chaingraph_flow.egress import Egress
from chaingraph_flow.limits import Limits
from chaingraph_flow.secrets.source import NoSecrets, SecretSource


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Concurrency limits and timeouts; seconds are of wall-clock time.

    The flow's timeout is for one attempt of the execution, over all its engines, without pauses (see `Engine.ran_ms`).
    A node's timeout is for one try and starts when it runs, not when it waits for a slot or for the journal. It
    continues while the flow is paused.
    """

    max_concurrency: int = 50
    node_timeout_seconds: float = 600
    flow_timeout_seconds: float = 10_800
    debug: bool = False
    """Also publish node:status-changed and edge:transfer-started."""
    cancel_grace_seconds: float = 5
    """How long cancelled nodes may take to clean up before they are left behind."""
    stuck_grace_seconds: float = 2
    """How long a node may continue after its timeout before a supervisor ends its process."""
    max_children: int = MAX_CHILDREN
    """Maximum emissions of the execution, over all its nodes and engines. A node that exceeds it fails."""
    max_depth: int = MAX_DEPTH
    """Maximum depth of a child in its tree. In an execution at this depth, a node that emits fails."""
    limits: Limits = field(default_factory=Limits)
    """Maximum size of values, and of the work of nodes."""
    egress: Egress = field(default_factory=Egress)
    """Addresses that the nodes may reach: public ones only, unless the administrator allows others."""

    secrets: SecretSource = field(default_factory=NoSecrets)
    """Resolves references to secrets."""

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "node_timeout_seconds", "flow_timeout_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0, is {getattr(self, name)}")
        for name in ("max_children", "max_depth"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0 (none), is {getattr(self, name)}")
