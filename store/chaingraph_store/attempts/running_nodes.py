"""The column `running_nodes` of `executions`: the state of running nodes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaingraph_crds.standing import RETRY, node_standing

WAIT_KINDS: Final = frozenset((RETRY, "Time", "Signal", "Approval", "Child"))
"""The kinds of waits: `chaingraph_flow.WaitKind`. Others are not shown."""


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node that is running or waiting. Times are milliseconds since 1970.

    Attributes:
        tries: the number of its try; of the last failed one while it waits for another.
        max_tries: the maximum by its `retry`.
        since: when that try started; of a node that waits for anything else, when the wait began.
        next_at: when it continues, while it waits.
        waits_for: the kind of the wait (`chaingraph_flow.WaitKind`); '' while it runs.
        signal: the name of the signal that it waits for, or ''.
        prompt: what a person is asked, or ''.
    """

    node: str
    tries: int
    max_tries: int
    since: int
    next_at: int | None = None
    waits_for: str = ""
    signal: str = ""
    prompt: str = ""

    @property
    def retries(self) -> bool:
        """Whether one of its tries has failed."""
        return self.tries > 1 or self.waits_for == RETRY

    @property
    def waits(self) -> bool:
        """Whether it waits for anything but another try."""
        return self.waits_for not in ("", RETRY)


def read(column: Sequence[Mapping[str, Any]]) -> list[RunningNode]:
    """Parse the nodes of a row."""
    return [RunningNode(**each) for each in column]


def told(nodes: Sequence[RunningNode], most: int) -> str:
    """Format the nodes for a message: `'load' since 2026-11-30T22:15:01Z (try 2 of 3), 'b' …`; '' without any."""
    more = f" and {len(nodes) - most} more" if len(nodes) > most else ""
    return (
        ", ".join(
            node_standing(each.node, each.tries, each.max_tries, each.since, each.next_at, each.waits_for, each.signal)
            for each in nodes[:most]
        )
        + more
    )
