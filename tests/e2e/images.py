"""The images of the tests: built here, then loaded into the cluster's nodes."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.commands import ROOT, run, say
from e2e.surroundings import Surroundings
from fixtures.docs.pages import blocks

REPOSITORY: Final = "chaingraph"
FIRST: Final = "e2e-1"
SECOND: Final = "e2e-2"
"""The same code under another version, to upgrade to."""
WITH_KUBECTL: Final = "chaingraph-with-kubectl:e2e"
DERIVED_PAGE: Final = ROOT / "docs" / "how-to" / "build-a-worker-image.md"
DERIVED_REPOSITORY: Final = "acme-worker"
DERIVED_TAG: Final = "1.0"
_OWN_POSTGRES: Final = "chaingraph-postgres:e2e"


@dataclass(frozen=True)
class Images:
    """What was built.

    Attributes:
        first, second: the image under two tags.
        with_kubectl: the first with a kubectl in it, so that the commands in it can be used.
        derived: a worker with a node of its own, made as the documentation says.
        postgres: built here or public.
        build_seconds: how long the first took.
    """

    first: str
    second: str
    with_kubectl: str
    derived: str
    postgres: str
    build_seconds: float

    def to_load(self, surroundings: Surroundings) -> tuple[str, ...]:
        """Those that the cluster's nodes cannot pull."""
        built = (self.first, self.second, self.with_kubectl, self.derived)
        return built if surroundings.pulls_postgres else (*built, self.postgres)


def build(surroundings: Surroundings) -> Images:
    """Builds them all, but for a PostgreSQL that is there."""
    first, second = f"{REPOSITORY}:{FIRST}", f"{REPOSITORY}:{SECOND}"
    say(f"images: make image IMAGE={first} BASE_IMAGE={surroundings.base_image}")
    began = time.monotonic()
    run("make", "-C", str(ROOT), "image", f"IMAGE={first}", f"BASE_IMAGE={surroundings.base_image}", timeout=900)
    seconds = time.monotonic() - began
    say(f"images: {first} in {seconds:.0f} s, {size_of(first) / 1e6:.0f} MB")
    _derived_from(first, second, 'LABEL org.opencontainers.image.version="0.1.0+e2e"')
    _derived_from(first, WITH_KUBECTL, "COPY kubectl /usr/local/bin/kubectl", Path(shutil.which("kubectl") or ""))
    derived = f"{DERIVED_REPOSITORY}:{DERIVED_TAG}"
    _as_documented(first, derived)
    return Images(first, second, WITH_KUBECTL, derived, _postgres(surroundings), seconds)


def size_of(image: str) -> int:
    """Bytes, unpacked."""
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", image).stdout)


def _build(folder: Path, image: str, *options: str) -> None:
    run("env", "DOCKER_BUILDKIT=1", "docker", "build", "--tag", image, *options, str(folder), timeout=900)


def _derived_from(base: str, image: str, instruction: str, *files: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for each in files:
            shutil.copy(each, folder)
        Path(folder, "Dockerfile").write_text(f"FROM {base}\n{instruction}\n", encoding="utf-8")
        _build(Path(folder), image)


def _as_documented(base: str, image: str) -> None:
    """The files and the command of the page, with our image for the published one."""
    say(f"images: {image}, as {DERIVED_PAGE.relative_to(ROOT)} says")
    with tempfile.TemporaryDirectory() as folder:
        for each in blocks(DERIVED_PAGE):
            if each.note == "file":
                path = Path(folder, each.value)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(each.text, encoding="utf-8")
        _build(Path(folder, "acme"), image, "--build-arg", f"CHAINGRAPH_IMAGE={base}")


def _postgres(surroundings: Surroundings) -> str:
    if not surroundings.builds_postgres:
        return surroundings.postgres_image
    say(f"images: {_OWN_POSTGRES}, Debian's PostgreSQL on {surroundings.base_image}")
    here = Path(__file__).parent
    argument = f"BASE_IMAGE={surroundings.base_image}"
    _build(here, _OWN_POSTGRES, "--file", str(here / "postgres.Dockerfile"), "--build-arg", argument)
    return _OWN_POSTGRES
