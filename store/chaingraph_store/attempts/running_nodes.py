"""How the nodes stand that run: the column `running_nodes` of `executions`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaingraph_crds.standing import node_standing


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node that runs or waits for its next try. Times in milliseconds since 1970.

    Attributes:
        tries: the number of its try; of the one that failed last while it waits.
        max_tries: how many its `retry` allows.
        since: when that try began.
        next_at: when the next one begins, while it waits for that.
    """

    node: str
    tries: int
    max_tries: int
    since: int
    next_at: int | None = None

    @property
    def retries(self) -> bool:
        """Whether a try of it has failed."""
        return self.tries > 1 or self.next_at is not None


def read(column: Sequence[Mapping[str, Any]]) -> list[RunningNode]:
    """The nodes of a row."""
    return [RunningNode(**each) for each in column]


def told(nodes: Sequence[RunningNode], most: int) -> str:
    """How they stand, for a message: `'load' since 2026-11-30T22:15:01Z (try 2 of 3), 'b' …`; '' without any."""
    more = f" and {len(nodes) - most} more" if len(nodes) > most else ""
    return (
        ", ".join(
            node_standing(each.node, each.tries, each.max_tries, each.since, each.next_at) for each in nodes[:most]
        )
        + more
    )
