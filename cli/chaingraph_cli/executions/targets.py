"""Selects executions by name, by label or all of them, and reads them."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_cli.commands import print_error
from chaingraph_cli.errors import CliError, Usage
from chaingraph_cli.execution import Execution
from chaingraph_cli.kubectl import EXECUTIONS, Kubectl, Result, error_of, finish, nothing_there, read_json
from chaingraph_crds import names

_KINDS: Final = (names.EXECUTION_SINGULAR, names.EXECUTION_PLURAL, names.EXECUTION_SHORT)
_ABSENT: Final = re.compile(r'^Error from server \(NotFound\): executions\.\S+ "(?P<name>[^"]+)" not found$')


@dataclass(frozen=True)
class Targets:
    """The executions of a command line; `everything` means all of the namespace."""

    names: tuple[str, ...] = ()
    selector: str = ""
    everything: bool = False

    @property
    def selected(self) -> bool:
        """Whether they are selected rather than named: then a verb skips those that it does not apply to."""
        return not self.names


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select executions."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="Names of executions, also as execution/NAME.")
    parser.add_argument("-l", "--selector", metavar="LABELS", default="", help="Label selector, for example a=b,c!=d.")
    parser.add_argument("--all", action="store_true", dest="everything", help="All executions of the namespace.")


def targets_of(args: argparse.Namespace) -> Targets:
    """Read the targets of a command line.

    Raises:
        Usage: it has none, or more than one kind.
    """
    ways = [bool(args.names), bool(args.selector), args.everything]
    if sum(ways) == 1:
        return Targets(tuple(dict.fromkeys(map(bare, args.names))), args.selector, args.everything)
    if not any(ways):
        raise Usage("No executions given: use NAME, -l LABELS or --all.")
    raise Usage("NAME, --selector and --all cannot be combined.")


def bare(name: str) -> str:
    """Strip the kind from `execution/NAME`, as kubectl writes it.

    Raises:
        Usage: it is of another kind.
    """
    kind, slash, rest = name.rpartition("/")
    if slash and kind.partition(".")[0].lower() not in _KINDS:
        raise Usage(f"{name!r} is not an execution.", "Use NAME or execution/NAME.")
    return rest


Absent = Callable[[Kubectl, str], CliError]
"""Makes the error for a name without a resource."""


def read(kubectl: Kubectl, targets: Targets, absent: Absent = nothing_there) -> tuple[list[Execution], list[CliError]]:
    """Read executions in one call; returns them and an error for each name without a resource.

    Raises:
        CliError: kubectl failed.
    """
    return what_was_read(kubectl, finish(start_reading(kubectl, targets)), absent)


def start_reading(kubectl: Kubectl, targets: Targets) -> subprocess.Popen[str]:
    """Start a kubectl that reads executions, for `what_was_read`."""
    arguments = list(targets.names) or ([f"--selector={targets.selector}"] if targets.selector else [])
    return kubectl.start("get", EXECUTIONS, *arguments, "-o", "json")


def what_was_read(
    kubectl: Kubectl, done: Result, absent: Absent = nothing_there
) -> tuple[list[Execution], list[CliError]]:
    """Return the result of `start_reading`, as `read` does."""
    missing, complaints = [], []
    for line in done.stderr.splitlines():
        found = _ABSENT.match(line)
        if found:
            missing.append(found["name"])
        else:
            complaints.append(line)
    if done.code != 0 and not missing:
        raise error_of("\n".join(complaints))
    content = read_json(done.out) if done.out.strip() else {"items": []}
    items = content.get("items", [content])
    errors = [absent(kubectl, name) for name in missing]
    return [Execution(item) for item in items], errors


def read_one(kubectl: Kubectl, name: str, absent: Absent = nothing_there) -> Execution:
    """Read one execution.

    Raises:
        NotFound: there is none; the hint has similar names.
    """
    found, errors = read(kubectl, Targets((bare(name),)), absent)
    for error in errors:
        raise error
    return found[0]


def report_errors(errors: Sequence[CliError]) -> int:
    """Print errors with their remedies and return the exit code of the first; 0 if there is none."""
    for error in errors:
        print_error(error)
    return errors[0].exit_code if errors else 0
