"""Signals in the ledger: accepted once, delivered to an execution wherever it is, refused with a reason."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from chaingraph_store import signals
from chaingraph_store.commands import control, signal_refusals
from chaingraph_store.commands.observed_generation import Stale
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.signals import KnownSignals, NewSignal, RefusedSignal
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import (
    PLAIN,
    asleep,
    claimed,
    flush,
    messages,
    park,
    paused_and_parked,
    place,
    retry,
    steer,
    stop,
    take_from_queue,
    workflows,
)
from fixtures.ledger.new_executions import APP, create

pytestmark = pytest.mark.integration
LONG = 3600.0
REFUSED = RefusedSignal("a", "paid", "UnknownSignal", "no node takes it")


def signal(id_: str, payload: object = None, name: str = "paid", by: str = "ann") -> NewSignal:
    return NewSignal(id_, name, json.dumps(payload).encode(), by)


async def known(ledger: Ledger, execution: ExecutionId, *ids: str) -> KnownSignals:
    async with ledger.connection() as connection:
        return await signals.known(connection, execution, ids)


async def refuse(ledger: Ledger, execution: ExecutionId, *ids: str, generation: int = 1) -> Stale | None:
    async with ledger.transaction() as connection:
        return await signal_refusals.refuse(
            connection, execution, [REFUSED], spec_ids=ids or ("a",), generation=generation
        )


async def test_signal_of_a_queued_execution_comes_with_its_claim(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    update = await steer(ledger, execution, signals=(signal("a", {"eur": 1}), signal("b", [2])))
    assert getattr(update, "commands", ()) == ("SIGNAL", "SIGNAL")
    assert await messages(ledger, execution) == [], "no worker has it"
    taken = await claimed(ledger, execution)
    came = json.loads(taken.signals)
    assert [each[:4] + each[5:] for each in came] == [
        [1, "a", "paid", "ann", 1, {"eur": 1}],
        [2, "b", "paid", "ann", 1, [2]],
    ]
    assert (taken.control_seq, taken.applied_seq) == (2, 0)


async def test_claim_that_waits_for_an_acceptance_has_its_signal(ledger: Ledger) -> None:
    """The claim takes its snapshot before the signal is committed, and then waits for the row."""
    execution = (await create(ledger)).id
    wanted = replace(PLAIN, signals=(signal("a", 1),))
    async with ledger.transaction() as connection:
        await control.apply(connection, execution, wanted, generation=1, application_name=APP)
        claiming = asyncio.create_task(claimed(ledger, execution))
        await blocked(ledger)
    taken = await claiming
    assert (taken.control_seq, [each[1] for each in json.loads(taken.signals)]) == (1, ["a"])


async def blocked(ledger: Ledger) -> None:
    """Returns once a statement waits for a lock."""
    async with asyncio.timeout(30):
        while True:
            async with ledger.connection() as connection:
                cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                row = await cursor.fetchone()
            if row and row[0]:
                return
            await asyncio.sleep(0.01)


async def test_signal_of_a_running_execution_comes_as_a_message(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    taken = await claimed(ledger, execution)
    await steer(ledger, execution, signals=(signal("a", {"eur": 1}),))
    ((workflow, topic, message),) = await messages(ledger, execution)
    assert (workflow, topic) == (execution, "COMMAND")
    (command,) = message["commands"]
    assert {name: command[name] for name in ("seq", "kind", "id", "name", "by", "attempt")} == {
        "seq": 1, "kind": "SIGNAL", "id": "a", "name": "paid", "by": "ann", "attempt": 1,
    }  # fmt: skip
    assert json.loads(command["payload"]) == {"eur": 1}, "as text, which the worker does not parse"
    assert not await park(ledger, taken, asleep_seconds=LONG), "the engine has not had it"


async def test_signal_wakes_a_sleeper_and_leaves_a_pause(ledger: Ledger) -> None:
    sleeper, paused = (await create(ledger)).id, (await create(ledger)).id
    await asleep(ledger, sleeper, LONG, ran_ms=1000)
    await steer(ledger, sleeper, signals=(signal("a"),))
    row = await row_of(ledger, sleeper)
    assert (row.phase, row.parked, row.wake_at, row.run) == ("Pending", False, None, 2)
    assert row.ran_ms >= 1000
    taken = await take_from_queue(ledger, sleeper)
    assert [each[1] for each in json.loads(taken.signals)] == ["a"]
    await paused_and_parked(ledger, paused)
    await steer(ledger, paused, resume="", signals=(signal("a"),))
    assert await place(ledger, paused) == ("Paused", True, True, 0)
    await steer(ledger, paused, resume="r")
    assert [each[1] for each in json.loads((await take_from_queue(ledger, paused)).signals)] == ["a"]


async def test_same_id_is_accepted_once_by_operators_that_race(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    await asyncio.gather(*(steer(ledger, execution, signals=(signal("a", n),)) for n in range(8)))
    assert len(json.loads((await claimed(ledger, execution)).signals)) == 1
    assert (await row_of(ledger, execution)).control_seq == 1
    update = await steer(ledger, execution, signals=(signal("a", "other"), signal("b")))
    assert getattr(update, "commands", ()) == ("SIGNAL",)


async def test_signal_of_an_outdated_spec_has_no_effect(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    await steer(ledger, execution, signals=(signal("a"),))
    assert isinstance(await refuse(ledger, execution, generation=0), Stale)
    assert (await known(ledger, execution, "a")).accepted == {"a"}


async def test_engine_knows_which_signals_are_published(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    await steer(ledger, execution, signals=(signal("a"),))
    taken = await claimed(ledger, execution)
    await flush(ledger, taken, "flow:started", "signal:received", "node:waiting")
    assert await park(ledger, taken, held=(), asleep_seconds=LONG)
    await steer(ledger, execution, signals=(signal("b"),))
    taken = await claimed(ledger, execution)
    assert (taken.applied_seq, taken.control_seq) == (1, 2)


async def test_refused_signal_is_forgotten_with_its_entry(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    assert await refuse(ledger, execution) is None
    found = await known(ledger, execution, "a", "b")
    assert found == KnownSignals({"a": ("UnknownSignal", "no node takes it")}, frozenset())
    await steer(ledger, execution, signals=(signal("a"),))
    assert (await known(ledger, execution, "a")).accepted == set(), "an id is judged once"
    await refuse(ledger, execution, "b")
    assert (await known(ledger, execution, "a")).refused == {"a": ("UnknownSignal", "no node takes it")}, (
        "refused again as it is, for it was forgotten first"
    )
    async with ledger.transaction() as connection:
        await signal_refusals.refuse(connection, execution, [], spec_ids=["b"], generation=1)
    assert (await known(ledger, execution, "a")).refused == {}


async def test_refused_name_may_have_any_character(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    odd = RefusedSignal("a", "x\0y", "UnknownSignal", "no node takes 'x\0y'")
    async with ledger.transaction() as connection:
        await signal_refusals.refuse(connection, execution, [odd], spec_ids=["a"], generation=1)
    assert set((await known(ledger, execution, "a")).refused) == {"a"}


async def test_accepted_signals_are_counted_with_their_sizes(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    await steer(ledger, execution, signals=(signal("a", "xyz"), signal("b", [1])))
    found = await known(ledger, execution)
    assert (found.count, found.size) == (2, len('"xyz"') + len("[1]"))


async def test_retry_delivers_signals_again_and_a_stop_ends_them(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    await asleep(ledger, execution, LONG)
    await stop(ledger, execution)
    assert await steer(ledger, execution, signals=(signal("a"),)) is None, "it has ended"
    await retry(ledger, execution, "t")
    await steer(ledger, execution, signals=(signal("b"),))
    taken = await claimed(ledger, execution)
    assert [(each[1], each[5]) for each in json.loads(taken.signals)] == [("b", 2)], "with the attempt it came in"
    assert set(await workflows(ledger, execution)) >= {f"{execution}-2"}


async def test_payload_that_sql_cannot_parse_is_carried(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    odd = {"nul": "a\u0000b", "large": 12345678901234567890123, "deep": [[[[]]]], "lone": "\ud800"}
    await steer(ledger, execution, signals=(signal("a", odd),))
    assert json.loads((await claimed(ledger, execution)).signals)[0][6] == odd
