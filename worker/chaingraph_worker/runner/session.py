"""One engine in a runner, from its assignment to its end, and the worker's commands to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from chaingraph_flow import ChildEnd, Engine, FlowError, FlowOutcome, FlowResult, Registry, Scrubber, Signal, Supervisor
from chaingraph_worker.errors import InvalidInputs
from chaingraph_worker.runner.assignment import Assignment
from chaingraph_worker.runner.children import children_of
from chaingraph_worker.runner.endings import INTERNAL_ERROR, INVALID, INVALID_INPUTS
from chaingraph_worker.runner.engine import engine_of
from chaingraph_worker.runner.reports import Reports, Send, to_bytes
from chaingraph_worker.runner.secrets import AskedSecrets

_log = structlog.get_logger(__name__)


class Session:
    """Runs one engine. Commands may come before it has started."""

    def __init__(self, assignment: Assignment, registry: Registry, supervisor: Supervisor, send: Send) -> None:
        self._assignment = assignment
        self._registry = registry
        self._supervisor = supervisor
        self._send = send
        self._reports = Reports(send, assignment.control_seq)
        self._secrets = AskedSecrets(send)
        self._engine: Engine | None = None
        self._answers: list[asyncio.Future[str | None]] = []
        self._early: list[Mapping[str, Any]] = []

    @property
    def scrubber(self) -> Scrubber:
        """Removes the secrets that the execution has used."""
        return self._secrets.scrubber

    async def run(self) -> None:
        """Run the engine to its end, and report that.

        Raises:
            MemoryError: no memory was left.
        """
        try:
            # A flow that takes forever to parse has no node to blame, and is detected all the same.
            self._supervisor.enter("")
            engine, graph = engine_of(
                self._assignment,
                self._registry,
                recorder=self._reports,
                children=self._reports,
                on_control=self._reports.soon,
                may_spawn=self._ask,
                supervisor=self._supervisor,
                secrets=self._secrets,
            )
        except InvalidInputs as error:
            self._reports.flush({"ended": INVALID, "error": ["", INVALID_INPUTS, str(error)]})
            return
        except FlowError as error:
            self._reports.flush({"ended": INVALID, "message": str(error)})
            return
        finally:
            self._supervisor.leave()
        self._reports.of(engine, graph)
        self._nodes = len(graph.nodes)
        self._engine = engine
        for message in self._early:
            self.take(message)
        try:
            result = await engine.run()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - an error of the engine must not leave the execution running forever
            _log.exception("the engine failed")
            told = self.scrubber.text(f"{type(error).__name__}: {error}")
            self._reports.flush({"ended": INTERNAL_ERROR, "message": told})
            return
        self._report_end(result)

    def _report_end(self, result: FlowResult) -> None:
        header: dict[str, Any] = {"ended": result.outcome, "outputs": bool(result.outputs)}
        children: list[bytes] = []
        if result.emissions and result.outcome is FlowOutcome.COMPLETED:
            integration = orjson.loads(self._assignment.integration)
            header["children"], children = children_of(result.emissions, self._nodes, integration)
        if result.error is not None:
            header["error"] = [result.error.node, result.error.reason, result.error.message]
        blobs = [to_bytes(result.outputs)] if result.outputs else []
        if result.error is not None and result.error.cause is not None:
            header["cause"] = True
            blobs.append(to_bytes(result.error.cause.to_json()))
        self._reports.flush(header, [*blobs, *children])

    def take(self, message: Mapping[str, Any]) -> None:
        """Carry out a message of the worker."""
        if "durable" in message:
            self._reports.durable(message["durable"])
        elif "answer" in message:
            answer = self._answers.pop(0)
            if not answer.done():
                answer.set_result(message["answer"])
        elif "secret" in message:
            self._secrets.answered(message)
        elif self._engine is None:
            self._early.append(message)
        elif "child_end" in message:
            self._engine.child_ended(ChildEnd(*orjson.loads(message["child_end"])))
            self._reports.ends += 1
            self._reports.soon()
        elif "stop" in message:
            self._engine.stop(message["stop"])
        elif "park" in message:
            if not self._engine.park():
                self._engine.stop("parked")
        else:
            self._command(self._engine, message["command"])

    def _command(self, engine: Engine, command: Mapping[str, Any]) -> None:
        self._reports.applied = command["seq"]
        match command["kind"]:
            case "PAUSE":
                engine.pause()
            case "RESUME":
                engine.resume()
            case "STEP":
                engine.step()
            case "BREAKPOINTS":
                engine.set_breakpoints(command["breakpoints"])
            case "SIGNAL":
                engine.deliver(_signal(command))
        self._reports.flush()

    def stuck(self, node_id: str, tries: int, started_at: int, message: str) -> None:
        """Report everything, and the node that cannot be ended."""
        self._reports.flush({"stuck": [node_id, tries, started_at, message]})

    def flush(self) -> None:
        """Report everything."""
        self._reports.flush()

    def turn(self) -> None:
        """Report records that must not be lost, after the engine has processed an event."""
        if self._reports.urgent:
            self._reports.flush()

    async def _ask(self, count: int) -> str | None:
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._reports.flush({"spawn": count})
        return await answer


def _signal(command: Mapping[str, Any]) -> Signal:
    fields = {each: command[each] for each in ("seq", "id", "name", "by", "at", "attempt")}
    return Signal(**fields, payload=orjson.loads(command["payload"]))
