"""The manifest of a new Execution, from a Flow's name or a file and from what the command line adds. For `create`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.creating.files import documents
from chaingraph_cli.creating.inputs import AS_TEXT, any_value
from chaingraph_cli.errors import Usage
from chaingraph_crds import names
from chaingraph_crds.numbers import numbers_in, refused_by_kubernetes

_MAX_PREFIX: Final = 40
"""Of a generated name: what is added has its place within the 63 characters of a label's value."""

_CONTROLS: Final = ("paused", "step", "resume", "stop", "stopReason", "retry")
"""What was done with an execution is not repeated by one that runs the same again."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class CreateOptions:
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


def again(item: Mapping[str, Any]) -> Manifest:
    """An Execution that runs what another one ran, with its inputs, events and options.

    Raises:
        Usage: it is a child, and its resource does not tell all that it ran with.
    """
    name, spec = str(item["metadata"]["name"]), item.get("spec") or {}
    if "spawnedBy" in spec:
        parent = spec["spawnedBy"].get("parentName")
        raise Usage(
            f"{name} was made by an event of {parent or 'another execution'}, and runs as a part of it.",
            f"Run that one again: create --from-execution {parent}" if parent else "",
        )
    kept = {each: found for each, found in spec.items() if each not in _CONTROLS}
    return _execution(str(item["metadata"].get("generateName") or name).removesuffix("-"), kept)


def of_file(file: str) -> Manifest:
    """An Execution of what a file has: an Execution, a Flow, or the spec of a flow alone.

    Raises:
        Usage: the file cannot be read, or has something else.
    """
    found = documents(file)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Usage(
            f"{file} has {len(found)} documents, and `create` takes a file with one flow or one Execution.",
            f"To apply all that is in it: kubectl apply -f {file}",
        )
    content = found[0]
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


def made(wishes: CreateOptions, manifest: Manifest) -> Manifest:
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
    """As JSON for `kubectl create -f -`.

    Raises:
        Usage: a number cannot be kept in Kubernetes' API as it is.
    """
    for steps, number in numbers_in(manifest):
        why = refused_by_kubernetes(number)
        if why is not None:
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
            raise Usage(f"{place} {why}.", AS_TEXT)
    return json.dumps(manifest, default=str)


def inputs_of(file: str) -> dict[str, Any]:
    """The inputs of a file.

    Raises:
        Usage: the file has something else than inputs by name.
    """
    found = documents(file)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Usage(f"{file}: inputs are a mapping from their names to their values, and this is none.")
    return found[0]


def event(argument: str) -> dict[str, Any]:
    """An event of `spec.events`, of NAME=PAYLOAD or NAME."""
    name, equals, payload = argument.partition("=")
    if not name:
        raise Usage(f"--event {argument}: is not of the form NAME=PAYLOAD.")
    return {"name": name, "payload": any_value(payload, f"--event {name}")} if equals else {"name": name}


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
