"""The runbooks name commands, metrics, settings and options that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaingraph_cli.commands import parser_of
from chaingraph_cli.main import PLUGIN
from fixtures.docs.pages import blocks
from fixtures.monitoring.expressions import names
from fixtures.paths import ROOT

PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
_REFERENCE = ROOT / "docs" / "reference"
_SETTING = re.compile(r"\b(?:CHAINGRAPH|DBOS)_[A-Z_]+\b")
_CODE = re.compile(r"`([^`\n]+)`")
_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def commands(page: Path) -> list[str]:
    """Commands of blocks, and those inside sentences."""
    found = [line for block in blocks(page) if block.language == "bash" for line in block.text.splitlines()]
    return found + [code for code in _CODE.findall(page.read_text(encoding="utf-8")) if code.startswith("kubectl ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))
def test_runbook_names_existing_metrics_and_settings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = names((_REFERENCE / "metrics.md").read_text(encoding="utf-8"))
    named = names(text)
    assert {_HISTOGRAM.sub("", name) if name not in known else name for name in named} <= known
    settings = set(_SETTING.findall((_REFERENCE / "settings.md").read_text(encoding="utf-8")))
    assert set(_SETTING.findall(text)) <= settings
    assert any(block.language == "bash" for block in blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))
def test_runbook_commands_use_existing_options(page: Path) -> None:
    for command in commands(page):
        words = command.split(" | ")[0].split()
        assert words[0] in ("kubectl", "psql"), command
        if words[:2] == ["kubectl", "chaingraph"] and len(words) > 2:
            entry = PLUGIN.entries[words[2]].load()
            options = {flag for action in parser_of(PLUGIN, words[2], entry)._actions for flag in action.option_strings}
            assert {word.split("=")[0] for word in words if word.startswith("-")} <= options, command
