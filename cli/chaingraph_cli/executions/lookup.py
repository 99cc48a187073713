"""Which execution a name means at the gateway: the one that has the name now, by the UID of its resource.

The ledger keeps executions whose resource has expired. One of these is shown by its id, or by its name while no
resource has that name; stderr says so then.
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
from chaingraph_cli.kubectl import Done, Kubectl, error_of, finish, nothing_there
from chaingraph_crds.ids import execution_id

if TYPE_CHECKING:
    from chaingraph_cli.gateway.client import Gateway


@dataclass(frozen=True)
class Found:
    """What a name on the command line means.

    Attributes:
        path: the gateway's path of it.
        execution: its resource; None where there is none, or it may not be read.
    """

    kubectl: Kubectl
    gateway: Gateway
    name: str
    path: str
    execution: Execution | None = None

    def at(self, what: str) -> str:
        """The path of one of its pages."""
        return f"{self.path}/{what}"

    def not_known(self, absent: NotFound) -> CliError:
        """Why the gateway does not know it: there is none, or the ledger does not have it yet."""
        if self.execution is None:
            return absent
        return not_yet(self.kubectl, self.execution)


def find(chosen: argparse.Namespace) -> Found:
    """What the command line names, by `chosen.name`: an id, or a name in the namespace.

    Raises:
        NotFound: there is none of this name; the hint has names that are nearly it.
        CliError: the API server or the gateway cannot be asked, or refuses.
    """
    from chaingraph_cli.gateway.client import Gateway

    kubectl, name = Kubectl.of(chosen), bare(chosen.name)
    if is_id(name):
        gateway = Gateway.of(chosen, kubectl)
        return Found(kubectl, gateway, name, gateway.path_of(name))
    # Both at once: each takes a kubectl.
    reading = start_reading(kubectl, Targets((name,)))
    try:
        gateway = Gateway.of(chosen, kubectl)
    except BaseException:
        _end(reading)
        raise
    return _found(kubectl, gateway, name, finish(reading))


def of(gateway: Gateway, kubectl: Kubectl, execution: Execution) -> Found:
    """The same of a resource that was just read, or created."""
    return Found(kubectl, gateway, execution.name, gateway.path_of(id_of(execution)), execution)


def _found(kubectl: Kubectl, gateway: Gateway, name: str, done: Done) -> Found:
    if done.code != 0 and isinstance(error_of(done.complaint), Forbidden):
        # Who may read logs alone: the newest of the name that the gateway shows.
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
        deleted = f" The last one of this name was deleted at {when}." if when else ""
        raise NotFound(error.message + deleted, error.hint) from absent
    if former["uid"] is not None:
        print(_of_former(former), file=sys.stderr)
    return Found(kubectl, gateway, name, gateway.path_of(str(former["executionID"])))


def _of_former(former: Mapping[str, Any]) -> str:
    ended = f", {former['phase']} at {former['completionTime']}" if former.get("completionTime") else ""
    return (
        f"Note: no Execution {former['name']!r} exists now. This is a former one of that name, whose resource was "
        f"deleted: {former['executionID']}, created at {former['createdTime']}{ended}."
    )


def not_yet(kubectl: Kubectl, execution: Execution) -> NotFound:
    """Why the ledger has nothing of a resource."""
    message = waits_for(execution) or str(execution.condition("Succeeded").get("message", ""))
    return NotFound(
        f"{execution.full_name} has no events yet: {message.removesuffix('.')}.",
        f"Look: {kubectl.typed('get', execution.name)}",
    )


def id_of(execution: Execution) -> str:
    """The id that the ledger has, or will have, of a resource."""
    for said in (execution.status.get("executionID"), (execution.spec.get("spawnedBy") or {}).get("executionID")):
        if isinstance(said, str) and is_id(said):
            return said
    return execution_id(str(execution.item["metadata"]["uid"]))


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
