"""Which executions a verb is about: names, a label selector or all; and how they are read."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_cli.commands import tell
from chaingraph_cli.errors import CliError, Usage
from chaingraph_cli.execution import Execution
from chaingraph_cli.kubectl import EXECUTIONS, Done, Kubectl, error_of, finish, nothing_there
from chaingraph_crds import names

_KINDS: Final = (names.EXECUTION_SINGULAR, names.EXECUTION_PLURAL, names.EXECUTION_SHORT)
_ABSENT: Final = re.compile(r'^Error from server \(NotFound\): executions\.\S+ "(?P<name>[^"]+)" not found$')


@dataclass(frozen=True)
class Targets:
    """Names, or a selection; `everything` is all of the namespace."""

    names: tuple[str, ...] = ()
    selector: str = ""
    everything: bool = False

    @property
    def selected(self) -> bool:
        """Found by what they are, not named one by one: those that a verb does not fit are left alone."""
        return not self.names


def add_targets(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which executions."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="Executions by name; execution/NAME is understood.")
    parser.add_argument("-l", "--selector", metavar="LABELS", default="", help="All with these labels, as a=b,c!=d.")
    parser.add_argument("--all", action="store_true", dest="everything", help="All of the namespace.")


def targets_of(chosen: argparse.Namespace) -> Targets:
    """What the command line names.

    Raises:
        Usage: nothing, or two ways at once.
    """
    ways = [bool(chosen.names), bool(chosen.selector), chosen.everything]
    if sum(ways) == 1:
        return Targets(tuple(dict.fromkeys(map(bare, chosen.names))), chosen.selector, chosen.everything)
    if not any(ways):
        raise Usage("Say which executions: NAME..., or -l LABELS, or --all.")
    raise Usage("Names, --selector and --all exclude one another.")


def bare(name: str) -> str:
    """The name alone, of `execution/NAME` as kubectl writes and reads it.

    Raises:
        Usage: it is of another kind.
    """
    kind, slash, rest = name.rpartition("/")
    if slash and kind.partition(".")[0].lower() not in _KINDS:
        raise Usage(f"{name!r} is no execution.", "Name it alone, or as execution/NAME.")
    return rest


Absent = Callable[[Kubectl, str], CliError]
"""Makes the error for a name that no resource has."""


def read(kubectl: Kubectl, targets: Targets, absent: Absent = nothing_there) -> tuple[list[Execution], list[CliError]]:
    """The executions as they are now, and an error for each name that there is not, in one call.

    Raises:
        CliError: kubectl could not read at all.
    """
    return what_was_read(kubectl, finish(start_reading(kubectl, targets)), absent)


def start_reading(kubectl: Kubectl, targets: Targets) -> subprocess.Popen[str]:
    """The kubectl whose answer `what_was_read` understands: other things can be done beside it."""
    arguments = list(targets.names) or ([f"--selector={targets.selector}"] if targets.selector else [])
    return kubectl.start("get", EXECUTIONS, *arguments, "-o", "json")


def what_was_read(
    kubectl: Kubectl, done: Done, absent: Absent = nothing_there
) -> tuple[list[Execution], list[CliError]]:
    """As `read`."""
    missing, complaints = [], []
    for line in done.complaint.splitlines():
        found = _ABSENT.match(line)
        if found:
            missing.append(found["name"])
        else:
            complaints.append(line)
    if done.code != 0 and not missing:
        raise error_of("\n".join(complaints))
    content = json.loads(done.out) if done.out.strip() else {"items": []}
    items = content.get("items", [content])
    errors = [absent(kubectl, name) for name in missing]
    return [Execution(item) for item in items], errors


def read_one(kubectl: Kubectl, name: str, absent: Absent = nothing_there) -> Execution:
    """One execution.

    Raises:
        NotFound: there is none of this name; the hint has names that are nearly it.
    """
    found, errors = read(kubectl, Targets((bare(name),)), absent)
    for error in errors:
        raise error
    return found[0]


def told(errors: Sequence[CliError]) -> int:
    """Prints errors, each with its remedy; the exit code of the first, 0 without one."""
    for error in errors:
        tell(error)
    return errors[0].exit_code if errors else 0
