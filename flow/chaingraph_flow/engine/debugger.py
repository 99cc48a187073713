"""The debugger's state: the pause, held nodes, breakpoints, and pending steps.

No I/O, no clock, no tasks: `gate` asks it about every ready node, and carries out the answer.

The check is just before a node runs. A node is held because the run is paused, or because a breakpoint stands before
its first try. Either way it is held once, until a resume or a step releases it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chaingraph_crds.node_paths import unnumbered


@dataclass(frozen=True, slots=True)
class ControlState:
    """The initial state of a run: what a worker read in the ledger when it took the execution."""

    paused: bool = False
    pause_node: str = ""
    """The node whose breakpoint paused the run; '' for a pause by command."""
    breakpoints: Collection[str] = ()
    """Node ids. Ids that are not in the flow are never hit. `pages.fetch` is hit in every call of `pages`."""
    passed: Collection[str] = ()
    """Nodes whose breakpoint is not hit any more: an earlier engine of the same attempt held them or ran them."""
    steps: int = 0
    """Steps that were requested and not carried out. They count only for a run that starts paused."""
    announced: bool | None = None
    """Whether flow:paused was published last, and not flow:resumed; None: as `paused` says. If it differs from
    `paused`, the engine publishes the missing event."""


class Debugger:
    """Holds nodes and releases them. Every method may be called at any time."""

    def __init__(self, state: ControlState) -> None:
        self.paused = state.paused
        self.node = state.pause_node if state.paused else ""
        self._breakpoints = frozenset(state.breakpoints)
        self._passed = set(state.passed)
        self._owed = state.steps if state.paused else 0
        self._held: dict[str, None] = {}
        self._released: set[str] = set()

    @property
    def held(self) -> tuple[str, ...]:
        """The nodes at the gate, in order of arrival."""
        return tuple(self._held)

    @property
    def steps_owed(self) -> int:
        """Pending steps: nothing waited for them, or the nodes released by the last one have not started yet."""
        return self._owed + bool(self._released) if self.paused else 0

    # -- commands --------------------------------------------------------------------------------------------

    def pause(self, node: str = "") -> bool:
        """Hold every node that has not started. Returns False when already paused: the first cause is kept.

        Args:
            node: the node whose breakpoint was hit; '' for a command.
        """
        if self.paused:
            return False
        self.paused, self.node = True, node
        return True

    def resume(self) -> tuple[str, ...]:
        """Release everything. Returns the nodes that were held; their breakpoints count as passed."""
        freed = self._let_go()
        self.paused, self.node = False, ""
        self._owed = 0
        self._released.clear()
        return freed

    def step(self, on_the_way: Iterable[str] = ()) -> tuple[str, ...]:
        """Release the waiting nodes and stay paused. Returns the nodes that were held.

        When no node waits, the step is pending for the next ones. Without a pause there is nothing to step.

        Args:
            on_the_way: nodes that had passed the gate before the pause, and have not started yet.
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
        """Carry out a pending step, if there is one and nodes have come for it. Returns those nodes."""
        if not self._owed or not self._held:
            return ()
        self._owed -= 1
        return self._let_go()

    def set_breakpoints(self, ids: Iterable[str]) -> None:
        """Set the breakpoints. A held node stays held, and a breakpoint that was hit is not hit again."""
        self._breakpoints = frozenset(ids)

    def has_held(self, id_: str) -> bool:
        """Whether it holds or held the node, or an earlier engine did: its breakpoint is not hit any more."""
        return id_ in self._passed

    # -- questions about a node that is ready ------------------------------------------------------------------

    def stops(self, id_: str) -> bool:
        """Whether a node may not start now."""
        if self.paused and id_ not in self._released:
            return True
        return self._breaks(id_) and id_ not in self._passed

    def hold(self, id_: str) -> bool:
        """Keep a node at the gate. Returns whether it is at a breakpoint."""
        hit = self._breaks(id_) and id_ not in self._passed
        self._held[id_] = None
        self._passed.add(id_)
        return hit

    def admits(self, id_: str) -> bool:
        """Whether a node may start now. If so, it counts as started, and its next try needs another step."""
        if self.stops(id_):
            return False
        self._released.discard(id_)
        return True

    def exempt(self, id_: str) -> None:
        """Record that a node has started before: its breakpoint is not hit before another try."""
        self._passed.add(id_)

    def drop(self, ids: Iterable[str]) -> None:
        """Forget nodes that do not start any more."""
        for id_ in ids:
            self._held.pop(id_, None)
            self._released.discard(id_)

    def _breaks(self, id_: str) -> bool:
        """Whether a node has a breakpoint: its own, or one for its place in every call."""
        return bool(self._breakpoints) and (id_ in self._breakpoints or unnumbered(id_) in self._breakpoints)

    def _let_go(self) -> tuple[str, ...]:
        freed = self.held
        self._held.clear()
        self._released.update(freed)
        return freed
