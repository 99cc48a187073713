"""Control a running attempt: commands go to its engine, pauses to the row, and a long pause or wait parks it.

See docs/decisions/0003.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from chaingraph_store import signals
from chaingraph_store.attempts import parking, runs
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics
from chaingraph_worker.attempts.flusher import Flusher
from chaingraph_worker.attempts.inbox import Command, CommandInbox
from chaingraph_worker.supervision.engine import RemoteEngine

_REFUSED_PARK_SECONDS: Final = 0.5
"""Delay before a park is tried again that was refused because a command was in flight."""
_CHILD_SECONDS: Final = 0.25
"""How long an execution keeps its slot while it waits for a child. Many end before it could be parked and woken."""
_KINDS: Final = frozenset(("PAUSE", "RESUME", "STEP", "BREAKPOINTS", "SIGNAL", "CHILD_ENDED"))
_log = structlog.get_logger(__name__)


class Control:
    """Connects the inbox, the engine, the flusher and the row's pause. For use on the event loop."""

    def __init__(
        self,
        ledger: Ledger,
        claim: runs.Claim,
        inbox: CommandInbox,
        flusher: Flusher,
        *,
        park_seconds: float,
        interrupt: Callable[[str], None],
        calling: Callable[[], bool] = lambda: False,
        look_at_calls: Callable[[], None] = lambda: None,
    ) -> None:
        """Create it. `park_seconds`: how long a pause or a wait may keep its slot; `interrupt` ends a lost attempt.

        `calling` says whether its calls are being made, or their ends read: nothing would wake it then. `look_at_calls`
        reads the ends.
        """
        self._calling = calling
        self._look_at_calls = look_at_calls
        self._ledger = ledger
        self._claim = claim
        self._inbox = inbox
        self._flusher = flusher
        self._park_seconds = park_seconds
        self._interrupt = interrupt
        self._engine: RemoteEngine | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parking: asyncio.Task[None] | None = None
        self._closed = False
        inbox.open(claim.control_seq, self._carry_out)

    def steer(self, engine: RemoteEngine) -> None:
        """Send commands to this engine."""
        self._engine = engine

    def state(self) -> runs.EngineControl | None:
        """Return the state for the row; None while there is no engine."""
        if self._engine is None or not self._engine.begun:
            return None
        now = self._engine.state
        return runs.EngineControl(
            paused=now.paused,
            pause_node=now.pause_node,
            applied_seq=now.applied,
            ran_ms=now.ran_ms,
            steps_owed=now.steps_owed,
        )

    def changed(self) -> None:
        """Handle a change of the engine: paused or resumed, asleep, other nodes held, or a command carried out."""
        self._flusher.hurry()
        self._time_parking()

    def park_at_once(self) -> None:
        """Let no pause or wait keep its slot from now on: the worker shuts down."""
        self._park_seconds = 0.0
        self._time_parking()

    async def look_at_signals(self, until: int) -> None:
        """Carry out the commands up to this number, if all are signals: their message takes a few milliseconds more."""
        after = self._inbox.applied
        if until <= after:
            return
        async with self._ledger.connection() as connection:
            found = await signals.commands(connection, self._claim.execution_id, after=after, until=until)
        if found is not None and not self._closed:
            self._inbox.take({"commands": found})

    async def close(self) -> None:
        """Stop parking, because the engine has ended. Awaits a running statement, which may have committed."""
        self._closed = True
        self._stop_timer()
        if self._parking is not None:
            await self._parking

    def _carry_out(self, command: Command) -> None:
        engine = self._engine
        if engine is None:
            return  # the attempt has not started: its claim has the command
        kind = command["kind"]
        if kind not in _KINDS:
            _log.warning("unknown command ignored", kind=kind, seq=command["seq"])
        if kind == "CHILD_ENDED":
            self._look_at_calls()
        engine.command(command)
        metrics.COMMANDS.labels(kind).inc()
        _log.info("command", execution_id=self._claim.execution_id, kind=kind, seq=command["seq"])

    def _time_parking(self, seconds: float | None = None) -> None:
        self._stop_timer()
        after = self._seconds_to_parking()
        if self._engine is not None and after is not None:
            after = after if seconds is None else seconds
            self._timer = asyncio.get_running_loop().call_later(after, self._begin_parking, self._engine)

    def _seconds_to_parking(self) -> float | None:
        """A pause parks after a while, because it may be short. The end of a wait is known: a long one parks now.

        That of a child is not known.
        """
        engine = self._engine
        if engine is None or self._closed:
            return None
        if engine.quiet:
            return self._park_seconds
        asleep = engine.asleep_seconds
        if asleep is None or asleep <= self._park_seconds:
            return None
        return min(_CHILD_SECONDS, self._park_seconds) if engine.state.children else 0.0

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_parking(self, engine: RemoteEngine) -> None:
        if self._parking is None or self._parking.done():
            self._parking = asyncio.create_task(self._park(engine), name=f"park {self._claim.execution_id}")

    async def _park(self, engine: RemoteEngine) -> None:
        async def once() -> bool:
            async with self._ledger.connection() as connection:
                # Checked at the last moment: a command may be on its way to the runner, and start nodes there.
                if self._calling() or self._seconds_to_parking() is None or engine.state.applied != self._inbox.applied:
                    return False
                return await parking.park(
                    connection,
                    self._claim,
                    applied_seq=engine.state.applied,
                    held_nodes=list(engine.state.held),
                    asleep_seconds=None if engine.quiet else engine.asleep_seconds,
                )

        try:
            # Nothing may be submitted between this and the park. Only a command could make the engine do so, or the end
            # of a wait, and that is far away: with a command that we have not processed the ledger refuses.
            await self._flusher.settled()
            parked = await retry_transient(once, what="park")
        except OwnershipLost as error:
            self._interrupt(str(error))
            return
        except Exception:  # noqa: BLE001 - it keeps its slot; what cannot be flushed has ended the attempt already
            _log.exception("cannot park the execution")
            return
        if not parked:
            self._time_parking(_REFUSED_PARK_SECONDS)
            return
        state = engine.state
        _log.info("parked", breakpoint=state.pause_node, held=list(state.held), waiting=state.waiting)
        engine.park()
