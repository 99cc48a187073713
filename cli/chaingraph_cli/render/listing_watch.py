"""`get --watch`: prints a row for each execution, and again when it changes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from chaingraph_cli.errors import Usage
from chaingraph_cli.execution import Execution
from chaingraph_cli.kubectl import EXECUTIONS, Kubectl, error_of, read_json
from chaingraph_cli.render import listing
from chaingraph_cli.terminal import tables

_AGAIN_SECONDS: Final = 0.5
GONE: Final = "(gone)"
"""The phase of an execution that was deleted or no longer matches the selection."""


def watch(
    args: argparse.Namespace,
    kubectl: Kubectl,
    names: Sequence[str],
    selection: Sequence[str],
    fits: Callable[[Execution], bool],
) -> int:
    """Print executions and their changes until Ctrl-C.

    Raises:
        Usage: more than one is named.
        CliError: kubectl failed.
    """
    if len(names) > 1:
        raise Usage("--watch takes at most one NAME.")
    arguments = [f"--field-selector=metadata.name={names[0]}"] if names else list(selection)
    content = kubectl.run("get", EXECUTIONS, *arguments, "-o", "json").json()
    found = listing.newest_first([each for each in map(Execution, content["items"]) if fits(each)])
    shown = _Shown(args)
    shown.first(found)
    seen = {each.item["metadata"]["uid"]: each.item["metadata"]["resourceVersion"] for each in found}
    while True:
        for type_, execution in _events(kubectl, arguments):
            metadata = execution.item["metadata"]
            if seen.get(metadata["uid"]) == metadata["resourceVersion"] or not fits(execution):
                continue
            seen[metadata["uid"]] = metadata["resourceVersion"]
            if type_ == "DELETED":
                execution = Execution(execution.item | {"status": execution.status | {"phase": GONE}})
            shown.more([execution])
        time.sleep(_AGAIN_SECONDS)


def _events(kubectl: Kubectl, arguments: Sequence[str]) -> Iterator[tuple[str, Execution]]:
    process = kubectl.start("get", EXECUTIONS, *arguments, "--watch", "--output-watch-events", "-o", "json")
    try:
        assert process.stdout is not None
        for line in process.stdout:
            event: dict[str, Any] = read_json(line)
            yield str(event["type"]), Execution(event["object"])
        if process.wait() != 0:
            assert process.stderr is not None
            raise error_of(process.stderr.read())
    finally:
        process.kill()
        process.communicate()


class _Shown:
    """Prints rows in columns that fit the first rows."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._form = args.output
        self._wide = args.output == "wide"
        self._namespaces = args.all_namespaces
        self._headers = not args.no_headers
        self._widths: list[int] = []

    def first(self, found: Sequence[Execution]) -> None:
        """Print the header and the first executions."""
        if self._form in (None, "table", "wide"):
            header = listing.columns_of(wide=self._wide, namespaces=self._namespaces)
            rows = [self._row(each) for each in found]
            self._widths = tables.widths([header, *rows], [0] * len(header))
            if self._headers:
                print(tables.joined(header, self._widths), flush=True)
        self.more(found)

    def more(self, found: Iterable[Execution]) -> None:
        """Print changed executions."""
        for each in found:
            print(self._text(each), flush=True)

    def _text(self, execution: Execution) -> str:
        match self._form:
            case "name":
                return execution.full_name
            case "json":
                return json.dumps(execution.item, ensure_ascii=False)
            case "yaml":
                from chaingraph_crds.yaml.writing import written

                return "---\n" + written(execution.item).rstrip("\n")
        row = self._row(execution)
        self._widths = tables.widths([row], self._widths)
        return tables.joined(row, self._widths)

    def _row(self, execution: Execution) -> list[str]:
        cells = listing.cells_of(execution, datetime.now(UTC), wide=self._wide, namespaces=self._namespaces)
        return [cell or tables.NONE for cell in cells]
