"""The nodes of a run that wait, the timers that wake them, and the signals that they wait for."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

from chaingraph_flow.context import Signal, WaitKind
from chaingraph_flow.engine.event_publisher import EventPublisher
from chaingraph_flow.engine.gate import Gate
from chaingraph_flow.engine.journaling import Journaling
from chaingraph_flow.engine.mailbox import Mailbox
from chaingraph_flow.engine.records import WaitRecord
from chaingraph_flow.engine.tries.attempt import Waiting
from chaingraph_flow.engine.tries.tries import Tries
from chaingraph_flow.graph import GraphNode


class Waits:
    """Waiting nodes. A timer counts on the event loop's clock: setting the wall clock neither shortens nor extends it.

    Args:
        clock: milliseconds since 1970.
        untold: the signals that no engine has published yet.
        command: carries out a change of the run, and starts the nodes that are ready then.
        time_out: fails a node whose own timeout has come.
        node: returns the node of an id.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        mailbox: Mailbox,
        untold: Sequence[Signal],
        tries: Tries,
        gate: Gate,
        journal: Journaling,
        announce: EventPublisher,
        command: Callable[[Callable[[], None]], None],
        time_out: Callable[[str], None],
        node: Callable[[str], GraphNode],
    ) -> None:
        self._clock = clock
        self._mailbox = mailbox
        self._untold = list(untold)
        self._begun = False
        self._tries = tries
        self._gate = gate
        self._journal = journal
        self._announce = announce
        self._command = command
        self._time_out = time_out
        self._node = node
        self._records: dict[str, WaitRecord] = {}
        self._calls: dict[str, WaitRecord] = {}
        self._by_signal: dict[str, str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._order: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[WaitRecord]:
        return iter(self._records.values())

    @property
    def any(self) -> bool:
        """Whether any node waits, or calls."""
        return bool(self._records or self._calls)

    @property
    def calling(self) -> Collection[str]:
        """The nodes that wait for their calls. They are not among the waiting nodes."""
        return self._calls.keys()

    @property
    def next_at(self) -> int | None:
        """When the first of them continues, in milliseconds since 1970; None when none waits for a time."""
        while self._order:
            until, id_ = self._order[0]
            record = self._records.get(id_) or self._calls.get(id_)
            if record is not None and record.until == until:
                return until
            heapq.heappop(self._order)
        return None

    def begin(self) -> None:
        """Begin the run: publish the signals that have come."""
        self._begun = True
        for signal in self._untold:
            self._announce.signal_received(signal)

    def add(self, node: GraphNode, waiting: Waiting) -> None:
        """Let a node wait after its last pass; it continues immediately if its signal is there.

        Call it on the event loop.
        """
        record = self._tries.waiting(node, waiting)
        if self._take_signal(record):
            return
        self._journal.wait(record)
        if record.kind is not WaitKind.RETRY:
            self._announce.node_waiting(record)
        self._keep(record)

    def call(self, node: GraphNode) -> None:
        """Let a node wait for its calls."""
        record = self._tries.waiting(node, Waiting(WaitKind.CALL))
        self._journal.call(record)
        self._calls[node.id] = record
        self._set_timer(record)

    def returned(self, id_: str) -> None:
        """Let a node no longer wait for its calls."""
        self._end(id_)

    def restore(self, record: WaitRecord) -> None:
        """Let a node that waited in an earlier engine continue to wait."""
        self._tries.restore_wait(record)
        if record.kind not in (WaitKind.RETRY, WaitKind.CALL):
            self._announce.waited_before(record)
        if record.kind is WaitKind.CALL:
            self._calls[record.node_id] = record
            self._set_timer(record)
        elif not self._take_signal(record):
            self._keep(record)

    def deliver(self, signal: Signal) -> None:
        """Give a signal to its node, or keep it until the node waits for it."""
        if self._begun:
            self._announce.signal_received(signal)
        else:
            self._untold.append(signal)
        self._mailbox.put(signal)
        id_ = self._by_signal.get(signal.name)
        if id_ is not None and (taken := self._mailbox.take(self._node(id_))) is not None:
            self._wake(self._end(id_), taken)

    def drop(self, ids: Iterable[str]) -> None:
        """Let these nodes no longer wait: nothing of their call continues."""
        for id_ in ids:
            if id_ in self._records or id_ in self._calls:
                self._end(id_)

    def clear(self) -> None:
        """Forget all nodes."""
        self.stop()
        self._records.clear()
        self._calls.clear()
        self._by_signal.clear()
        self._order.clear()

    def stop(self) -> None:
        """Stop the timers. The nodes stay."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _keep(self, record: WaitRecord) -> None:
        self._records[record.node_id] = record
        if record.signal:
            self._by_signal[record.signal] = record.node_id
        self._set_timer(record)

    def _set_timer(self, record: WaitRecord) -> None:
        if record.until is not None:
            heapq.heappush(self._order, (record.until, record.node_id))
            seconds = max(0, record.until - self._clock()) / 1000
            self._timers[record.node_id] = asyncio.get_running_loop().call_later(seconds, self._over, record.node_id)

    def _end(self, id_: str) -> WaitRecord:
        if (timer := self._timers.pop(id_, None)) is not None:
            timer.cancel()
        record = self._calls.pop(id_, None) or self._records.pop(id_)
        self._by_signal.pop(record.signal, None)
        return record

    def _over(self, id_: str) -> None:
        record = self._end(id_)
        self._command(partial(self._time_out, id_) if record.times_out else partial(self._wake, record))

    def _wake(self, record: WaitRecord, signal: Signal | None = None) -> None:
        self._tries.wake(record, signal)
        self._gate.put_again(record.node_id)

    def _take_signal(self, record: WaitRecord) -> bool:
        """Let the node continue if the signal that it waits for is there."""
        signal = self._mailbox.take(self._node(record.node_id)) if record.signal else None
        if signal is not None:
            self._wake(record, signal)
        return signal is not None
