"""The assessment by capability levels: each test that it names as evidence exists, and each criterion has a verdict."""

from __future__ import annotations

import re

import pytest

from fixtures.paths import ROOT

_PAGE = (ROOT / "docs" / "explanation" / "capability-levels.md").read_text(encoding="utf-8")
_NAMED = sorted(set(re.findall(r"`(test_\w+)`", _PAGE)))
_VERDICTS = ("yes", "partly", "not yet", "not so", "not yet by the operator")


@pytest.fixture(scope="module")
def defined() -> set[str]:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}


@pytest.mark.parametrize("name", _NAMED)
def test_evidence_names_existing_tests(name: str, defined: set[str]) -> None:
    assert name in defined


def test_criteria_have_verdict_and_evidence() -> None:
    rows = [line.strip("| ").split(" | ") for line in _PAGE.splitlines() if line.startswith("| ")]
    criteria = [row for row in rows if row[0] not in ("level", "criterion", "I", "II", "III", "IV", "V")]
    assert len(criteria) > 40
    for criterion, verdict, evidence in criteria:
        assert verdict in _VERDICTS, criterion
        assert evidence, criterion
