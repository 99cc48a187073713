"""The node classes that a process can run, by type. Workers have one; the operator has only catalogues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.errors import BrokenPlugins, DuplicateNodeType, UnknownNodeType
from chaingraph_flow.field_errors import suggestion
from chaingraph_flow.node import Node
from chaingraph_flow.plugins import ENTRY_POINTS, defined_twice, load_plugins, node_classes

__all__ = ["ENTRY_POINTS", "Registry", "node_classes"]


class Registry(Mapping[str, type[Node]]):
    """Node classes by type."""

    def __init__(self, classes: Iterable[type[Node]] = ()) -> None:
        """Raise DuplicateNodeType when two classes have one type."""
        self._classes: dict[str, type[Node]] = {}
        for cls in classes:
            known = self._classes.setdefault(cls.node_type.type, cls)
            if known is not cls:
                raise DuplicateNodeType(defined_twice(known, cls))
        self.catalogue = Catalogue(cls.node_type for cls in self._classes.values())

    def __getitem__(self, type_: str) -> type[Node]:
        try:
            return self._classes[type_]
        except KeyError:
            raise UnknownNodeType(
                f"node type {type_!r} is not installed here{suggestion(type_, self._classes)}. "
                "Install its package in the worker's image"
            ) from None

    def __contains__(self, type_: object) -> bool:
        return type_ in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def merge(self, other: Registry) -> Registry:
        """Return both together."""
        return Registry([*self.values(), *other.values()])

    @classmethod
    def discover(cls) -> Registry:
        """Load everything that installed packages offer under the entry points `chaingraph.nodes`.

        Raises:
            BrokenPlugins: a package cannot be loaded. `plugins.load_plugins` loads the others.
        """
        found = load_plugins()
        if found.broken:
            raise BrokenPlugins("; ".join(map(str, found.broken)))
        return cls(found.classes)
