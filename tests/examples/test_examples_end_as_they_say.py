"""Every example, applied with kubectl to a running system, ends in its phase and with its outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaingraph_cli.local import examples
from chaingraph_cli.local.examples import DATA_URL
from fixtures.cluster.control_plane import ControlPlane
from fixtures.flows.example_ends import applied, check_all, settled
from fixtures.processes.system import StartSystem, System

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def data_url() -> Iterator[str]:
    with examples.served(EXAMPLES / "data") as url:
        yield url


@pytest.mark.integration
def test_examples_reach_expected_phase_and_outputs(
    start_system: StartSystem, control_plane: ControlPlane, data_url: str
) -> None:
    system = start_system(KUBECONFIG=str(control_plane.kubeconfig), CHAINGRAPH_SECRET_NAMESPACES="*")
    check_all(system.kubectl, list(examples.load(EXAMPLES)), data_url)


@pytest.mark.integration
def test_weather_report_fails_for_year_without_records(system: System, data_url: str) -> None:
    (flow, run) = [each for each in examples.load(EXAMPLES) if each.name in ("weather-report", "weather-2015")]
    run.manifest["spec"]["inputs"]["year"] = "1999"
    applied(system.kubectl, [flow, run], data_url)
    status = settled(system.kubectl, [run])[run.name]
    assert status["phase"] == "Failed"
    assert status["error"] == {
        "node": "refuse",
        "message": "there are no records of the year 1999",
        "reason": "NodeFailed",
    }


def test_fetching_examples_use_the_data_url() -> None:
    fetching = [each for each in examples.load(EXAMPLES) if "source" in each.manifest.get("spec", {}).get("inputs", {})]
    sources = [each.manifest["spec"]["inputs"]["source"] for each in fetching if each.expected is not None]
    assert set(sources) == {DATA_URL}


def test_example_data_names_source_and_licence() -> None:
    text = (EXAMPLES / "data" / "README.md").read_text(encoding="utf-8")
    for file in (EXAMPLES / "data").glob("*.csv"):
        assert file.name in text
    assert "NOAA" in text
    assert "Public domain" in text
