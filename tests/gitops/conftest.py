"""What GitOps tools make of our objects.

evaluators        Argo CD's Lua and diff, Flux's and Helm's kstatus: .health(object), .kstatus(object), ...
live_evaluators   the same, with the test's cluster: also Argo CD's sync and Flux's apply
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.chart import evaluators as programs
from fixtures.chart.evaluators import Evaluators
from fixtures.chart.helm import helm
from fixtures.cluster.control_plane import ControlPlane

__all__ = ["helm"]


@pytest.fixture(scope="session")
def evaluators_program() -> Path:
    return programs.program()


@pytest.fixture(scope="session")
def evaluators(evaluators_program: Path) -> Iterator[Evaluators]:
    """Without a cluster: what they say of an object."""
    found = Evaluators(evaluators_program)
    yield found
    found.close()


@pytest.fixture
def live_evaluators(evaluators_program: Path, control_plane: ControlPlane) -> Iterator[Evaluators]:
    """With the test's cluster: also what they do."""
    found = Evaluators(evaluators_program, control_plane.kubeconfig)
    yield found
    found.close()
