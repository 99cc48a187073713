"""The image by itself: what it promises to those who run it and to those who build on it."""

from __future__ import annotations

import json

from e2e.commands import ROOT, run
from e2e.images import Images, size_of
from e2e.surroundings import Surroundings

_LARGEST_BYTES = 220e6
"""What our layers add to the base image."""


def _inside(image: str, *command: str, check: bool = True) -> str:
    """Runs a command as a Pod under `restricted` does, the file system read-only."""
    limits = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
    done = run("docker", "run", "--rm", *limits, image, *command, check=check)
    return done.stdout + ("" if check else done.stderr)


def test_programs_start_unprivileged_on_a_read_only_system(images: Images) -> None:
    assert _inside(images.first, "id", "-u").strip() == "65532"
    for program in ("chaingraph", "kubectl-chaingraph"):
        assert "control executions" in _inside(images.first, program, "--help")
    for program in ("chaingraph-operator", "chaingraph-worker", "chaingraph-gateway"):
        assert "DATABASE_URL_EXECUTIONS is not set" in _inside(images.first, program, check=False)


def test_bill_of_materials_matches_the_locked_packages(images: Images) -> None:
    bill = json.loads(_inside(images.first, "cat", "/opt/chaingraph/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "chaingraph"
    found = {(_canonical(each["name"]), each["version"]) for each in bill["components"]} - {("chaingraph", "0.1.0")}
    versions = (line.partition(" ")[0] for line in (ROOT / "requirements" / "runtime.txt").read_text().splitlines())
    locked = {tuple(line.split("==")) for line in versions if "==" in line}
    assert found == locked


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def test_image_labels_name_version_revision_and_licence(images: Images) -> None:
    labels = json.loads(run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", images.first).stdout)
    revision = run("git", "-C", str(ROOT), "rev-parse", "HEAD", check=False).stdout.strip()
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.revision"].startswith(revision)
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_image_is_small(images: Images, surroundings: Surroundings) -> None:
    added = size_of(images.first) - size_of(surroundings.base_image)
    assert added < _LARGEST_BYTES, f"our layers have {added / 1e6:.0f} MB"


def test_derived_image_has_the_nodes_of_both(images: Images) -> None:
    program = "from chaingraph_flow import Registry; print(*Registry.discover().catalogue)"
    types = _inside(images.derived, "python3", "-c", program).split()
    assert "acme.Dew" in types
    assert "HTTP" in types
    assert _inside(images.derived, "id", "-u").strip() == "65532"
