"""The state of a run as others see it: its progress, its running nodes, and what has to happen for it to continue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

from chaingraph_crds.node_paths import call_of, is_call
from chaingraph_flow.context import LAST_TIME
from chaingraph_flow.engine.children import ChildCalls
from chaingraph_flow.engine.gate import Gate
from chaingraph_flow.engine.records import NodeRecord, Outcome
from chaingraph_flow.engine.result import Progress, RunningNode
from chaingraph_flow.engine.running_time import RunningTime
from chaingraph_flow.engine.tries.tries import Tries
from chaingraph_flow.engine.waits import Waits
from chaingraph_flow.graph import GraphNode

MOST_SHOWN: Final = 50
"""Maximum running and waiting nodes that are described."""
MOST_CURRENT: Final = 1000
"""Maximum current nodes that are named."""


class Standing:
    """Reads the parts of a run; changes none of them.

    Args:
        node: returns the node of an id.
        total: the number of the flow's own nodes that take part.
        running: the ids of the nodes that have a task.
        over: set when the run ends.
    """

    def __init__(
        self,
        node: Callable[[str], GraphNode],
        total: int,
        *,
        running: Collection[str],
        waits: Waits,
        children: ChildCalls,
        gate: Gate,
        tries: Tries,
        time: RunningTime,
        over: asyncio.Event,
        clock: Callable[[], int],
    ) -> None:
        self._node = node
        self._total = total
        self._running = running
        self._waits = waits
        self._children = children
        self._gate = gate
        self._tries = tries
        self._time = time
        self._over = over
        self._clock = clock
        self._interrupted: tuple[RunningNode, ...] | None = None
        self.counts: Counter[Outcome] = Counter()
        """The flow's own nodes that have ended."""
        self.ended = 0
        """The number of nodes that have ended, with those in calls."""
        self.begun = False

    def count(self, record: NodeRecord) -> None:
        """Count the end of a node."""
        self.ended += 1
        if not call_of(record.node_id) and not is_call(record.node_id):
            self.counts[record.outcome] += 1

    @property
    def progress(self) -> Progress:
        """The progress. A node that calls counts as neither running nor waiting: the nodes in its calls do."""
        return Progress(
            total=self._total,
            completed=self.counts[Outcome.COMPLETED],
            failed=self.counts[Outcome.FAILED],
            skipped=self.counts[Outcome.SKIPPED],
            running=len(self._running),
            waiting=len(self._waits) + len(self._children),
            current_nodes=tuple(islice((*self._running, *self._gate.seen), MOST_CURRENT)),
        )

    @property
    def running_nodes(self) -> tuple[RunningNode, ...]:
        """The first nodes that are running or waiting; after the run, those that it interrupted."""
        if self._interrupted is not None:
            return self._interrupted
        node = self._node
        running = (self._tries.running(node(id_)) for id_ in (*self._running, *self._waits.calling))
        waiting = (self._tries.described(node(each.node_id), each) for each in islice(self._waits, MOST_SHOWN))
        nodes = (*running, *waiting, *islice(self._children, MOST_SHOWN))
        return tuple(islice((each for each in nodes if each is not None), MOST_SHOWN))

    @property
    def quiet(self) -> bool:
        """Whether it is paused, and only a command or the end of a wait changes that.

        A pending step is for the first waiting node, so with one it is not quiet.
        """
        going = self._running or (self._waits and self._gate.steps_owed)
        return self._gate.paused and self.begun and not going and not self._over.is_set()

    @property
    def asleep_until(self) -> int | None:
        """When the first waiting node continues without a signal, or the flow times out, in milliseconds since 1970.

        None while it is paused, or anything else is left to do.
        """
        return None if self._first_wait is None else min(self._first_wait, self._clock() + self._time.milliseconds_left)

    @property
    def control(self) -> tuple[bool, bool, tuple[str, ...], int | None]:
        """What a controller of the run has to know: paused, quiet, the held nodes, and the end of the first wait when
        nothing else is left to do."""
        return (self._gate.paused, self.quiet, self._gate.held, self._first_wait)

    def interrupt(self) -> None:
        """Keep the running nodes as those that the end of the run interrupts."""
        self._interrupted = self.running_nodes

    @property
    def _first_wait(self) -> int | None:
        busy = self._over.is_set() or self._gate.paused or self._running or not self._gate.empty
        if not self.begun or busy or not (self._waits or self._children):
            return None
        return LAST_TIME if self._waits.next_at is None else self._waits.next_at
