"""The repository of examples/gitops: what kustomize makes of it runs, the objects of Argo CD and Flux have fields that
these know, and the pipeline's script ends as it says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from chaingraph_cli.upstream import binaries
from fixtures.chart.evaluators import Evaluators
from fixtures.chart.helm import Helm
from fixtures.paths import ROOT
from fixtures.processes.system import System

_FOLDER: Final = ROOT / "examples" / "gitops"
_OVERLAYS: Final = ("overlays/production", "overlays/staging")
_SCRIPT: Final = _FOLDER / "pipelines" / "apply-and-wait.sh"
_OF_TOOLS: Final = sorted([*_FOLDER.glob("argocd/*.yaml"), *_FOLDER.glob("flux/*.yaml")])


def _kustomized(folder: str) -> list[dict[str, Any]]:
    program = str(binaries.ensure(["kubectl"])["kubectl"])
    done = subprocess.run([program, "kustomize", str(_FOLDER / folder)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("folder", _OVERLAYS)
def test_overlay_execution_references_overlay_flow(folder: str) -> None:
    found = {each["kind"]: each for each in _kustomized(folder)}
    assert found["Execution"]["spec"]["flowRef"]["name"] == found["Flow"]["metadata"]["name"]
    assert found["Execution"]["spec"]["inputs"]["quotas"]
    # A finished run that expired would be made again by whoever holds Git against the cluster.
    assert "ttlSecondsAfterFinished" not in found["Execution"]["spec"]
    assert not {"paused", "stop", "step", "resume"} & set(found["Execution"]["spec"])


@pytest.mark.parametrize("path", _OF_TOOLS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_argocd_and_flux_objects_have_known_fields(path: Path, evaluators: Evaluators) -> None:
    for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        assert evaluators.ask("strict", object=each)
        wrong = each | {"spec": each["spec"] | {"intervall": "10m"}}
        with pytest.raises(RuntimeError, match="intervall"):
            evaluators.ask("strict", object=wrong)


def test_example_paths_exist() -> None:
    for path in _OF_TOOLS:
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for named in _paths(each):
                if named.startswith(("examples/", "charts/")):
                    assert list(ROOT.glob(named)), f"{path.name}: {named}"
    for pipeline in ("github.yaml", "gitlab-ci.yml"):
        text = (_FOLDER / "pipelines" / pipeline).read_text(encoding="utf-8")
        [command] = [
            line.strip().removeprefix("- ").removeprefix("run: ") for line in text.splitlines() if "sh ex" in line
        ]
        _, script, folder, seconds = command.split()
        assert (ROOT / script) == _SCRIPT
        assert (ROOT / folder / "kustomization.yaml").exists()
        assert seconds.isdigit()
        assert yaml.safe_load(text)


def _paths(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for each in value.values() for found in _paths(each)]
    if isinstance(value, list):
        return [found for each in value for found in _paths(each)]
    return [value.removeprefix("./").removeprefix("$config/")] if isinstance(value, str) else []


def test_chart_accepts_example_values(helm: Helm) -> None:
    values = yaml.safe_load((_FOLDER / "platform" / "values.yaml").read_text(encoding="utf-8"))
    rendered = helm.template(values)
    assert rendered.of("Deployment")
    again = Helm(helm.program, helm.folder).template(values)
    assert rendered == again, "what Git does not have would be made anew at each sync"


def _apply_and_wait(system: System, target: Path, *seconds: str) -> subprocess.CompletedProcess[str]:
    kubectl = binaries.ensure(["kubectl"])["kubectl"]
    return subprocess.run(
        ["sh", str(_SCRIPT), str(target), *seconds],
        env=os.environ | {"PATH": f"{kubectl.parent}:/usr/bin:/bin", "KUBECONFIG": str(system.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.integration
def test_pipeline_exit_code_follows_run_outcome(system: System, tmp_path: Path) -> None:
    done = _apply_and_wait(system, _FOLDER / "overlays" / "production")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == 'check-quotas-7: {"processors":144}'
    assert _apply_and_wait(system, _FOLDER / "overlays" / "production").stdout == done.stdout, "it runs once"
    assert _apply_and_wait(system, _FOLDER / "overlays" / "staging").returncode == 0
    greedy = _execution("greedy", quotas=[{"team": "search", "cpu": 65}])
    slow = _execution("slow", quotas=[], paused=True)
    (tmp_path / "both.yaml").write_text(yaml.safe_dump_all([slow, greedy]), encoding="utf-8")
    done = _apply_and_wait(system, tmp_path / "both.yaml", "60")
    assert done.returncode == 1
    assert "greedy: Failed: node 'refuse': too many processors: search wants 65" in done.stderr
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(slow), encoding="utf-8")
    done = _apply_and_wait(system, tmp_path / "slow.yaml", "2")
    assert done.returncode == 124
    assert done.stderr.startswith("not within 2 s:\nslow: Created: Created, not started: spec.paused is true")
    retried = greedy | {"spec": greedy["spec"] | {"retry": {"token": "again"}}}
    (tmp_path / "again.yaml").write_text(json.dumps(retried), encoding="utf-8")
    assert _apply_and_wait(system, tmp_path / "again.yaml", "60").returncode == 1
    attempts = system.kubectl("get", "execution", "greedy", "-o", "jsonpath={.status.attempt}").stdout
    assert attempts == "2", "the failure before the retry is not taken for its own"


def _execution(name: str, *, quotas: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "chaingraph.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": name},
        "spec": {"flowRef": {"name": "check-quotas"}, "inputs": {"quotas": quotas}} | spec,
    }
