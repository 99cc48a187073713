"""What Argo CD makes of the recorded states, asked of its own evaluator: health, and the buttons of an Execution."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
import yaml
from tools import argocd

from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionPhase, ExecutionSpec, ExecutionStatus
from chaingraph_crds.flow import FlowSpec, FlowStatus
from fixtures.chart.evaluators import Evaluators, recorded

_FOLDER: Final = argocd.FOLDER / names.GROUP
_ACTIONS: Final = _FOLDER / names.EXECUTION_KIND / "actions"
_STATES: Final = sorted(_FOLDER.glob("*/testdata/*.yaml"))
_TOKEN: Final = re.compile(r"argocd-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z-[0-9]+")
_NO_TOKEN: Final = "argocd-0001-01-01T00:00:00Z"
_AS_KSTATUS: Final = {
    "Healthy": "Current",
    "Degraded": "Failed",
    "Progressing": "InProgress",
    "Suspended": "InProgress",
}


def _tests(path: str, kind: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((_FOLDER / path).read_text(encoding="utf-8"))[kind or "tests"]
    return found


_HEALTH: Final = [(kind, test) for kind in names.KINDS for test in _tests(f"{kind}/health_test.yaml")]


@pytest.mark.parametrize(("kind", "test"), _HEALTH, ids=[f"{kind}-{test['inputPath']}" for kind, test in _HEALTH])
def test_recorded_state_has_expected_health(kind: str, test: dict[str, Any], evaluators: Evaluators) -> None:
    found = recorded(_FOLDER / kind / test["inputPath"])
    health = evaluators.health(found)
    assert health == test["healthStatus"]
    assert evaluators.kstatus(found) == _AS_KSTATUS[health["status"]]


def test_recorded_states_have_health_and_action_tests() -> None:
    assert sorted(_FOLDER / kind / test["inputPath"] for kind, test in _HEALTH) == _STATES
    discovered = [
        (_ACTIONS / test["inputPath"]).resolve() for test in _tests(f"{_ACTIONS}/action_test.yaml", "discoveryTests")
    ]
    assert sorted(discovered) == [each for each in _STATES if each.parent.parent.name == names.EXECUTION_KIND]


def test_recorded_states_cover_every_phase() -> None:
    phases = {recorded(each)["status"].get("phase") for each in _STATES} - {None}
    assert phases == set(ExecutionPhase)


@pytest.mark.parametrize("state", _STATES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_recorded_states_match_api_models(state: Any) -> None:
    found = recorded(state)
    if found["kind"] == names.FLOW_KIND:
        FlowSpec.model_validate(found["spec"])
        FlowStatus.model_validate(found["status"])
    else:
        ExecutionSpec.model_validate(found["spec"])
        ExecutionStatus.model_validate(found["status"])


@pytest.mark.parametrize(
    "test", _tests(f"{_ACTIONS}/action_test.yaml", "discoveryTests"), ids=lambda test: test["inputPath"]
)
def test_argocd_buttons_match_state(test: dict[str, Any], evaluators: Evaluators) -> None:
    assert evaluators.ask("argo-actions", object=recorded(_ACTIONS / test["inputPath"])) == test["result"]


@pytest.mark.parametrize(
    "test", _tests(f"{_ACTIONS}/action_test.yaml", "actionTests"), ids=lambda test: test["expectedOutputPath"]
)
def test_argocd_action_writes_expected_object(test: dict[str, Any], evaluators: Evaluators) -> None:
    found = recorded(_ACTIONS / test["inputPath"])
    assert test["action"] in evaluators.buttons(found)
    written = evaluators.press(test["action"], found)
    told = json.loads(_TOKEN.sub(_NO_TOKEN, json.dumps(written)))
    assert told == recorded(_ACTIONS / test["expectedOutputPath"])


def test_argocd_actions_are_tested_and_offered() -> None:
    there = {each.parent.name for each in _ACTIONS.glob("*/action.lua")}
    assert {test["action"] for test in _tests(f"{_ACTIONS}/action_test.yaml", "actionTests")} == there
    for test in _tests(f"{_ACTIONS}/action_test.yaml", "discoveryTests"):
        assert {each["name"] for each in test["result"]} == there


def test_argocd_chart_values_match_config_map() -> None:
    config_map = yaml.safe_load(argocd.config_map_yaml())
    assert yaml.safe_load(argocd.values_yaml()) == {"configs": {"cm": config_map["data"]}}
