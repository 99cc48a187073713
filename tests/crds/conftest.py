"""The committed CRDs on the session's API server, and a client for objects of a fresh namespace."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crd_objects import Objects

from chaingraph_crds import names
from fixtures.cluster import ControlPlane

FOLDER = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def crds(kubectl: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    """The committed files, applied as a user would, and served."""
    kubectl("apply", f"--filename={FOLDER}")
    kubectl(
        "wait", "--for=condition=Established", f"crd/{names.FLOW_CRD}", f"crd/{names.EXECUTION_CRD}", "--timeout=30s"
    )


@pytest.fixture
def objects(crds: None, control_plane: ControlPlane, namespace: str) -> Iterator[Objects]:
    with control_plane.client() as client:
        yield Objects(client, namespace)
