"""Reads the examples of a checkout and serves their data.

The annotation `chaingraph.dev/expected-phase` of an example has its expected phase, if that is not Completed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import ExamplesInvalid
from chaingraph_crds import names
from chaingraph_crds.execution import ExecutionPhase
from chaingraph_crds.yaml.nodes import YamlError
from chaingraph_crds.yaml.reading import read

_CHECKOUT: Final = Path(__file__).parents[3] / "examples"
_FIRST: Final = "01-hello.yaml"
EXPECTED_PHASE: Final = f"{names.GROUP}/expected-phase"
_UNFINISHED: Final = (ExecutionPhase.RUNNING, ExecutionPhase.PAUSED)
"""The phases in which an example may stay: Running, while all that is left of it waits, or Paused."""
DATA_PORT: Final = 8765
"""The port of the data in the examples."""
SOURCE_INPUT: Final = "source"
"""The input with the URL of the data."""
_LOOPBACK: Final = "127.0.0.1"
DATA_URL: Final = f"http://{_LOOPBACK}:{DATA_PORT}"


@dataclass(frozen=True)
class Example:
    """A resource of the examples, and its file."""

    file: Path
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def expected(self) -> ExecutionPhase | None:
        """The expected phase; None for anything but an Execution."""
        if self.kind != names.EXECUTION_KIND:
            return None
        return ExecutionPhase(_annotation(self.manifest) or ExecutionPhase.COMPLETED)

    def fetching_from(self, url: str) -> Example:
        """Return the example with its data served at another URL."""
        spec = self.manifest.get("spec") or {}
        if self.kind != names.EXECUTION_KIND or (spec.get("inputs") or {}).get(SOURCE_INPUT) != DATA_URL:
            return self
        inputs = {**spec["inputs"], SOURCE_INPUT: url}
        return replace(self, manifest={**self.manifest, "spec": {**spec, "inputs": inputs}})


def find(given: Path | None) -> Path:
    """Return the folder of the examples: the given one, else that of the checkout.

    Raises:
        ExamplesInvalid: there is none.
    """
    if given is not None:
        if not given.is_dir():
            raise ExamplesInvalid(f"{given} is not a folder.", "Set the folder of the examples: --examples DIR")
        return given
    for folder in (Path.cwd() / "examples", _CHECKOUT):
        if any(folder.glob("*.yaml")):
            return folder
    raise ExamplesInvalid(
        "Examples not found: they are part of a checkout, not of the installed package.",
        "Run this in a checkout, or set their folder: --examples DIR",
    )


def first_example() -> Path:
    """Return the path of the first example, in the checkout or in the installed package."""
    for folder in (Path("examples"), _CHECKOUT):
        if (folder / _FIRST).is_file():
            return folder / _FIRST
    return Path(__file__).with_name(_FIRST)


def load(folder: Path) -> tuple[Example, ...]:
    """Read the resources of a folder's YAML files, in the order of `kubectl apply -f FOLDER`.

    Raises:
        ExamplesInvalid: a file is not valid YAML, or has other kinds than Flow, Execution and Secret.
    """
    examples = tuple(each for file in sorted(folder.glob("*.yaml")) for each in _read(file))
    if not examples:
        raise ExamplesInvalid(f"{folder} has no YAML files.", "Set the folder of the examples: --examples DIR")
    return examples


def _read(file: Path) -> list[Example]:
    try:
        documents = read(file.read_text(encoding="utf-8")).documents
    except (OSError, UnicodeDecodeError, YamlError) as error:
        raise ExamplesInvalid(f"Cannot read {file}: {error}") from error
    for each in documents:
        problem = _error_response(each)
        if problem:
            raise ExamplesInvalid(f"{file}: {problem}")
    return [Example(file, each) for each in documents]


def _error_response(document: Any) -> str:
    if isinstance(document, dict) and (document.get("apiVersion"), document.get("kind")) == ("v1", "Secret"):
        return "" if (document.get("metadata") or {}).get("name") else "metadata.name is missing"
    if not isinstance(document, dict) or document.get("apiVersion") != names.API_VERSION:
        return f"apiVersion must be {names.API_VERSION}"
    if document.get("kind") not in (names.FLOW_KIND, names.EXECUTION_KIND):
        return f"kind must be {names.FLOW_KIND} or {names.EXECUTION_KIND}, is {document.get('kind')!r}"
    if not (document.get("metadata") or {}).get("name"):
        return "metadata.name is missing"
    phase = _annotation(document)
    known = [str(each) for each in ExecutionPhase if each.finished or each in _UNFINISHED]
    if phase is not None and phase not in known:
        return f"the annotation {EXPECTED_PHASE} must be one of {', '.join(known)}, is {phase!r}"
    return ""


def _annotation(document: dict[str, Any]) -> str | None:
    annotations: dict[str, str] = document["metadata"].get("annotations") or {}
    return annotations.get(EXPECTED_PHASE)


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: it would disturb the display."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder's files on loopback for the block; yields the URL.

    The port is that of the examples, so that applying them again by hand changes nothing; another one if it is in use.
    """
    handler = partial(_QuietHandler, directory=str(folder))
    try:
        server = ThreadingHTTPServer((_LOOPBACK, DATA_PORT), handler)
    except OSError:
        server = ThreadingHTTPServer((_LOOPBACK, 0), handler)
    thread = threading.Thread(target=server.serve_forever, name="examples data", daemon=True)
    thread.start()
    try:
        yield f"http://{_LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
