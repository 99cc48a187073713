"""Shell completion: options, and the names that a verb applies to.

kubectl runs `kubectl_complete-chaingraph` with the words so far and reads a candidate a line (a tab, then its
description) and a last line `:N`, the protocol of Go's cobra. `chaingraph __complete` answers in the same form, so the
scripts of `chaingraph completion` are kubectl's own. argcomplete speaks another protocol.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final

from chaingraph_cli.commands import Command, Program, actions_of, parser_of, split
from chaingraph_cli.errors import CliError
from chaingraph_cli.execution import PHASES, Execution
from chaingraph_cli.executions import flows, guards
from chaingraph_cli.kubectl import EXECUTIONS, FLOWS, Kubectl
from chaingraph_cli.render.event_lines import TYPES

_FILES: Final = 0
_NO_FILES: Final = 4
_FOLDERS: Final = 16
_ROW: Final = (
    r"{range .items[*]}{.metadata.name}{'\t'}{.status.phase}{'\t'}{.spec.paused}{'\t'}{.spec.children.onStop}{'\t'}"
    r"{.status.conditions[?(@.type=='TreeSucceeded')].status}{'\n'}{end}"
).replace("'", '"')

Candidates = list[tuple[str, str]]
"""Words with their descriptions."""


def answer(program: Program, words: Sequence[str]) -> str:
    """Complete the last of the words after the program's name; it may be empty."""
    typed, prefix = list(words[:-1]), words[-1] if words else ""
    try:
        found, directive = _found(program, typed, prefix)
    except CliError:
        # Without a cluster or permissions there are no candidates; a message would disturb the command line.
        found, directive = [], _NO_FILES
    value = prefix.partition("=")[2] if prefix.startswith("--") and "=" in prefix else prefix
    lines = [f"{word}\t{meaning}" if meaning else word for word, meaning in found if word.startswith(value)]
    return "\n".join([*lines, f":{directive}"])


def _found(program: Program, typed: list[str], prefix: str) -> tuple[Candidates, int]:
    name, others = split(typed)
    if not name:
        return [(each, entry.summary) for each, entry in program.entries.items()], _NO_FILES
    if name not in program.entries:
        return [], _NO_FILES
    command = program.entries[name].load()
    line = _Line(name, actions_of(parser_of(program, name, command)), others)
    if prefix.startswith("--") and "=" in prefix:
        action = line.option(prefix.partition("=")[0])
        return _values(line, action) if action else ([], _NO_FILES)
    if prefix.startswith("-"):
        return line.options(), _NO_FILES
    pending, positional = line.pending(), line.positional()
    action = pending or positional
    if action is None:
        return line.options(), _NO_FILES
    found, directive = _values(line, action)
    if pending is not None and pending.nargs == "?" and positional is not None:
        more, directive = _values(line, positional)
        found = [*found, *more]
    return found, directive


class _Line:
    """The words of a command before the one to complete."""

    def __init__(self, verb: str, actions: Sequence[argparse.Action], words: Sequence[str]) -> None:
        self.verb = verb
        self._actions = actions
        self._words = words

    def option(self, word: str) -> argparse.Action | None:
        return next((each for each in self._actions if word in each.option_strings), None)

    def options(self) -> Candidates:
        """Return the options that are not given yet or may be repeated, in their long form."""
        return [
            (each.option_strings[-1], (each.help or "").partition(";")[0])
            for each in self._actions
            if each.option_strings
            and (isinstance(each, argparse._AppendAction) or not set(each.option_strings) & set(self._words))
        ]

    def pending(self) -> argparse.Action | None:
        """Return the option whose value comes next."""
        action = self.option(self._words[-1]) if self._words else None
        return action if action is not None and action.nargs != 0 else None

    def positionals(self) -> list[str]:
        """Return the words that belong to no option."""
        found = []
        values = 0
        for word, after in zip(self._words, [*self._words[1:], ""], strict=False):
            action = self.option(word) if word.startswith("-") else None
            if values:
                values -= 1
            elif action is not None:
                bare = action.nargs == 0 or (action.nargs == "?" and after not in (action.choices or ()))
                values = 0 if bare else 1
            elif not word.startswith("-"):
                found.append(word)
        return found

    def positional(self) -> argparse.Action | None:
        """Return the positional argument of the next word."""
        left = len(self.positionals())
        for each in self._actions:
            if each.option_strings:
                continue
            if each.nargs == "*" or left == 0:
                return each
            left -= 1
        return None

    def value(self, *names: str) -> str | None:
        """Return the value of an option."""
        for position, word in enumerate(self._words):
            option, equals, value = word.partition("=")
            if option in names:
                return value if equals else next(iter(self._words[position + 1 :]), None)
        return None

    def kubectl(self) -> Kubectl:
        """Return kubectl for the cluster and namespace of the words.

        Raises:
            CliError: kubectl is not installed.
        """
        return Kubectl.of(
            argparse.Namespace(
                namespace=self.value("-n", "--namespace"),
                context=self.value("--context"),
                kubeconfig=self.value("--kubeconfig"),
            )
        )


def _values(line: _Line, action: argparse.Action) -> tuple[Candidates, int]:
    if action.choices is not None:
        return [(str(each), "") for each in action.choices], _NO_FILES
    metavar = str(action.metavar)
    if metavar == "FILE":
        return [], _FILES
    if metavar == "DIR":
        return [], _FOLDERS
    source = _SOURCES.get(metavar)
    return (source(line) if source else []), _NO_FILES


def _executions(line: _Line) -> Candidates:
    listed = line.kubectl().run("get", EXECUTIONS, "-o", f"jsonpath={_ROW}").ok().out
    guard = guards.GUARDS.get(line.verb)
    typed = line.positionals()
    found = []
    for row in listed.splitlines():
        name, phase, paused, on_stop, tree = row.split("\t")
        execution = Execution(
            {
                "metadata": {"name": name},
                "status": {"phase": phase, "conditions": [{"type": "TreeSucceeded", "status": tree}]},
                "spec": {"paused": paused == "true", "children": {"onStop": on_stop}},
            }
        )
        if name not in typed and (guard is None or guard(execution) is None):
            found.append((name, execution.phase))
    return found


def _nodes(line: _Line) -> Candidates:
    kubectl = line.kubectl()
    flow = line.value("--flow")
    if flow:
        return [(each, "") for each in flows.finish_reading(flows.start_reading(kubectl, flow)) or ()]
    typed = line.positionals()
    if line.verb == "breakpoints":
        action, typed = (typed[0], typed[1:]) if typed else ("", [])
        if action in ("list", "clear"):
            return []
    if not typed:
        return []
    execution = Execution(kubectl.run("get", EXECUTIONS, typed[0], "-o", "json").json())
    if line.verb == "breakpoints" and action == "remove":
        nodes = execution.breakpoints
    elif line.verb in ("approve", "reject"):
        nodes = [str(each["node"]) for each in execution.approvals]
    else:
        nodes = flows.nodes_of(kubectl, execution) or []
    return [(each, "") for each in nodes if each not in typed[1:]]


def _signals(line: _Line) -> Candidates:
    typed = line.positionals()
    if not typed:
        return []
    execution = Execution(line.kubectl().run("get", EXECUTIONS, typed[0], "-o", "json").json())
    waiting = execution.status.get("waiting") or ()
    return [(str(each["signal"]), str(each["kind"])) for each in waiting if each.get("signal")]


def _names(*arguments: str) -> Callable[[_Line], Candidates]:
    def source(line: _Line) -> Candidates:
        listed = line.kubectl().run(*arguments).ok().out
        # Names of contexts may have slashes; names of objects follow their kind.
        return [(each if arguments[0] == "config" else each.rpartition("/")[2], "") for each in listed.split()]

    return source


def _event_types(line: _Line) -> Candidates:
    return [(each, "") for each in TYPES]


def _phases(line: _Line) -> Candidates:
    return [(each, "") for each in PHASES]


_SOURCES: Final[dict[str, Callable[[_Line], Candidates]]] = {
    "NAME": _executions,
    "NODE": _nodes,
    "SIGNAL": _signals,
    "FLOW": _names("get", FLOWS, "-o", "name"),
    "NAMESPACE": _names("get", "namespaces", "-o", "name"),
    "CONTEXT": _names("config", "get-contexts", "-o", "name"),
    "TYPE": _event_types,
    "PHASE": _phases,
}

_SHELLS: Final = ("bash", "zsh", "fish", "powershell")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, help="The shell to print a script for.")


def _run(args: argparse.Namespace) -> int:
    # Scripts of cobra are the same for every program but for its name.
    script = Kubectl.on().run("completion", args.shell).ok().out
    print(script.replace("kubectl", "chaingraph"), end="")
    return 0


COMMAND = Command(
    """\
Print a shell completion script for `chaingraph`: commands, options, and names of executions, Flows and nodes.
`kubectl chaingraph` needs kubectl's own completion alone: kubectl finds kubectl_complete-chaingraph in the
folder of kubectl-chaingraph.""",
    _arguments,
    _run,
    examples="""
source <(chaingraph completion bash)
chaingraph completion fish > ~/.config/fish/completions/chaingraph.fish
""",
    of_cluster=False,
)
