"""The versions of executions, one after the other without a gap: a watch from the version that was read.

`kubectl get --watch` begins with what is there when it begins. An execution with `ttlSecondsAfterFinished: 0` may have
completed and be gone by then, and nothing would tell. So this asks for the API server's own watch (`get --raw`), from a
resource version on, and begins again from the last one that was seen. Used by `waiting`.
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
"""How long the API server may be away, or break its watches, until that is an error."""
_QUIET_SECONDS: Final = 2.0
"""Until the last versions are given once more, so that whoever waits says what keeps an execution from its start."""
_REREAD_SECONDS: Final = 30.0
"""Until they are read again, beside the watch: one whose connection was lost on the way may never end. Each time it is
twice as long until the next, as far as the following."""
_REREAD_MOST_SECONDS: Final = 300.0
_EXPIRED: Final = re.compile(r"\((Expired|Gone)\)|too old resource version")
_GONE: Final = 410


@dataclass(frozen=True)
class Version:
    """An execution as it was at a moment. `deleted`: its resource is gone, and this is the last that is known."""

    execution: Execution
    deleted: bool = False


def same(before: Execution, now: Execution) -> bool:
    return bool(before.item["metadata"]["uid"] == now.item["metadata"]["uid"])


def follows(before: Execution, now: Execution) -> bool:
    """Whether it is the same execution, and no older version of it: a watch of several begins at the oldest."""
    former, later = (str(each.item["metadata"].get("resourceVersion", "")) for each in (before, now))
    older = former.isdecimal() and later.isdecimal() and int(later) < int(former)
    return same(before, now) and not older


def versions(kubectl: Kubectl, left: Mapping[str, Execution], deadline: float | None) -> Iterator[Version]:
    """Each version that follows those given.

    Args:
        left: those that are waited for, by name; looked at each time, as some come to their outcome.

    Raises:
        CliError: the API server refuses, or has been away for long.
    """
    since = _oldest(left)
    heard, told = time.monotonic(), False
    while deadline is None or time.monotonic() < deadline:
        with _watch(kubectl, left, since) as process:
            for event in _events(process, deadline):
                heard = time.monotonic()
                if event is None:
                    # Not read so early: one that is gone by then has its last version in the watch, still unread.
                    yield from _read_again(kubectl, left)[0] if told else map(Version, list(left.values()))
                    told = True
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
            if isinstance(error, Forbidden | NotFound | Usage) or time.monotonic() - heard > _PATIENCE_SECONDS:
                raise error
        if not since and left:
            # What happened since the last version is not known any more.
            found, since = _read_again(kubectl, left)
            yield from found
        if deadline is None or time.monotonic() + _AGAIN_SECONDS < deadline:
            time.sleep(_AGAIN_SECONDS)


def _oldest(left: Mapping[str, Execution]) -> str:
    """The version from which a watch tells of all that follows; '' where there is none."""
    found = [str(each.item["metadata"].get("resourceVersion", "")) for each in left.values()]
    return str(min(map(int, found))) if found and all(each.isdecimal() for each in found) else ""


def _complaint(process: subprocess.Popen[str]) -> str:
    """What kubectl says is wrong; '' also when it was killed."""
    if process.poll() in (None, 0):
        return ""
    assert process.stderr is not None
    return process.stderr.read().strip()


def _read_again(kubectl: Kubectl, left: Mapping[str, Execution]) -> tuple[list[Version], str]:
    """All that the watch is of, in one list, and the version of the list."""
    content = kubectl.run("get", "--raw", _path(left)).json()
    listed = [Execution(each) for each in content["items"]]
    found = {each.name: each for each in listed}
    known = [
        Version(found[name]) if name in found and same(execution, found[name]) else _of_ledger(kubectl, execution)
        for name, execution in left.items()
    ]
    return known, str(content["metadata"]["resourceVersion"])


def _of_ledger(kubectl: Kubectl, execution: Execution) -> Version:
    """How an execution stands whose resource was deleted unseen, if the gateway can say; else as it was last."""
    # Modules that are not needed where nothing is amiss.
    from chaingraph_cli.executions import lookup, unshown
    from chaingraph_cli.gateway.client import Gateway

    try:
        gateway = Gateway.by_the_way(kubectl)
        found = unshown.as_execution(gateway.get(gateway.path_of(lookup.id_of(execution))))
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
    """What lists or watches these: one, or all of the namespace."""
    execution = next(iter(left.values()))
    if len(left) == 1:
        query["fieldSelector"] = f"metadata.name={execution.name}"
    path = f"/apis/{names.API_VERSION}/namespaces/{execution.namespace}/{names.EXECUTION_PLURAL}"
    return f"{path}?{urlencode(query)}" if query else path


def _events(process: subprocess.Popen[str], deadline: float | None) -> Iterator[dict[str, Any] | None]:
    """The changes that kubectl prints, one a line, until it ends or the time is over; None when it is time to read."""
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
