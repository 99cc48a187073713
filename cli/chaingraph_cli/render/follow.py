"""Reads and follows the events of an execution, for `events`, `logs` and `create --follow`."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from typing import Final

from chaingraph_cli.errors import NotFound
from chaingraph_cli.execution import COMPLETED, Execution
from chaingraph_cli.executions import lookup, outcomes
from chaingraph_cli.executions.lookup import Found
from chaingraph_cli.executions.targets import read_one
from chaingraph_cli.executions.versions import same, versions
from chaingraph_cli.executions.waiting import WaitProgress, await_outcomes, deleted
from chaingraph_cli.gateway.client import Gateway, Removed
from chaingraph_cli.gateway.event_stream import Event, StreamEnd
from chaingraph_cli.kubectl import Kubectl
from chaingraph_cli.render.event_lines import event_line

NOT_THERE: Final = "No events yet."
_BEGIN_SECONDS: Final = 0.2
_BEGIN_TRIES: Final = 50
"""The row in the database may appear after the status says so."""


def events_of(
    args: argparse.Namespace, *, types: tuple[str, ...] = (), follow: bool, from_index: int | None = None
) -> Iterator[Event | StreamEnd]:
    """Yield the events of the execution that the command line names.

    Raises:
        NotFound: there is none; the hint has similar names.
        CliError: the gateway is unreachable or rejects the request.
    """
    found = lookup.find(args)
    if follow and found.execution is not None:
        yield from _followed(found, found.execution, types=types, from_index=from_index)
        return
    try:
        yield from found.gateway.events(found.at("events"), from_index=from_index, types=types, follow=follow)
    except Removed:
        raise
    except NotFound as absent:
        raise found.not_known(absent) from absent


def _followed(
    found: Found, execution: Execution, *, types: tuple[str, ...] = (), from_index: int | None = None
) -> Iterator[Event | StreamEnd]:
    """Yield events as they come. While the execution has not started, stderr reports what it waits for.

    Raises:
        NotFound: it finished without a row in the database, or was deleted.
        CliError: the gateway is unreachable or rejects the request.
    """
    path = found.at("events")
    if execution.waits:
        with contextlib.suppress(NotFound):
            for event in found.gateway.events(path, from_index=from_index, types=types, follow=False):
                if isinstance(event, Event):
                    from_index = event.index + 1
                    yield event
        execution = _started(found, execution)
    if execution.finished and not execution.made:
        raise lookup.no_events_yet(found.kubectl, execution)
    tries = 0
    while True:
        try:
            yield from found.gateway.events(path, from_index=from_index, types=types)
        except Removed:
            raise
        except NotFound as absent:
            tries += 1
            if tries > _BEGIN_TRIES:
                raise found.not_known(absent) from absent
            time.sleep(_BEGIN_SECONDS)
        else:
            return


def _started(found: Found, execution: Execution) -> Execution:
    """Wait until the execution has started or finished, and return it."""
    with contextlib.closing(WaitProgress()) as said:
        for version in versions(found.kubectl, {execution.name: execution}, None):
            now = version.execution
            if not same(execution, now):
                continue
            if not now.waits:
                return now
            if version.deleted:
                raise deleted(now)
            said.print_error([now])
    raise AssertionError("`versions` without a deadline does not end")


def to_its_end(args: argparse.Namespace, kubectl: Kubectl, execution: Execution) -> int:
    """Print the events of a new execution until it and its descendants have finished.

    Returns:
        The exit code: 0 if the execution itself has completed.

    Raises:
        CliError: the gateway is unreachable or rejects the request.
    """
    found = lookup.of(Gateway.of(args, kubectl), kubectl, execution)
    try:
        for event in _followed(found, execution):
            if isinstance(event, StreamEnd):
                return 0 if event.phase == COMPLETED else 1
            print(event_line(event), flush=True)
    except Removed:
        raise
    except NotFound:
        # It will never have a row in the database: its status says why.
        now = read_one(kubectl, execution.name)
        if lookup.id_of(now) != lookup.id_of(execution) or not now.finished:
            raise
    # The stream was cut between the last event and its end. The operator reports the end a moment later.
    return await_outcomes(kubectl, [read_one(kubectl, execution.name)], outcomes.ended, timeout=0)
