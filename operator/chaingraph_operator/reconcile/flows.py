"""The index of Flows, and their reconciler.

Executions read validations from the index, and wait in it until a Flow is usable. Every change of a Flow, and of the
active node types, wakes the executions that wait for it. The reconciler writes the result into the Flow's status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from chaingraph_crds.flow import FlowSpec, FlowStatus
from chaingraph_crds.messages.field_errors import errors_of
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.field_errors import similar
from chaingraph_flow.revision import revision
from chaingraph_operator.decide.flow_status import (
    Checking,
    FlowValidation,
    NotValidated,
    TooComplex,
    Unparseable,
    Validated,
    flow_status,
    unreadable_reason,
)
from chaingraph_operator.kube.cache import ObjectCache, Seen, key_of
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.status_writer import StatusWriter
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.validation.checks import FlowChecks
from chaingraph_operator.validation.process import Exceeded
from chaingraph_runtime.objects import UNREADABLE
from chaingraph_store.flows.flow_names import FlowName


@dataclass(slots=True)
class _Known:
    """A Flow, and its validation against the active node types; None when there is none yet."""

    key: Key
    spec: FlowSpec | Unparseable
    validation: FlowValidation | None = None


class Flows:
    """The index. It receives the Flows from the watch.

    Args:
        checks: validates them.
    """

    def __init__(
        self, queue: WorkQueue[Key], *, wake: Callable[[Iterable[Key]], None], checks: FlowChecks | None = None
    ) -> None:
        self._checks = checks or FlowChecks()
        self._queue = queue
        self._wake = wake
        self._catalogue: Catalogue | None = None
        self._known: dict[FlowName, _Known] = {}
        self._waiting: dict[FlowName, set[Key]] = {}
        self._waiting_for_types: set[Key] = set()
        self._conflicts: dict[FlowName, tuple[str, str]] = {}
        self.cache = ObjectCache()

    def observed(self, body: Mapping[str, Any]) -> None:
        """Handle a new version of a Flow from the watch."""
        if self.cache.observe(body) is Seen.NOTHING:
            return
        key = key_of(body)
        name = (key.namespace, key.name)
        why = str(body.get(UNREADABLE) or "")
        spec = Unparseable((why,), unreadable_reason(why)) if why else _readable(body.get("spec") or {})
        known = self._known.get(name)
        if known is None or known.key != key or known.spec != spec:
            self._known[name] = _Known(key, spec)
            self._wake(self._waiting.pop(name, ()))
        self._queue.add(key)

    def deleted(self, body: Mapping[str, Any]) -> None:
        """Handle a deletion from the watch. Running executions continue with their pinned revision."""
        self.vanished(key_of(body))

    def vanished(self, key: Key) -> None:
        """Handle a deleted Flow, as found by the watch or the sweep."""
        self.cache.drop(key)
        self._queue.add(key)
        known = self._known.get((key.namespace, key.name))
        if known is not None and known.key == key:
            del self._known[(key.namespace, key.name)]
            self._conflicts.pop((key.namespace, key.name), None)
            self._wake(self._waiting.pop((key.namespace, key.name), ()))

    @property
    def catalogue(self) -> Catalogue | None:
        """The active node types; None while there are none."""
        return self._catalogue

    def use(self, catalogue: Catalogue | None) -> None:
        """Activate other node types: every Flow is validated again, and waiting executions are woken."""
        self._catalogue = catalogue
        if catalogue is not None:
            self._checks.use(catalogue)
        for known in self._known.values():
            known.validation = None
            self._queue.add(known.key)
        waiting = set().union(self._waiting_for_types, *self._waiting.values())
        self._waiting.clear()
        self._waiting_for_types.clear()
        self._wake(waiting)

    def resync(self) -> None:
        """Reconcile every Flow again."""
        for known in self._known.values():
            self._queue.add(known.key)

    def validation(self, namespace: str, name: str) -> FlowValidation | None:
        """Return the validation of a Flow; None when there is no such Flow."""
        known = self._known.get((namespace, name))
        if known is None:
            return None
        if known.validation is None:
            known.validation = (
                known.spec
                if isinstance(known.spec, Unparseable)
                else self._judge(self._text(known), known.spec, namespace, lambda: self._checked((namespace, name)))
            )
        return known.validation

    def is_checking(self, namespace: str, name: str) -> bool:
        """Whether the validation of a Flow is running."""
        return isinstance(self.validation(namespace, name), Checking)

    def validate_inline(self, key: Key, text: bytes, spec: FlowSpec) -> FlowValidation:
        """Return the validation of an Execution's inline flow. The Execution is woken when the validation ends.

        Args:
            text: the flow as JSON, with sorted keys.
        """
        return self._judge(text, spec, key.namespace, lambda: self._wake([key]))

    def note_conflict(self, name: FlowName, revision: str, problem: str) -> None:
        """Record that the ledger has other content under this revision of a Flow; '' when it does not."""
        found = (revision, problem) if problem else None
        if self._conflicts.get(name) == found:
            return
        if found is None:
            self._conflicts.pop(name, None)
        else:
            self._conflicts[name] = found
        known = self._known.get(name)
        if known is not None:
            self._queue.add(known.key)

    def conflict(self, name: FlowName, validation: FlowValidation) -> str:
        """Return the recorded conflict of this revision; '' for none."""
        revision, problem = self._conflicts.get(name, ("", ""))
        return problem if isinstance(validation, Validated) and validation.revision == revision else ""

    def _text(self, known: _Known) -> bytes:
        cached = self.cache.get(known.key)
        assert cached is not None, "a Flow is in the cache as long as it is in the index"
        return cached.spec

    def _judge(self, text: bytes, spec: FlowSpec, namespace: str, done: Callable[[], None]) -> FlowValidation:
        if self._catalogue is None:
            return NotValidated(spec, revision(spec))
        found = self._checks.find(namespace, text, spec, done)
        if found is None:
            return Checking(spec)
        if isinstance(found, Exceeded):
            return TooComplex(spec, self._checks.budget.exceeded(found))
        return Validated(spec, found.revision, found.errors, found.warnings)

    def _checked(self, name: FlowName) -> None:
        """Handle the end of a Flow's validation."""
        known = self._known.get(name)
        if known is not None:
            known.validation = None
            self._queue.add(known.key)
        self._wake(self._waiting.pop(name, ()))

    def similar(self, namespace: str, name: str) -> tuple[str, ...]:
        """Return names of Flows in the namespace that resemble this one, the nearest first."""
        return tuple(similar(name, (known for of, known in self._known if of == namespace), most=3, cutoff=0.5))

    def wait_for(self, key: Key, namespace: str, name: str) -> None:
        """Wake the execution when this Flow is created, changed or deleted."""
        self._waiting.setdefault((namespace, name), set()).add(key)

    def forget(self, key: Key) -> None:
        """Stop waiting on behalf of the execution."""
        self._waiting_for_types.discard(key)
        for waiting in self._waiting.values():
            waiting.discard(key)

    def wait_for_types(self, key: Key) -> None:
        """Wake the execution when other node types become active."""
        self._waiting_for_types.add(key)


class FlowReconciler:
    """Writes the validation of a Flow into its status.

    Args:
        validated: called with the name of each Flow that was validated, changed or deleted.
    """

    def __init__(self, flows: Flows, writer: StatusWriter, *, validated: Callable[[FlowName], None]) -> None:
        self._flows = flows
        self._writer = writer
        self._judged = validated

    async def reconcile(self, key: Key) -> None:
        cached = self._flows.cache.get(key)
        validation = self._flows.validation(key.namespace, key.name)
        self._judged((key.namespace, key.name))
        if cached is None:
            self._writer.forget(key)
            return
        if cached.deleting or validation is None:
            return
        if isinstance(validation, Checking) and cached.status_object().get("observedGeneration") == cached.generation:
            return  # the previous status stays until the validation ends
        previous = FlowStatus.fitting(cached.status_object())
        status = flow_status(
            validation,
            generation=cached.generation,
            previous=previous,
            now=datetime.now(UTC),
            conflict=self._flows.conflict((key.namespace, key.name), validation),
        )
        self._writer.submit(key, status, urgent=not isinstance(validation, Checking))


def _readable(spec: Mapping[str, Any]) -> FlowSpec | Unparseable:
    try:
        return FlowSpec.model_validate(spec)
    except ValidationError as error:
        return Unparseable(tuple(errors_of(error)))
