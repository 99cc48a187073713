"""The Grafana dashboard, as JSON. Used by `generated`; the chart ships the file.

By the RED method: of executions, nodes, API writes and requests to the gateway there are rate, errors and duration,
side by side; of queues how much waits and how long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_HERE: Final = 'namespace=~"$namespace"'
_RATE: Final = "$__rate_interval"
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_QUANTILES: Final = ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))


@dataclass(frozen=True)
class Panel:
    """One graph. `queries` are expressions with the legend of their series."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    description: str = ""
    kind: str = "timeseries"
    width: int = 8
    thresholds: Sequence[tuple[str, float | None]] = field(default=())


def _rate(metric: str, by: str, *, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_HERE}{where}}}[{_RATE}]))"


def _share(metric: str, by: str, bad: str, *, of: str = "") -> str:
    return f"{_rate(metric, by, where=bad)} / {_rate(metric, by, where=of)}"


def _quantiles(metric: str, *, by: str = "") -> list[tuple[str, str]]:
    """Median, 90 and 99 %; by a label, the 90 % of each of its values."""
    if by:
        return [(f"histogram_quantile(0.9, {_rate(metric + '_bucket', f'{by}, le')})", f"{{{{{by}}}}}")]
    return [
        (f"histogram_quantile({quantile}, {_rate(metric + '_bucket', 'le')})", name) for quantile, name in _QUANTILES
    ]


def _sum(metric: str, by: str = "", *, where: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} ({metric}{{{_HERE}{where}}})"


def _now(
    title: str, expression: str, *, unit: str = "short", bad_from: float | None = None, good_from: float | None = None
) -> Panel:
    """One number; red from a value on, or below one."""
    thresholds: list[tuple[str, float | None]] = [("green", None)]
    if bad_from is not None:
        thresholds.append(("red", bad_from))
    if good_from is not None:
        thresholds = [("red", None), ("green", good_from)]
    return Panel(title, [(expression, "")], unit=unit, kind="stat", width=4, thresholds=thresholds)


_FAILED: Final = ',outcome="Failed"'
_ENDED: Final = ',outcome=~"Completed|Failed"'
_WRITES: Final = ',verb!~"get|list"'
_REFUSED: Final = _WRITES + ',result=~"rejected|forbidden|unauthenticated|throttled|unavailable"'

ROWS: Final[dict[str, Sequence[Panel]]] = {
    "Now": (
        _now("Leading operators", _sum("chaingraph_operator_leader"), good_from=1),
        _now("PostgreSQL answers", f"min(chaingraph_operator_ledger_up{{{_HERE}}})", good_from=1),
        _now("Workers", f"count(chaingraph_worker_info{{{_HERE}}})", good_from=1),
        _now("Executions that wait", _sum("chaingraph_queue_waiting")),
        _now("Executions that run", _sum("chaingraph_queue_running")),
        _now("Furthest behind", f"max(chaingraph_queue_oldest_seconds{{{_HERE}}})", unit="s", bad_from=600),
    ),
    "Executions": (
        Panel(
            "Ended executions",
            [(_rate("chaingraph_worker_attempts_total", "outcome"), "{{outcome}}")],
            unit="ops",
            description="Runs that workers ended. Parked: paused, and given up by its worker until it is resumed.",
        ),
        Panel(
            "Failed, of those that ran to an end",
            [(_share("chaingraph_worker_attempts_total", "queue", _FAILED, of=_ENDED), "{{queue}}")],
            unit="percentunit",
        ),
        Panel("Duration of 90 %", _quantiles("chaingraph_worker_attempt_seconds", by="queue"), unit="s"),
        Panel(
            "Wait of 90 % before the first run",
            _quantiles("chaingraph_worker_start_seconds", by="queue"),
            unit="s",
            description="From creation to a worker; without children, and without what was created paused.",
        ),
        Panel(
            "Ended by namespace",
            [
                (
                    _rate("chaingraph_operator_executions_ended_total", "execution_namespace, phase"),
                    "{{execution_namespace}} {{phase}}",
                )
            ],
            unit="ops",
            description="Execution resources that were shown as ended.",
        ),
        Panel("Recoveries", [(_rate("chaingraph_worker_recoveries_total", "result"), "{{result}}")], unit="ops"),
        Panel("Resources by phase", [(_sum("chaingraph_operator_executions", "phase"), "{{phase}}")]),
    ),
    "Queues": (
        Panel("Waiting", [(_sum("chaingraph_queue_waiting", "queue"), "{{queue}}")]),
        Panel(
            "Behind",
            [(f"max by (queue) (chaingraph_queue_oldest_seconds{{{_HERE}}})", "{{queue}}")],
            unit="s",
            description="The age of the place that is taken next.",
        ),
        Panel(
            "Running, and slots",
            [
                (_sum("chaingraph_queue_running", "queue"), "{{queue}} running"),
                (_sum("chaingraph_queue_slots", "queue"), "{{queue}} slots"),
            ],
        ),
        Panel(
            "Workers",
            [
                (
                    _sum("chaingraph_queue_workers", "queue, pool, version, state"),
                    "{{queue}} {{pool}} {{version}} {{state}}",
                )
            ],
        ),
        Panel(
            "Executions of each version",
            [(_sum("chaingraph_operator_pinned_executions", "pool, version"), "{{pool}} {{version}}")],
            description="What workers of a version have begun, or what waits for one of them.",
        ),
        Panel(
            "Children, oldest that waits",
            [(f"max by (waiting_to) (chaingraph_children_oldest_seconds{{{_HERE}}})", "to {{waiting_to}}")],
            unit="s",
        ),
        Panel(
            "Children spawned", [(_rate("chaingraph_worker_children_total", "namespace"), "{{namespace}}")], unit="ops"
        ),
    ),
    "Nodes": (
        Panel("Ended nodes", [(_rate("chaingraph_worker_nodes_total", "type"), "{{type}}")], unit="ops"),
        Panel(
            "Failed nodes",
            [(_rate("chaingraph_worker_nodes_total", "type", where=',outcome="failed"'), "{{type}}")],
            unit="ops",
        ),
        Panel("Duration of 90 %", _quantiles("chaingraph_worker_node_seconds", by="type"), unit="s"),
    ),
    "Operator": (
        Panel(
            "Writes to the API server",
            [
                (
                    _rate("chaingraph_operator_api_requests_total", "verb, resource", where=_WRITES),
                    "{{verb}} {{resource}}",
                )
            ],
            unit="ops",
        ),
        Panel(
            "Writes that failed",
            [
                (
                    _rate("chaingraph_operator_api_requests_total", "resource, result", where=_REFUSED),
                    "{{resource}} {{result}}",
                )
            ],
            unit="ops",
        ),
        Panel(
            "Duration of 90 % of requests", _quantiles("chaingraph_operator_api_request_seconds", by="verb"), unit="s"
        ),
        Panel(
            "Reconciliations",
            [(_rate("chaingraph_operator_reconciles_total", "kind, result"), "{{kind}} {{result}}")],
            unit="ops",
        ),
        Panel(
            "Duration of 90 % of reconciliations",
            _quantiles("chaingraph_operator_reconcile_seconds", by="kind"),
            unit="s",
        ),
        Panel(
            "Status lag",
            _quantiles("chaingraph_operator_status_lag_seconds"),
            unit="s",
            description="From a start or an end in the ledger to the patch that shows it.",
        ),
        Panel("Work of the operator that waits", [(_sum("chaingraph_operator_queue_depth", "queue"), "{{queue}}")]),
        Panel("Leader", [(f"max by (pod) (chaingraph_operator_leader{{{_HERE}}})", "{{pod}}")]),
        Panel(
            "Resources for children",
            [(_rate("chaingraph_operator_child_resources_total", "result"), "{{result}}")],
            unit="ops",
        ),
    ),
    "Database and leases": (
        Panel(
            "Flushes",
            _quantiles("chaingraph_worker_flush_seconds"),
            unit="s",
            description="One flush of a running execution: its journal, its events and its row.",
        ),
        Panel(
            "Flushes that were tried again",
            [(_rate("chaingraph_worker_flush_retries_total", "pod"), "{{pod}}")],
            unit="ops",
        ),
        Panel(
            "Waiting for connections",
            [
                (_rate(f"chaingraph_{each}_pool_wait_seconds_total", "pod"), "{{pod}}")
                for each in ("worker", "operator", "gateway")
            ],
            description="How many wait for one, on average.",
        ),
        Panel(
            "Connections in use",
            [
                (_sum(f"chaingraph_{each}_pool_connections", "pod", where=',state="used"'), "{{pod}}")
                for each in ("worker", "operator", "gateway")
            ],
        ),
        Panel(
            "Age of leases", [(f"max by (pod) (chaingraph_worker_lease_age_seconds{{{_HERE}}})", "{{pod}}")], unit="s"
        ),
        Panel(
            "Errors of DBOS",
            [(_rate("chaingraph_worker_dbos_errors_total", "pod, level"), "{{pod}} {{level}}")],
            unit="ops",
        ),
    ),
    "Gateway": (
        Panel("Requests", [(_rate("chaingraph_gateway_requests_total", "route"), "{{route}}")], unit="reqps"),
        Panel(
            "Answered with 5xx",
            [(_share("chaingraph_gateway_requests_total", "route", ',status=~"5.."'), "{{route}}")],
            unit="percentunit",
        ),
        Panel(
            "Duration of 90 %",
            _quantiles("chaingraph_gateway_request_seconds", by="route"),
            unit="s",
            description="To the beginning of the answer.",
        ),
        Panel("Streams", [(_sum("chaingraph_gateway_streams", "pod"), "{{pod}}")]),
        Panel("Events sent", [(_rate("chaingraph_gateway_events_sent_total", "pod"), "{{pod}}")], unit="ops"),
        Panel(
            "Requests to the API server for reviews",
            [(_rate("chaingraph_gateway_reviews_total", "resource, result"), "{{resource}} {{result}}")],
            unit="ops",
        ),
    ),
}


def dashboard_json() -> str:
    """The file, as Grafana imports it."""
    document = {
        "uid": "chaingraph",
        "title": "ChainGraph",
        "description": "Executions, queues, nodes, operator, database and gateway of ChainGraph for Kubernetes.",
        "tags": ["chaingraph"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": list(_panels()),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _variables() -> list[dict[str, Any]]:
    names = "label_values(chaingraph_operator_leader, namespace)"
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "namespace",
            "label": "Installation",
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": names, "refId": "namespaces"},
            "definition": names,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panels() -> Iterator[dict[str, Any]]:
    number = top = 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": _at(0, top, _COLUMNS, 1),
        }
        top += 1
        left = 0
        height = 4 if panels[0].kind == "stat" else _HEIGHT
        for panel in panels:
            if left + panel.width > _COLUMNS:
                left, top = 0, top + height
            number += 1
            yield {"id": number, "gridPos": _at(left, top, panel.width, height), **_panel(panel)}
            left += panel.width
        top += height


def _at(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.thresholds:
        steps = [{"color": color, "value": value} for color, value in panel.thresholds]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _DATASOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
