"""Tokens that were used: each asks once, whatever is put back, and those of one kind do not push out another's."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_store.commands.tokens import KEPT, TokenKind, asks, with_token

KINDS = st.sampled_from([*TokenKind])
FEW = st.sampled_from(["", *(str(n) for n in range(6))])
MANY = st.sampled_from([str(n) for n in range(KEPT + 8)])


@dataclass
class Row:
    """What a row knows, and how it takes a token of the spec."""

    used: tuple[str, ...] = ()
    last: dict[TokenKind, str] = field(default_factory=lambda: dict.fromkeys(TokenKind, ""))

    def takes(self, kind: TokenKind, token: str) -> bool:
        asked = asks(kind, token, used=self.used, last=self.last[kind])
        self.used = with_token(kind, token, used=self.used, last=self.last[kind])
        if asked:
            self.last[kind] = token
        return asked


@given(st.lists(st.tuples(KINDS, FEW)))
def test_token_takes_effect_only_once(edits: list[tuple[TokenKind, str]]) -> None:
    row, seen = Row(), set()
    for kind, token in edits:
        assert row.takes(kind, token) == (bool(token) and (kind, token) not in seen)
        seen.add((kind, token))


@given(st.lists(st.tuples(KINDS, MANY), max_size=150))
def test_token_list_keeps_newest_of_each_kind(edits: list[tuple[TokenKind, str]]) -> None:
    row = Row()
    newest: dict[TokenKind, list[str]] = {kind: [] for kind in TokenKind}
    for kind, token in edits:
        row.takes(kind, token)
        newest[kind] = [*(each for each in newest[kind] if each != token), token][-KEPT:]
        assert [each for each in row.used if each.startswith(f"{kind}:")] == [f"{kind}:{each}" for each in newest[kind]]
        again = row.used
        assert not row.takes(kind, token)
        assert row.used == again, "what is the newest already changes nothing"


def test_manifest_token_stays_known_after_many_others() -> None:
    """A tool puts its token back after each of a person's."""
    row = Row()
    assert row.takes(TokenKind.STEP, "manifest")
    for n in range(10 * KEPT):
        assert row.takes(TokenKind.STEP, str(n))
        assert not row.takes(TokenKind.STEP, "manifest")


@pytest.mark.parametrize("kind", [*TokenKind])
def test_old_row_without_token_list_knows_its_last_token(kind: TokenKind) -> None:
    assert not asks(kind, "old", used=[], last="old")
    assert with_token(kind, "old", used=[], last="old") == (f"{kind}:old",)
    used = with_token(kind, "new", used=[], last="old")
    assert used == (f"{kind}:old", f"{kind}:new")
    assert not asks(kind, "old", used=used, last="new")


def test_token_of_one_kind_does_not_match_another() -> None:
    used = with_token(TokenKind.STEP, "1", used=[], last="")
    assert asks(TokenKind.RESUME, "1", used=used, last="")
    # A token may have a colon, so an entry must not be taken for one of a kind that its token names.
    used = with_token(TokenKind.STEP, "retry:1", used=used, last="1")
    assert asks(TokenKind.RETRY, "1", used=used, last="")
