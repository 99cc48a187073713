"""Validate Flows within a budget, and remember the results by content.

A small flow is validated in this process: that takes milliseconds whatever its content (`SMALL`). Every other one goes
to a separate process (`process`), one at a time, the namespaces in turn. It first gets a short budget, so that quick
validations never wait for slow ones. A validation that exceeds it is repeated in a second process with the whole
budget. Exceeding that is a result too, and is not repeated for the same content and node types.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import orjson
import structlog

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.revision import revision
from chaingraph_flow.validation.unhandled_events import unhandled_events
from chaingraph_flow.validation.validation import validate
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.validation.process import Checked, Checker, CheckServer, CheckServerLost, Exceeded

SMALL: Final = 4096
"""Maximum bytes of a flow that is validated in this process, unless it has patterns. Validation is linear in the flow,
except for comparing each name with every other (here at most a hundred), and the types of a chain of nodes with each
other (as many). The worst case found took 15 ms."""
SMALL_WITH_TEMPLATES: Final = 1024
"""The same for a flow with templates: parsing the densest takes 10 ms."""
_QUICK_SECONDS: Final = 0.25
_REMEMBERED: Final = 5000
_LONGEST_REMEMBERED: Final = 16 * 1024 * 1024
_RETRY_SECONDS: Final = 2.0

_log = structlog.get_logger(__name__)
Content = tuple[bytes, str]
"""The SHA-256 of a flow's JSON, and the hash of the node types."""
Done = Callable[[], None]


def is_small(text: bytes) -> bool:
    """Whether a flow's JSON is so small that its validation takes milliseconds, whatever its content."""
    if b'"pattern"' in text:
        return False
    return len(text) <= (SMALL_WITH_TEMPLATES if b"{{" in text or b"{%" in text else SMALL)


@dataclass(frozen=True, slots=True)
class ValidationBudget:
    """The limits for the validation of one flow, and the settings that define them."""

    cpu_seconds: float = 2.0
    memory_megabytes: int = 160

    def exceeded(self, limit: Exceeded) -> str:
        """Return the message for a flow whose validation exceeded the limit."""
        said = {
            Exceeded.CPU: f"takes more than {self.cpu_seconds:g} s of CPU time (CHAINGRAPH_FLOW_CHECK_CPU_SECONDS)",
            Exceeded.MEMORY: f"takes more than {self.memory_megabytes} MB (CHAINGRAPH_FLOW_CHECK_MEMORY_MB)",
            Exceeded.TIME: f"timed out after {self.wall_seconds:g} s (CHAINGRAPH_FLOW_CHECK_CPU_SECONDS)",
            Exceeded.CRASH: "crashed",
        }[limit]
        return f"Validation of the flow {said}. Split it into smaller flows, or use fewer types and patterns."

    @property
    def wall_seconds(self) -> float:
        """Return the seconds after which a validation is ended that got no CPU time."""
        return 10 * self.cpu_seconds + 10


Result = Checked | Exceeded


@dataclass(slots=True)
class _Job:
    content: Content
    namespace: str
    spec: bytes
    catalogue: bytes
    done: list[Done] = field(default_factory=list)
    lost: int = 0
    """Failures that are probably not caused by the flow: too little CPU time or memory on the machine."""


class _Lane:
    """Waiting jobs, the namespaces in turn."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._jobs.values()))

    def put(self, job: _Job) -> None:
        self._jobs.setdefault(job.namespace, deque()).append(job)
        self._some.set()

    async def get(self) -> _Job:
        while not self._jobs:
            self._some.clear()
            await self._some.wait()
        namespace, jobs = self._jobs.popitem(last=False)
        job = jobs.popleft()
        if jobs:
            self._jobs[namespace] = jobs
        return job


class FlowChecks:
    """The validations of one operator."""

    def __init__(self, budget: ValidationBudget | None = None, *, metrics: Metrics | None = None) -> None:
        self._budget = budget or ValidationBudget()
        self._metrics = metrics
        self._catalogue: Catalogue | None = None
        self._types = b""
        self._hash = ""
        self._known: OrderedDict[Content, Result] = OrderedDict()
        self._size = 0
        self._jobs: dict[Content, _Job] = {}
        self._quick, self._slow = _Lane(), _Lane()
        if metrics is not None:
            metrics.queue_depth("flow checks", lambda: len(self._jobs))

    @property
    def budget(self) -> ValidationBudget:
        return self._budget

    def use(self, catalogue: Catalogue) -> None:
        """Activate other node types."""
        self._catalogue = catalogue
        self._types = orjson.dumps(catalogue.to_json())
        self._hash = catalogue.hash

    def find(self, namespace: str, text: bytes, spec: FlowSpec, done: Done) -> Result | None:
        """Return the result of a flow's validation; None while it is running.

        Args:
            text: the flow as JSON, with sorted keys and without spaces.
            spec: the same flow.
            done: called after the validation, unless the result is returned at once.
        """
        assert self._catalogue is not None, "validation needs node types"
        content = (hashlib.sha256(text).digest(), self._hash)
        known = self._known.get(content)
        if known is not None:
            self._known.move_to_end(content)
            return known
        if is_small(text):
            errors = tuple(validate(spec, self._catalogue))
            warnings = () if errors else tuple(unhandled_events(spec, self._catalogue))
            return self._remember(content, Checked(revision(spec), errors, warnings))
        job = self._jobs.get(content)
        if job is None:
            job = self._jobs[content] = _Job(content, namespace, text, self._types)
            self._quick.put(job)
        job.done.append(done)
        return None

    async def run(self) -> None:
        """Validate flows until cancelled."""
        server = CheckServer()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(self._quick, server, _QUICK_SECONDS, self._slow), name="quick flow checks")
                group.create_task(self._work(self._slow, server, self._budget.cpu_seconds, None), name="flow checks")
        finally:
            server.close()

    async def _work(self, lane: _Lane, server: CheckServer, cpu: float, beyond: _Lane | None) -> None:
        checker = Checker(server, memory=self._budget.memory_megabytes * 1024 * 1024)
        cpu = min(cpu, self._budget.cpu_seconds)
        while True:
            job = await lane.get()
            try:
                found = await checker.check(job.spec, job.catalogue, cpu=cpu, wall=10 * cpu + 10)
            except CheckServerLost as error:
                _log.error("cannot validate flows, retrying", error=str(error))
                lane.put(job)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if beyond is not None and found in (Exceeded.CPU, Exceeded.TIME):
                beyond.put(job)
                continue
            if found in (Exceeded.TIME, Exceeded.CRASH) and not job.lost:
                job.lost += 1
                lane.put(job)
                continue
            self._jobs.pop(job.content, None)
            self._remember(job.content, found)
            for done in job.done:
                done()

    def _remember(self, content: Content, found: Result) -> Result:
        self._known[content] = found
        self._size += _size(found)
        while len(self._known) > _REMEMBERED or self._size > _LONGEST_REMEMBERED:
            self._size -= _size(self._known.popitem(last=False)[1])
        if self._metrics is not None:
            result = "too complex" if isinstance(found, Exceeded) else "invalid" if found.errors else "valid"
            self._metrics.flow_checks.labels(result).inc()
        return found


def _size(found: Result) -> int:
    if isinstance(found, Exceeded):
        return 100
    return 100 + sum(len(each.path) + len(each.message) + 100 for each in (*found.errors, *found.warnings))
