"""A request is carried out once: tokens that are put back, and specs of operators that are behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from chaingraph_store.commands import control, observed_generation, retrying, stopping
from chaingraph_store.commands.control import ControlUpdate
from chaingraph_store.commands.observed_generation import Stale
from chaingraph_store.commands.retrying import RefusedRetry
from chaingraph_store.commands.tokens import TokenKind
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import PLAIN, claimed, flush, messages, paused_and_parked, retry, steer, stop, workflows
from fixtures.ledger.new_executions import APP, create

pytestmark = pytest.mark.integration


async def heed(
    ledger: Ledger,
    execution: ExecutionId,
    generation: int,
    *,
    seen: int | None = None,
    tokens: Mapping[TokenKind, str] | None = None,
) -> Stale | None:
    """`seen` left out: what the row has obeyed."""
    seen = (await row_of(ledger, execution)).observed_generation if seen is None else seen
    async with ledger.transaction() as connection:
        return await observed_generation.observe(connection, execution, generation, seen=seen, tokens=tokens or {})


async def refuse(ledger: Ledger, execution: ExecutionId, token: str, generation: int) -> bool | Stale:
    async with ledger.transaction() as connection:
        return await retrying.refuse_retry(
            connection, execution, token, RefusedRetry("StillRunning", "no"), generation=generation
        )


async def without_a_list(ledger: Ledger, execution: ExecutionId) -> None:
    """As rows are that were there before the list was, and the generation."""
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET used_tokens = '{}', observed_generation = 0 WHERE id = %s", (execution,)
        )


# -- tokens ----------------------------------------------------------------------------------------------------


async def test_reused_resume_token_keeps_next_breakpoint_paused(ledger: Ledger) -> None:
    new = await create(ledger, resume="r0", breakpoints=("a",))
    await paused_and_parked(ledger, new.id)
    spec = replace(PLAIN, breakpoints=("a",))
    assert await steer(ledger, new.id, replace(spec, resume="r1"), 2) == ControlUpdate(("RESUME",))
    await paused_and_parked(ledger, new.id)
    assert await steer(ledger, new.id, replace(spec, resume="r0"), 3) == ControlUpdate()
    row = await row_of(ledger, new.id)
    assert (row.phase, row.resume_token, row.used_tokens) == ("Paused", "r1", ["resume:r1", "resume:r0"])
    assert f"{new.id}-3" not in await workflows(ledger)
    assert await steer(ledger, new.id, replace(spec, resume="r2"), 4) == ControlUpdate(("RESUME",))


async def test_reused_step_token_steps_once(ledger: Ledger) -> None:
    new = await create(ledger)
    await claimed(ledger, new.id)
    spec = replace(PLAIN, paused=True)
    for generation, step in enumerate(["1", "2", "1", "2", "3", "1"], start=2):
        await steer(ledger, new.id, replace(spec, step=step), generation)
    sent = [each for _, _, said in await messages(ledger) for each in said["commands"]]
    assert [each["token"] for each in sent if each["kind"] == "STEP"] == ["1", "2", "3"]
    row = await row_of(ledger, new.id)
    assert (row.step_token, row.step_seqs, row.observed_generation) == ("3", [2, 3, 4], 7)


async def test_ignored_token_is_used_up(ledger: Ledger) -> None:
    new = await create(ledger)
    await claimed(ledger, new.id)
    assert await steer(ledger, new.id, PLAIN, 2, step="early") == ControlUpdate((), ("STEP",))
    await steer(ledger, new.id, PLAIN, 3, paused=True, step="2")
    assert await steer(ledger, new.id, PLAIN, 4, paused=True, step="early") == ControlUpdate()


async def test_reused_retry_token_starts_no_attempt(ledger: Ledger) -> None:
    new = await create(ledger, retry="r0")
    assert "the execution was Pending" in str(await retry(ledger, new.id, "refused", generation=2))
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "r1", generation=3) is True
    await stop(ledger, new.id)
    for generation, token in enumerate(["r0", "refused", "r1"], start=4):
        assert await retry(ledger, new.id, token, generation=generation) is False
        assert await refuse(ledger, new.id, token, generation) is False
    row = await row_of(ledger, new.id)
    assert (row.attempt, row.retry_token, row.retry_refusal) == (2, "r1", "")
    assert row.used_tokens == ["retry:r0", "retry:refused", "retry:r1"]


async def test_retry_uses_up_tokens_set_with_it(ledger: Ledger) -> None:
    new = await create(ledger, step="s0")
    await steer(ledger, new.id, PLAIN, 2, paused=True, step="s1")
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "again", generation=3, paused=True, step="s0", resume="g1") is True
    row = await row_of(ledger, new.id)
    assert (row.step_token, row.resume_token) == ("s1", "g1"), "s0 was put back, g1 is new"
    for step, resume in (("s0", "g1"), ("s1", ""), ("", "g1")):
        assert await steer(ledger, new.id, PLAIN, 4, paused=True, step=step, resume=resume) == ControlUpdate()
    assert await steer(ledger, new.id, PLAIN, 5, paused=True, step="s2") == ControlUpdate(("STEP",))


async def test_old_row_without_token_list_knows_its_last_tokens(ledger: Ledger) -> None:
    new = await create(ledger, step="s", resume="r", retry="t", held=True)
    await without_a_list(ledger, new.id)
    spec = replace(PLAIN, paused=True, step="s", resume="r")
    assert await steer(ledger, new.id, spec, 7) == ControlUpdate()
    await without_a_list(ledger, new.id)
    await steer(ledger, new.id, replace(spec, step="s2", resume="r2"), 8)
    assert (await row_of(ledger, new.id)).used_tokens == ["step:s", "resume:r", "resume:r2", "step:s2"]
    assert await steer(ledger, new.id, spec, 9) == ControlUpdate()
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "t", generation=10) is False
    assert await retry(ledger, new.id, "t2", generation=11) is True
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "t", generation=12) is False


# -- generations -----------------------------------------------------------------------------------------------


async def test_stale_spec_changes_nothing(ledger: Ledger) -> None:
    new = await create(ledger, generation=3)
    assert (await row_of(ledger, new.id)).observed_generation == 3
    assert await steer(ledger, new.id, PLAIN, 5, breakpoints=("a",)) == ControlUpdate(("BREAKPOINTS",))
    before = await row_of(ledger, new.id)
    assert await steer(ledger, new.id, PLAIN, 4, paused=True, step="1") == Stale(5)
    assert await retry(ledger, new.id, "t", generation=4) == Stale(5)
    assert await refuse(ledger, new.id, "t", 4) == Stale(5)
    assert await heed(ledger, new.id, 4, seen=3) == Stale(5)
    assert await row_of(ledger, new.id) == before
    assert (await workflows(ledger)) == {new.id: "ENQUEUED"}
    assert await steer(ledger, new.id, PLAIN, 5, breakpoints=("a",)) == ControlUpdate(), (
        "another operator's, not an older"
    )


async def test_each_command_records_its_generation(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await refuse(ledger, new.id, "early", 2) is True
    assert await steer(ledger, new.id, PLAIN, 2, paused=True) == ControlUpdate(("PAUSE",))
    assert await refuse(ledger, new.id, "early", 1) == Stale(2)
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "again", generation=3) is True
    assert await steer(ledger, new.id, PLAIN, 2, paused=True) == Stale(3)
    assert await steer(ledger, new.id, PLAIN, 3) == ControlUpdate()
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "late", generation=2) == Stale(3)
    assert (await row_of(ledger, new.id)).attempt == 2


async def test_spec_without_commands_records_its_generation(ledger: Ledger) -> None:
    """A step that was taken back before anybody had seen it is not made by who comes late."""
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    before = await row_of(ledger, new.id)
    assert await heed(ledger, new.id, 3) is None
    assert await steer(ledger, new.id, PLAIN, 2, step="1") == Stale(3)
    assert await row_of(ledger, new.id) == replace(before, observed_generation=3), "nobody is told of a change"
    assert await heed(ledger, ExecutionId("EXNOTHING"), 3, seen=1) is None


async def test_spec_without_commands_keeps_its_tokens_known(ledger: Ledger) -> None:
    new = await create(ledger, step="s0", resume="r0", retry="t0")
    await steer(ledger, new.id, PLAIN, 2, paused=True, step="s1")
    tokens = {TokenKind.STEP: "s0", TokenKind.RESUME: "", TokenKind.RETRY: "new"}
    assert await heed(ledger, new.id, 3, tokens=tokens) is None
    row = await row_of(ledger, new.id)
    assert row.used_tokens == ["resume:r0", "retry:t0", "step:s1", "step:s0"]
    assert (row.step_token, row.retry_token) == ("s1", "t0"), "a token that asks for something is not used up by it"


async def test_spec_without_commands_updates_on_stop(ledger: Ledger) -> None:
    new = await create(ledger)
    async with ledger.transaction() as connection:
        await observed_generation.observe(connection, new.id, 2, seen=1, tokens={}, on_stop="Continue")
    assert (await row_of(ledger, new.id)).on_stop == "Continue"
    async with ledger.transaction() as connection:
        await observed_generation.observe(connection, new.id, 3, seen=2, tokens={})
    assert (await row_of(ledger, new.id)).on_stop == "Continue", "nothing was said of it"


async def test_generation_reset_requires_current_seen_generation(ledger: Ledger) -> None:
    """The API server's data were restored: a person's edits count again."""
    new = await create(ledger, generation=9)
    assert await heed(ledger, new.id, 4, seen=8) == Stale(9)
    assert await heed(ledger, new.id, 4, seen=9) is None
    assert await steer(ledger, new.id, PLAIN, 4, paused=True) == ControlUpdate(("PAUSE",))


async def stop_by_spec(ledger: Ledger, execution: ExecutionId, generation: int) -> bool:
    async with ledger.transaction() as connection:
        return await stopping.stop(connection, execution, reason="enough", generation=generation)


async def test_late_stop_does_not_end_retried_attempt(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await stop_by_spec(ledger, new.id, 2)
    assert (await row_of(ledger, new.id)).observed_generation == 2
    assert await retry(ledger, new.id, "again", generation=3) is True
    before = await row_of(ledger, new.id)
    assert not await stop_by_spec(ledger, new.id, 2)
    assert await row_of(ledger, new.id) == before
    assert await stop_by_spec(ledger, new.id, 4)


async def test_a_stop_that_waited_for_a_retry_does_nothing(ledger: Ledger) -> None:
    new = await create(ledger)
    await claimed(ledger, new.id)
    async with ledger.transaction() as connection:
        await connection.execute("SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE", (new.id,))
        late = asyncio.create_task(stop_by_spec(ledger, new.id, 2))
        await asyncio.sleep(0.1)
        assert not late.done()
        await stopping.stop(connection, new.id, reason="enough", generation=2)
        asked = retrying.RetryRequest(token="again", from_start=False, paused=False, options={})
        assert await retrying.retry(connection, new.id, asked, generation=3, application_name=APP) is True
    assert await late is False
    row = await row_of(ledger, new.id)
    assert (row.phase, row.attempt, row.observed_generation) == ("Pending", 2, 3)


async def test_an_old_spec_that_waited_for_a_newer_one_does_nothing(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    await flush(ledger, taken, "flow:started", "flow:paused", paused=True)
    async with ledger.transaction() as connection:
        await connection.execute("SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE", (new.id,))
        late = asyncio.create_task(steer(ledger, new.id, PLAIN, 2, step="old"))
        retried = asyncio.create_task(retry(ledger, new.id, "old", generation=2))
        await asyncio.sleep(0.1)
        assert not late.done()
        assert not retried.done()
        newer = replace(PLAIN, step="new")
        updated = await control.apply(connection, new.id, newer, generation=3, application_name=APP)
        assert updated == ControlUpdate(("STEP",))
    assert await late == Stale(3)
    assert await retried == Stale(3)
    sent = [each["token"] for _, _, said in await messages(ledger) for each in said["commands"]]
    assert sent == ["new"]
