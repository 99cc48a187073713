"""What the chart and the documentation tell people to do works: the notes after an installation, values in pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.chart.helm import CHART, TRIAL, Helm, with_values
from fixtures.chart.values import OWN_DATABASE
from fixtures.docs.pages import PAGES, blocks
from fixtures.paths import ROOT
from fixtures.processes.system import System

_VALUES = set(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def notes(helm: Helm, values: dict[str, Any]) -> str:
    done = helm("install", "cg", str(CHART), "--namespace=here", "--dry-run=client", helm.values(values))
    return done.stdout.partition("NOTES:\n")[2]


def values_in_pages() -> list[tuple[str, dict[str, Any]]]:
    """Every YAML block of the documentation whose keys are all among the chart's values."""
    found = []
    for page in (*PAGES, *sorted((ROOT / "gitops").rglob("*.md"))):
        for block in blocks(page):
            if block.language == "yaml":
                for content in yaml.safe_load_all(block.text):
                    if isinstance(content, dict) and content and set(content) <= _VALUES:
                        found.append((f"{page.relative_to(ROOT)}:{block.line}", content))
    return found


@pytest.mark.parametrize("where", [where for where, _ in values_in_pages()])
def test_chart_accepts_values_from_docs_pages(helm: Helm, where: str) -> None:
    values = dict(values_in_pages())[where]
    database = {} if "database" in values or "postgresql" in values else OWN_DATABASE
    assert helm.template(with_values(database, values))


def test_docs_pages_contain_chart_values() -> None:
    assert {"install-with-helm.md", "build-a-worker-image.md"} <= {
        Path(where.rpartition(":")[0]).name for where, _ in values_in_pages()
    }


@pytest.mark.integration
def test_notes_first_flow_runs(helm: Helm, system: System) -> None:
    told = notes(helm, TRIAL)
    [manifest] = re.findall(r"<<EOF\n(.*?)\n  EOF\n", told, re.DOTALL)
    system.kubectl("apply", "-f", "-", input=manifest)
    system.kubectl("wait", "--for=condition=Succeeded", "execution/hello", "--timeout=30s")
    assert "Hello, world!" in system.kubectl("get", "execution", "hello", "-o", "jsonpath={.status.outputs}").stdout


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (TRIAL, "WARNING: the database is a single PostgreSQL for trials, with no backups"),
        (
            with_values(TRIAL, {"postgresql": {"persistence": {"enabled": False}}}),
            "WARNING: the database is a single PostgreSQL for trials, which loses everything with its Pod",
        ),
        (
            with_values(OWN_DATABASE, {"workers": {"default": {"enabled": False}}}),
            "WARNING: no pool of workers is enabled, so nothing runs.",
        ),
        (
            with_values(OWN_DATABASE, {"gateway": {"tls": {"existingSecret": "mine"}}}),
            "WARNING: the Secret mine does not exist yet",
        ),
        (with_values(OWN_DATABASE, {"namespaces": ["a", "b"]}), "serves     the namespaces a, b"),
        (OWN_DATABASE, "helm test -n here cg"),
        (
            OWN_DATABASE,
            "flows      reach DNS, PostgreSQL at port 5432, the public internet, where the cluster enforces",
        ),
        (with_values(OWN_DATABASE, {"networkPolicy": {"enabled": False}}), "flows      reach all addresses"),
    ],
)
def test_notes_show_warnings_namespaces_and_helm_test(helm: Helm, values: dict[str, Any], told: str) -> None:
    assert told in notes(helm, values)


def test_notes_omit_warnings_without_cause(helm: Helm) -> None:
    assert "WARNING" not in notes(helm, OWN_DATABASE)
