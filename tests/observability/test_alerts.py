"""The alerts, by promtool: they are valid, fire when they should, and not otherwise; each has its page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.monitoring.alert_cases import CASES, Case
from fixtures.monitoring.expressions import ALERTS, rules
from fixtures.monitoring.promtool import Promtool
from fixtures.paths import ROOT

RULES = rules()


def test_alert_rules_are_valid(promtool: Promtool) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_have_test_cases() -> None:
    assert {each.alert for each in CASES} == {each["alert"] for each in RULES}


def _unit_test(case: Case, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    severity = next(each["labels"]["severity"] for each in RULES if each["alert"] == case.alert)
    labels = {"alertname": case.alert, "alertstate": "firing", "severity": severity, **case.labels}
    told = ",".join(f'{name}="{value}"' for name, value in labels.items())
    expected = [{"labels": f"ALERTS{{{told}}}", "value": 1}] if fires else []
    return {
        "interval": "1m",
        "name": f"{case.alert} {'fires' if fires else 'is quiet'}",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}',
                "eval_time": f"{case.minute}m",
                "exp_samples": expected,
            }
        ],
    }


def run_cases(promtool: Promtool, folder: Path, tests: list[dict[str, Any]]) -> tuple[bool, str]:
    document = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}
    (folder / "cases.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    done = promtool("test", "rules", folder / "cases.yaml")
    return done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_only_on_their_condition(promtool: Promtool, tmp_path: Path) -> None:
    tests = [_unit_test(case, case.fires, fires=True) for case in CASES]
    tests += [_unit_test(case, case.quiet, fires=False) for case in CASES if case.quiet]
    passed, said = run_cases(promtool, tmp_path, tests)
    assert passed, said


def test_alert_check_detects_wrong_case(promtool: Promtool, tmp_path: Path) -> None:
    case = CASES[1]
    passed, said = run_cases(promtool, tmp_path, [_unit_test(case, case.quiet, fires=True)])
    assert not passed
    assert "ChainGraphNoLeader" in said


def test_alert_annotations_render_labels_and_values(promtool: Promtool, tmp_path: Path) -> None:
    series = {
        'chaingraph_queue_waiting{namespace="cg",queue="mail"}': "3x60",
        'chaingraph_queue_oldest_seconds{namespace="cg",queue="mail"}': "3900x60",
    }
    told = {
        "exp_labels": {"severity": "warning", "namespace": "cg", "queue": "mail"},
        "exp_annotations": {
            "summary": "The queue mail is 1h 5m 0s behind.",
            "description": "The next execution in the queue mail of cg was due 1h 5m 0s ago.",
            "runbook_url": "docs/runbooks/ChainGraphQueueBehind.md",
        },
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "30m", "alertname": "ChainGraphQueueBehind", "exp_alerts": [told]}],
    }
    passed, said = run_cases(promtool, tmp_path, [test])
    assert passed, said


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_has_annotations_and_runbook(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"ChainGraph[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert len(told["summary"]) < 120
    page = ROOT / told["runbook_url"]
    assert page.name == f"{rule['alert']}.md"
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert headings == [rule["alert"], "Meaning", "Diagnosis", "Resolution"]
    assert f"*{rule['labels']['severity']}*" in text


def test_runbook_pages_match_alerts() -> None:
    pages = {each.stem for each in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {each["alert"] for each in RULES}
