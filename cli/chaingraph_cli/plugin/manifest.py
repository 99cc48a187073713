"""The manifest of a new Execution, from a Flow's name or a file and from what the command line adds. For `create`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import Usage
from chaingraph_crds import names

_MAX_PREFIX: Final = 40
"""Of a generated name: what is added has its place within the 63 characters of a label's value."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Wishes:
    """What the command line adds to a manifest."""

    name: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    paused: bool = False
    breakpoints: Sequence[str] = ()


def of_flow(name: str) -> Manifest:
    """An Execution of a Flow of the namespace."""
    return _execution(name, {"flowRef": {"name": name}})


def of_file(file: str) -> Manifest:
    """An Execution of what a file has: an Execution, a Flow, or the spec of a flow alone.

    Raises:
        Usage: the file cannot be read, or has something else.
    """
    documents = [each for each in _documents(file) if each is not None]
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Usage(
            f"{file} has {len(documents)} documents, and `create` takes a file with one flow or one Execution.",
            f"To apply all that is in it: kubectl apply -f {file}",
        )
    content = documents[0]
    kind = content.get("kind")
    if kind == names.EXECUTION_KIND:
        return content
    if kind == names.FLOW_KIND:
        name = str((content.get("metadata") or {}).get("name") or _stem(file))
        return _execution(name, {"flow": content.get("spec") or {}})
    if kind is None and "nodes" in content:
        return _execution(_stem(file), {"flow": content})
    raise Usage(
        f"{file} is of kind {kind!r}." if kind else f"{file} has no flow: there are no `nodes` in it.",
        f"`create` takes an Execution, a Flow or the spec of a flow ({names.API_VERSION}).",
    )


def made(wishes: Wishes, manifest: Manifest) -> Manifest:
    """The manifest with what was wished for."""
    metadata = dict(manifest.get("metadata") or {})
    if wishes.name:
        metadata.pop("generateName", None)
        metadata["name"] = wishes.name
    if wishes.labels:
        metadata["labels"] = {**(metadata.get("labels") or {}), **wishes.labels}
    spec = dict(manifest.get("spec") or {})
    if wishes.inputs:
        spec["inputs"] = {**(spec.get("inputs") or {}), **wishes.inputs}
    if wishes.events:
        spec["events"] = [*(spec.get("events") or ()), *wishes.events]
    if wishes.paused:
        spec["paused"] = True
    if wishes.breakpoints:
        options = dict(spec.get("options") or {})
        options["breakpoints"] = list(dict.fromkeys([*(options.get("breakpoints") or ()), *wishes.breakpoints]))
        spec["options"] = options
    return {**manifest, "metadata": metadata, "spec": spec}


def text(manifest: Manifest) -> str:
    """As JSON for `kubectl create -f -`."""
    return json.dumps(manifest, default=str)


def pair(argument: str, option: str) -> tuple[str, str]:
    """KEY and VALUE of KEY=VALUE.

    Raises:
        Usage: there is no `=`, or nothing before it.
    """
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise Usage(f"{option} {argument}: is not of the form KEY=VALUE.")
    return key, value


def value(written: str) -> Any:
    """The JSON value that was written, or the text itself when it is no JSON."""
    try:
        return json.loads(written)
    except ValueError:
        return written


def inputs(pairs: Sequence[str], file: str | None) -> dict[str, Any]:
    """The inputs of a file, and over them those of the command line.

    Raises:
        Usage: the file has something else than inputs by name, or an argument is none.
    """
    content: Any = {}
    if file:
        documents = _documents(file)
        content = documents[0] if len(documents) == 1 else None
        if not isinstance(content, dict):
            raise Usage(f"{file}: inputs are a mapping from their names to their values, and this is none.")
    written = dict(pair(each, "--input") for each in pairs)
    return {**content, **{name: value(each) for name, each in written.items()}}


def event(argument: str) -> dict[str, Any]:
    """An event of `spec.events`, of NAME=PAYLOAD or NAME."""
    name, equals, payload = argument.partition("=")
    if not name:
        raise Usage(f"--event {argument}: is not of the form NAME=PAYLOAD.")
    return {"name": name, "payload": value(payload)} if equals else {"name": name}


def _execution(prefix: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.EXECUTION_KIND,
        "metadata": {"generateName": f"{prefix[:_MAX_PREFIX].rstrip('-.')}-"},
        "spec": spec,
    }


def _stem(file: str) -> str:
    """A name made of a file's: small letters, digits and dashes."""
    stem = "flow" if file == "-" else Path(file).name.partition(".")[0]
    return "".join(each if each.isalnum() and each.isascii() else "-" for each in stem.lower()).strip("-") or "flow"


def _documents(file: str) -> list[Any]:
    """What the documents of a YAML or JSON file hold.

    Raises:
        Usage: it cannot be read.
    """
    import yaml

    try:
        written = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return list(yaml.load_all(written, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except OSError as fault:
        raise Usage(f"{file} cannot be read: {fault.strerror}.") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise Usage(f"{file} is neither YAML nor JSON: {fault}") from fault
