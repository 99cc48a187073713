"""The code tour: every path and function that it names exists, and every room of the packages has its line."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from fixtures.paths import ROOT

_PAGE = (ROOT / "docs" / "explanation" / "code-tour.md").read_text(encoding="utf-8")
_PACKAGES = ("crds", "flow", "store", "worker", "operator", "gateway", "cli", "runtime")
_PATHS = sorted(set(re.findall(rf"`((?:{'|'.join(_PACKAGES)}|tools)/[\w/.]*)`", _PAGE)))
_STOPS = re.findall(r"`([\w/]+\.py)` →\s+`([\w.]+)`", _PAGE)
_ROOMS = re.findall(r"^\| `([\w/]+)/` \|", _PAGE, flags=re.MULTILINE)


def _resolved(path: str) -> Path:
    """`operator/decide/plan.py` leaves out the package's folder."""
    package, _, rest = path.partition("/")
    inner = Path(f"chaingraph_{package}")
    return ROOT / package / rest if package == "tools" or inner.name in rest else ROOT / package / inner / rest


@cache
def _defined(path: Path) -> frozenset[str]:
    names = set()
    for each in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(each.name)
        if isinstance(each, ast.ClassDef):
            methods = (part for part in each.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{each.name}.{method.name}" for method in methods}
    return frozenset(names)


@pytest.mark.parametrize("path", _PATHS)
def test_tour_path_exists(path: str) -> None:
    assert _resolved(path).exists()


@pytest.mark.parametrize(("path", "name"), _STOPS)
def test_tour_stop_is_defined(path: str, name: str) -> None:
    assert name in _defined(_resolved(path))


def test_tour_has_a_line_for_every_room() -> None:
    folders = {"tools"} | {
        "/".join((package, *path.parent.relative_to(_resolved(package)).parts))
        for package in _PACKAGES
        for path in _resolved(package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert sorted(_ROOMS) == sorted(folders)


def test_tour_walks_fit_a_screen() -> None:
    walks = re.split(r"^## ", _PAGE, flags=re.MULTILINE)[2:]
    assert len(walks) == 9
    for walk in walks:
        assert 8 <= len(re.findall(r"^\d+\. `", walk, flags=re.MULTILINE)) <= 12, walk.splitlines()[0]
