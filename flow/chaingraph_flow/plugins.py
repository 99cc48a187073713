"""Load node packages by their entry points. One that cannot be loaded is reported in a sentence, with its location."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final

from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.errors import DuplicateNodeType, InvalidNodeClass
from chaingraph_flow.field_errors import shortened, suggestion
from chaingraph_flow.node import Node

ENTRY_POINTS: Final = "chaingraph.nodes"
"""The entry point group of node packages: each entry is a module, a Node class or a list of them."""
_OURS: Final = Path(__file__).parent
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """An entry point whose nodes cannot be loaded: a one-line error, and Python's traceback."""

    entry_point: str
    reason: str
    file: str
    line: int
    traceback: str

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}: " if self.file else ""
        return f"cannot load entry point {self.entry_point}: {place}{self.reason}"


@dataclass(frozen=True, slots=True)
class Plugins:
    """The node classes of all packages that can be loaded, and those that cannot."""

    classes: tuple[type[Node], ...]
    broken: tuple[BrokenPlugin, ...]


def load_plugins() -> Plugins:
    """Load all installed node packages. No exception of their code escapes."""
    classes: dict[str, type[Node]] = {}
    broken: list[BrokenPlugin] = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=_order):
        try:
            found = _offered(point)
            _ = Catalogue(each.node_type for each in found).hash  # detects a default that is not JSON
            for each in found:
                known = classes.get(each.node_type.type, each)
                if known is not each:
                    raise DuplicateNodeType(defined_twice(known, each))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: whatever its import raises is told
            broken.append(_broken(point, error))
        else:
            classes |= {each.node_type.type: each for each in found}
    return Plugins(tuple(classes.values()), tuple(broken))


def node_classes(offered: object, what: str) -> list[type[Node]]:
    """Return the node classes that a module, a class or a list of classes offers."""
    if isinstance(offered, ModuleType):
        return [each for each in vars(offered).values() if _runnable(each)]
    if isinstance(offered, type) and _runnable(offered):
        return [offered]
    if isinstance(offered, list | tuple) and all(map(_runnable, offered)):
        return list(offered)
    raise InvalidNodeClass(f"{what} must be a module, a Node class or a list of Node classes, is {offered!r}")


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    """Sort the built-in nodes first, so that another package with one of their names is the broken one."""
    return not point.value.startswith(f"{__package__}."), point.name, point.value


def _offered(point: EntryPoint) -> list[type[Node]]:
    found = node_classes(point.load(), "it")
    if not found:
        raise InvalidNodeClass("it has no Node class with a run method")
    return found


def _runnable(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, Node) and hasattr(each, "node_type")


def defined_twice(known: type[Node], other: type[Node]) -> str:
    """Describe two classes of one type."""
    return (
        f"node type {known.node_type.type!r} is defined by {_where(known)} and by {_where(other)}: "
        "give one of them another `type`"
    )


def _where(cls: type[Node]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _broken(point: EntryPoint, error: BaseException) -> BrokenPlugin:
    package = f" of {point.dist.name} {point.dist.version}" if point.dist is not None else ""
    file, line = _place(point, error)
    return BrokenPlugin(
        entry_point=f"'{point.name} = {point.value}'{package}",
        reason=shortened(_reason(point, error), _LONGEST_REASON),
        file=file,
        line=line,
        traceback="".join(traceback.format_exception(error)),
    )


def _reason(point: EntryPoint, error: BaseException) -> str:
    said = " ".join(str(error).split())
    match error:
        case ModuleNotFoundError(name=str(name)) if point.module == name or point.module.startswith(f"{name}."):
            return f"module {name!r} not found"
        case ModuleNotFoundError(name=str(name)):
            return f"it imports the module {name!r}, which is not installed"
        case AttributeError(name=str(name), obj=ModuleType() as module) if error.name in point.attr.split("."):
            return f"the module {module.__name__!r} has no {name!r}{suggestion(name, _public(module))}"
        case SyntaxError():
            return f"{type(error).__name__}: {error.msg}"
        case InvalidNodeClass() | DuplicateNodeType():
            return said
        case _:
            return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _public(module: ModuleType) -> list[str]:
    return [each for each in vars(module) if not each.startswith("_")]


def _place(point: EntryPoint, error: BaseException) -> tuple[str, int]:
    """Return the line of the package's own code with the error; '' and 0 when none of its code ran."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    root = point.module.partition(".")[0]
    foreign = [each for each in _frames(error.__traceback__) if _is_foreign(each.tb_frame.f_code.co_filename)]
    own = [each for each in foreign if str(each.tb_frame.f_globals.get("__name__")).partition(".")[0] == root]
    found = (own or foreign)[-1:]
    return next(((each.tb_frame.f_code.co_filename, each.tb_lineno) for each in found), ("", 0))


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_foreign(file: str) -> bool:
    """Whether a file is neither part of Python's import system nor ours."""
    return not (file.startswith("<frozen") or "importlib" in Path(file).parts or _OURS in Path(file).parents)
