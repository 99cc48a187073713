"""Every example, applied with kubectl to a running system, ends in its phase and with its outputs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaingraph_cli import examples
from chaingraph_cli.examples import DATA_URL, Example
from chaingraph_crds.execution import ExecutionPhase
from fixtures.system import System

EXAMPLES = Path(__file__).parents[2] / "examples"

EXPECTED: dict[str, dict[str, Any]] = {
    "hello": {"greeting": "Hello, Ada!", "letters": 11},
    "quote-large": {"discount": True, "priceFrom": "a", "total": 112.5},
    "quote-unreadable": {
        "discount": False,
        "priceFrom": "b",
        "problem": "'twelve fifty' is no number",
        "total": 40,
    },
    "patience": {
        "answer": "no answer in time, going on without it",
        "slowBecause": "did not end within 1 s",
    },
    "storm-desk-warning": {
        "warning": "Night desk: SEVERE storm on 2015/03/15, 55.9 mm of rain, wind 4.2 m/s",
    },
    "storm-desk-quiet": {"onDuty": "Night desk is on duty"},
    "seven-days": {
        "mean": {"result": 9.685714285714285},
        "sorted": {"result": [12.8, 12.2, 11.7, 10.6, 8.9, 7.2, 4.4]},
        "warmest": {"result": 12.8},
    },
    # The figures are those of awk on the CSV file.
    "weather-2015": {
        "days": 365,
        "rainMillimetres": 1139.2,
        "storms": 7,
        "warmestDay": {
            "date": "2015/07/19",
            "precipitation": 0,
            "temp_max": 35,
            "temp_min": 17.2,
            "weather": "sun",
            "wind": 3.3,
        },
    },
    "weather-2012": {
        "days": 366,
        "rainMillimetres": 1226,
        "storms": 0,
        "warmestDay": {
            "date": "2012/08/16",
            "precipitation": 0,
            "temp_max": 34.4,
            "temp_min": 18.3,
            "weather": "sun",
            "wind": 2.8,
        },
    },
    "failure": {},
    "approval": {},
    "months-2015": {"months": 12},
}
"""Outputs of each Execution, the reports aside."""

REPORT_2015 = """\
Seattle in 2015: 1,139 mm of rain; warmest on 2015/07/19 with 35.0 °C

2015/01  10.2 °C  ████████████████ 93 mm
2015/02  12.5 °C  ██████████████████████ 134 mm
2015/03  14.4 °C  ███████████████████ 114 mm
2015/04  15.5 °C  █████████ 52 mm
2015/05  20.0 °C  ██ 15 mm
2015/06  26.1 °C  █ 6 mm
2015/07  28.1 °C   2 mm
2015/08  26.1 °C  ██████████████ 83 mm
2015/09  20.3 °C  ████ 21 mm
2015/10  17.5 °C  ████████████████████ 122 mm
2015/11   9.7 °C  ███████████████████████████████████ 213 mm
2015/12   8.4 °C  ███████████████████████████████████████████████ 284 mm

Days of 30 mm and more:
  2015/03/15  55.9 mm, wind 4.2 m/s
  2015/12/08  54.1 mm, wind 6.2 m/s
  2015/11/14  47.2 mm, wind 4.5 m/s
  2015/11/13  33.5 mm, wind 6.5 m/s
  2015/10/31  33.0 mm, wind 7.2 m/s
  2015/08/29  32.5 mm, wind 5.8 m/s
  2015/08/14  30.5 mm, wind 5.2 m/s

180 days of sun, 173 days of fog, 7 days of drizzle, 5 days of rain
"""


@pytest.fixture
def data_url() -> Iterator[str]:
    with examples.served(EXAMPLES / "data") as url:
        yield url


def _applied(system: System, found: list[Example], data_url: str) -> None:
    manifests = [each.fetching_from(data_url).manifest for each in found]
    listed = {"apiVersion": "v1", "kind": "List", "items": manifests}
    system.kubectl("apply", "-f", "-", input=json.dumps(listed))


def _settled(system: System, running: list[Example], *, within: float = 90) -> dict[str, dict[str, Any]]:
    """The statuses of the executions by name, once all have ended or wait as they should."""
    deadline = time.monotonic() + within
    while True:
        found = json.loads(system.kubectl("get", "executions", "-o", "json").stdout)["items"]
        statuses = {each["metadata"]["name"]: each.get("status", {}) for each in found}
        if all("completionTime" in statuses[each.name] or _waits(each, statuses[each.name]) for each in running):
            return statuses
        assert time.monotonic() < deadline, json.dumps(statuses, indent=1)
        time.sleep(0.2)


def _waits(example: Example, status: dict[str, Any]) -> bool:
    return example.expected is ExecutionPhase.PAUSED and status.get("phase") == "Paused"


@pytest.mark.integration
def test_all_examples(system: System, data_url: str) -> None:
    found = list(examples.load(EXAMPLES))
    running = [each for each in found if each.expected is not None]
    _applied(system, found, data_url)
    statuses = _settled(system, running)
    assert {each.name: statuses[each.name]["phase"] for each in running} == {
        each.name: each.expected for each in running
    }
    outputs = {each.name: dict(statuses[each.name].get("outputs", {})) for each in running}
    reports = {name: values.pop("report", None) for name, values in outputs.items()}
    assert outputs == EXPECTED
    assert reports["weather-2015"] == REPORT_2015
    assert "No storms this year." in reports["weather-2012"]
    assert statuses["failure"]["error"]["node"] == "fetch"
    _check_months(system)
    system.kubectl("patch", "execution", "approval", "--type=merge", "-p", '{"spec": {"resume": "approved-by-ada"}}')
    system.kubectl("wait", "--for=condition=Succeeded", "execution/approval", "--timeout=60s")
    approved = system.kubectl("get", "execution", "approval", "-o", "json").stdout
    assert json.loads(approved)["status"]["outputs"] == {"announcement": "Release v1.2.3 of weather-report is out."}


def _check_months(system: System) -> None:
    """Twelve months below the root, and seven storms below those: the figures are those of awk on the CSV file."""
    system.kubectl("wait", "--for=condition=TreeSucceeded", "execution/months-2015", "--timeout=60s")
    root = json.loads(system.kubectl("get", "execution", "months-2015", "-o", "json").stdout)["status"]
    assert root["children"]["completed"] == 12
    below = f"chaingraph.dev/root-id={root['executionID']}"
    found = _settled_below(system, below, count=19)
    assert found["months-2015-2"] == {"report": "2015/03: 114 mm of rain, warmest on 2015/03/26 with 20.6 °C"}
    storms = sorted(values["warning"] for values in found.values() if "warning" in values)
    assert len(storms) == 7
    assert storms[0] == "storm on 2015/03/15: 55.9 mm, wind 4.2 m/s"


def _settled_below(system: System, selector: str, *, count: int, within: float = 60) -> dict[str, dict[str, Any]]:
    """The outputs of children by name, once so many resources say that they have ended."""
    deadline = time.monotonic() + within
    while True:
        found = json.loads(system.kubectl("get", "executions", "-l", selector, "-o", "json").stdout)["items"]
        ended = {each["metadata"]["name"]: each["status"] for each in found if each.get("status", {}).get("outputs")}
        if len(ended) == count:
            return {name: status["outputs"] for name, status in ended.items()}
        assert time.monotonic() < deadline, sorted(ended)
        time.sleep(0.2)


@pytest.mark.integration
def test_the_weather_report_of_a_year_without_records(system: System, data_url: str) -> None:
    (flow, run) = [each for each in examples.load(EXAMPLES) if each.name in ("weather-report", "weather-2015")]
    run.manifest["spec"]["inputs"]["year"] = "1999"
    _applied(system, [flow, run], data_url)
    status = _settled(system, [run])[run.name]
    assert status["phase"] == "Failed"
    assert status["error"] == {
        "node": "refuse",
        "message": "there are no records of the year 1999",
        "reason": "NodeFailed",
    }


def test_examples_that_fetch_name_the_port_at_which_the_data_is_served() -> None:
    fetching = [each for each in examples.load(EXAMPLES) if "source" in each.manifest["spec"].get("inputs", {})]
    sources = [each.manifest["spec"]["inputs"]["source"] for each in fetching if each.expected is not None]
    assert sources == [DATA_URL] * 3


def test_the_data_names_its_source_and_licence() -> None:
    text = (EXAMPLES / "data" / "README.md").read_text(encoding="utf-8")
    for file in (EXAMPLES / "data").glob("*.csv"):
        assert file.name in text
    assert "NOAA" in text
    assert "Public domain" in text
