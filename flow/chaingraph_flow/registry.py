"""The node classes that a process can run, by type. Workers have one; the operator has only catalogues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from types import ModuleType

from .catalogue import Catalogue
from .errors import DuplicateNodeType, InvalidNodeClass, UnknownNodeType
from .faults import suggestion
from .node import Node

ENTRY_POINTS = "chaingraph.nodes"
"""The group of entry points under which a package offers nodes: a module, a Node class or a list of them."""


class Registry(Mapping[str, type[Node]]):
    """Node classes by type."""

    def __init__(self, classes: Iterable[type[Node]] = ()) -> None:
        """Raises DuplicateNodeType when two classes have one type."""
        self._classes: dict[str, type[Node]] = {}
        for cls in classes:
            known = self._classes.setdefault(cls.node_type.type, cls)
            if known is not cls:
                raise DuplicateNodeType(
                    f"the node type {cls.node_type.type!r} is defined by {_where(known)} and by {_where(cls)}: "
                    "give one of them another `type`"
                )
        self.catalogue = Catalogue(cls.node_type for cls in self._classes.values())

    def __getitem__(self, type_: str) -> type[Node]:
        try:
            return self._classes[type_]
        except KeyError:
            raise UnknownNodeType(
                f"no node type {type_!r} is installed here{suggestion(type_, self._classes)}; "
                "install the package that has it in the worker's image"
            ) from None

    def __contains__(self, type_: object) -> bool:
        return type_ in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def merge(self, other: Registry) -> Registry:
        """Both together."""
        return Registry([*self.values(), *other.values()])

    @classmethod
    def discover(cls) -> Registry:
        """Everything that installed packages offer under the entry points `chaingraph.nodes`.

        Raises:
            InvalidNodeClass: An entry point is neither a module, a Node class nor a list of Node classes.
            DuplicateNodeType: Two packages define one type.
        """
        found: list[type[Node]] = []
        for each in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
            found += node_classes(each.load(), f"the entry point {each.name} = {each.value}")
        return cls(found)


def node_classes(offered: object, what: str) -> list[type[Node]]:
    """The node classes that a module, a class or a list of classes offers."""
    if isinstance(offered, ModuleType):
        return [each for each in vars(offered).values() if _runnable(each)]
    if isinstance(offered, type) and _runnable(offered):
        return [offered]
    if isinstance(offered, list | tuple) and all(map(_runnable, offered)):
        return list(offered)
    raise InvalidNodeClass(f"{what} must be a module, a Node class or a list of Node classes, is {offered!r}")


def _runnable(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, Node) and each.run is not Node.run


def _where(cls: type[Node]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
