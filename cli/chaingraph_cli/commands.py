"""What a command of the terminal is, and how its arguments are read.

The standard library's argparse, one parser for the command that was asked for: it is there in 10 ms, where the
libraries made for the purpose take 80 to 120 ms to import.
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
from chaingraph_crds.suggestions import similar

OPTION_WITH_VALUE: Final = ("-n", "--namespace", "--context", "--kubeconfig")
"""The options that may stand before the command's name, as after it."""

KUBECTL_PLUGIN: Final = "kubectl chaingraph"


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        description: what it does, for its help.
        arguments: adds its arguments to a parser. Their metavars say what completes them: see `plugin.completion`.
        run: does it; returns the exit code.
        examples: lines of the help, each written as for `kubectl chaingraph`.
        of_cluster: takes kubectl's options (namespace, context, kubeconfig).
    """

    description: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: str = ""
    of_cluster: bool = True


@dataclass(frozen=True)
class Entry:
    """Where a command is: `module:attribute`, imported when it is asked for, and its line in the list of commands.

    `extra` is the extra of the package chaingraph that the command needs to run; its help needs none.
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
    """What was called: its name for people, and its commands by title of their section in the help."""

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
        lines.append(f"Arguments and examples of a command: {self.name} COMMAND --help")
        return "\n".join(lines)


def split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command's name, '' if none is there, and the other arguments in their order."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if not word.startswith("-"):
            return word, [*arguments[:position], *arguments[position + 1 :]]
        position += 2 if word in OPTION_WITH_VALUE else 1
    return "", list(arguments)


def parser_of(program: Program, name: str, command: Command) -> argparse.ArgumentParser:
    """The parser of one command, with its help."""
    parser = argparse.ArgumentParser(
        prog=f"{program.name} {name}",
        description=command.description,
        epilog=_epilog(program, command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    if command.of_cluster:
        shared = parser.add_argument_group("which cluster")
        shared.add_argument("-n", "--namespace", metavar="NAMESPACE", help="By default the context's.")
        shared.add_argument("--context", metavar="CONTEXT", help="Context of the kubeconfig; by default its current.")
        shared.add_argument("--kubeconfig", metavar="FILE", help="By default as for kubectl: $KUBECONFIG, ~/.kube.")
    return parser


def _epilog(program: Program, command: Command) -> str | None:
    if not command.examples:
        return None
    lines = command.examples.strip("\n").replace(KUBECTL_PLUGIN, program.name).splitlines()
    return "\n".join(["examples:", *(f"  {line}" if line else "" for line in lines)])


def run(program: Program, arguments: Sequence[str]) -> int:
    """Do what the arguments ask for; returns the exit code. A `CliError` is told on stderr."""
    name, others = split(arguments)
    if not name and "--version" in others:
        return run(program, ["version", *(each for each in others if each != "--version")])
    if not name:
        if [each for each in others if each not in ("-h", "--help")]:
            print(f"Error: say which command, as in: {program.name} get\n{program.name} --help", file=sys.stderr)
            return Usage.exit_code
        print(program.help())
        return 0 if others else Usage.exit_code
    if name == "help":
        return run(program, [*others, "--help"])
    entry = program.entries.get(name)
    if entry is None:
        print(f"Error: {program.name} has no command {name!r}.{_near(name, program)}", file=sys.stderr)
        return Usage.exit_code
    command = entry.load()
    try:
        parser = parser_of(program, name, command)
        chosen = parser.parse_intermixed_args(_with_bare_values(parser, others))
        with extra_needed(f"{program.name} {name}", entry.extra):
            return command.run(chosen)
    except CliError as error:
        tell(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


@contextmanager
def extra_needed(what: str, extra: str) -> Iterator[None]:
    """Name the extra to install if a package of it cannot be imported within the block.

    Raises:
        PackageMissing: a package is missing.
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
    """Do a program's work and end the process with its exit code.

    When nobody reads on, as after `| head`, it ends without a word, with the code that shells give it.
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
        # What is still in the buffers must not raise it again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        code = CLOSED_PIPE
    sys.exit(code)


def _with_bare_values(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The words, where an option whose value may be left out takes the next word only if that is one of its values."""
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


def tell(error: CliError) -> None:
    """The error on stderr."""
    sys.stdout.flush()
    print(f"Error: {error.message}", file=sys.stderr)
    if error.hint:
        print(error.hint, file=sys.stderr)


def _near(name: str, program: Program) -> str:
    near = similar(name, program.entries)
    return f" Did you mean {near[0]!r}?" if near else f" They are: {', '.join(program.entries)}"


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a command, in their order, without --help: for the reference and for completion."""
    return [each for each in parser._actions if each.dest != "help"]


def is_plugin() -> bool:
    """Whether this process was called as kubectl's plugin: hints name commands as the person types them."""
    return "kubectl" in sys.argv[0].rpartition("/")[2]


def typed(*words: str) -> str:
    """A command line of ours for a hint."""
    return " ".join((KUBECTL_PLUGIN if is_plugin() else "chaingraph", *words))
