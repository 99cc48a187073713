"""Packages with nodes: one that cannot be loaded is told with its place, and the others are loaded."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from chaingraph_flow import Registry
from chaingraph_flow.errors import BrokenPlugins
from chaingraph_flow.plugins import load_plugins
from fixtures.flows.plugins import GOOD, install

LINES = GOOD.count("\n")
BROKEN: dict[str, tuple[str, str, int, str]] = {
    # by name: code, what the entry point offers (M: the module), the line that is named (0: none), what is said
    "syntax": ("class A(:\n    pass\n", "M", 1, "SyntaxError: invalid syntax"),
    "lacking": ("import json\nimport not_there.at_all\n", "M", 2, "imports the module 'not_there', which is not"),
    "raising": ("\n\nraise ValueError('boom\\n  twice')\n", "M", 3, "ValueError: boom twice"),
    "in_a_library": ("import json\njson.loads('{')\n", "M", 2, "JSONDecodeError: Expecting property name"),
    "in_a_class": (GOOD + "class B(Shout):\n    y = 1 / 0\n", "M", LINES + 2, "ZeroDivisionError"),
    "option": (GOOD + "x = Input(String(), requird=True)\n", "M", LINES + 1, "keyword argument 'requird'"),
    "default": (GOOD + "class B(Shout):\n    x = Input(String(), default=3)\n", "M", LINES + 1, "default of x: must"),
    "reserved": (GOOD + "class B(Shout):\n    type = Input(String())\n", "M", LINES + 1, "'type' is reserved"),
    "misnamed": (GOOD, "M:shout", 0, "the module 'misnamed' has no 'shout'; did you mean 'Shout'?"),
    "no_module": (GOOD, "no_such_module", 0, "module 'no_such_module' not found"),
    "not_a_node": ("x = 3\n", "M:x", 0, "it must be a module, a Node class or a list of Node classes, is 3"),
    "empty": ("x = 3\n", "M", 0, "it has no Node class with a run method"),
    "exits": ("import sys\nsys.exit(3)\n", "M", 2, "SystemExit: 3"),
    "taken": (GOOD.replace("{module}.Shout", "Text"), "M", 0, "node type 'Text' is defined by"),
}  # fmt: skip


def test_each_broken_package_is_told_and_the_others_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (code, offers, _, _) in BROKEN.items():
        install(tmp_path, name, code, offers.replace("M", name, 1))
    install(tmp_path, "fine_one")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    found = load_plugins()
    types = Registry(found.classes).catalogue
    assert {"Text", "fine_one.Shout"} <= set(types)
    assert not {f"{name}.Shout" for name in BROKEN} & set(types)
    broken = {each.entry_point.split("'")[1].split(" ")[0]: each for each in found.broken}
    assert broken.keys() == BROKEN.keys()
    for name, (_, offers, line, said) in BROKEN.items():
        place = f"{tmp_path / name}.py, line {line}: " if line else ""
        whole = str(broken[name])
        offered = f"{name} = {offers.replace('M', name, 1)}"
        assert whole.startswith(f"cannot load entry point '{offered}' of {name} 1.0: {place}")
        assert said in whole
        assert "\n" not in whole
        assert broken[name].traceback.startswith("Traceback (most recent call last):")
    with pytest.raises(BrokenPlugins, match=r"syntax\.py, line 1: SyntaxError"):
        Registry.discover()
