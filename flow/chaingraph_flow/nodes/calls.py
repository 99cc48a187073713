"""Nodes that run a subflow: once, for each element of a list, or until it says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaingraph_flow.calls import ITERATION_LIMIT, CallEnd, CallFailure, CallPlan, NextCall
from chaingraph_flow.node import CallingNode, Input, Output
from chaingraph_flow.ports import types as t

MOST_ITEMS = 99_999
"""Maximum elements of a ForEach: their numbers are parts of paths."""
_SUBFLOW = "Name of the subflow."
_FAIL, _CONTINUE = "Fail", "Continue"


class Call(CallingNode):
    """Runs a subflow once. The subflow's inputs and outputs are those of this node."""

    calls = "once"
    subflow = Input(t.String(min_length=1), required=True, static=True, description=_SUBFLOW)

    @classmethod
    def plan(cls, values: Mapping[str, Any]) -> CallPlan:
        """Return the plan of one call."""
        return _Once(cls.passed_on(values))


class ForEach(CallingNode):
    """Runs a subflow for each element of a list.

    The subflow takes the element as its input `item`, its position as `index`, and its other inputs from this node.
    """

    calls = "each"
    subflow = Input(t.String(min_length=1), required=True, static=True, description=_SUBFLOW)
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
        description="Fail: the first failure ends the node. Continue: the others continue, and `errors` has the "
        "failures.",
    )
    results = Output(t.Array(), description="The subflow's outputs for each element; null where it failed.")
    errors = Output(t.Array(), description="The failure of each element: {node, reason, message, details}, or null.")
    failed = Output(t.Number(integer=True), description="Number of elements that failed.")

    @classmethod
    def plan(cls, values: Mapping[str, Any]) -> CallPlan:
        """Return the plan of a call for each element."""
        return _Each(values["items"], int(values["maxParallel"]), values["onError"] == _CONTINUE, cls.passed_on(values))


class Repeat(CallingNode):
    """Runs a subflow again and again until one of its outputs is true.

    An output with the name of an input is the value of that input in the next round. The subflow takes the number of
    the round, from 0, as its input `iteration`.
    """

    calls = "repeat"
    subflow = Input(t.String(min_length=1), required=True, static=True, description=_SUBFLOW)
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
    def plan(cls, values: Mapping[str, Any]) -> CallPlan:
        """Return the plan of one call after the other."""
        return _Rounds(values["until"], int(values["maxIterations"]), values["delaySeconds"], cls.passed_on(values))


class _Once:
    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs
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
        return self._end.failure or self._end.outputs


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
        self._failed = 0
        self._failure: CallFailure | None = None
        if len(items) > MOST_ITEMS:
            message = f"items has {len(items)} elements, and {MOST_ITEMS} are possible: split the list"
            self._failure = CallFailure("", "InvalidInput", message)

    def next(self) -> NextCall | None:
        if self._failure is not None or len(self._live) >= self._most:
            return None
        while self._next in self._ended:
            self._next += 1
        if self._next >= len(self._items):
            return None
        number = self._next
        self._next += 1
        self._live.add(number)
        return NextCall(number, {**self._inputs, "item": self._items[number], "index": number})

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
        return {"results": self._results, "errors": self._errors, "failed": self._failed}


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
