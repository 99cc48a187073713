"""The dashboard: its expressions are PromQL, and Grafana can lay its panels out."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from fixtures.monitoring.expressions import dashboard, expressions, names, panels
from fixtures.monitoring.promtool import Promtool

DASHBOARD = dashboard()
PANELS = list(panels(DASHBOARD))


def plain(expression: str) -> str:
    """The expression with Grafana's variables filled in."""
    filled = expression.replace("$__rate_interval", "5m").replace("$namespace", "ours")
    assert "$" not in filled, filled
    return filled


def test_dashboard_expressions_are_valid_promql(promtool: Promtool, tmp_path: Path) -> None:
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    assert len(queries) > 40
    rules = [{"record": f"dashboard:query:{number}", "expr": plain(each)} for number, each in enumerate(queries)]
    document = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    done = promtool("check", "rules", tmp_path / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_panels_do_not_overlap() -> None:
    places = [each["gridPos"] for each in DASHBOARD["panels"]]
    for place in places:
        assert place["x"] in range(25 - place["w"])
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_dashboard_has_fields_required_by_grafana() -> None:
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    assert max(Counter(each["id"] for each in DASHBOARD["panels"]).values()) == 1
    for panel in PANELS:
        assert panel["type"] in ("timeseries", "stat")
        assert panel["targets"], panel["title"]
        assert len({each["refId"] for each in panel["targets"]}) == len(panel["targets"])
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(each["datasource"] == panel["datasource"] for each in panel["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_dashboard_queries_filter_by_namespace(panel: dict[str, list[dict[str, str]]]) -> None:
    for target in panel["targets"]:
        assert names(target["expr"])
        assert target["expr"].count("chaingraph_") == target["expr"].count('namespace=~"$namespace"')


def test_alerts_and_dashboard_cover_most_metrics() -> None:
    assert len(set().union(*(names(each) for _, each in expressions()))) > 35
