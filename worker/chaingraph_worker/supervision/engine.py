"""An engine in a runner, as the worker sees it: its last reported state, and commands to it.

Records and events go to the flusher as bytes, in the message that brought them. The state of pauses and progress comes
with them and belongs to the same moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from chaingraph_crds.limits import MAX_EVENT_NAME, MAX_PROMPT
from chaingraph_store.attempts.running_nodes import WAIT_KINDS, RunningNode
from chaingraph_worker.errors import SecretReason, SecretRefused
from chaingraph_worker.runner.assignment import Assignment
from chaingraph_worker.runner.board import Board
from chaingraph_worker.runner.endings import NODE_TIMEOUT
from chaingraph_worker.supervision.children import Children, EngineCall, OnCalls
from chaingraph_worker.supervision.killed import Ended, KilledTry
from chaingraph_worker.supervision.pool import Pool
from chaingraph_worker.supervision.runner import Runner

_STOP_SECONDS: Final = 6.0
"""How long nodes may clean up once their engine was stopped: a little longer than the engine allows."""
_MOST_SHOWN: Final = 50
"""Maximum running and waiting nodes that are taken from a report."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """A finished node, or one that waits (`outcome`: waiting). `record` is the engine's own, as JSON."""

    node_id: str
    node_type: str
    outcome: str
    started_at: int
    finished_at: int
    tries: int
    reason: str
    error: str
    record: bytes


@dataclass(frozen=True, slots=True)
class EngineReport:
    """An event. `timestamp` in milliseconds since 1970; `data` is JSON."""

    type: str
    timestamp: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EngineEnd:
    """The end of an engine. `outcome`: Completed, Failed, Stopped, Parked, Invalid or InternalError."""

    outcome: str
    outputs: bytes | None = None
    error_node: str = ""
    error_reason: str = ""
    error_message: str = ""
    error_cause: bytes | None = None
    children: Children | None = None


@dataclass(slots=True)
class EngineState:
    """The last reported state of the engine."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    waiting: int = 0
    current_nodes: Sequence[str] = ()
    paused: bool = False
    pause_node: str = ""
    quiet: bool = False
    held: Sequence[str] = ()
    asleep_until: int | None = None
    """When the first waiting node continues, in milliseconds since 1970, if nothing else is left to do until then."""
    children: int = 0
    """Executions that nodes have called, and that it waits for."""
    ends: int = 0
    """The number of ends of calls that it has taken."""
    steps_owed: int = 0
    ran_ms: int = 0
    applied: int = 0
    """Number of the last command that it has carried out."""
    tries: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    running_nodes: Sequence[RunningNode] = ()
    ended: int = 0
    """The number of finished nodes, with those inside calls."""
    at: float = field(default_factory=time.monotonic)


ReadSecret = Callable[[str, Any], Awaitable[tuple[str, str]]]
"""Takes a namespace and a reference; returns the name of the secret for messages, and its value."""


class Recorder(Protocol):
    """Receives the engine's reports."""

    def take(self, ends: Sequence[NodeEnd], log: Sequence[EngineReport]) -> None:
        """Take the finished nodes and events of one turn of the engine; none when only its state has changed."""

    async def settled(self) -> None:
        """Return when all of it is durable. Raises when it cannot be."""


class RunnerLost(Exception):
    """The runner ended before its engine did."""

    def __init__(self, ended: Ended, board: Board, stuck: KilledTry | None) -> None:
        super().__init__(ended.message)
        self.ended = ended
        self.suspects = board.suspects()
        self.last = board.last
        self.stuck = stuck


class RemoteEngine:
    """One engine. `run` may be called once; commands may come before it."""

    def __init__(
        self,
        assignment: Assignment,
        recorder: Recorder,
        *,
        on_control: Callable[[], None],
        may_spawn: Callable[[int], Awaitable[str | None]],
        on_calls: OnCalls = lambda _calls, _stopped: None,
        secret: ReadSecret | None = None,
    ) -> None:
        """Create it. `on_control` is called when the engine pauses or resumes, holds other nodes, or took a command."""
        self._secret = secret or _no_secrets
        self._assignment = assignment
        self._recorder = recorder
        self._on_control = on_control
        self._may_spawn = may_spawn
        self._on_calls = on_calls
        self._ends_sent = 0
        self.state = EngineState(
            paused=assignment.paused,
            pause_node=assignment.pause_node,
            steps_owed=assignment.steps_owed,
            ran_ms=assignment.ran_ms,
            applied=assignment.control_seq,
        )
        self.ended_before = 0
        """The number of finished nodes at its start."""
        self._begun = False
        self._runner: Runner | None = None
        self._waiting: list[dict[str, Any]] = []
        self._end: asyncio.Future[EngineEnd] = asyncio.get_running_loop().create_future()
        self._stuck: KilledTry | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._kill_timer: asyncio.TimerHandle | None = None

    @property
    def begun(self) -> bool:
        """Whether it has reported anything yet."""
        return self._begun

    @property
    def quiet(self) -> bool:
        """Whether it is paused and nothing runs in it."""
        return self.state.quiet and not self._end.done()

    @property
    def asleep_seconds(self) -> float | None:
        """The seconds until it continues by itself; None while it is paused, has ended, or has anything else to do."""
        until = self.state.asleep_until
        return None if until is None or self._end.done() else until / 1000 - time.time()

    def count_time(self) -> None:
        """Count the time since the last report of a runner that has ended."""
        if self._begun and not self.state.paused:
            self.state.ran_ms += round((time.monotonic() - self.state.at) * 1000)

    # -- commands --------------------------------------------------------------------------------------------

    def command(self, command: Mapping[str, Any]) -> None:
        """Send a command."""
        self._send({"command": dict(command)})

    def child_ended(self, end: str) -> None:
        """Give it the end of a call: the fields of `chaingraph_flow.ChildEnd`, as JSON. Again without effect."""
        self._ends_sent += 1
        self._send({"child_end": end})

    @property
    def ends_in_flight(self) -> bool:
        """Whether it has not taken all ends of calls yet."""
        return self._ends_sent > self.state.ends and not self._end.done()

    def park(self) -> None:
        """End the engine with Parked, because the row is parked: it is paused, or asleep."""
        self._send({"park": True})

    def stop(self, reason: str) -> None:
        """Cancel running nodes and end with Stopped; a runner that does not is killed."""
        self._send({"stop": reason})
        if self._kill_timer is None:
            self._kill_timer = asyncio.get_running_loop().call_later(_STOP_SECONDS, self._kill)

    def hold_back(self) -> None:
        """Throttle the engine: it reports faster than the flusher writes."""
        if self._runner is not None and not self._end.done():
            self._runner.hold_back()

    def go_on(self) -> None:
        """Stop throttling."""
        if self._runner is not None:
            self._runner.go_on()

    # -- its life --------------------------------------------------------------------------------------------

    async def run(self, pool: Pool) -> EngineEnd:
        """Run the engine to its end.

        Raises:
            RunnerLost: its runner ended first.
            Exception: an error of the recorder: the reports cannot be made durable.
        """
        runner = await pool.take(self._assignment.namespace)
        header, blobs = self._assignment.to_frame()
        runner.begin(self, self._assignment.namespace, header, blobs)
        self._runner = runner
        for message in self._waiting:
            runner.send(message)
        try:
            return await self._end
        except BaseException:
            # The engine is no longer awaited, and must not continue.
            self._kill()
            raise
        finally:
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            runner.go_on()
            for task in self._tasks:
                task.cancel()

    def _kill(self) -> None:
        if self._runner is not None and not (self._end.done() and self._end.exception() is None):
            self._runner.kill(None)

    def _send(self, message: dict[str, Any]) -> None:
        if self._end.done():
            return  # The runner may have the engine of another execution by now, which would take the message.
        if self._runner is None:
            self._waiting.append(message)
        else:
            self._runner.send(message)

    # -- the runner's Listener -------------------------------------------------------------------------------

    def report(self, header: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
        """Take a report of the runner."""
        if self._end.done():
            return
        if "settle" in header:
            self._spawn_task(self._settle(header["settle"]))
            return
        if "secret" in header:
            self._spawn_task(self._resolve(header["secret"], header["reference"]))
            return
        records, events = header["records"], header["events"]
        ends = [NodeEnd(*[*fields, blob]) for fields, blob in zip(records, blobs, strict=False)]
        rest = blobs[len(records) :]
        log = [EngineReport(*[*fields, blob]) for fields, blob in zip(events, rest, strict=False)]
        rest = rest[len(events) :]
        calls = [EngineCall(*[*fields, blob]) for fields, blob in zip(header.get("calls", ()), rest, strict=False)]
        rest = rest[len(calls) :]
        running_before = self.state.running_nodes
        changed = "control" in header and self._take_state(header)
        # No event reports a try other than the first.
        if ends or log or self.state.running_nodes != running_before:
            self._recorder.take(ends, log)
        if calls or header.get("stopped_calls"):
            self._on_calls(calls, header["stopped_calls"])
        if "stuck" in header:
            id_, tries, since, message = header["stuck"]
            self._stuck = KilledTry(id_, tries, since, NODE_TIMEOUT, message)
        if "spawn" in header:
            self._spawn_task(self._answer(header["spawn"]))
        if "ended" in header:
            self._end.set_result(_end_of(header, rest))
        elif changed:
            self._on_control()

    def ended(self, ended: Ended) -> None:
        """Handle the end of the runner."""
        if not self._end.done():
            assert self._runner is not None
            self._end.set_exception(RunnerLost(ended, self._runner.board, self._stuck))

    def _take_state(self, header: Mapping[str, Any]) -> bool:
        before, first = self.state, not self._begun
        self._begun = True
        total, completed, failed, skipped, running, waiting, current = header["progress"]
        paused, reason, quiet, held, asleep_until = header["control"]
        self.state = now = EngineState(
            *(total, completed, failed, skipped, running, waiting, current),
            *(paused, reason, quiet, held, None if asleep_until is None else int(asleep_until)),
            children=header["live_children"],
            ends=header["ends"],
            steps_owed=header["owed"],
            ended=header["nodes_ended"],
            ran_ms=header["ran"],
            applied=header["applied"],
            tries={id_: (tries, since) for id_, (tries, since) in header["tries"].items()},
            running_nodes=tuple(_running(*each) for each in header["running"][:_MOST_SHOWN]),
        )
        if first:
            self.ended_before = now.ended
            return bool(paused) or asleep_until is not None
        return _controls(before) != _controls(now)

    async def _settle(self, number: int) -> None:
        try:
            await self._recorder.settled()
        except Exception as error:  # noqa: BLE001 - raised into run()
            if not self._end.done():
                self._end.set_exception(error)
            return
        self._send({"durable": number})

    async def _resolve(self, number: int, reference: Any) -> None:
        """Send the runner the value of a secret. It is kept nowhere here, and the runner serves no other tenant."""
        answer: dict[str, Any] = {"secret": number}
        try:
            what, value = await self._secret(self._assignment.namespace, reference)
        except SecretRefused as refused:
            answer["refused"] = [refused.reason, str(refused)]
        except Exception as error:  # noqa: BLE001 - raised into run()
            if not self._end.done():
                self._end.set_exception(error)
            return
        else:
            answer |= {"value": value, "what": what}
            if self._runner is not None:
                self._runner.knows_secrets = True
        self._send(answer)

    async def _answer(self, count: int) -> None:
        try:
            self._send({"answer": await self._may_spawn(count)})
        except Exception as error:  # noqa: BLE001 - raised into run()
            if not self._end.done():
                self._end.set_exception(error)

    def _spawn_task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _no_secrets(_namespace: str, _reference: Any) -> tuple[str, str]:
    raise SecretRefused(SecretReason.FORBIDDEN, "this worker has no access to secrets")


def _controls(state: EngineState) -> tuple[object, ...]:
    return (state.paused, state.quiet, state.held, state.applied, state.asleep_until is None)


def _running(
    node: str, tries: int, max_tries: int, since: int, next_at: int | None, waits_for: str, signal: str, prompt: str
) -> RunningNode:
    until = None if next_at is None else int(next_at)
    kind = waits_for if waits_for in WAIT_KINDS else ""
    told = (str(signal)[:MAX_EVENT_NAME], str(prompt)[:MAX_PROMPT])
    return RunningNode(str(node), int(tries), int(max_tries), int(since), until, kind, *told)


def _end_of(header: Mapping[str, Any], blobs: Sequence[bytes]) -> EngineEnd:
    node, reason, message = header.get("error") or ("", "", header.get("message", ""))
    rest = list(blobs)
    outputs = rest.pop(0) if header.get("outputs") else None
    cause = rest.pop(0) if header.get("cause") else None
    children = Children.of_message(header["children"], rest) if "children" in header else None
    return EngineEnd(header["ended"], outputs, node, reason, message, cause, children)
