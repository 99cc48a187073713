"""What pools are scaled by: KEDA's query as Prometheus answers it, and names of metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fixtures.chart.helm import TRIAL, Helm, with_values
from fixtures.monitoring.promtool import Promtool
from fixtures.paths import ROOT

METRICS = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")


def scaled(helm: Helm, kind: str, **scaling: Any) -> Any:
    autoscaling = {"kind": kind, "prometheusAddress": "http://prometheus:9090", **scaling}
    pool = {"queues": ["a", "b"], "concurrency": 4, "autoscaling": autoscaling}
    kinds = {"KEDA": "ScaledObject", "HPA": "HorizontalPodAutoscaler"}
    [found] = helm.template(with_values(TRIAL, {"workers": {"default": pool}})).of(kinds[kind])
    return found["spec"]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ({}, 0),
        ({'chaingraph_queue_waiting{namespace="here",queue="a",pod="leader"}': 30}, 30),
        (
            {
                'chaingraph_queue_waiting{namespace="here",queue="a",pod="leader"}': 30,
                'chaingraph_queue_waiting{namespace="here",queue="a",pod="who-led-before"}': 28,
                'chaingraph_queue_waiting{namespace="here",queue="b",pod="leader"}': 2,
                'chaingraph_queue_running{namespace="here",queue="a",pod="leader"}': 8,
                'chaingraph_queue_running{namespace="here",queue="c",pod="leader"}': 100,
                'chaingraph_queue_waiting{namespace="elsewhere",queue="a",pod="leader"}': 1000,
            },
            40,
        ),
    ],
    ids=["nothing has run yet", "all wait", "some wait and some run"],
)
def test_keda_query_sums_waiting_and_running(
    helm: Helm, promtool: Promtool, tmp_path: Path, series: dict[str, int], expected: int
) -> None:
    [trigger] = scaled(helm, "KEDA")["triggers"]
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}x5"} for name, value in series.items()],
        "promql_expr_test": [
            {
                "expr": trigger["metadata"]["query"],
                "eval_time": "3m",
                "exp_samples": [{"labels": "{}", "value": expected}],
            }
        ],
    }
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps({"rule_files": [], "tests": [case]}), encoding="utf-8")
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert trigger["metadata"]["threshold"] == "4", "one worker for as many as it runs"


@pytest.mark.parametrize("kind", ["KEDA", "HPA"])
def test_autoscalers_use_documented_metrics(helm: Helm, kind: str) -> None:
    names = set(re.findall(r"chaingraph_\w+", json.dumps(scaled(helm, kind))))
    assert names == {"chaingraph_queue_waiting", "chaingraph_queue_running"}
    for name in names:
        assert f"| `{name}` | gauge | `queue` |" in METRICS
