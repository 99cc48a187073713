"""A runner's reports to its worker: records, events and calls as bytes, with the engine's progress.

Everything within a millisecond goes into one message. Only the end of a node with effects is sent as soon as the engine
has processed it: it must not be repeated, whatever happens to this process. Never in between: the engine's state would
not match its records.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from chaingraph_flow import WAITING, ChildCall, Engine, FlowEvent, Graph, NodeRecord, WaitRecord

_TOGETHER_SECONDS: Final = 0.001
_SHARE: Final = 10
"""The time between two reports is so many times what the first one took: reports take a tenth of the time at most."""
Send = Callable[[Mapping[str, Any], Sequence[bytes]], None]


def to_bytes(value: Any) -> bytes:
    """Serialize the value as JSON, including integers beyond 64 bits, which orjson rejects."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


class Reports:
    """The engine's Recorder in a runner, and its Children. For use on the event loop."""

    def __init__(self, send: Send, applied: int) -> None:
        """Create it. `applied`: the number of the last command that the engine started with."""
        self.applied = applied
        self.ends = 0
        """The number of ends of calls that the engine has taken."""
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._engine: Engine | None = None
        self._graph: Graph | None = None
        self._records: list[list[Any]] = []
        self._events: list[list[Any]] = []
        self._record_blobs: list[bytes] = []
        self._event_blobs: list[bytes] = []
        self._calls: list[list[Any]] = []
        self._call_blobs: list[bytes] = []
        self._stopped_calls: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self.urgent = False
        """A node with effects has ended since the last report."""
        self._not_before = 0.0
        self._sent = 0
        self._durable = 0
        self._settling: list[tuple[int, asyncio.Future[None]]] = []

    def of(self, engine: Engine, graph: Graph) -> None:
        """Report on this engine from now on."""
        self._engine, self._graph = engine, graph

    # -- the engine's Recorder -------------------------------------------------------------------------------

    def record(self, record: NodeRecord) -> None:
        """Record the end of a node."""
        assert self._graph is not None, "an engine is created before it runs"
        type_ = self._graph.type_of(record.node_id)
        blob = to_bytes(record.to_json())
        self._record_blobs.append(blob)
        self._records.append(
            [
                *(record.node_id, type_.type, record.outcome, record.started_at, record.finished_at),
                *(record.attempts, record.reason if record.error else "", record.error),
            ]
        )
        self.urgent = self.urgent or not type_.pure
        self.soon()

    def wait(self, record: WaitRecord) -> None:
        """Record that a node waits."""
        assert self._graph is not None, "an engine is created before it runs"
        type_ = self._graph.type_of(record.node_id)
        self._record_blobs.append(to_bytes(record.to_json()))
        self._records.append(
            [record.node_id, type_.type, WAITING, record.since, record.until, record.attempts, record.kind, ""]
        )
        self.urgent = self.urgent or not type_.pure
        self.soon()

    def publish(self, event: FlowEvent) -> None:
        """Record an event."""
        self._event_blobs.append(to_bytes(event.data))
        self._events.append([event.type, event.timestamp])
        self.soon()

    def call(self, call: ChildCall) -> None:
        """Request the execution of a call."""
        self._calls.append([call.call, call.tried, call.subflow, call.flow, call.nodes])
        self._call_blobs.append(to_bytes(call.inputs))
        self.soon()

    def stop(self, calls: Sequence[str]) -> None:
        """Request that the executions of these calls be stopped."""
        self._stopped_calls += calls
        self.soon()

    async def settled(self) -> None:
        """Wait until the worker confirms that all of it is durable."""
        if self._records or self._events:
            self.flush()
        if self._durable >= self._sent:
            return
        waiting = self._loop.create_future()
        self._settling.append((self._sent, waiting))
        self._send({"settle": self._sent}, ())
        await waiting

    # -- the session's side ----------------------------------------------------------------------------------

    def durable(self, number: int) -> None:
        """Handle the worker's confirmation that it has written every message up to this number."""
        self._durable = max(self._durable, number)
        for until, waiting in self._settling:
            if until <= self._durable and not waiting.done():
                waiting.set_result(None)
        self._settling = [each for each in self._settling if not each[1].done()]

    def soon(self) -> None:
        """Report within a millisecond, or later when there is much to report."""
        if self._timer is None:
            seconds = max(_TOGETHER_SECONDS, self._not_before - time.perf_counter())
            self._timer = self._loop.call_later(seconds, self.flush)

    def flush(self, more: Mapping[str, Any] | None = None, blobs: Sequence[bytes] = ()) -> None:
        """Report now, with further fields and blobs if there are any."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.urgent = False
        self._sent += 1
        began = time.perf_counter()
        header = {"number": self._sent, "records": self._records, "events": self._events, **self._state()}
        content = [*self._record_blobs, *self._event_blobs, *self._call_blobs, *blobs]
        self._records, self._events, self._record_blobs, self._event_blobs = [], [], [], []
        if self._calls or self._stopped_calls:
            header |= {"calls": self._calls, "stopped_calls": self._stopped_calls}
            self._calls, self._call_blobs, self._stopped_calls = [], [], []
        self._send({**header, **(more or {})}, content)
        now = time.perf_counter()
        self._not_before = now + _SHARE * (now - began)

    def _state(self) -> dict[str, Any]:
        engine = self._engine
        if engine is None:
            return {}
        now = engine.progress
        return {
            "progress": [
                *(now.total, now.completed, now.failed, now.skipped, now.running, now.waiting),
                now.current_nodes,
            ],
            "control": [engine.paused, engine.pause_node, engine.quiet, engine.held, engine.asleep_until],
            "live_children": engine.live_children,
            "ends": self.ends,
            "nodes_ended": engine.nodes_ended,
            "owed": engine.steps_owed,
            "ran": engine.ran_ms,
            "applied": self.applied,
            "tries": engine.tries,
            "running": [
                [
                    *(each.node_id, each.tries, each.max_tries, each.since, each.next_at),
                    *(each.waits_for, each.signal, each.prompt),
                ]
                for each in engine.running_nodes
            ],
        }
