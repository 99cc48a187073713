"""Children without a Kubernetes resource: `get` shows them, edits reject them with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chaingraph_cli.errors import CliError, NotFound
from chaingraph_cli.execution import Execution, is_id
from chaingraph_cli.kubectl import Kubectl, nothing_there

if TYPE_CHECKING:
    from chaingraph_cli.gateway.client import Gateway

Document = Mapping[str, Any]
"""An execution as the gateway returns it."""


def read_document(kubectl: Kubectl, name: str) -> Document:
    """Read an execution from the gateway, by its id or by its name in the namespace.

    Raises:
        NotFound: there is none.
        CliError: the gateway is unreachable or rejects the request.
    """
    gateway = _gateway(kubectl)
    return gateway.get(gateway.path_of(name))


def read_child(kubectl: Kubectl, name: str) -> Document | None:
    """Read a child without a resource by its name; None if there is none or the gateway fails."""
    try:
        gateway = _gateway(kubectl)
        return _child(gateway, name)
    except CliError:
        return None


def no_resource(kubectl: Kubectl, name: str) -> CliError:
    """Make the error for a name without a resource: there is no such execution, or it is a child without one."""
    try:
        gateway = _gateway(kubectl)
        if is_id(name):
            return _named_by_id(kubectl, gateway, name)
        child = _child(gateway, name)
    except CliError as error:
        if is_id(name):
            return NotFound(f"{name} is an execution id; this command needs a name. {error.message}", error.hint)
        child = None
    return nothing_there(kubectl, name) if child is None else _without(kubectl, gateway, child)


def _gateway(kubectl: Kubectl) -> Gateway:
    # Imported late: it takes longer than the rest of a verb, and only errors need it.
    from chaingraph_cli.gateway.client import Gateway

    return Gateway.optional(kubectl)


def _child(gateway: Gateway, name: str) -> Document | None:
    found = gateway.get(gateway.path_of(name))
    # An execution with a UID had a resource, which was deleted.
    return found if found["uid"] is None and found["parentID"] else None


def _named_by_id(kubectl: Kubectl, gateway: Gateway, id_: str) -> CliError:
    found = gateway.get(gateway.path_of(id_))
    if found["uid"] is None and found["parentID"]:
        return _without(kubectl, gateway, found)
    named = f"{found['name']!r} in namespace {found['namespace']!r}"
    return NotFound(f"{id_} is an execution id; this command needs a name: {named}.")


def _without(kubectl: Kubectl, gateway: Gateway, child: Document) -> CliError:
    name = repr(child["name"])
    if child["resources"] != "None":
        return NotFound(f"The resource of execution {name} has not been created yet.", "Try again in a moment.")
    message = (
        f"Execution {name} is read-only: it has no Kubernetes resource (its parent has spec.children.resources: None)."
    )
    look = f"Show it: {kubectl.typed('get', str(child['name']))}"
    above = _shown_above(gateway, child)
    if above is None:
        return NotFound(message, look)
    stop, wait = kubectl.typed("stop", above), kubectl.typed("wait", above, "--for", "tree")
    return NotFound(message, f"{look}\nStop everything below {above!r}: {stop}\nWait for everything below it: {wait}")


def _shown_above(gateway: Gateway, child: Document) -> str | None:
    """Return the name of its parent or root, whichever has a resource."""
    for above in dict.fromkeys((str(child["parentID"]), str(child["rootExecutionID"]))):
        found = gateway.get(gateway.path_of(above))
        if found["uid"] is not None:
            return str(found["name"])
    return None


def as_execution(found: Document) -> Execution:
    """Convert an execution of the gateway to the form of a resource."""
    parent = {"name": found["parentName"], "executionID": found["parentID"]} if found["parentID"] else {}
    return Execution(
        {
            "metadata": {
                "name": found["name"],
                "namespace": found["namespace"],
                "creationTimestamp": found["createdTime"],
            },
            "spec": {
                **({"flowRef": {"name": found["flow"]}} if found["flow"] else {}),
                "options": {"breakpoints": found["breakpoints"]},
            },
            "status": {
                **{
                    name: found[name]
                    for name in (
                        *("executionID", "phase", "attempt", "attempts", "flowRevision", "nodes", "currentNodes"),
                        *("outputs", "error", "startTime", "completionTime", "worker", "workerVersion"),
                    )
                    if found[name] is not None
                },
                "omittedOutputs": found.get("omittedOutputs") or [],
                "parentRef": parent,
                "children": {name.lower(): number for name, number in found["children"].items()},
            },
        }
    )
