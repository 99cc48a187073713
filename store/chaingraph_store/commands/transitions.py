"""The meaning of a spec change for an unfinished execution, in each of its states. Pure.

An execution is held (waits for its START_SIGNAL), queued, active (a worker has it) or parked (paused, or asleep). Only
an active one needs messages: the others read the row when they are claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from chaingraph_flow.events import paused_data
from chaingraph_store import events
from chaingraph_store.commands.tokens import TokenKind, asks, with_token
from chaingraph_store.signals import NewSignal


@dataclass(frozen=True, slots=True)
class DesiredControl:
    """The spec's current settings. Tokens are '' when absent; None keeps a setting."""

    paused: bool
    step: str
    resume: str
    breakpoints: tuple[str, ...]
    on_stop: str
    priority: int | None = None
    start_timeout_seconds: int | None = None
    options: Mapping[str, Any] | None = None
    signals: tuple[NewSignal, ...] = ()
    """Those that the row does not know yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlState:
    """The columns of an execution's row that commands read and write."""

    phase: str
    parked: bool
    run: int
    wants_pause: bool
    paused: bool
    pause_node: str
    pause_logged: bool
    breakpoints: tuple[str, ...]
    on_stop: str
    step_token: str
    """The last handled token; `used_tokens` has the earlier ones, see `tokens`."""
    resume_token: str
    used_tokens: tuple[str, ...]
    observed_generation: int
    control_seq: int
    pause_seq: int
    step_seqs: tuple[int, ...]
    signal_count: int
    priority: int
    start_timeout_s: int
    options: Mapping[str, Any]
    started_at: datetime | None
    """When the attempt started to run: read, never written here."""

    @property
    def place(self) -> Location:
        if self.phase == "Created":
            return Location.HELD
        if self.phase == "Pending":
            return Location.QUEUED
        return Location.PARKED if self.parked else Location.ACTIVE


class Location(StrEnum):
    HELD = "held"
    QUEUED = "queued"
    ACTIVE = "active"
    PARKED = "parked"


@dataclass(slots=True)
class Transition:
    """The actions to take: the new row, and everything that goes with it in the same transaction."""

    controls: ControlState
    applied: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    """For the engine, numbered."""
    signals: dict[int, NewSignal] = field(default_factory=dict)
    """The accepted signals by their numbers."""
    event: tuple[str, Mapping[str, Any]] | None = None
    start: bool = False
    """Send START_SIGNAL."""
    cancel: bool = False
    """Cancel the queued run."""
    enqueue: bool = False
    """Enqueue the run of `controls.run`."""
    requeue: bool = False
    """The enqueued run has a new priority."""
    sooner: bool = False
    """The start timeout is now earlier than its wait knows."""

    def change(self, **columns: Any) -> None:
        self.controls = replace(self.controls, **columns)

    def number(self) -> int:
        self.change(control_seq=self.controls.control_seq + 1)
        return self.controls.control_seq

    def log(self, *, paused: bool) -> None:
        """Write the pending event, unless the log has it already."""
        if self.controls.pause_logged == paused:
            return
        assert self.event is None, "a transition pauses or resumes, never both"
        self.event = (events.PAUSED, paused_data(self.controls.pause_node)) if paused else (events.RESUMED, {})
        self.change(pause_logged=paused)

    def send(self, kind: str, **fields: Any) -> int:
        """Add a numbered command and, when a worker has the execution, send it."""
        seq = self.number()
        if self.controls.place is Location.ACTIVE:
            self.messages.append({"seq": seq, "kind": kind, **fields})
        return seq


def transition(controls: ControlState, wanted: DesiredControl) -> Transition:
    """Return the actions that make the row match the spec."""
    result = Transition(controls)
    _change_settings(result, wanted)
    if wanted.on_stop != controls.on_stop:
        result.change(on_stop=wanted.on_stop)
    if set(wanted.breakpoints) != set(controls.breakpoints):
        result.change(breakpoints=wanted.breakpoints)
        result.send("BREAKPOINTS", breakpoints=list(wanted.breakpoints))
        result.applied.append("BREAKPOINTS")
    if wanted.paused != controls.wants_pause:
        result.change(wants_pause=wanted.paused)
        if wanted.paused:
            _pause(result)
        else:
            _resume(result)
    if _uses(result, TokenKind.RESUME, wanted.resume, last=controls.resume_token):
        result.change(resume_token=wanted.resume)
        _resume_by_token(result)
    if _uses(result, TokenKind.STEP, wanted.step, last=controls.step_token):
        result.change(step_token=wanted.step)
        _step(result)
    for signal in wanted.signals:
        _accept(result, signal)
    return result


def _change_settings(transition: Transition, wanted: DesiredControl) -> None:
    """Apply the settings. The priority counts whenever it is in the queue, the others when the attempt starts."""
    before = transition.controls
    if wanted.priority is not None and wanted.priority != before.priority:
        transition.change(priority=wanted.priority)
        transition.requeue = True
        transition.applied.append("PRIORITY")
    if before.started_at is not None:
        return
    seconds = wanted.start_timeout_seconds
    if seconds is not None and seconds != before.start_timeout_s:
        transition.change(start_timeout_s=seconds)
        transition.sooner = before.place is Location.HELD and seconds < before.start_timeout_s
        transition.applied.append("START_TIMEOUT")
    if wanted.options is not None and wanted.options != before.options:
        transition.change(options=wanted.options)
        transition.applied.append("OPTIONS")


def _uses(transition: Transition, kind: TokenKind, token: str, *, last: str) -> bool:
    """Whether the token requests something; it does so once."""
    used = transition.controls.used_tokens
    transition.change(used_tokens=with_token(kind, token, used=used, last=last))
    return asks(kind, token, used=used, last=last)


def _pause(transition: Transition) -> None:
    transition.applied.append("PAUSE")
    if transition.controls.paused:
        return  # at a breakpoint: there is nothing to do until it resumes
    place = transition.controls.place
    transition.change(paused=True, pause_node="")
    transition.change(pause_seq=transition.send("PAUSE"))
    transition.cancel = place is Location.QUEUED
    if place in (Location.QUEUED, Location.PARKED):
        transition.log(paused=True)
        transition.change(phase="Paused", parked=True)


def _resume(transition: Transition) -> None:
    place = transition.controls.place
    if place is Location.HELD:
        # An execution that was stepped, or paused after its start, has its START_SIGNAL already.
        transition.applied.append("RESUME" if transition.controls.paused else "START")
        transition.start = True
    else:
        transition.applied.append("RESUME")
    transition.change(pause_seq=transition.send("RESUME"), paused=False, pause_node="", step_seqs=())
    if place in (Location.QUEUED, Location.PARKED):
        transition.log(paused=False)
    if place is Location.PARKED:
        _unpark(transition)


def _resume_by_token(transition: Transition) -> None:
    if "RESUME" in transition.applied or "START" in transition.applied:
        return  # requested in both ways at once
    if transition.controls.wants_pause or not transition.controls.paused:
        transition.ignored.append("RESUME")
    else:
        _resume(transition)


def _step(transition: Transition) -> None:
    place = transition.controls.place
    if place is Location.HELD and transition.controls.wants_pause:
        if not transition.controls.paused:
            transition.change(paused=True, pause_node="")
        transition.start = True
    elif not transition.controls.paused:
        transition.ignored.append("STEP")
        return
    transition.applied.append("STEP")
    seq = transition.send("STEP", token=transition.controls.step_token)
    transition.change(step_seqs=(*transition.controls.step_seqs, seq))
    if place is Location.PARKED:
        _unpark(transition)


def _accept(transition: Transition, signal: NewSignal) -> None:
    """Accept a signal. It wakes an execution that is asleep; a paused one gets it when it resumes."""
    transition.signals[transition.send("SIGNAL")] = signal
    transition.change(signal_count=transition.controls.signal_count + 1)
    transition.applied.append("SIGNAL")
    if transition.controls.parked and transition.controls.phase == "Running":
        _unpark(transition)


def _unpark(transition: Transition) -> None:
    transition.change(phase="Pending", parked=False, run=transition.controls.run + 1)
    transition.enqueue = True
