"""Kubernetes Events (core/v1) as values: decisions make them, the Event recorder posts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class KubernetesEvent:
    """An Event to post. `since` tells two Events of one reason apart, as the time of the transition does."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    since: str
