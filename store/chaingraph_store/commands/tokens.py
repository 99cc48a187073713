"""Tokens that were used: `spec.step`, `spec.resume` and `spec.retry.token` ask once, also when they are put back. Pure.

The row keeps them as `step:<token>`, `resume:<token>` and `retry:<token>`, the newest last. So a forced sync that puts
back the token of a manifest, after a person has used another one, asks for nothing. Used by `steering`, `retrying`,
`obedience` and the operator's plan.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final

KEPT: Final = 32
"""Tokens of a kind that are kept: hundreds of steps do not make an execution forget its retries."""


class TokenKind(StrEnum):
    STEP = "step"
    RESUME = "resume"
    RETRY = "retry"


def asks(kind: TokenKind, token: str, *, used: Collection[str], last: str) -> bool:
    """Whether this token of the spec asks for something: there is one, and it was never used.

    Args:
        used: the row's list.
        last: the last one of its kind that was dealt with; all that rows know which are older than the list.
    """
    return bool(token) and token != last and _entry(kind, token) not in used


def with_token(kind: TokenKind, token: str, *, used: Sequence[str], last: str) -> tuple[str, ...]:
    """The row's list once this token was used, or seen again: it is the newest of its kind then.

    So what stands in a manifest is not forgotten, however many others are used between two times that it is put back.
    Nothing changes when it is the newest already.
    """
    if not token:
        return tuple(used)
    entry, former = _entry(kind, token), _entry(kind, last)
    kept = [former, *used] if last and former not in used else list(used)
    if _of_kind(kind, kept)[-1:] == [entry]:
        return tuple(kept)
    kept = [each for each in kept if each != entry] + [entry]
    too_old = _of_kind(kind, kept)[:-KEPT]
    return tuple(each for each in kept if each not in too_old)


def _of_kind(kind: TokenKind, entries: Sequence[str]) -> list[str]:
    return [each for each in entries if each.startswith(_entry(kind, ""))]


def _entry(kind: TokenKind, token: str) -> str:
    return f"{kind}:{token}"
