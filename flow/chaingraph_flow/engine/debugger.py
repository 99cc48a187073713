"""The debugger's state: whether the run is paused, which nodes it holds, its breakpoints, and the steps it still owes.

No I/O, no clock, no tasks: `gate` asks it about every node that is ready, and carries out what it answers.

The check is just before a node runs. A node is held because the run is paused, or because a breakpoint stands before
its first try; either way it is held once, until a resume or a step lets it go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ControlState:
    """How a run begins: what a worker read in the ledger when it took the execution."""

    paused: bool = False
    pause_reason: str = ""
    breakpoints: Collection[str] = ()
    """Ids of nodes; those that the flow does not have are never hit."""
    passed: Collection[str] = ()
    """Nodes before which no breakpoint is hit any more: an earlier engine of the same attempt held them or ran them."""
    steps: int = 0
    """Steps that were asked for and not carried out. They count only for a run that begins paused."""
    announced: bool | None = None
    """Whether flow:paused is the last that was published of it and flow:resumed; None: as `paused` says. Where it does
    not agree with `paused`, the engine publishes the one that is due."""


class Debugger:
    """Holds nodes and lets them go. Every method may be called at any time."""

    def __init__(self, state: ControlState) -> None:
        self.paused = state.paused
        self.reason = state.pause_reason if state.paused else ""
        self._breakpoints = frozenset(state.breakpoints)
        self._passed = set(state.passed)
        self._owed = state.steps if state.paused else 0
        self._held: dict[str, None] = {}
        self._released: set[str] = set()

    @property
    def held(self) -> tuple[str, ...]:
        """The nodes at the gate, in the order in which they came."""
        return tuple(self._held)

    @property
    def steps_owed(self) -> int:
        """Steps that have not been made: nothing waited for them, or what the last one let go has not begun yet."""
        return self._owed + bool(self._released) if self.paused else 0

    # -- commands --------------------------------------------------------------------------------------------

    def pause(self, reason: str) -> bool:
        """Hold every node that has not begun. Returns False when it was paused already: the first reason stays."""
        if self.paused:
            return False
        self.paused, self.reason = True, reason
        return True

    def resume(self) -> tuple[str, ...]:
        """Let everything go; returns the nodes that were held, past whose breakpoints the run now is."""
        freed = self._let_go()
        self.paused, self.reason = False, ""
        self._owed = 0
        self._released.clear()
        return freed

    def step(self, on_the_way: Iterable[str] = ()) -> tuple[str, ...]:
        """Let go what waits now, and stay paused; returns the nodes that were held.

        When nothing waits the step is owed to the nodes that come next. Without a pause there is nothing to step.

        Args:
            on_the_way: Nodes that were through the gate when the pause came, and have not begun yet.
        """
        if not self.paused:
            return ()
        passing = set(on_the_way) - self._released
        if not passing and not self._held:
            self._owed += 1
            return ()
        self._passed |= passing
        self._released |= passing
        return self._let_go()

    def pay(self) -> tuple[str, ...]:
        """Carry out a step that is owed, if there is one and nodes have come that it is for; returns those nodes."""
        if not self._owed or not self._held:
            return ()
        self._owed -= 1
        return self._let_go()

    def set_breakpoints(self, ids: Iterable[str]) -> None:
        """These and no others. A node that is held stays held, and one that was held is not hit again."""
        self._breakpoints = frozenset(ids)

    def has_held(self, id_: str) -> bool:
        """Whether it holds or held the node, or an earlier engine did: no breakpoint is hit before it any more."""
        return id_ in self._passed

    # -- questions about a node that is ready ------------------------------------------------------------------

    def stops(self, id_: str) -> bool:
        """Whether a node may not begin now."""
        if self.paused and id_ not in self._released:
            return True
        return id_ in self._breakpoints and id_ not in self._passed

    def hold(self, id_: str) -> bool:
        """Keep a node at the gate; returns whether it is a breakpoint that it has met there."""
        hit = id_ in self._breakpoints and id_ not in self._passed
        self._held[id_] = None
        self._passed.add(id_)
        return hit

    def admits(self, id_: str) -> bool:
        """Whether a node may begin now; if so it does, and the next try of it needs another step."""
        if self.stops(id_):
            return False
        self._released.discard(id_)
        return True

    def exempt(self, id_: str) -> None:
        """A node has begun before: no breakpoint is hit before another try of it."""
        self._passed.add(id_)

    def _let_go(self) -> tuple[str, ...]:
        freed = self.held
        self._held.clear()
        self._released.update(freed)
        return freed
