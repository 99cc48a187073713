"""`outputs`: prints the outputs of an execution, of any size.

Values are streamed in pieces, so that neither the gateway nor this process holds a whole one in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from chaingraph_cli.commands import Command
from chaingraph_cli.errors import NotFound, Usage
from chaingraph_cli.execution import FINISHED
from chaingraph_cli.executions import lookup
from chaingraph_cli.executions.lookup import Found
from chaingraph_cli.gateway.options import add_gateway
from chaingraph_cli.render import output_text
from chaingraph_cli.terminal import tables
from chaingraph_cli.terminal.escapes import raw

_LONGEST: Final = 100
"""Characters of a value in the table."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name or id of the execution.")
    parser.add_argument("--output", metavar="OUTPUT", dest="key", help="Print only this output, in full.")
    parser.add_argument(
        "-o",
        dest="form",
        choices=("table", "json", "yaml", "raw"),
        help="Default: table; raw with --output. raw prints a string without quotes.",
    )
    add_gateway(parser)


def _run(args: argparse.Namespace) -> int:
    form = args.form or ("raw" if args.key else "table")
    if form == "raw" and not args.key:
        raise Usage("-o raw needs one output.", "Name it: --output OUTPUT.")
    if form == "table" and args.key:
        raise Usage("-o table cannot be combined with --output.", "Use -o raw, json or yaml.")
    found = lookup.find(args)
    try:
        details = found.gateway.get(found.path)
    except NotFound as absent:
        raise found.not_known(absent) from absent
    if args.key:
        _one(found, details, args.key, form)
    else:
        _all(found, details, form)
    return 0


def _large(details: Mapping[str, Any]) -> dict[str, int]:
    """Return the outputs that are too large for a page, with their sizes."""
    return {str(each["name"]): int(each["bytes"]) for each in details.get("omittedOutputs") or ()}


def _one(found: Found, details: Mapping[str, Any], key: str, form: str) -> None:
    small, large = details["outputs"] or {}, _large(details)
    if key not in small and key not in large:
        raise _no_output(details, key, [*small, *large])
    if form == "yaml" and key in small:
        _print_yaml(small[key])
        return
    path = f"{found.gateway.path_of(str(details['executionID']), 'outputs')}/{quote(key, safe='')}"
    with found.gateway.value(path) as page:
        value = output_text.value_of(page, "value")
        _print(output_text.raw(value) if form == "raw" else value, exactly=form == "raw")


def _all(found: Found, details: Mapping[str, Any], form: str) -> None:
    small, large = details["outputs"] or {}, _large(details)
    if not small and not large:
        if form != "table":
            print("{}")
        sys.stdout.flush()
        print(_nothing(details), file=sys.stderr)
    elif form == "table":
        print(tables.table(("OUTPUT", "BYTES", "VALUE"), list(_rows(found, small, large))))
    elif form == "yaml" and not large:
        _print_yaml(small)
    else:
        with found.gateway.value(found.gateway.path_of(str(details["executionID"]), "outputs")) as page:
            _print(output_text.value_of(page, "outputs"))


def _rows(found: Found, small: Mapping[str, Any], large: Mapping[str, int]) -> Iterator[list[str]]:
    for name, value in small.items():
        text = json.dumps(value, ensure_ascii=False)
        yield [
            name,
            f"{len(text.encode(errors='replace')):,}",
            text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…",
        ]
    for name, size in large.items():
        yield [name, f"{size:,}", f"({found.kubectl.typed('outputs', found.name, '--output', name)})"]


def _no_output(details: Mapping[str, Any], key: str, names: list[str]) -> NotFound:
    if not names:
        return NotFound(_nothing(details))
    import difflib

    near = difflib.get_close_matches(key, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Its outputs: {', '.join(names)}"
    return NotFound(f"Execution {details['name']!r} has no output {key!r}.", hint)


def _nothing(details: Mapping[str, Any]) -> str:
    phase = str(details["phase"])
    when = "" if phase in FINISHED else " yet: outputs are set when it finishes"
    return f"Execution {details['name']!r} ({phase}) has no outputs{when}."


def _print_yaml(value: Any) -> None:
    import yaml

    print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).removesuffix("...\n"), end="", flush=True)


def _print(pieces: Iterable[str], *, exactly: bool = False) -> None:
    """Print pieces; with `exactly`, a file or a pipe gets them without escapes and without a newline at the end."""
    stream = sys.stdout
    if exactly and not stream.isatty():
        binary = raw(stream).buffer
        for piece in pieces:
            binary.write(piece.encode("utf-8", "backslashreplace"))
        binary.flush()
        return
    for piece in pieces:
        stream.write(piece)
    print(flush=True)


COMMAND = Command(
    """\
Print the outputs of an execution: a table of all of them, or one in full, of any size. The status of the resource has
only small ones. JSON and YAML have values in full; in YAML a large value is printed as JSON.""",
    _arguments,
    _run,
    examples="""
kubectl chaingraph outputs nightly
kubectl chaingraph outputs nightly --output rows > rows.json
kubectl chaingraph outputs nightly -o json | jq .len
""",
)
