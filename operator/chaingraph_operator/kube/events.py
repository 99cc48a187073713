"""Kubernetes Events (core/v1) as values: decisions create them, the Event recorder posts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class KubernetesEvent:
    """An Event to post. `since` distinguishes two Events with the same reason, as a transition time does."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    since: str
