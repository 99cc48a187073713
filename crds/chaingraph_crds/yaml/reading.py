"""Read YAML and JSON as `kubectl apply -f` does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from chaingraph_crds.yaml import scalars
from chaingraph_crds.yaml.nodes import Alias, Mapping, Node, Scalar, Sequence, YamlError, tree

_MERGE: Final = "tag:yaml.org,2002:merge"
_WORDS: Final = frozenset(each for words in scalars.WORDS_OF.values() for each in words)

# go-yaml's bound on how much aliases may enlarge a document.
_FREE_NODES: Final = 1000
_FREE_ALIASED: Final = 100
_LOW, _HIGH = 400_000, 4_000_000


@dataclass
class Reading:
    """The content of a text.

    Attributes:
        documents: the value of each document, as in JSON; empty documents are dropped.
        warnings: values that are read differently than their author may think, each with its line.
    """

    documents: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read(text: str) -> Reading:
    """Read everything in a YAML or JSON file.

    Raises:
        YamlError: kubectl could not read it, or it has a number that JSON does not have.
    """
    reading = Reading()
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    found, rest, problem = _json_objects(text)
    if problem is not None and len(found) > 1:
        raise problem
    try:
        for first_line, document in _documents(text[rest:], 1 + text.count("\n", 0, rest)):
            root = tree(document, first_line)
            if root is not None:
                found.append(_Values(reading.warnings).of(root))
    except YamlError as error:
        raise (problem or error) from None
    reading.documents = [each for each in found if each is not None]
    return reading


def _json_objects(text: str) -> tuple[list[Any], int, YamlError | None]:
    """Return the JSON objects at the start of the text, the start of the YAML, and why that is not JSON.

    Raises:
        YamlError: there is a number that JSON does not have.
    """
    found: list[Any] = []
    position = _after_blanks(text, 0)
    if not text.startswith("{", position):
        return found, 0, None
    decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_json_float)
    while position < len(text):
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            return found, position, YamlError(error.lineno, f"{error.msg} (column {error.colno})")
        except RecursionError:
            raise YamlError(0, "nested too deeply") from None
        found.append(value)
        position = _after_blanks(text, end)
    return found, position, None


def _after_blanks(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _no_constant(name: str) -> Any:
    raise YamlError(0, f"{name} is not a JSON number")


def _json_float(written: str) -> scalars.Scalar:
    value = float(written)
    if math.isinf(value):
        raise YamlError(0, f"{written} is too large a number")
    return scalars.as_json(value)


def _documents(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Yield the documents, split at the lines that start with `---`, each with the number of its first line.

    Raises:
        YamlError: there is more than a comment after a `---`.
    """
    kept: list[str] = []
    first = line
    for number, each in enumerate(text.split("\n"), start=line):
        if each.startswith("---"):
            after = each[3:].strip()
            if after and not after.startswith("#"):
                raise YamlError(
                    number, f"'---' starts a document and must stand on a line of its own, not before {after!r}"
                )
            if kept:
                yield first, "\n".join([*kept, ""])
            kept, first = [], number + 1
        else:
            kept.append(each)
    if kept:
        yield first, "\n".join([*kept, ""])


class _Values:
    """The values of one document."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings
        self._active: set[int] = set()
        self._nodes = 0
        self._aliased = 0
        self._depth = 0

    def of(self, node: Node) -> Any:
        self._count(node)
        match node:
            case Scalar():
                return self._guarded(node.line, scalars.as_json, self._scalar(node))
            case Sequence():
                return [self.of(each) for each in node.items]
            case Mapping():
                made: dict[str, Any] = {}
                self._fill(made, node)
                return made
            case Alias():
                return self._aliased_value(node)

    def _aliased_value(self, alias: Alias, into: dict[str, Any] | None = None) -> Any:
        if id(alias.target) in self._active:
            raise YamlError(alias.line, "an anchor's value contains itself")
        self._active.add(id(alias.target))
        self._depth += 1
        value = None
        if into is not None:
            assert isinstance(alias.target, Mapping)
            self._count(alias.target)
            self._fill(into, alias.target)
        else:
            value = self.of(alias.target)
        self._depth -= 1
        self._active.discard(id(alias.target))
        return value

    def _count(self, node: Node) -> None:
        self._nodes += 1
        self._aliased += self._depth > 0
        if self._nodes > _FREE_NODES and self._aliased > _FREE_ALIASED:
            share = min(max(self._nodes - _LOW, 0) / (_HIGH - _LOW), 1.0)
            if self._aliased / self._nodes > 0.99 - 0.89 * share:
                raise YamlError(node.line, "aliases make the document too large")

    def _scalar(self, node: Scalar) -> scalars.Scalar:
        if not node.tag:
            return scalars.plain(node.text) if node.implicit else node.text
        value: scalars.Scalar = self._guarded(node.line, scalars.tagged, node.tag, node.text)
        return value

    @staticmethod
    def _guarded(line: int, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except ValueError as error:
            raise YamlError(line, str(error)) from None

    def _fill(self, made: dict[str, Any], node: Mapping) -> None:
        """Set the keys in order: a later one overrides an earlier one, and a merge overrides what is before it."""
        own: set[str] = set()
        pairs = iter(node.items)
        for key, value in zip(pairs, pairs, strict=True):
            if isinstance(key, Scalar) and key.text == "<<" and (key.implicit or key.tag == _MERGE):
                self._merge(made, value)
                continue
            name = self._key(key)
            if name in own:
                self._warnings.append(f"line {key.line}: duplicate key {name!r}, the last one is used")
            own.add(name)
            made[name] = self.of(value)

    def _key(self, node: Node) -> str:
        target = node.target if isinstance(node, Alias) else node
        if not isinstance(target, Scalar):
            raise YamlError(node.line, "a list or a mapping cannot be a key")
        self._count(node)
        name: str = self._guarded(node.line, scalars.as_key, self._scalar(target))
        if target.implicit and target.text.lower() in _WORDS:
            self._warnings.append(
                f"line {node.line}: the key {target.text} is read as {name}, as kubectl does. "
                f'Put it in quotes, "{target.text}"'
            )
        return name

    def _merge(self, made: dict[str, Any], value: Node) -> None:
        match value:
            case Mapping():
                self._fill(made, value)
            case Alias(target=Mapping()):
                self._aliased_value(value, into=made)
            case Sequence() if not any(isinstance(each, Sequence) for each in value.items):
                for each in reversed(value.items):
                    self._merge(made, each)
            case _:
                raise YamlError(value.line, "'<<' merges a mapping, or a list of mappings")
