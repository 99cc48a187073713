"""Entries of `spec.signals`: how a new one is added, and who sends it."""

from __future__ import annotations

from typing import Any, Final

from chaingraph_cli.errors import CliError
from chaingraph_cli.execution import Execution
from chaingraph_cli.executions.edits import Operation, replace
from chaingraph_cli.kubectl import Kubectl

MOST: Final = 100
"""As `chaingraph_crds.limits.MAX_SIGNALS`."""
_MOST_GROUPS: Final = 200
Entry = dict[str, Any]


def addition(execution: Execution, entry: Entry) -> list[Operation]:
    """Make the patch that appends an entry. When there is no room, entries that are decided make some."""
    present = list(execution.spec.get("signals") or ())
    if not present:
        return [replace("signals", [entry])]
    if len(present) < MOST:
        return [replace("signals/-", entry)]
    decided = {each.get("id") for each in execution.status.get("signals") or ()}
    return [replace("signals", [*(each for each in present if each.get("id") not in decided), entry])]


def caller(kubectl: Kubectl) -> Entry:
    """Return the user of the kubeconfig, as the API server knows them, for `by`.

    Raises:
        CliError: the API server does not say.
    """
    info = kubectl.run("auth", "whoami", "-o", "json").json().get("status", {}).get("userInfo", {})
    if not info.get("username"):
        raise CliError("The API server does not say who you are.", "Check your credentials: kubectl auth whoami")
    return {"user": info["username"], "groups": list(dict.fromkeys(info.get("groups") or ()))[:_MOST_GROUPS]}
