"""The chart under Argo CD: what an API server makes of its objects is, for Argo CD, what stands in Git."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from fixtures.chart.evaluators import Evaluators
from fixtures.chart.helm import TRIAL, Helm
from fixtures.cluster.control_plane import Kubectl
from fixtures.paths import ROOT

pytestmark = pytest.mark.integration

_VALUES = {
    "example": yaml.safe_load((ROOT / "examples" / "gitops" / "platform" / "values.yaml").read_text(encoding="utf-8")),
    "trial": TRIAL,
}


def _tracked(manifest: dict[str, Any], namespace: str) -> dict[str, Any]:
    """As Argo CD applies it."""
    metadata = manifest["metadata"]
    group = manifest["apiVersion"].rpartition("/")[0]
    tracking = f"chaingraph:{group}/{manifest['kind']}:{namespace}/{metadata['name']}"
    annotations = metadata.get("annotations", {}) | {"argocd.argoproj.io/tracking-id": tracking}
    return manifest | {"metadata": metadata | {"annotations": annotations}}


@pytest.mark.parametrize("values", _VALUES.values(), ids=_VALUES)
@pytest.mark.parametrize("way", ["--server-side=true", "--server-side=false"])
def test_applied_chart_objects_are_in_sync(
    helm: Helm, kubectl: Kubectl, namespace: str, evaluators: Evaluators, crds: None, values: dict[str, Any], way: str
) -> None:
    compared = [each for each in helm.template(values, f"--namespace={namespace}") if _is_compared(each, way)]
    tracked = [_tracked(each, each["metadata"].get("namespace", "")) for each in compared]
    force = ["--force-conflicts"] if way == "--server-side=true" else []
    options = (way, *force, "--dry-run=server", "--output=json")
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": tracked})
    applied = json.loads(kubectl("apply", *options, "-f", "-", input=listed).stdout)["items"]
    assert [_name(each) for each in applied] == [_name(each) for each in compared]
    differing = [
        _name(manifest)
        for manifest, live in zip(compared, applied, strict=True)
        if evaluators.ask(
            "argo-diff",
            app="chaingraph",
            namespace=manifest["metadata"].get("namespace", ""),
            object=manifest,
            live=live,
        )
    ]
    assert differing == []


def _is_compared(manifest: dict[str, Any], way: str) -> bool:
    if manifest["metadata"].get("annotations", {}).get("helm.sh/hook"):
        return False  # Argo CD does not compare hooks.
    # Client-side, large definitions do not fit into the annotation: hence ServerSideApply in the examples.
    return not (manifest["kind"] == "CustomResourceDefinition" and way == "--server-side=false")


def _name(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
