"""What of a run is journaled, and when.

Nodes without effects in the calls of a loop are many, and repeating them does no harm. So their ends are kept back
until something in the same call needs them: an effect, a wait, a failure or a pause. A call that completes without any
of these is journaled alone. In debug mode nothing is kept back.
"""

from __future__ import annotations

from chaingraph_flow.engine.frames import Frame, Frames
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import NodeRecord, Outcome, WaitRecord


class Journaling:
    """Records the ends and waits of nodes. Call it on the event loop."""

    def __init__(self, recorder: Recorder, frames: Frames, *, debug: bool) -> None:
        self._recorder = recorder
        self._frames = frames
        self._debug = debug
        self._kept: dict[Frame, dict[str, NodeRecord | WaitRecord]] = {}
        self.keeps_back = not debug

    def end(self, frame: Frame, record: NodeRecord) -> None:
        """Record the end of a node."""
        node = frame.graph.nodes[record.node_id]
        if self.keeps_back and node.muted and record.outcome is not Outcome.FAILED:
            self._kept.setdefault(frame, {})[record.node_id] = record
            return
        self.write(frame)
        self._recorder.record(record)

    def wait(self, record: WaitRecord) -> None:
        """Record that a node waits."""
        self.write(self._frames.of(record.node_id))
        self._recorder.wait(record)

    def call(self, record: WaitRecord) -> None:
        """Record that a node calls."""
        frame = self._frames.of(record.node_id)
        if self.keeps_back and frame.graph.nodes[record.node_id].muted:
            self._kept.setdefault(frame, {})[record.node_id] = record
        else:
            self.wait(record)

    def write(self, frame: Frame) -> None:
        """Record what was kept back of a frame, and of those that it is inside of."""
        while True:
            frame.journaled = True
            for record in self._kept.pop(frame, {}).values():
                if isinstance(record, WaitRecord):
                    self._recorder.wait(record)
                else:
                    self._recorder.record(record)
            if not frame.call:
                return
            frame = self._frames.of(frame.caller)

    def write_all(self) -> None:
        """Record everything that was kept back."""
        for frame in list(self._kept):
            self.write(frame)

    def end_call(self, frame: Frame, record: NodeRecord | None, *, completed: bool) -> None:
        """Record the end of a call; without a record, it ends with its node."""
        if frame.journaled or not completed:
            self.write(frame)
        else:
            self._kept.pop(frame, None)
        if record is not None:
            self._recorder.record(record)

    def end_child(self, record: NodeRecord) -> None:
        """Record the end of a call that is an execution of its own."""
        self._recorder.record(record)
