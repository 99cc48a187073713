"""Build the manifest of the resource that represents a child. Pure.

The spec shows the child's input: the flow, the event that started it, and inherited settings. Values that are large, or
contain a number that the API would round, are left out. An annotation gives their sizes; the ledger has the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from chaingraph_crds import names
from chaingraph_crds.numbers import numbers_in, refused_by_kubernetes
from chaingraph_store.children.child_rows import ChildResource

MAX_SHOWN: Final = 8 * 1024
"""Maximum size, in bytes of JSON, of a payload or input value that the resource shows."""
_MAX_NAMED: Final = 20
"""Maximum number of inputs that an annotation names. The rest are counted."""

Manifest = dict[str, Any]


def manifest(child: ChildResource) -> Manifest:
    """Build the Execution to create. The parent's resource owns it, so both are deleted together."""
    inputs, long_inputs = _inputs(child.inputs)
    events, long_payload = _events(child.events)
    left_out = {names.INPUTS_LEFT_OUT_ANNOTATION: long_inputs, names.PAYLOAD_LEFT_OUT_ANNOTATION: long_payload}
    annotations = {name: said for name, said in left_out.items() if said}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.EXECUTION_KIND,
        "metadata": {
            "namespace": child.namespace,
            "name": child.name,
            "labels": {
                names.EXECUTION_ID_LABEL: child.id,
                names.PARENT_ID_LABEL: child.parent_id,
                names.ROOT_ID_LABEL: child.root_id,
            },
            "ownerReferences": [_owner(child)],
        }
        | ({"annotations": annotations} if annotations else {}),
        "spec": _spec(child, inputs, events),
    }


def _owner(child: ChildResource) -> Manifest:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.EXECUTION_KIND,
        "name": child.parent_name,
        "uid": child.parent_uid,
        "controller": True,
        # Without this, creating it needs the right to update the parent's finalizers.
        "blockOwnerDeletion": False,
    }


def _spec(child: ChildResource, inputs: Mapping[str, Any], events: list[Manifest]) -> Manifest:
    spec: Manifest = {
        "spawnedBy": {
            "executionID": child.id,
            "parentExecutionID": child.parent_id,
            "parentName": child.parent_name,
            "position": child.position,
        }
        | {name: value for name, value in (("node", child.called_by), ("subflow", child.subflow)) if value},
        "options": _options(child),
        "queue": child.queue,
        "priority": child.priority,
        "startTimeoutSeconds": child.start_timeout_s,
        "children": {"resources": child.resources, "onStop": child.on_stop},
    }
    if child.flow_name:
        spec["flowRef"] = {"name": child.flow_name}
    optional = {"inputs": inputs, "events": events, "integration": child.integration}
    return spec | {name: value for name, value in optional.items() if value}


def _options(child: ChildResource) -> Manifest:
    """Return the child's options. Breakpoints come from the row: the options have its parent's initial ones."""
    options = {name: value for name, value in child.options.items() if name != "breakpoints"}
    return options | ({"breakpoints": child.breakpoints} if child.breakpoints else {})


def _inputs(inputs: Mapping[str, Any]) -> tuple[Manifest, str]:
    """Return the inputs to show, and a description of those left out."""
    sizes = {name: len(orjson.dumps(value)) for name, value in inputs.items()}
    long = [f"{name}: {size} bytes" for name, size in sizes.items() if not _shown(inputs[name], size)]
    more = [f"and {len(long) - _MAX_NAMED} more"] if len(long) > _MAX_NAMED else []
    shown = {name: value for name, value in inputs.items() if _shown(value, sizes[name])}
    return shown, ", ".join(long[:_MAX_NAMED] + more)


def _events(events: list[Manifest]) -> tuple[list[Manifest], str]:
    """Return the events without large payloads, and a description of the payloads left out."""
    shown: list[Manifest] = []
    left_out = 0
    for event in events:
        payload = event.get("payload")
        size = len(orjson.dumps(payload))
        visible = _shown(payload, size)
        left_out += 0 if visible else size
        shown.append({"name": event["name"]} | ({"payload": payload} if visible and payload is not None else {}))
    return shown, f"{left_out} bytes" if left_out else ""


def _shown(value: Any, size: int) -> bool:
    """Whether a value is small enough to show, and has no number that the Kubernetes API would round."""
    return size <= MAX_SHOWN and not any(refused_by_kubernetes(number) for _, number in numbers_in(value))
