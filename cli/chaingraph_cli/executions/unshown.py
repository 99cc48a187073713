"""Executions that the ledger alone has: children without a resource. They can be looked at, and not be edited.

For `get`, which shows them as it shows resources, and for the edits, which say why they cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chaingraph_cli.errors import CliError, NotFound
from chaingraph_cli.execution import Execution, is_id
from chaingraph_cli.kubectl import Kubectl, nothing_there

if TYPE_CHECKING:
    from chaingraph_cli.gateway.client import Gateway

Document = Mapping[str, Any]
"""An execution as the gateway has it."""


def of_ledger(kubectl: Kubectl, name: str) -> Document:
    """What the gateway has of an execution, by its id or by its name in the namespace.

    Raises:
        NotFound: the ledger has none.
        CliError: the gateway cannot be asked, or refuses.
    """
    gateway = _gateway(kubectl)
    return gateway.get(gateway.path_of(name))


def child_of_ledger(kubectl: Kubectl, name: str) -> Document | None:
    """The child of this name that has no resource; None where there is none, or the gateway cannot say."""
    try:
        gateway = _gateway(kubectl)
        return _child(gateway, name)
    except CliError:
        return None


def no_resource(kubectl: Kubectl, name: str) -> CliError:
    """Why there is no resource to edit or to watch: none of the name at all, or a child that has none."""
    try:
        gateway = _gateway(kubectl)
        if is_id(name):
            return _named_by_id(kubectl, gateway, name)
        child = _child(gateway, name)
    except CliError as error:
        if is_id(name):
            return NotFound(f"{name} is the id of an execution, and a name is needed. {error.message}", error.hint)
        child = None
    return nothing_there(kubectl, name) if child is None else _without(kubectl, gateway, child)


def _gateway(kubectl: Kubectl) -> Gateway:
    # Its module takes longer to import than the rest of a verb, and is not needed where nothing is amiss.
    from chaingraph_cli.gateway.client import Gateway

    return Gateway.by_the_way(kubectl)


def _child(gateway: Gateway, name: str) -> Document | None:
    found = gateway.get(gateway.path_of(name))
    # One with a UID has had a resource, which was deleted.
    return found if found["uid"] is None and found["parentID"] else None


def _named_by_id(kubectl: Kubectl, gateway: Gateway, id_: str) -> CliError:
    found = gateway.get(gateway.path_of(id_))
    if found["uid"] is None and found["parentID"]:
        return _without(kubectl, gateway, found)
    named = f"{found['name']!r} in the namespace {found['namespace']!r}"
    return NotFound(f"{id_} is the id of an execution, and a name is needed: it is {named}.")


def _without(kubectl: Kubectl, gateway: Gateway, child: Document) -> CliError:
    name = repr(child["name"])
    if child["resources"] != "None":
        return NotFound(f"The resource of the execution {name} has not been made yet.", "Try again in a moment.")
    message = (
        f"The execution {name} has no resource: the ledger alone has it (spec.children.resources: None), "
        "so it can be looked at and nothing else."
    )
    look = f"Look at it: {kubectl.typed('get', str(child['name']))}"
    above = _shown_above(gateway, child)
    if above is None:
        return NotFound(message, look)
    stop, wait = kubectl.typed("stop", above), kubectl.typed("wait", above, "--for", "tree")
    return NotFound(message, f"{look}\nStop all that is below {above!r}: {stop}\nWait for all of it: {wait}")


def _shown_above(gateway: Gateway, child: Document) -> str | None:
    """The name of its parent, else of its root, whichever has a resource."""
    for above in dict.fromkeys((str(child["parentID"]), str(child["rootExecutionID"]))):
        found = gateway.get(gateway.path_of(above))
        if found["uid"] is not None:
            return str(found["name"])
    return None


def as_execution(found: Document) -> Execution:
    """What the gateway has of an execution, in the form of the resource that there is not."""
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
