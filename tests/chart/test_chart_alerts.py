"""Alerts and dashboard as the chart installs them: those that were tested, with nothing taken for Helm's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from fixtures.chart.helm import TRIAL, Helm
from fixtures.monitoring.expressions import ALERTS, dashboard, rules


def rendered(helm: Helm, kind: str, **rule: Any) -> dict[str, Any]:
    monitoring = {"prometheusRule": {"enabled": True, **rule}, "dashboard": {"enabled": True}}
    name = {"PrometheusRule": "cg-chaingraph", "ConfigMap": "cg-chaingraph-dashboard"}[kind]
    return helm.template(TRIAL | {"monitoring": monitoring}).one(kind, name)


def test_prometheus_rule_matches_source_file(helm: Helm) -> None:
    spec = rendered(helm, "PrometheusRule")["spec"]
    assert spec == yaml.safe_load(ALERTS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("base", ["https://git.example.com/runbooks", "https://git.example.com/runbooks/"])
def test_alert_rules_link_runbooks_at_configured_url(helm: Helm, base: str) -> None:
    spec = rendered(helm, "PrometheusRule", runbookUrl=base)["spec"]
    found = [rule["annotations"]["runbook_url"] for group in spec["groups"] for rule in group["rules"]]
    assert found == [f"https://git.example.com/runbooks/{rule['alert']}.md" for rule in rules()]


def test_dashboard_config_map_matches_source_file(helm: Helm) -> None:
    assert json.loads(rendered(helm, "ConfigMap")["data"]["chaingraph.json"]) == dashboard()
