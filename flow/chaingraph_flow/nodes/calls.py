"""Nodes that run a subflow: once, for each element of a list, or until it says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaingraph_crds.node_paths import CHILD, INLINE
from chaingraph_flow.calls import ITERATION_LIMIT, CallEnd, CallFailure, CallPlan, NextCall
from chaingraph_flow.errors import LimitExceeded, NodeFailed
from chaingraph_flow.expressions import InvalidExpression, budget_of, compiled, evaluate, is_true
from chaingraph_flow.limits import Limits
from chaingraph_flow.node import CallingNode, Input, Output
from chaingraph_flow.ports import types as t

MOST_ITEMS = 99_999
"""Maximum elements of a ForEach: their numbers are parts of paths."""
_FAIL, _CONTINUE = "Fail", "Continue"


class _Calling(CallingNode):
    """What nodes that call have in common."""

    subflow = Input(t.String(), static=True, description="Name of the subflow.")
    run_ = Input(
        t.Enum(options=(INLINE, CHILD)),
        static=True,
        description="Inline, the default: the calls run in this execution. Child: each is an execution of its own, on "
        "any worker, and this one waits for it without a worker.",
    )


class Call(_Calling):
    """Runs a subflow, or another Flow, once. The subflow's inputs and outputs are those of this node.

    Another Flow runs as a child. It takes `inputs`, and its outputs are in `outputs`.
    """

    calls = "once"
    flow = Input(
        t.String(),
        static=True,
        description="Name of a Flow of the namespace, instead of `subflow`. The call runs its current revision.",
    )

    @classmethod
    def plan(cls, values: Mapping[str, Any], limits: Limits) -> CallPlan:
        """Return the plan of one call."""
        if values["flow"]:
            return _Once(values["inputs"] or {}, under="outputs")
        return _Once(cls.passed_on(values))


class ForEach(_Calling):
    """Runs a subflow for each element of a list.

    The subflow takes the element as its input `item`, its position as `index`, and its other inputs from this node.
    """

    calls = "each"
    items = Input(t.Array(), required=True, description="The elements, at most 99,999.")
    max_parallel = Input(
        t.Number(integer=True, minimum=1, maximum=1000),
        default=10,
        static=True,
        description="Maximum elements at a time. Their nodes share the execution's `maxConcurrency`.",
    )
    on_error = Input(
        t.Enum(options=(_FAIL, _CONTINUE)),
        default=_FAIL,
        static=True,
        description="Fail: the first failure ends the node. Continue: the other elements continue, and `errors` has "
        "the failures.",
    )
    filter = Input(
        t.String(),
        static=True,
        expression=True,
        description="Expression in JMESPath over an element, such as price > `10`. Where it does not hold, the subflow "
        "does not run.",
    )
    results = Output(
        t.Array(), description="The subflow's outputs for each element; null where it failed or did not run."
    )
    errors = Output(t.Array(), description="The failure of each element: {node, reason, message, details}, or null.")
    failed = Output(t.Number(integer=True), description="Number of elements that failed.")
    skipped = Output(t.Number(integer=True), description="Number of elements for which `filter` does not hold.")

    @classmethod
    def plan(cls, values: Mapping[str, Any], limits: Limits) -> CallPlan:
        """Return the plan of a call for each element."""
        goes_on = values["onError"] == _CONTINUE
        each = _Each(values["items"], int(values["maxParallel"]), goes_on, cls.passed_on(values))
        if values["filter"]:
            each.select(values["filter"], limits)
        return each


class Repeat(_Calling):
    """Runs a subflow again and again until one of its outputs is true.

    An output with the name of an input is the value of that input in the next round. The subflow takes the number of
    the round, from 0, as its input `iteration`.
    """

    calls = "repeat"
    until = Input(
        t.String(min_length=1), required=True, static=True, description="Output of the subflow that ends the loop."
    )
    max_iterations = Input(
        t.Number(integer=True, minimum=1, maximum=10_000),
        default=100,
        static=True,
        description="Maximum rounds. When the last one does not end the loop, the node fails with `IterationLimit`.",
    )
    delay_seconds = Input(
        t.Number(minimum=0, maximum=31_536_000),
        default=0,
        description="Time between the end of a round and the next one. A long one needs no worker.",
    )
    iterations = Output(t.Number(integer=True), description="Number of rounds.")

    @classmethod
    def plan(cls, values: Mapping[str, Any], limits: Limits) -> CallPlan:
        """Return the plan of one call after the other."""
        return _Rounds(values["until"], int(values["maxIterations"]), values["delaySeconds"], cls.passed_on(values))


class _Once:
    def __init__(self, inputs: Mapping[str, Any], under: str = "") -> None:
        self._inputs = inputs
        self._under = under
        self._begun = False
        self._end: CallEnd | None = None

    def next(self) -> NextCall | None:
        if self._begun or self._end is not None:
            return None
        self._begun = True
        return NextCall(None, self._inputs)

    def ended(self, number: int | None, end: CallEnd) -> None:
        self._end = end

    def result(self) -> Mapping[str, Any] | CallFailure | None:
        if self._end is None:
            return None
        if self._end.failure is not None:
            return self._end.failure
        return {self._under: dict(self._end.outputs)} if self._under else self._end.outputs


class _Each:
    def __init__(self, items: Sequence[Any], most: int, goes_on: bool, inputs: Mapping[str, Any]) -> None:
        self._items = items
        self._most = most
        self._goes_on = goes_on
        self._inputs = inputs
        self._next = 0
        self._live: set[int] = set()
        self._ended: set[int] = set()
        self._results: list[Any] = [None] * len(items)
        self._errors: list[Any] = [None] * len(items)
        self._failed = self._skipped = 0
        self._holds: Callable[[Any], bool] = lambda _: True
        self._failure: CallFailure | None = None
        if len(items) > MOST_ITEMS:
            message = f"items has {len(items)} elements, and {MOST_ITEMS} are possible: split the list"
            self._failure = CallFailure("", "InvalidInput", message)

    def next(self) -> NextCall | None:
        if self._failure is not None or len(self._live) >= self._most or not self._skip():
            return None
        number = self._next
        self._next += 1
        self._live.add(number)
        return NextCall(number, {**self._inputs, "item": self._items[number], "index": number})

    def select(self, expression: str, limits: Limits) -> None:
        """Run the calls only for the elements for which this expression holds."""
        budget = budget_of(limits)
        try:
            selected = compiled(expression)
        except InvalidExpression as error:
            self._failure = CallFailure("", "InvalidInput", f"filter: {error}")
            return
        self._holds = lambda item: is_true(evaluate(selected, item, budget))

    def _skip(self) -> bool:
        """Proceed to the next element that has to run. Returns False when there is none."""
        while self._next < len(self._items):
            if self._next not in self._ended:
                try:
                    if self._holds(self._items[self._next]):
                        return True
                except NodeFailed as error:
                    reason = "LimitExceeded" if isinstance(error, LimitExceeded) else error.reason or "NodeFailed"
                    self._failure = CallFailure("", reason, f"filter, items[{self._next}]: {error}")
                    return False
                self._ended.add(self._next)
                self._skipped += 1
            self._next += 1
        return False

    def ended(self, number: int | None, end: CallEnd) -> None:
        if number is None or number in self._ended or number >= len(self._items):
            return
        self._ended.add(number)
        self._live.discard(number)
        if end.failure is None:
            self._results[number] = dict(end.outputs)
            return
        self._failed += 1
        self._errors[number] = end.failure.to_json()
        if not self._goes_on and self._failure is None:
            self._failure = end.failure

    def result(self) -> Mapping[str, Any] | CallFailure | None:
        if self._failure is not None:
            return self._failure
        if len(self._ended) < len(self._items):
            return None
        counts = {"failed": self._failed, "skipped": self._skipped}
        return {"results": self._results, "errors": self._errors, **counts}


class _Rounds:
    def __init__(self, until: str, most: int, delay_seconds: float, inputs: Mapping[str, Any]) -> None:
        self._until = until
        self._most = most
        self._delay = delay_seconds
        self._inputs = inputs
        self._last = -1
        self._begun = -1
        self._outputs: Mapping[str, Any] = {}
        self._failure: CallFailure | None = None

    def next(self) -> NextCall | None:
        if self._begun > self._last or self.result() is not None:
            return None
        self._begun = number = self._last + 1
        inputs = {**self._inputs, **self._outputs, "iteration": number}
        return NextCall(number, inputs, self._delay if number else 0)

    def ended(self, number: int | None, end: CallEnd) -> None:
        if number is None or number <= self._last:
            return
        self._last = number
        self._begun = max(self._begun, number)
        self._outputs = end.outputs
        self._failure = end.failure

    def result(self) -> Mapping[str, Any] | CallFailure | None:
        if self._failure is not None:
            return self._failure
        rounds = self._last + 1
        if rounds and self._outputs.get(self._until) is True:
            return {**self._outputs, "iterations": rounds}
        if rounds >= self._most:
            message = f"{self._until!r} was not true after {rounds} rounds, which is the maximum (maxIterations)"
            return CallFailure("", ITERATION_LIMIT, message)
        return None
