"""The HTTP connections of a worker are shared between the executions of a namespace."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from chaingraph_worker.supervision.connections import ConnectionShares


def test_grants_end_with_their_executions() -> None:
    shares = ConnectionShares(per_execution=10, per_namespace=25)
    with shares.grant("a") as first, shares.grant("a") as second, shares.grant("a") as third, shares.grant("a") as last:
        assert (first, second, third, last) == (10, 10, 5, 1)
        with shares.grant("b") as other:
            assert other == 10, "another namespace has its own"
    with shares.grant("a") as again:
        assert again == 10


@given(st.integers(1, 20), st.integers(1, 100), st.lists(st.sampled_from("abc"), max_size=40))
def test_namespace_gets_its_limit_at_most(one: int, all_: int, namespaces: list[str]) -> None:
    shares = ConnectionShares(per_execution=one, per_namespace=all_)
    granted: dict[str, list[int]] = {}
    with ExitStack() as stack:
        for each in namespaces:
            granted.setdefault(each, []).append(stack.enter_context(shares.grant(each)))
    for shared in granted.values():
        assert sum(share for share in shared if share > 1) <= all_
        assert all(1 <= share <= one for share in shared)
