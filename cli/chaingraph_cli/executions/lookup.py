"""Finds an execution at the gateway by its name or id.

A name is that of the current resource, whose UID gives the execution id. The database keeps executions whose resource
was deleted: they are found by id, or by name while no resource has the name. A note on stderr says so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaingraph_cli.errors import CliError, Forbidden, NotFound
from chaingraph_cli.execution import Execution, is_id, waits_for
from chaingraph_cli.executions.targets import Targets, bare, start_reading, what_was_read
from chaingraph_cli.kubectl import Kubectl, Result, error_of, finish, nothing_there
from chaingraph_crds.ids import execution_id

if TYPE_CHECKING:
    from chaingraph_cli.gateway.client import Gateway


@dataclass(frozen=True)
class Found:
    """The execution of a name on the command line.

    Attributes:
        path: its path at the gateway.
        execution: its resource; None if there is none or the user may not read it.
    """

    kubectl: Kubectl
    gateway: Gateway
    name: str
    path: str
    execution: Execution | None = None

    def at(self, what: str) -> str:
        """Return the path of one of its pages."""
        return f"{self.path}/{what}"

    def not_known(self, absent: NotFound) -> CliError:
        """Make the error for a 404 of the gateway: there is no such execution, or it has no row yet."""
        if self.execution is None:
            return absent
        return no_events_yet(self.kubectl, self.execution)


def find(args: argparse.Namespace) -> Found:
    """Find the execution of `args.name`: an id, or a name in the namespace.

    Raises:
        NotFound: there is none; the hint has similar names.
        CliError: the API server or the gateway is unreachable or rejects the request.
    """
    from chaingraph_cli.gateway.client import Gateway

    kubectl, name = Kubectl.of(args), bare(args.name)
    if is_id(name):
        gateway = Gateway.of(args, kubectl)
        return Found(kubectl, gateway, name, gateway.path_of(name))
    # Both at once: each runs a kubectl.
    reading = start_reading(kubectl, Targets((name,)))
    try:
        gateway = Gateway.of(args, kubectl)
    except BaseException:
        _end(reading)
        raise
    return _found(kubectl, gateway, name, finish(reading))


def of(gateway: Gateway, kubectl: Kubectl, execution: Execution) -> Found:
    """Find the execution of a resource."""
    return Found(kubectl, gateway, execution.name, gateway.path_of(id_of(execution)), execution)


def _found(kubectl: Kubectl, gateway: Gateway, name: str, done: Result) -> Found:
    if done.code != 0 and isinstance(error_of(done.stderr), Forbidden):
        # The user may only read logs: the gateway finds the newest execution of the name.
        return Found(kubectl, gateway, name, gateway.path_of(name))
    read, missing = what_was_read(kubectl, done, lambda _, each: NotFound(each))
    if read:
        return of(gateway, kubectl, read[0])
    assert missing, "kubectl found it, did not find it, or complained"
    try:
        former = gateway.get(gateway.path_of(name))
    except NotFound as absent:
        error = nothing_there(kubectl, name)
        when = getattr(absent, "deleted", "")
        deleted = f" The last execution of that name was deleted at {when}." if when else ""
        raise NotFound(error.message + deleted, error.hint) from absent
    if former["uid"] is not None:
        print(_of_former(former), file=sys.stderr)
    return Found(kubectl, gateway, name, gateway.path_of(str(former["executionID"])))


def _of_former(former: Mapping[str, Any]) -> str:
    ended = f", {former['phase']} at {former['completionTime']}" if former.get("completionTime") else ""
    return (
        f"Note: Execution {former['name']!r} no longer exists. Showing the deleted execution of that name: "
        f"{former['executionID']}, created at {former['createdTime']}{ended}."
    )


def no_events_yet(kubectl: Kubectl, execution: Execution) -> NotFound:
    """Make the error for a resource without a row in the database."""
    message = waits_for(execution) or str(execution.condition("Succeeded").get("message", ""))
    return NotFound(
        f"{execution.full_name} has no events yet: {message.removesuffix('.')}.",
        f"Show its status: {kubectl.typed('get', execution.name)}",
    )


def id_of(execution: Execution) -> str:
    """Return the execution id that a resource has or will have."""
    for said in (execution.status.get("executionID"), (execution.spec.get("spawnedBy") or {}).get("executionID")):
        if isinstance(said, str) and is_id(said):
            return said
    return execution_id(str(execution.item["metadata"]["uid"]))


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
