"""Makes the manifest of a new Execution from a Flow's name or a file, and from options of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import Usage
from chaingraph_cli.executions.files import documents
from chaingraph_cli.executions.inputs import AS_TEXT, any_value
from chaingraph_crds import names
from chaingraph_crds.numbers import numbers_in, refused_by_kubernetes

_MAX_PREFIX: Final = 40
"""Of a generated name: with the suffix it fits into the 63 characters of a label value."""

_CONTROLS: Final = ("paused", "step", "resume", "signals", "stop", "stopReason", "retry")
"""Fields that are not copied from an earlier execution."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class CreateOptions:
    """Options of the command line that change a manifest."""

    name: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    paused: bool = False
    breakpoints: Sequence[str] = ()


def of_flow(name: str) -> Manifest:
    """Make an Execution of a Flow of the namespace."""
    return _execution(name, {"flowRef": {"name": name}})


def again(item: Mapping[str, Any]) -> Manifest:
    """Make an Execution with the flow, inputs, events and options of another one.

    Raises:
        Usage: the other one is a child: its resource does not have all of that.
    """
    name, spec = str(item["metadata"]["name"]), item.get("spec") or {}
    if "spawnedBy" in spec:
        parent = spec["spawnedBy"].get("parentName")
        raise Usage(
            f"{name} is a child of {parent or 'another execution'} and cannot be run alone.",
            f"Run its parent again: create --from-execution {parent}" if parent else "",
        )
    kept = {each: found for each, found in spec.items() if each not in _CONTROLS}
    return _execution(str(item["metadata"].get("generateName") or name).removesuffix("-"), kept)


def of_file(file: str) -> Manifest:
    """Make an Execution of a file with an Execution, a Flow or the spec of a flow.

    Raises:
        Usage: the file cannot be read or has something else.
    """
    found = documents(file)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Usage(
            f"{file} has {len(found)} documents; `create` needs a file with one Flow or one Execution.",
            f"Apply all of them: kubectl apply -f {file}",
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
        f"{file} has kind {kind!r}." if kind else f"{file} has no flow: `nodes` is missing.",
        f"`create` needs an Execution, a Flow or the spec of a flow ({names.API_VERSION}).",
    )


def made(options: CreateOptions, manifest: Manifest) -> Manifest:
    """Apply the options of the command line to a manifest."""
    metadata = dict(manifest.get("metadata") or {})
    if options.name:
        metadata.pop("generateName", None)
        metadata["name"] = options.name
    if options.labels:
        metadata["labels"] = {**(metadata.get("labels") or {}), **options.labels}
    spec = dict(manifest.get("spec") or {})
    if options.inputs:
        spec["inputs"] = {**(spec.get("inputs") or {}), **options.inputs}
    if options.events:
        spec["events"] = [*(spec.get("events") or ()), *options.events]
    if options.paused:
        spec["paused"] = True
    if options.breakpoints:
        before = dict(spec.get("options") or {})
        breakpoints = list(dict.fromkeys([*(before.get("breakpoints") or ()), *options.breakpoints]))
        spec["options"] = before | {"breakpoints": breakpoints}
    return {**manifest, "metadata": metadata, "spec": spec}


def text(manifest: Manifest) -> str:
    """Serialize a manifest as JSON for `kubectl create -f -`.

    Raises:
        Usage: the Kubernetes API would change a number.
    """
    for steps, number in numbers_in(manifest):
        why = refused_by_kubernetes(number)
        if why is not None:
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
            raise Usage(f"{place} {why}.", AS_TEXT)
    return json.dumps(manifest, default=str)


def inputs_of(file: str) -> dict[str, Any]:
    """Read the inputs of a file.

    Raises:
        Usage: the file is not a mapping of inputs.
    """
    found = documents(file)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Usage(f"{file}: expected a mapping from input names to values.")
    return found[0]


def event(argument: str) -> dict[str, Any]:
    """Parse NAME=PAYLOAD or NAME into an event of `spec.events`."""
    name, equals, payload = argument.partition("=")
    if not name:
        raise Usage(f"--event {argument}: expected NAME=PAYLOAD.")
    return {"name": name, "payload": any_value(payload, f"--event {name}")} if equals else {"name": name}


def _execution(prefix: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.EXECUTION_KIND,
        "metadata": {"generateName": f"{prefix[:_MAX_PREFIX].rstrip('-.')}-"},
        "spec": spec,
    }


def _stem(file: str) -> str:
    """Make a name from a file name: lower-case letters, digits and dashes."""
    stem = "flow" if file == "-" else Path(file).name.partition(".")[0]
    return "".join(each if each.isalnum() and each.isascii() else "-" for each in stem.lower()).strip("-") or "flow"
