"""Watches executions without gaps, from the resource version that was read.

`kubectl get --watch` begins with the current objects. An execution with `ttlSecondsAfterFinished: 0` may have completed
and be gone by then. So this uses the API server's own watch (`get --raw`) from a resource version, and restarts it from
the last version seen.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from chaingraph_cli.errors import CliError, Forbidden, NotFound, Usage
from chaingraph_cli.execution import Execution
from chaingraph_cli.kubectl import Kubectl, error_of
from chaingraph_crds import names

_AGAIN_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 60.0
"""How long the API server may be unreachable or break its watches."""
_QUIET_SECONDS: Final = 2.0
"""Until the last versions are yielded once more, so that a waiting command reports why an execution has not started."""
_REREAD_SECONDS: Final = 30.0
"""Until they are read again beside the watch: a watch whose connection was lost may never end. The interval doubles up
to `_REREAD_MOST_SECONDS`."""
_REREAD_MOST_SECONDS: Final = 300.0
_EXPIRED: Final = re.compile(r"\((Expired|Gone)\)|too old resource version")
_GONE: Final = 410


@dataclass(frozen=True)
class Version:
    """A version of an execution; the last known one if its resource was deleted."""

    execution: Execution
    deleted: bool = False


def same(before: Execution, now: Execution) -> bool:
    return bool(before.item["metadata"]["uid"] == now.item["metadata"]["uid"])


def follows(before: Execution, now: Execution) -> bool:
    """Whether it is the same execution and not an older version: a watch of several begins at the oldest."""
    former, later = (str(each.item["metadata"].get("resourceVersion", "")) for each in (before, now))
    older = former.isdecimal() and later.isdecimal() and int(later) < int(former)
    return same(before, now) and not older


def versions(kubectl: Kubectl, left: Mapping[str, Execution], deadline: float | None) -> Iterator[Version]:
    """Yield each version that follows those given.

    Args:
        left: the executions to watch, by name; the caller removes entries during the watch.
        deadline: when to end; None for never.

    Raises:
        CliError: the API server rejects the request, or is unreachable for long.
    """
    since = _oldest(left)
    last_event, yielded = time.monotonic(), False
    while deadline is None or time.monotonic() < deadline:
        with _watch(kubectl, left, since) as process:
            for event in _events(process, deadline):
                last_event = time.monotonic()
                if event is None:
                    # The first time without a read: the last version of a deleted one may be unread in the watch.
                    yield from _read_again(kubectl, left)[0] if yielded else map(Version, list(left.values()))
                    yielded = True
                    continue
                if event["type"] == "ERROR":
                    since = ""
                    break
                since = str(event["object"]["metadata"]["resourceVersion"])
                if event["type"] != "BOOKMARK":
                    yield Version(Execution(event["object"]), deleted=event["type"] == "DELETED")
            complaint = _complaint(process)
        if _EXPIRED.search(complaint):
            since = ""
        elif complaint:
            error = error_of(complaint)
            if isinstance(error, Forbidden | NotFound | Usage) or time.monotonic() - last_event > _PATIENCE_SECONDS:
                raise error
        if not since and left:
            # The changes since the last version have expired.
            found, since = _read_again(kubectl, left)
            yield from found
        if deadline is None or time.monotonic() + _AGAIN_SECONDS < deadline:
            time.sleep(_AGAIN_SECONDS)


def _oldest(left: Mapping[str, Execution]) -> str:
    """Return the resource version to watch from; '' if there is none."""
    found = [str(each.item["metadata"].get("resourceVersion", "")) for each in left.values()]
    return str(min(map(int, found))) if found and all(each.isdecimal() for each in found) else ""


def _complaint(process: subprocess.Popen[str]) -> str:
    """Return kubectl's error; '' if it was killed."""
    if process.poll() in (None, 0):
        return ""
    assert process.stderr is not None
    return process.stderr.read().strip()


def _read_again(kubectl: Kubectl, left: Mapping[str, Execution]) -> tuple[list[Version], str]:
    """Read the watched executions in one list; returns them and the version of the list."""
    content = kubectl.run("get", "--raw", _path(left)).json()
    listed = [Execution(each) for each in content["items"]]
    found = {each.name: each for each in listed}
    known = [
        Version(found[name]) if name in found and same(execution, found[name]) else _from_gateway(kubectl, execution)
        for name, execution in left.items()
    ]
    return known, str(content["metadata"]["resourceVersion"])


def _from_gateway(kubectl: Kubectl, execution: Execution) -> Version:
    """Return the state of an execution whose resource was deleted unseen, from the gateway if possible."""
    # Imported late: rarely needed.
    from chaingraph_cli.executions import lookup, without_resource
    from chaingraph_cli.gateway.client import Gateway

    try:
        gateway = Gateway.optional(kubectl)
        found = without_resource.as_execution(gateway.get(gateway.path_of(lookup.id_of(execution))))
    except CliError:
        return Version(execution, deleted=True)
    condition = {"type": "Succeeded", "message": str((found.status.get("error") or {}).get("message", ""))}
    status = found.status | {"conditions": [condition], "observedGeneration": execution.generation}
    item = {**execution.item, "status": {**execution.status, **status}}
    return Version(Execution(item), deleted=True)


@contextmanager
def _watch(kubectl: Kubectl, left: Mapping[str, Execution], since: str) -> Iterator[subprocess.Popen[str]]:
    from_there = {"resourceVersion": since} if since else {}
    process = kubectl.start("get", "--raw", _path(left, watch="true", allowWatchBookmarks="true", **from_there))
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _path(left: Mapping[str, Execution], **query: str) -> str:
    """Return the path that lists or watches one execution, or all of the namespace."""
    execution = next(iter(left.values()))
    if len(left) == 1:
        query["fieldSelector"] = f"metadata.name={execution.name}"
    path = f"/apis/{names.API_VERSION}/namespaces/{execution.namespace}/{names.EXECUTION_PLURAL}"
    return f"{path}?{urlencode(query)}" if query else path


def _events(process: subprocess.Popen[str], deadline: float | None) -> Iterator[dict[str, Any] | None]:
    """Yield the events that kubectl prints, one a line, until it ends or the deadline; None when it is time to read."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    buffer = b""
    pause = _REREAD_SECONDS / 2
    again = time.monotonic() + _QUIET_SECONDS
    while True:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return
        if now >= again:
            pause = min(2 * pause, _REREAD_MOST_SECONDS)
            again = now + pause
            yield None
        until = again if deadline is None else min(again, deadline)
        if not select.select([descriptor], [], [], max(until - time.monotonic(), 0.0))[0]:
            continue
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            process.wait()
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)
