"""What the environment says about the machine that these tests run on. Read once."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Final

from e2e.commands import run

CLUSTER: Final = "chaingraph-e2e"
PUBLIC_BASE_IMAGE: Final = "python:3.11-slim"
PUBLIC_POSTGRES_IMAGE: Final = "postgres:17"
_PROGRAMS: Final = ("docker", "kind", "kubectl", "helm")


def missing() -> str:
    """What is not there that these tests need, in words; empty when all is."""
    absent = [each for each in _PROGRAMS if not shutil.which(each)]
    if absent:
        return f"not on PATH: {', '.join(absent)}; see tests/e2e/README.md"
    answer = run("docker", "info", "--format", "{{.ServerVersion}}", check=False)
    if answer.returncode:
        return f"no Docker engine answers: {answer.stderr.strip()}; start one, or name it in DOCKER_HOST"
    return ""


@dataclass(frozen=True)
class Surroundings:
    """Empty texts where the environment says nothing.

    Attributes:
        node_image: KIND_NODE_IMAGE, kind's node; kind's own default otherwise.
        kind_config: KIND_CONFIG, a file for `kind create cluster`.
        base_image: BASE_IMAGE, what the image is built from.
        postgres_image: POSTGRES_IMAGE. Without it, the public one; but where BASE_IMAGE is set, which means that public
            images may be out of reach, one is built from that.
        keep: E2E_KEEP=1: the cluster stays, and is used again the next time.
    """

    node_image: str
    kind_config: str
    base_image: str
    postgres_image: str
    keep: bool

    @classmethod
    def read(cls) -> Surroundings:
        value = os.environ.get
        return cls(
            node_image=value("KIND_NODE_IMAGE", ""),
            kind_config=value("KIND_CONFIG", ""),
            base_image=value("BASE_IMAGE", "") or PUBLIC_BASE_IMAGE,
            postgres_image=value("POSTGRES_IMAGE", "") or ("" if value("BASE_IMAGE") else PUBLIC_POSTGRES_IMAGE),
            keep=value("E2E_KEEP", "") not in ("", "0"),
        )

    @property
    def builds_postgres(self) -> bool:
        return not self.postgres_image

    @property
    def pulls_postgres(self) -> bool:
        """Whether the cluster's nodes get it from the registry by themselves."""
        return self.postgres_image == PUBLIC_POSTGRES_IMAGE
