"""Which failures are retried, and when; and what a failure says to the flow."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.flow import NodeRetry
from chaingraph_flow import FailureReason, FlowOutcome, Node, NodeContext, NodeFailed, Outcome, Registry, validate
from chaingraph_flow.engine.tries.attempt import Ending
from chaingraph_flow.engine.tries.endings import LIMITS, LONGEST_RETRY_AFTER, next_try
from chaingraph_flow.nodes.http_error import status_error
from chaingraph_flow.validation.retry_reasons import KNOWN, NEVER
from fixtures.flows.runs import WORKING, flow, run_flow

pytestmark = pytest.mark.looptime


class Fails(Node):
    """Fails as it is told, once, and then not."""

    pure = True
    told: ClassVar[list[NodeFailed]] = []

    async def run(self, context: NodeContext) -> None:
        if self.told:
            raise self.told.pop(0)


REGISTRY = WORKING.merge(Registry([Fails]))


def delay(tries: int = 1, *, chance: float = 0.5, ending: dict[str, Any] | None = None, **retry: Any) -> float | None:
    failed = Ending(Outcome.FAILED, {}, **{"message": "no", "reason": "NodeFailed", **(ending or {})})
    found = next_try(failed, tries, NodeRetry(**{"max_attempts": 20, **retry}), chance)
    return None if found is None else found[0]


def test_delay_grows_by_its_factor_up_to_the_maximum() -> None:
    assert [delay(tries) for tries in (1, 2, 3, 9)] == [1, 2, 4, 60]
    assert [delay(tries, factor=1.0, backoff_seconds=5.0) for tries in (1, 2, 9)] == [5, 5, 5]
    assert delay(3, factor=10.0, backoff_seconds=2.0, max_backoff_seconds=1000.0) == 200
    assert delay(20) is None


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 19))
def test_jitter_only_shortens(jitter: float, chance: float, tries: int) -> None:
    found, whole = delay(tries, jitter=jitter, chance=chance), delay(tries)
    assert found is not None
    assert whole is not None
    assert whole * (1 - jitter) - 1e-9 <= found <= whole


def test_server_may_ask_for_a_longer_delay() -> None:
    assert delay(ending={"retry_after": 300.0}) == 300
    assert delay(ending={"retry_after": 0.1}, jitter=1.0, chance=1.0) == 0.1
    assert delay(ending={"retry_after": 10**9}) == LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    ("reason", "retryable", "retry_on", "again"),
    [
        ("NodeFailed", True, [], True),
        ("NodeFailed", False, [], False),
        ("HTTP503", True, ["HTTP5xx"], True),
        ("HTTP503", True, ["HTTP500", "NodeTimeout"], False),
        ("HTTP404", False, ["HTTP4xx"], True),
        ("SoldOut", False, ["SoldOut"], True),
        ("NodeTimeout", True, ["HTTP5xx"], False),
        *((reason, True, [], False) for reason in sorted(LIMITS)),
        *((reason, True, [reason], False) for reason in sorted(LIMITS)),
    ],
)
def test_reason_decides_about_another_try(reason: str, retryable: bool, retry_on: list[str], again: bool) -> None:
    assert (delay(ending={"reason": reason, "retryable": retryable}, retry_on=retry_on) is not None) == again


def test_known_reasons_are_those_of_the_engine() -> None:
    of_flows = {FailureReason.FLOW_TIMEOUT, FailureReason.NO_LISTENER, FailureReason.TREE_LIMIT}
    assert set(map(str, FailureReason)) - set(map(str, of_flows)) <= {*KNOWN, *NEVER}
    assert set(map(str, LIMITS)) == NEVER


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("NodeTimeOut", "unknown reason 'NodeTimeOut'; did you mean 'NodeTimeout'?"),
        ("Http503", "'Http503' is no reason of an HTTP node: write a status as HTTP503, or a class of them as HTTP5xx"),
        ("HTTP50x", "'HTTP50x' is no reason of an HTTP node"),
        ("LimitExceeded", "'LimitExceeded' is never retried: another try would fail in the same way"),
        ("SoldOut", ""),
        ("HTTP418", ""),
    ],
)
def test_misspelled_reason_is_an_error_of_the_flow(reason: str, told: str) -> None:
    spec = flow(f"nodes: [{{id: a, type: Fails, retry: {{retryOn: [NodeFailed, {reason}]}}}}]")
    found = validate(spec, REGISTRY.catalogue)
    assert [each.path for each in found] == (["spec.nodes[0].retry.retryOn[1]"] if told else [])
    assert all(each.message.startswith(told) for each in found)


async def test_node_gives_reason_and_details_to_the_flow() -> None:
    Fails.told[:] = [NodeFailed("sold out", reason="SoldOut", details={"left": 0}, retryable=False)]
    run = await run_flow(
        """
        nodes:
          - {id: buy, type: Fails, retry: {maxAttempts: 3}}
          - {id: other, type: Text, inputs: {value: another}}
        edges: [{from: buy.__error, to: other.__execute}]
        outputs: [{name: reason, from: buy.__error.reason}, {name: left, from: buy.__error.details.left},
                  {name: used, from: other.value}]
        """,
        registry=REGISTRY,
    )
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert run.result.outputs == {"reason": "SoldOut", "left": 0, "used": "another"}
    assert run.recorder.of("buy").attempts == 1
    again = type(run.recorder.of("buy")).from_json(run.recorder.of("buy").to_json())
    assert (again.reason, again.details) == ("SoldOut", {"left": 0})


@pytest.mark.parametrize(
    ("reason", "details"), [("has spaces", None), ("x" * 64, None), ("Good", object()), ("Good", float("nan"))]
)
async def test_reason_and_details_of_a_node_are_checked(reason: str, details: Any) -> None:
    Fails.told[:] = [NodeFailed("no", reason=reason, details=details)]
    run = await run_flow("nodes: [{id: a, type: Fails}]", registry=REGISTRY)
    assert run.result.error is not None
    assert run.result.error.reason == ("Good" if reason == "Good" else "NodeFailed")
    assert run.recorder.of("a").details is None


async def test_details_beyond_the_limit_of_a_value_are_left_out() -> None:
    Fails.told[:] = [NodeFailed("no", details="x" * (64 * 1024 * 1024))]
    run = await run_flow("nodes: [{id: a, type: Fails}]", registry=REGISTRY)
    assert run.recorder.of("a").details is None


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (404, False), (408, True), (425, True), (429, True)])
def test_status_of_4xx_is_retryable_if_it_can_go_away(status: int, retryable: bool) -> None:
    assert status_error("GET x", status, {}, b"").retryable == retryable


def test_error_of_a_status_has_the_response() -> None:
    error = status_error("GET x", 503, {"retry-after": "17"}, b'{"code": 7,\n "why": "' + b"y" * 300 + b'"}')
    assert str(error).startswith('GET x: status 503: {"code": 7, "why": "yyy')
    assert len(str(error)) < 250
    assert (error.reason, error.retryable, error.retry_after) == ("HTTP503", True, 17)
    assert error.details["response"]["code"] == 7
    assert error.details["statusCode"] == 503
    assert str(status_error("GET x", 500, {}, b"")) == "GET x: status 500"
    text = status_error("GET x", 500, {}, b"\xff not json " + b"z" * 100_000)
    assert len(text.details["response"]) == 4096


def retry_after(header: str) -> float | None:
    return status_error("GET x", 429, {"retry-after": header}, b"").retry_after


@pytest.mark.parametrize("header", ["soon", "-5", "9" * 400, ""])
def test_unreadable_retry_after_counts_as_absent(header: str) -> None:
    assert retry_after(header) is None


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("17") == 17
    assert retry_after(formatdate(time.time() - 3600, usegmt=True)) == 0
    later = retry_after(formatdate(time.time() + 3600, usegmt=True))
    assert later is not None
    assert 3500 <= later <= 3600
