"""Carry out the plan's commands on a row: control updates, stops, retries and refusals, each in one transaction.

A request that had no effect is reported as a Kubernetes Event, because no status records it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from chaingraph_flow.field_errors import FieldError
from chaingraph_operator.decide.creation import inline_lines
from chaingraph_operator.decide.plan import (
    Command,
    ObserveGeneration,
    RefuseRetry,
    RefuseSignals,
    Retry,
    Stop,
    UpdateControl,
)
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_operator.kube.keys import Key
from chaingraph_store.commands import control, observed_generation, retrying, signal_refusals, stopping
from chaingraph_store.commands.control import DesiredControl
from chaingraph_store.commands.observed_generation import Stale
from chaingraph_store.commands.retrying import RefusedRetry
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger

_log = structlog.get_logger(__name__)

Announce = Callable[[Key, KubernetesEvent], None]


class Commands:
    """Carries out commands."""

    def __init__(self, ledger: Ledger, *, application_name: str, announce: Announce) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._announce = announce

    async def carry_out(self, command: Command, key: Key) -> None:
        """Carry out a command. A repeated command, or one of an outdated spec, changes nothing."""
        match command:
            case UpdateControl():
                await self._steer(command, key)
            case Stop():
                await self._stop(command)
            case Retry():
                await self._retry(command)
            case RefuseRetry():
                await self._refuse_retry(command)
            case RefuseSignals():
                await self._refuse_signals(command)
            case ObserveGeneration():
                await self._heed(command)

    async def _steer(self, command: UpdateControl, key: Key) -> None:
        execution, wanted, generation = command.id, command.wanted, command.generation
        async with self._ledger.transaction() as connection:
            updated = await control.apply(
                connection, execution, wanted, generation=generation, application_name=self._application_name
            )
        if updated is None:
            return
        if isinstance(updated, Stale):
            _forgotten(execution, generation, updated)
            return
        _log.info("updated", execution_id=execution, commands=updated.commands, ignored=updated.ignored)
        for each in updated.ignored:
            self._announce(key, _ignored(each, wanted))

    async def _stop(self, command: Stop) -> None:
        async with self._ledger.transaction() as connection:
            stopped = await stopping.stop(
                connection,
                command.id,
                reason=command.reason,
                children=command.children,
                deleted=command.deleted,
                generation=command.generation,
            )
        if stopped:
            _log.info("stopped", execution_id=command.id, reason=command.reason, children=command.children)

    async def _retry(self, command: Retry) -> None:
        execution, asked, generation = command.id, command.asked, command.generation
        async with self._ledger.transaction() as connection:
            begun = await retrying.retry(
                connection, execution, asked, generation=generation, application_name=self._application_name
            )
        if isinstance(begun, Stale):
            _forgotten(execution, generation, begun)
            return
        _log.info("retried", execution_id=execution, token=asked.token, from_start=asked.from_start, begun=begun)

    async def _refuse_retry(self, command: RefuseRetry) -> None:
        execution, token, generation = command.id, command.token, command.generation
        async with self._ledger.transaction() as connection:
            refused = await retrying.refuse_retry(
                connection, execution, token, RefusedRetry(command.reason, command.message), generation=generation
            )
        if isinstance(refused, Stale):
            _forgotten(execution, generation, refused)
        else:
            _log.info("retry refused", execution_id=execution, token=token, reason=command.reason)

    async def _refuse_signals(self, command: RefuseSignals) -> None:
        execution, refused, generation = command.id, command.refused, command.generation
        async with self._ledger.transaction() as connection:
            stale = await signal_refusals.refuse(
                connection, execution, refused, spec_ids=command.spec_ids, generation=generation
            )
        if stale is not None:
            _forgotten(execution, generation, stale)
            return
        for each in refused:
            _log.info("signal refused", execution_id=execution, signal=each.id, reason=each.reason)

    async def _heed(self, command: ObserveGeneration) -> None:
        execution, generation, seen = command.id, command.generation, command.seen
        async with self._ledger.transaction() as connection:
            stale = await observed_generation.observe(
                connection, execution, generation, seen=seen, tokens=command.tokens, on_stop=command.on_stop
            )
        if stale is not None:
            _forgotten(execution, generation, stale)
        elif seen > generation:
            _log.warning(
                "the API server has an earlier generation than was observed: its data were restored from a backup",
                execution_id=execution,
                generation=generation,
                observed=seen,
            )

    def warn_of_flow(self, key: Key, warnings: Sequence[FieldError]) -> None:
        """Report the warnings of an Execution's inline flow."""
        if warnings:
            more = f", and {len(warnings) - 1} more" if len(warnings) > 1 else ""
            code = warnings[0].code
            self._announce(key, KubernetesEvent("Warning", code, f"{inline_lines(warnings)[0]}{more}", code))


def _forgotten(execution: ExecutionId, generation: int, stale: Stale) -> None:
    """Log an outdated spec. The next plan finds that the row is ahead, and has the spec read again."""
    _log.info("discarded an outdated spec", execution_id=execution, generation=generation, observed=stale.observed)


def _ignored(command: str, wanted: DesiredControl) -> KubernetesEvent:
    if command == "STEP":
        message = f"spec.step {wanted.step!r} ignored: the execution is not paused. Set spec.paused to true first."
        return KubernetesEvent("Warning", "StepIgnored", message, wanted.step)
    why = "spec.paused is true. Set it to false to resume." if wanted.paused else "the execution is not paused."
    message = f"spec.resume {wanted.resume!r} ignored: {why}"
    return KubernetesEvent("Warning", "ResumeIgnored", message, wanted.resume)
