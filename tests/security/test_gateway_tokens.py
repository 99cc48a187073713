"""Tokens: a flood of wrong ones hurts nobody else, bound ones are of use here alone, revoked ones end soon."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_gateway.access.authentication import (
    Authenticator,
    Caller,
    TokenRules,
    claimed_audiences,
    of_certificate,
    of_review,
)
from chaingraph_gateway.connections.limits import FailedTokens, RequestLimits, Shares, share_of
from chaingraph_gateway.errors import Busy, Forbidden, Problem, ServiceUnavailable, TooMany, Unauthenticated
from chaingraph_gateway.streams import handlers as gateway_streams
from chaingraph_gateway.streams.handlers import Guard
from fixtures.processes.served_gateway import Reviews, ServeGateway
from fixtures.waiting import eventually


def authenticator(reviews: Reviews, rules: TokenRules | None = None, **limits: int) -> Authenticator:
    reviews.gate.set()
    cluster: Any = reviews
    return Authenticator(cluster, rules or TokenRules(), FailedTokens(RequestLimits(**limits)))


def jwt(audience: object) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"aud": audience}).encode()).decode().rstrip("=")
    return f"user-head.{claims}.signature"


async def test_flood_of_tokens_is_cut_off_per_address() -> None:
    reviews = Reviews()
    who = authenticator(reviews, failed_tokens_per_minute=10)
    known = await who.caller("Bearer user-known", None, "192.0.2.1")
    refusals = []
    for number in range(50):
        with pytest.raises(Problem) as caught:
            await who.caller(f"Bearer random-{number}", None, "192.0.2.1")
        refusals.append(caught.value)
    assert [type(each) for each in refusals] == [Unauthenticated] * 10 + [TooMany] * 40
    assert refusals[-1].fields["setting"] == "CHAINGRAPH_FAILED_TOKENS_PER_MINUTE"
    assert int(refusals[-1].headers["Retry-After"]) >= 1
    assert len(reviews.tokens()) == 11
    # Others, and whoever was known before at this very address, are let in.
    assert await who.caller("Bearer user-known", None, "192.0.2.1") == known
    assert (await who.caller("Bearer user-else", None, "192.0.2.2")).name == "user-else"


async def test_known_token_is_asked_about_during_a_flood() -> None:
    reviews = Reviews()
    who = authenticator(reviews, TokenRules(remember_seconds=0.01), failed_tokens_per_minute=1)
    await who.caller("Bearer user-known", None, "192.0.2.1")
    with pytest.raises(Unauthenticated):
        await who.caller("Bearer random", None, "192.0.2.1")
    await asyncio.sleep(0.02)
    asked = len(reviews.tokens())
    await who.caller("Bearer user-known", None, "192.0.2.1")
    assert len(reviews.tokens()) == asked + 1


async def test_slow_reviews_of_one_address_leave_room() -> None:
    reviews = Reviews()
    who = authenticator(reviews, TokenRules(max_reviews=2))
    reviews.gate.clear()
    flood = [asyncio.create_task(who.caller(f"Bearer random-{n}", None, "192.0.2.1")) for n in range(20)]

    async def refused() -> bool:
        return sum(each.done() for each in flood) == 16

    await eventually(refused, what="the refusal of more than may wait")
    # Never more at the API server than the setting says, whoever asks.
    assert reviews.waiting == 2
    other = asyncio.create_task(who.caller("Bearer user-else", None, "192.0.2.2"))
    reviews.gate.set()
    assert (await other).name == "user-else"
    found = await asyncio.gather(*flood, return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["TooMany"] * 16 + ["Unauthenticated"] * 4


async def test_reviews_of_all_addresses_are_bounded() -> None:
    reviews = Reviews()
    who = authenticator(reviews, TokenRules(max_reviews=1))
    reviews.gate.clear()
    flood = [asyncio.create_task(who.caller(f"Bearer random-{n}", None, f"192.0.2.{n}")) for n in range(20)]

    async def full() -> bool:
        return sum(each.done() for each in flood) == 12

    await eventually(full, what="the refusal of more than may wait")
    reviews.gate.set()
    found = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(each, Busy) for each in found) == 12


async def test_refused_token_is_remembered_for_a_moment() -> None:
    reviews = Reviews()
    who = authenticator(reviews)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await who.caller("Bearer random", None, "192.0.2.1")
    assert len(reviews.tokens()) == 1


async def test_bound_token_is_reviewed_for_its_audience() -> None:
    reviews = Reviews()
    who = authenticator(reviews, TokenRules(audiences=("chaingraph-gateway", "second")))
    await who.caller(f"Bearer {jwt('chaingraph-gateway')}", None, "a")
    await who.caller(f"Bearer {jwt(['elsewhere', 'second'])}", None, "a")
    await who.caller(f"Bearer {jwt('https://kubernetes.default.svc')}", None, "a")
    await who.caller("Bearer user-opaque", None, "a")
    assert [each.get("audiences") for each in reviews.tokens()] == [["chaingraph-gateway"], ["second"], None, None]


async def test_api_tokens_are_refused_where_told_so(serve_gateway: ServeGateway) -> None:
    rules = TokenRules(audiences=("chaingraph-gateway",), accept_api_tokens=False)
    gateway = await serve_gateway(rules=rules)
    await gateway.ask("/executions", f"Authorization: Bearer {jwt('https://kubernetes.default.svc')}")
    assert [each["audiences"] for each in gateway.reviews.tokens()] == [["chaingraph-gateway"]]
    status, answer = await gateway.ask("/executions", "Authorization: Bearer bad")
    assert status == 401
    assert b"--audience=chaingraph-gateway" in answer


def test_review_without_the_audience_counts_for_nothing() -> None:
    status: dict[str, Any] = {"authenticated": True, "user": {"username": "ann"}}
    assert of_review(status) == Caller("ann")
    # An authenticator that knows of no audiences has accepted a token that is for the API server.
    assert of_review(status, ["chaingraph-gateway"]) is None
    assert of_review(status | {"audiences": ["other"]}, ["chaingraph-gateway"]) is None
    assert of_review(status | {"audiences": ["chaingraph-gateway"]}, ["chaingraph-gateway"]) == Caller("ann")


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda b: f"a.{base64.b64encode(b).decode()}.c")))
@settings(max_examples=200, deadline=None)
def test_any_token_has_claims_or_none(token: str) -> None:
    assert isinstance(claimed_audiences(token), frozenset)


def test_service_accounts_of_a_namespace_share_limits() -> None:
    accounts = [Caller(f"system:serviceaccount:team-a:{name}") for name in ("one", "two")]
    assert {share_of(each) for each in accounts} == {"system:serviceaccount:team-a"}
    assert share_of(Caller("ann")) == "ann"
    shares = Shares(RequestLimits(max_requests_per_caller=1))
    with shares.request(accounts[0]), pytest.raises(TooMany), shares.request(accounts[1]):
        pass
    # It is given back.
    with shares.request(accounts[1]):
        pass


@given(
    total=st.integers(1, 40),
    own=st.integers(1, 60),
    asked=st.lists(st.sampled_from(["ann", "bob", "eve"]), max_size=80),
)
@settings(deadline=None)
def test_one_caller_never_takes_all_streams(total: int, own: int, asked: list[str]) -> None:
    shares = Shares(RequestLimits(max_streams=total, max_streams_per_caller=own))
    held: Counter[str] = Counter()
    with ExitStack() as streams:
        for name in asked:
            with suppress(TooMany, Busy):
                streams.enter_context(shares.stream(Caller(name)))
                held[name] += 1
        assert held.total() <= total
        assert all(number <= own for number in held.values())
        if len(held) == 1 and total > 1:
            streams.enter_context(shares.stream(Caller("somebody else")))
    with shares.stream(Caller("ann")):
        pass


def test_expired_client_certificate_is_refused() -> None:
    subject = ((("commonName", "jane"),),)
    assert of_certificate({"notAfter": "Jan  1 00:00:00 2099 GMT", "subject": subject}).name == "jane"  # type: ignore[union-attr]
    with pytest.raises(Unauthenticated):
        of_certificate({"notAfter": "Jan  1 00:00:00 2020 GMT", "subject": subject})


async def test_guard_ends_with_the_refusal() -> None:
    answers: list[Exception | None] = [None, ServiceUnavailable("away"), None, Forbidden("no longer")]

    async def judge() -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    found = await Guard(judge, 0.001).watch()
    assert (found.message, answers) == ("no longer", [])


async def test_guard_holds_events_while_nobody_can_say() -> None:
    away = True

    async def judge() -> None:
        if away:
            raise ServiceUnavailable("away")

    guard = Guard(judge, 0.001)
    watching = asyncio.create_task(guard.watch())

    async def held() -> bool:
        return not guard.known.is_set()

    await eventually(held, what="nothing to be sent any more")
    away = False
    await asyncio.wait_for(guard.known.wait(), 30)
    watching.cancel()
    assert gateway_streams._UNKNOWN_TURNS == 2
