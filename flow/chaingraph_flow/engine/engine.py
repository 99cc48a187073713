"""The engine: a scheduler with a debugger's commands."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from chaingraph_flow.calls import ChildEnd
from chaingraph_flow.context import Signal
from chaingraph_flow.engine.result import Progress, RunningNode
from chaingraph_flow.engine.scheduler import Scheduler


class Engine(Scheduler):
    """One run of a graph. Create a new engine for every attempt; `run` may be called once.

    Call the commands on the engine's event loop. They have no effect once the run has ended.
    """

    @property
    def progress(self) -> Progress:
        """The progress."""
        return self.standing.progress

    @property
    def nodes_ended(self) -> int:
        """The number of nodes that have ended, with those inside calls."""
        return self.standing.ended

    @property
    def tries(self) -> dict[str, tuple[int, int]]:
        """The running nodes, with the number of their try and the time of their first one in ms since 1970."""
        started = (id_ for id_ in self._running if id_ not in self._tries.starting)
        return {id_: tried for id_ in started if (tried := self._tries.of(id_)) is not None}

    @property
    def running_nodes(self) -> tuple[RunningNode, ...]:
        """The first nodes that are running or waiting; after the run, those that it interrupted."""
        return self.standing.running_nodes

    @property
    def quiet(self) -> bool:
        """Whether it is paused, and only a command or the end of a wait changes that."""
        return self.standing.quiet

    @property
    def asleep_until(self) -> int | None:
        """When the next waiting node continues if nothing else is left to do; see `Standing.asleep_until`."""
        return self.standing.asleep_until

    @property
    def paused(self) -> bool:
        """Whether it is paused, by a command or a breakpoint. Nodes may still be running: see `quiet`."""
        return self._gate.paused

    @property
    def pause_node(self) -> str:
        """The node whose breakpoint paused it; '' for a pause by command, or none."""
        return self._gate.pause_node

    @property
    def held(self) -> tuple[str, ...]:
        """The nodes that the debugger holds, in order of arrival."""
        return self._gate.held

    @property
    def steps_owed(self) -> int:
        """The steps that are still pending: their nodes have not come, or not started."""
        return self._gate.steps_owed

    @property
    def ran_ms(self) -> int:
        """The milliseconds that this attempt has run, without pauses. The flow's timeout counts these."""
        return self._time.milliseconds

    def pause(self) -> None:
        """Start no more nodes. Running nodes run to their end. No effect when already paused."""
        self._command(self._gate.pause)

    def resume(self) -> None:
        """Resume with all held nodes, past the breakpoints that hold them."""
        self._command(self._gate.resume)

    def step(self) -> None:
        """Start the waiting nodes, or the next ones when none waits, and stay paused. Ignored when not paused."""
        self._command(lambda: self._gate.step(self._tries.starting))

    def set_breakpoints(self, ids: Iterable[str]) -> None:
        """Pause before these nodes only. Each is hit once, before its first try; unknown ids never.

        Removing the breakpoint that holds a node does not resume the run.
        """
        self._command(partial(self._gate.set_breakpoints, ids))

    def deliver(self, signal: Signal) -> None:
        """Give a signal to its node: now if it waits for it, else as soon as it does."""
        self._command(partial(self._waits.deliver, signal))

    def child_ended(self, end: ChildEnd) -> None:
        """Give the end of an execution to the node that has called it. Again without effect."""
        self._command(partial(self._calls.child_ended, end))

    @property
    def live_children(self) -> int:
        """The number of executions that nodes have called and that have not ended."""
        return len(self._children)

    def park(self) -> bool:
        """End `run` with Parked, and publish nothing. Returns False, without effect, unless it is `quiet` or asleep.

        Another engine continues with the journal, its waits, `ran_ms`, and `held` as `ControlState.passed`.
        """
        if not self.quiet and self.asleep_until is None:
            return False
        self._parked = True
        self._over.set()
        return True
