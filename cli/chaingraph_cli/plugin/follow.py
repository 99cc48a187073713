"""The events of an execution by its name: for `events`, `logs` and `create --follow`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Final

from chaingraph_cli.errors import CliError, NotFound
from chaingraph_cli.plugin import outcomes
from chaingraph_cli.plugin.event_lines import event_line
from chaingraph_cli.plugin.event_stream import End, Event
from chaingraph_cli.plugin.execution import COMPLETED, Execution, is_id
from chaingraph_cli.plugin.gateway_client import Gateway, Removed
from chaingraph_cli.plugin.kubectl import Kubectl
from chaingraph_cli.plugin.targets import bare, read_one
from chaingraph_cli.plugin.waiting import await_outcomes

NOT_THERE: Final = "No events yet."
_BEGIN_SECONDS: Final = 0.2


def events_of(
    chosen: argparse.Namespace, *, types: tuple[str, ...] = (), follow: bool, from_index: int | None = None
) -> Iterator[Event | End]:
    """The events of the execution that the command line names.

    Raises:
        NotFound: there is none of this name; the hint has names that are nearly it.
        CliError: the gateway cannot be asked, or refuses.
    """
    kubectl = Kubectl.of(chosen)
    gateway = Gateway.of(chosen, kubectl)
    name = bare(chosen.name)
    try:
        yield from gateway.events(gateway.path_of(name, "events"), from_index=from_index, types=types, follow=follow)
    except Removed:
        raise
    except NotFound as absent:
        raise not_known(kubectl, name, absent) from absent


def not_known(kubectl: Kubectl, name: str, absent: NotFound) -> CliError:
    """Why the gateway does not know an execution: there is none of the name, or it has not got to the ledger yet."""
    if is_id(name):
        return absent
    execution = read_one(kubectl, name)
    if execution.status.get("executionID"):
        return absent
    message = str(execution.condition("Succeeded").get("message", "")) or "the operator has not taken it up yet"
    return NotFound(f"{execution.full_name} has no events yet: {message}.", f"Look: {kubectl.typed('get', name)}")


def to_its_end(chosen: argparse.Namespace, kubectl: Kubectl, execution: Execution) -> int:
    """Prints the events of an execution that was just created, until it has ended, and what is below it.

    The exit code is 0 if the execution itself has completed.

    Raises:
        CliError: the gateway cannot be asked, or refuses.
    """
    gateway = Gateway.of(chosen, kubectl)
    path = gateway.path_of(execution.name, "events")
    while True:
        try:
            for event in gateway.events(path):
                if isinstance(event, End):
                    return 0 if event.phase == COMPLETED else 1
                print(event_line(event), flush=True)
        except Removed:
            raise
        except NotFound:
            # The operator has not brought it to the ledger yet, or will not: then its status says why.
            now = read_one(kubectl, execution.name)
            if outcomes.ended(now):
                return await_outcomes(kubectl, [now], outcomes.ended, timeout=0)
            time.sleep(_BEGIN_SECONDS)
        else:
            # Cut between the last event and the word that it is the last. The operator tells of the end a moment later.
            return await_outcomes(kubectl, [read_one(kubectl, execution.name)], outcomes.ended, timeout=0)
