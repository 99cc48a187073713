"""The reference of the chart's values as Markdown, from the comments of values.yaml.

A comment that begins with `# --` belongs to the key below it, and ends at that key. A value with such a comment is one
row; so are the commented ones inside it. One without is described by those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

_MARK: Final = "# --"
_TOP: Final = "The release"
_INTRODUCTION: Final = """\
# Values of the chart

<!-- Generated from charts/chaingraph/values.yaml by `make generate`. Do not edit. -->

`charts/chaingraph/values.schema.json` says the same to Helm, which refuses unknown values and wrong ones. What the
processes' settings mean in full stands in [Settings](settings.md).
"""


@dataclass(frozen=True)
class Value:
    """One documented value.

    Attributes:
        path: its keys, from the outside in.
        default: what values.yaml has.
        meaning: the comment.
    """

    path: tuple[str, ...]
    default: Any
    meaning: str


def values_markdown(values_file: Path) -> str:
    """The page, a table for each group of values."""
    parts = [_INTRODUCTION]
    found = list(documented(values_file.read_text(encoding="utf-8")))
    for title, group in groupby(sorted(found, key=lambda each: _group(each) != _TOP), key=_group):
        rows = "\n".join(_row(each) for each in group)
        parts.append(f"## {title}\n\n| value | default | meaning |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def documented(text: str) -> Iterator[Value]:
    """The values that have a comment, in their order in the file."""
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml is no mapping")
    yield from _inside(root, (), lines)


def _inside(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        here = (*path, str(key.value))
        meaning = _comment(lines, key.start_mark.line)
        if meaning:
            yield Value(here, yaml.safe_load(yaml.serialize(value)), meaning)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _inside(value, here, lines)


def _comment(lines: list[str], line: int) -> str:
    """The comment above a line, as one paragraph; empty when none begins with the mark."""
    above: list[str] = []
    for text in reversed(lines[:line]):
        stripped = text.strip()
        if not stripped.startswith("#"):
            return ""
        above.append(stripped.removeprefix(_MARK).removeprefix("#").strip())
        if stripped.startswith(_MARK):
            return " ".join(reversed(above))
    return ""


def _group(value: Value) -> str:
    """The title of a value's table: its first key, unless that is a value itself and no map of values."""
    return value.path[0] if len(value.path) > 1 or (isinstance(value.default, dict) and value.default) else _TOP


def _row(value: Value) -> str:
    default = value.default
    shown = json.dumps(default, ensure_ascii=False) if default not in ("", None) else ""
    cells = (".".join(value.path), f"`{shown}`" if shown else "", value.meaning)
    return f"| `{cells[0]}` | {_cell(cells[1])} | {_cell(cells[2])} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
