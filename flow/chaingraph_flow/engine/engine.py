"""The engine: a scheduler with a debugger's commands."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from chaingraph_flow.engine.scheduler import Scheduler


class Engine(Scheduler):
    """One run of a graph. Make a new one for every attempt; `run` may be called once.

    Commands are given on the engine's event loop; nothing happens once the run is over.
    """

    @property
    def paused(self) -> bool:
        """Whether it is paused, by a command or a breakpoint. Nodes in flight may still run: see `quiet`."""
        return self._gate.paused

    @property
    def pause_reason(self) -> str:
        """Why it is paused; '' when it is not."""
        return self._gate.pause_reason

    @property
    def held(self) -> tuple[str, ...]:
        """The nodes that the debugger holds, in the order in which they came."""
        return self._gate.held

    @property
    def steps_owed(self) -> int:
        """Steps that it was asked for and has not made: nodes that they let go have not come, or not begun."""
        return self._gate.steps_owed

    @property
    def ran_ms(self) -> int:
        """For how many milliseconds this attempt has run, without its pauses. The flow's timeout counts these."""
        return self._time.milliseconds

    def pause(self, reason: str) -> None:
        """Let no node begin. Nodes in flight run on to their end. A pause of what is paused changes nothing."""
        self._command(partial(self._gate.pause, reason))

    def resume(self) -> None:
        """Go on with all that is held, past the breakpoints that hold it."""
        self._command(self._gate.resume)

    def step(self) -> None:
        """Let what waits now begin, or what comes next when nothing waits, and stay paused. Ignored when not paused."""
        self._command(lambda: self._gate.step(self._tries.starting))

    def set_breakpoints(self, ids: Iterable[str]) -> None:
        """Pause before these nodes and no others. Each is hit once, before its first try; unknown ids never.

        To take away the breakpoint that holds a node does not resume the run.
        """
        self._command(partial(self._gate.set_breakpoints, ids))

    def park(self) -> bool:
        """End `run` with Parked, and announce nothing. Returns False, and changes nothing, unless it is `quiet`.

        Another engine goes on with the journal, `ran_ms`, and `held` as `ControlState.passed`; tries are counted anew.
        """
        if not self.quiet:
            return False
        self._parked = True
        self._over.set()
        return True
