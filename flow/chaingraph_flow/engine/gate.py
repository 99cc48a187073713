"""The gate between ready and running: nodes wait here for a slot, and the debugger holds them here.

It publishes pauses and stops the flow's clock, but starts nothing itself. While the run is paused, the nodes that wait
for a slot are those released by a step; all others are held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from chaingraph_flow.engine.debugger import ControlState, Debugger
from chaingraph_flow.engine.event_publisher import EventPublisher
from chaingraph_flow.engine.running_time import RunningTime


class Gate:
    """The nodes that are ready and have not started."""

    def __init__(self, control: ControlState, announce: EventPublisher, time: RunningTime) -> None:
        self._debugger = Debugger(control)
        self._announce = announce
        self._time = time
        self._ready: deque[str] = deque()
        self._begun = False
        self._told_paused = control.paused if control.announced is None else control.announced

    @property
    def paused(self) -> bool:
        """Whether nodes are held."""
        return self._debugger.paused

    @property
    def pause_node(self) -> str:
        """The node whose breakpoint paused it; '' for a pause by command, or none."""
        return self._debugger.node

    @property
    def held(self) -> tuple[str, ...]:
        """The nodes that the debugger holds."""
        return self._debugger.held

    @property
    def seen(self) -> tuple[str, ...]:
        """The nodes that the debugger holds, after those that it has released and that have no slot yet."""
        return (*filter(self._debugger.has_held, self._ready), *self._debugger.held)

    @property
    def steps_owed(self) -> int:
        """The number of pending steps."""
        return self._debugger.steps_owed

    @property
    def empty(self) -> bool:
        """Whether no node is here, waiting or held."""
        return not self._ready and not self._debugger.held

    # -- nodes -----------------------------------------------------------------------------------------------

    def put(self, id_: str) -> None:
        """Add a ready node, or one that could not start. A step may have released it meanwhile."""
        if self._debugger.paused and self._debugger.stops(id_):
            self._hold(id_)
        else:
            self._ready.append(id_)

    def put_again(self, id_: str) -> None:
        """Add a node that is ready for another try."""
        self._debugger.exempt(id_)
        self.put(id_)

    def drop(self, ids: Iterable[str]) -> None:
        """Remove nodes that do not start any more."""
        gone = set(ids)
        self._debugger.drop(gone)
        self._ready = deque(each for each in self._ready if each not in gone)

    def take(self) -> str | None:
        """Take the next node to start a task for, if there is one. A breakpoint before it pauses the run."""
        while self._ready:
            id_ = self._ready.popleft()
            if not self._debugger.stops(id_):
                return id_
            self._hold(id_)
        return None

    def admits(self, id_: str) -> bool:
        """Whether a node that was taken may start: a pause may have come while it waited for the journal."""
        return self._debugger.admits(id_)

    def pay_steps(self) -> None:
        """Release the nodes that a pending step is for."""
        self._ready.extend(self._debugger.pay())

    # -- commands --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin the run: publish pauses from now on, and count the flow's time unless it is paused."""
        self._begun = True
        if not self._debugger.paused:
            self._time.go()
        self._tell()

    def pause(self, node: str = "") -> None:
        """Hold every node that has not started."""
        if self._debugger.pause(node):
            self._tell()
            waiting, self._ready = self._ready, deque()
            for id_ in waiting:
                self._hold(id_)

    def resume(self) -> None:
        """Release everything."""
        if self._debugger.paused:
            self._ready.extend(self._debugger.resume())
            self._tell()

    def step(self, on_the_way: Iterable[str]) -> None:
        """Release the held nodes, and those between the gate and their start; see `Debugger.step`."""
        self._ready.extend(self._debugger.step(on_the_way))

    def set_breakpoints(self, ids: Iterable[str]) -> None:
        """Set the breakpoints."""
        self._debugger.set_breakpoints(ids)

    def _hold(self, id_: str) -> None:
        if self._debugger.hold(id_):
            self._announce.breakpoint_hit(id_)
            self.pause(id_)

    def _tell(self) -> None:
        if not self._begun or self._debugger.paused == self._told_paused:
            return
        self._told_paused = self._debugger.paused
        if self._told_paused:
            self._time.stand()
            self._announce.flow_paused(self._debugger.node)
        else:
            self._time.go()
            self._announce.flow_resumed()
