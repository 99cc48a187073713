"""Commands of the terminal and their arguments.

Uses argparse, with a parser for the given command alone: it imports in 10 ms, click and typer in 80 to 120 ms.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

from chaingraph_cli.errors import CLOSED_PIPE, CliError, PackageMissing, Usage
from chaingraph_crds.messages.suggestions import similar

OPTION_WITH_VALUE: Final = ("-n", "--namespace", "--context", "--kubeconfig")
"""The options that may precede the name of the command."""

KUBECTL_PLUGIN: Final = "kubectl chaingraph"

_DEEP_HINT = "Print it with kubectl: kubectl get executions.chaingraph.dev NAME -o yaml"


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        description: first paragraph of its help.
        arguments: adds its arguments to a parser. Their metavars select the completion: see `verbs.completion`.
        run: runs it and returns the exit code.
        examples: lines of its help, each written for `kubectl chaingraph`.
        of_cluster: whether it takes kubectl's options (namespace, context, kubeconfig).
    """

    description: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: str = ""
    of_cluster: bool = True


@dataclass(frozen=True)
class Entry:
    """A command that is not imported yet.

    Attributes:
        place: `module:attribute` of the `Command`.
        summary: its line in the list of commands.
        extra: the extra of the package chaingraph that it needs to run; its help needs none.
    """

    place: str
    summary: str
    extra: str = ""

    def load(self) -> Command:
        module, _, attribute = self.place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, Command)
        return command


@dataclass(frozen=True)
class Program:
    """A program: its name, and its commands by section of the help."""

    name: str
    about: str
    sections: Mapping[str, Mapping[str, Entry]]

    @property
    def entries(self) -> dict[str, Entry]:
        return {name: entry for section in self.sections.values() for name, entry in section.items()}

    def help(self) -> str:
        lines = [self.about, "", f"usage: {self.name} COMMAND [arguments]", ""]
        for title, section in self.sections.items():
            lines += [f"{title}:", *(f"  {name:<13}{entry.summary}" for name, entry in section.items()), ""]
        lines.append(f'Use "{self.name} COMMAND --help" for the arguments and examples of a command.')
        return "\n".join(lines)


def split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of the command ('' if none is given) and the other arguments in order."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if not word.startswith("-"):
            return word, [*arguments[:position], *arguments[position + 1 :]]
        position += 2 if word in OPTION_WITH_VALUE else 1
    return "", list(arguments)


def parser_of(program: Program, name: str, command: Command) -> argparse.ArgumentParser:
    """Make the parser of a command."""
    parser = argparse.ArgumentParser(
        prog=f"{program.name} {name}",
        description=command.description,
        epilog=_epilog(program, command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    if command.of_cluster:
        shared = parser.add_argument_group("cluster options")
        shared.add_argument("-n", "--namespace", metavar="NAMESPACE", help="Defaults to the namespace of the context.")
        shared.add_argument("--context", metavar="CONTEXT", help="Defaults to the current context.")
        shared.add_argument("--kubeconfig", metavar="FILE", help="Defaults to $KUBECONFIG, then to ~/.kube/config.")
    return parser


def _epilog(program: Program, command: Command) -> str | None:
    if not command.examples:
        return None
    lines = command.examples.strip("\n").replace(KUBECTL_PLUGIN, program.name).splitlines()
    return "\n".join(["examples:", *(f"  {line}" if line else "" for line in lines)])


def run(program: Program, arguments: Sequence[str]) -> int:
    """Run the command of the arguments and return its exit code. A `CliError` is printed to stderr."""
    name, others = split(arguments)
    if not name and "--version" in others:
        return run(program, ["version", *(each for each in others if each != "--version")])
    if not name:
        if [each for each in others if each not in ("-h", "--help")]:
            print(f"Error: No command given.\nList the commands: {program.name} --help", file=sys.stderr)
            return Usage.exit_code
        print(program.help())
        return 0 if others else Usage.exit_code
    if name == "help":
        return run(program, [*others, "--help"])
    entry = program.entries.get(name)
    if entry is None:
        print(f"Error: Unknown command {name!r}.{_near(name, program)}", file=sys.stderr)
        return Usage.exit_code
    command = entry.load()
    try:
        parser = parser_of(program, name, command)
        args = parser.parse_intermixed_args(_with_bare_values(parser, others))
        with extra_needed(f"{program.name} {name}", entry.extra):
            return command.run(args)
    except CliError as error:
        print_error(error)
        return error.exit_code
    except RecursionError:
        print_error(CliError(f"{program.name} {name} cannot print an object that is nested this deeply", _DEEP_HINT))
        return CliError.exit_code
    except KeyboardInterrupt:
        return 130


@contextmanager
def extra_needed(what: str, extra: str) -> Iterator[None]:
    """Report a package of an extra that cannot be imported within the block.

    Raises:
        PackageMissing: a package is missing; the hint has the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").startswith("chaingraph_"):
            raise
        raise PackageMissing(
            f"{what} needs the Python package {error.name!r}, which is not installed.",
            f"Install it: pip install 'chaingraph[{extra}]'",
        ) from error


def end(work: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its exit code.

    If the reader closes the output, as in `| head`, exit silently with the code of shells.
    """
    code: int | str | None
    try:
        try:
            code = work()
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        # Flushing the rest of the buffers at exit must not raise it again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        code = CLOSED_PIPE
    sys.exit(code)


def _with_bare_values(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Let an option with an optional value take the next word only if that is one of its values."""
    optional = {
        option: action
        for action in parser._actions
        if action.nargs == "?" and action.choices is not None
        for option in action.option_strings
    }
    following = [*words[1:], ""]
    return [
        f"{word}={optional[word].const}" if word in optional and after not in (optional[word].choices or ()) else word
        for word, after in zip(words, following, strict=False)
    ]


def print_error(error: CliError) -> None:
    """Print an error and its remedy to stderr."""
    sys.stdout.flush()
    print(f"Error: {error.message}", file=sys.stderr)
    if error.hint:
        print(error.hint, file=sys.stderr)


def _near(name: str, program: Program) -> str:
    near = similar(name, program.entries)
    return f" Did you mean {near[0]!r}?" if near else f" Commands: {', '.join(program.entries)}"


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a command in order, without --help: for the reference and for completion."""
    return [each for each in parser._actions if each.dest != "help"]


def is_plugin() -> bool:
    """Whether this process runs as kubectl's plugin."""
    return "kubectl" in sys.argv[0].rpartition("/")[2]


def typed(*words: str) -> str:
    """Return a command line for a hint, as the user types it."""
    return " ".join((KUBECTL_PLUGIN if is_plugin() else "chaingraph", *words))
