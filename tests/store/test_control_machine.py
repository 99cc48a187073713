"""Random sequences of commands, flushes, parkings, losses and retries: after each, the ledger is as a model says.

The model is of the ledger alone: the engine in it takes commands, pauses at breakpoints and makes steps when a rule
says so, and loses what it has not flushed with its worker.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from chaingraph_store.attempts import runs
from chaingraph_store.commands.control import ControlUpdate, Stale
from chaingraph_store.commands.retrying import RefusedRetry
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import WorkflowId, hold_workflow_id
from chaingraph_store.queue import releasing
from fixtures.ledger import moves
from fixtures.ledger.ledger import row_of
from fixtures.ledger.machine import LedgerMachine, run_machine
from fixtures.ledger.model import ENDED, FIELDS, Engine, Model, edited
from fixtures.ledger.new_executions import APP, create, dequeue

pytestmark = pytest.mark.integration
EDITS = st.sets(st.sampled_from(FIELDS), max_size=2)
"""What changes of the spec at once."""
WORK = st.lists(st.sampled_from(["catch_up", "catch_up", "take", "hit", "node", "flush", "park", "park"]), max_size=4)
"""What a worker does in between."""


class Machine(LedgerMachine):
    @initialize(held=st.sampled_from([False, False, True]))
    def begin(self, held: bool) -> None:
        self.new = self.do(create(self.ledger, held=held))
        self.spec = replace(moves.PLAIN, paused=held)
        self.model = Model("held" if held else "queued", wants=held, signalled=not held)
        self.engine: Engine | None = None
        self.zombies: list[runs.Claim] = []
        self.claims, self.told, self.worker = 0, 0, ""

    def teardown(self) -> None:
        if hasattr(self, "new"):
            self.do(moves.stop(self.ledger, self.new.id))

    # -- the operator ------------------------------------------------------------------------------------------

    @rule(fields=EDITS, doing=WORK, late=EDITS)
    def edit_and_work(self, fields: set[str], doing: list[str], late: set[str]) -> None:
        self.edit(fields)
        self.work(doing)
        self.edit(late)

    @precondition(lambda self: self.model.place in ("held", "queued", "parked"))
    @rule(edits=st.lists(EDITS, min_size=2, max_size=6))
    def edit_what_no_worker_has(self, edits: list[set[str]]) -> None:
        for fields in edits:
            self.edit(fields)

    def edit(self, fields: set[str]) -> None:
        if not fields:
            return
        self.told += 1
        before, after = self.spec, edited(self.spec, fields, self.told)
        updated = self.do(moves.steer(self.ledger, self.new.id, after, self.model.obeyed + 1))
        if self.model.place in ENDED:
            assert updated is None
            return
        self.spec = after
        self.model.obeyed += 1
        assert updated == self.model.steer(before, after)
        if self.model.place == "active":
            self.read_messages()

    @rule()
    def another_operator_steers(self) -> None:
        done = self.do(moves.steer(self.ledger, self.new.id, self.spec, self.model.obeyed))
        assert done == (None if self.model.place in ENDED else ControlUpdate())

    @precondition(lambda self: self.model.obeyed > 1)
    @rule(fields=EDITS, data=st.data())
    def an_operator_that_is_behind_steers_and_retries(self, fields: set[str], data: st.DataObject) -> None:
        behind = data.draw(st.integers(1, self.model.obeyed - 1))
        late, stale = edited(self.spec, fields, self.told + 1), Stale(self.model.obeyed)
        done = self.do(moves.steer(self.ledger, self.new.id, late, behind))
        assert done == (None if self.model.place in ENDED else stale)
        assert self.do(moves.retry(self.ledger, self.new.id, "behind", generation=behind)) == stale

    def read_messages(self) -> None:
        """What the engine has been sent and has not taken: numbered without a gap."""
        assert self.engine is not None
        workflow = self.engine.claim.execution_id if self.model.run == 1 else f"{self.new.id}-{self.model.run}"
        sent = [
            command
            for to, topic, message in self.do(moves.messages(self.ledger, self.new.id))
            if (to, topic) == (workflow, "COMMAND")
            for command in message["commands"]
            if command["seq"] > self.engine.applied
        ]
        self.model.pending = sorted(sent, key=lambda command: int(command["seq"]))
        first = self.engine.applied + 1
        assert [command["seq"] for command in self.model.pending] == list(range(first, first + len(sent)))

    @rule(how=st.sampled_from(["lose", "lose", "lose", "lose unclaimed", "end", "stop", "retry"]), choice=st.booleans())
    def interrupt(self, how: str, choice: bool) -> None:
        """Something comes between: the worker is lost, or the execution ends."""
        match how, self.model.place:
            case _, "Completed" | "Failed" | "Stopped":
                self.retry(paused=choice, from_start=False)
            case "lose", "active":
                self.lose_the_worker(counts=choice)
            case "lose unclaimed", "queued":
                self.dequeue_and_lose()
            case "end", "active":
                self.end("Failed", dies=choice)
            case "stop", _:
                self.stop()
            case "retry", _:
                self.retry(paused=choice, from_start=True)

    def stop(self) -> None:
        assert self.do(moves.stop(self.ledger, self.new.id))
        self.leave("Stopped")

    @precondition(lambda self: self.model.retries.known)
    @rule(data=st.data())
    def a_retry_is_put_back(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(self.model.retries.known))
        assert self.do(moves.retry(self.ledger, self.new.id, token, generation=self.model.obeyed + 1)) is False

    def retry(self, paused: bool, from_start: bool) -> None:
        self.told += 1
        token, former = f"retry {self.told}", self.model
        former.obeyed += 1
        assert former.retries.take(token)
        asked: dict[str, Any] = {"paused": paused, "from_start": from_start, "generation": former.obeyed}
        asked |= {"start_timeout_seconds": self.spec.start_timeout_seconds}
        answer = self.do(moves.retry(self.ledger, self.new.id, token, **asked))
        if former.place not in ("Failed", "Stopped"):
            assert isinstance(answer, RefusedRetry)
            return
        assert answer is True
        # A retry takes the whole spec: what was edited too late for the former attempt counts now.
        former.start_timeout = self.spec.start_timeout_seconds or former.start_timeout
        self.model = former.next_attempt(paused=paused, from_start=from_start)
        # The breakpoints of the fixture's retry are none.
        self.spec = replace(self.spec, paused=paused, breakpoints=(), options=self.model.options)

    def release(self) -> None:
        async def released() -> bool:
            async with self.ledger.transaction() as connection:
                done = await releasing.release(
                    connection, self.new.id, application_name=APP, attempt=self.model.attempt
                )
            async with self.ledger.connection() as connection:
                await connection.execute(
                    "UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = %s",
                    (hold_workflow_id(self.new.id, self.model.attempt),),
                )
            return done

        assert self.do(released())
        self.model.place = "parked" if self.model.paused and not self.model.owed else "queued"

    # -- the worker --------------------------------------------------------------------------------------------

    def work(self, doing: list[str]) -> None:
        """What a worker does with it, once it has it."""
        if not doing:
            return
        if self.model.place in ("Failed", "Stopped"):
            self.retry(paused=False, from_start=True)
        if self.model.place == "held" and self.model.signalled:
            self.release()
        if self.model.place == "queued":
            self.claim()
        for what in doing:
            if self.engine is not None:
                getattr(self, what)(self.engine)

    def claim(self) -> None:
        self.claims += 1
        self.worker = self.worker or f"worker-{self.claims}"
        taken = self.do(moves.claimed(self.ledger, self.new.id, self.worker))
        assert (taken.paused, taken.steps_owed, taken.run) == (self.model.paused, self.model.owed, self.model.run)
        assert taken.attempt == self.model.attempt
        assert {record["node"] for _, record in json.loads(taken.journal)} == self.model.journal
        self.engine = Engine(taken, taken.paused, taken.control_seq, taken.steps_owed)
        self.model.place, self.model.engine_phase = "active", "Running"
        self.model.begun = self.model.ever_begun = True
        assert json.loads(taken.options) == self.model.options

    def dequeue_and_lose(self) -> None:
        """The worker dies between the queue and its claim."""
        self.claims += 1
        worker = self.worker or f"worker-{self.claims}"

        async def dequeued() -> None:
            row = await row_of(self.ledger, self.new.id)
            async with self.ledger.connection() as connection:
                await dequeue(connection, row.workflow_id, worker)

        self.do(dequeued())
        assert self.do(moves.hand_back(self.ledger, worker)) == []
        self.worker = ""

    def take(self, engine: Engine) -> None:
        """The engine carries out the next command."""
        if not self.model.pending:
            return
        command = self.model.pending.pop(0)
        engine.applied = command["seq"]
        match command["kind"]:
            case "PAUSE" if not engine.paused:
                engine.paused = True
                engine.log.append("flow:paused")
            case "RESUME" if engine.paused:
                engine.paused, engine.owed = False, 0
                engine.log.append("flow:resumed")
            case "STEP" if engine.paused:
                engine.owed += 1

    def catch_up(self, engine: Engine) -> None:
        while self.model.pending:
            self.take(engine)

    def hit(self, engine: Engine) -> None:
        """The engine comes to a breakpoint."""
        if not engine.paused:
            engine.paused = True
            engine.log += ["debug:breakpoint-hit", "flow:paused"]

    def node(self, engine: Engine) -> None:
        """A node ends, in a pause only by a step."""
        if engine.owed or not engine.paused:
            engine.owed = max(0, engine.owed - 1)
            self.claims += 1
            engine.journal.append(f"node-{self.claims}")
            engine.log.append("node:completed")

    def flush(self, engine: Engine) -> None:
        self.write()
        model = self.model
        kinds = [command["kind"] for command in model.pending]
        if not {"PAUSE", "RESUME"} & set(kinds):
            model.paused = engine.paused
        model.owed = min(model.owed, engine.owed + kinds.count("STEP"))
        model.engine_phase = "Paused" if engine.paused else "Running"

    def write(self, end: runs.AttemptEnd | None = None) -> None:
        engine = self.engine
        assert engine is not None
        self.do(
            moves.flush(
                self.ledger,
                engine.claim,
                *engine.log,
                paused=engine.paused,
                node="b" if engine.paused else "",
                applied=engine.applied,
                steps_owed=engine.owed,
                journal=engine.journal,
                end=end,
            )
        )
        self.model.journal |= set(engine.journal)
        engine.log, engine.journal = [], []

    def park(self, engine: Engine) -> None:
        if not engine.paused or engine.owed:
            return  # not quiet
        self.flush(engine)
        parked = self.do(moves.park(self.ledger, engine.claim, applied=engine.applied))
        assert parked == (not self.model.pending and self.model.paused)
        if not parked:
            return
        self.leave("parked")
        if self.told % 2:
            # Its worker dies before the workflow has returned.
            assert self.do(moves.hand_back(self.ledger, self.worker)) == []
            self.worker = ""
        else:
            self.do(moves.finish_workflow(self.ledger, self.new.id))

    def end(self, phase: str, dies: bool) -> None:
        assert self.engine is not None
        self.engine.log.append(f"flow:{phase.lower()}")
        self.write(runs.AttemptEnd(phase))
        self.leave(phase)
        if dies:
            assert self.do(moves.hand_back(self.ledger, self.worker)) == []
            self.worker = ""
        else:
            self.do(moves.finish_workflow(self.ledger, self.new.id))

    def lose_the_worker(self, counts: bool) -> None:
        (back,) = self.do(moves.hand_back(self.ledger, self.worker, counts=counts, max_recoveries=1000))
        self.leave("")
        self.model.lose_worker()
        assert back.parked == (self.model.place == "parked")
        self.worker = ""

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def a_zombie_writes(self, data: st.DataObject) -> None:
        zombie = data.draw(st.sampled_from(self.zombies))
        with pytest.raises(OwnershipLost):
            self.do(moves.flush(self.ledger, zombie, "late", "flow:paused", journal=["late"]))
        with pytest.raises(OwnershipLost):
            self.do(moves.park(self.ledger, zombie))

    def leave(self, place: str) -> None:
        """The engine is gone, and what it has not flushed."""
        if self.engine is not None:
            self.zombies.append(self.engine.claim)
        self.engine, self.model.pending, self.model.place = None, [], place
        if place in ENDED:
            self.model.paused, self.model.owed = False, 0
            # What was given to a worker is cancelled, or ends by itself.
            self.worker = self.worker if place != "Stopped" else ""

    # -- what holds after every rule -----------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_as_the_model_says(self) -> None:
        async def seen() -> tuple[ExecutionRow, dict[str, str], list[str]]:
            return (
                await row_of(self.ledger, self.new.id),
                await moves.workflows(self.ledger, self.new.id),
                await moves.log_of(self.ledger, self.new.id),
            )

        row, workflows, log = self.do(seen())
        self.the_row_is_as_the_model_says(row)
        self.one_workflow_lives_where_there_is_something_to_run(workflows)
        self.the_pauses_in_the_log_take_turns(log)

    def the_row_is_as_the_model_says(self, row: ExecutionRow) -> None:
        model = self.model
        phases = {"held": "Created", "queued": "Pending", "active": model.engine_phase, "parked": "Paused"}
        assert row.phase == phases.get(model.place, model.place)
        assert row.parked == (model.place == "parked")
        assert (row.paused, row.steps_owed) == (model.paused, model.owed)
        assert (row.run, row.attempt, row.wants_pause) == (model.run, model.attempt, model.wants)
        assert bool(row.worker) == (model.place == "active" or (row.ended and bool(row.worker)))
        assert [earlier["attempt"] for earlier in row.attempts] == [*range(1, row.attempt)][-10:]
        if not row.ended:
            assert row.wants_pause == self.spec.paused
            assert not row.wants_pause or row.paused or (model.place == "held" and not model.signalled)
            assert tuple(row.breakpoints) == self.spec.breakpoints
        assert (row.step_token, row.resume_token, row.retry_token) == model.last_tokens
        assert sorted(row.used_tokens) == sorted(model.known_tokens)
        assert row.observed_generation == model.obeyed
        settings = (model.priority, model.options, model.start_timeout)
        assert (row.priority, row.options, row.start_timeout_s) == settings

    def one_workflow_lives_where_there_is_something_to_run(self, workflows: dict[str, str]) -> None:
        live = {workflow for workflow, state in workflows.items() if state in ("ENQUEUED", "PENDING")}
        current = WorkflowId(self.new.id if self.model.run == 1 else f"{self.new.id}-{self.model.run}")
        place = self.model.place
        expected = {hold_workflow_id(self.new.id, self.model.attempt)} if place == "held" else {current}
        assert live == (expected if place in ("held", "queued", "active") else set())
        if place in ("queued", "active"):
            assert self.do(moves.priority_in_queue(self.ledger, current)) == self.model.priority

    def the_pauses_in_the_log_take_turns(self, log: list[str]) -> None:
        assert moves.pauses_alternate(log), log
        begun = max((n for n, each in enumerate(log) if each in moves.ENDS), default=-1) + 1
        pauses = [each for each in log[begun:] if each in ("flow:paused", "flow:resumed")]
        if self.model.place in ("queued", "parked"):
            assert (pauses[-1:] == ["flow:paused"]) == self.model.paused, "nobody but the ledger could say so"
        assert "late" not in log


@pytest.mark.soak
def test_ledger_matches_model_after_any_command_sequence(database_url: str) -> None:
    run_machine(Machine, database_url, examples=25)
