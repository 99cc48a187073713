"""The nodes of a YAML document, from libyaml's events. go-yaml v2, which kubectl uses, is a port of libyaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

_DEEPEST: Final = 500
"""Maximum nesting. Our resources never need more, and deeper values would exhaust the stack of their readers."""


class YamlError(ValueError):
    """The text is not YAML or JSON that kubectl reads. The message names the line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}" if line else what)


@dataclass(slots=True)
class Scalar:
    line: int
    text: str
    tag: str
    implicit: bool
    """Without quotes, and without a tag."""


@dataclass(slots=True)
class Sequence:
    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    line: int
    items: list[Node] = field(default_factory=list)
    """Keys and values, alternating."""


@dataclass(slots=True)
class Alias:
    line: int
    target: Scalar | Sequence | Mapping


Node = Scalar | Sequence | Mapping | Alias


def tree(text: str, first_line: int) -> Node | None:
    """Return the nodes of a document, given the number of its first line in the file; None when it is empty.

    Raises:
        YamlError: it is not YAML, or more than one document.
    """
    try:
        return _tree(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), first_line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(first_line + mark.line if mark else 0, str(error.problem or error.context)) from None
    except yaml.reader.ReaderError as error:
        line = first_line + text.encode(errors="replace").count(b"\n", 0, int(error.position))
        raise YamlError(line, f"the character U+{int(error.character):04X} is not allowed in YAML") from None


def _tree(events: Iterator[Any], first_line: int) -> Node | None:
    anchors: dict[str, Scalar | Sequence | Mapping] = {}
    opened: list[Sequence | Mapping] = []
    root: Node | None = None
    for event in events:
        line = first_line + event.start_mark.line
        node: Node
        match event:
            case yaml.DocumentEndEvent():
                break
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                opened.pop()
                continue
            case yaml.AliasEvent():
                if event.anchor not in anchors:
                    raise YamlError(line, f"unknown anchor &{event.anchor}")
                node = Alias(line, anchors[event.anchor])
            case yaml.ScalarEvent():
                node = Scalar(line, event.value, event.tag or "", bool(event.implicit[0]))
            case yaml.SequenceStartEvent():
                node = Sequence(line)
            case yaml.MappingStartEvent():
                node = Mapping(line)
            case _:
                continue
        if not isinstance(node, Alias) and event.anchor:
            anchors[event.anchor] = node
        if opened:
            opened[-1].items.append(node)
        else:
            root = node
        if isinstance(node, Sequence | Mapping):
            opened.append(node)
            if len(opened) > _DEEPEST:
                raise YamlError(line, f"nested in more than {_DEEPEST} levels")
    _at_end(events, first_line)
    return root


def _at_end(events: Iterator[Any], first_line: int) -> None:
    """Reject content after `...`, which kubectl would silently drop."""
    line = first_line
    try:
        for event in events:
            line = first_line + event.start_mark.line
            if isinstance(event, yaml.DocumentStartEvent):
                break
        else:
            return
    except yaml.MarkedYAMLError as error:
        line = first_line + (error.problem_mark.line if error.problem_mark else 0)
    raise YamlError(line, "kubectl does not read content after '...': put '---' between two documents")
