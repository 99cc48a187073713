"""Used tokens: `spec.step`, `spec.resume` and `spec.retry.token` request something once, even if set again. Pure.

The row keeps them as `step:<token>`, `resume:<token>` and `retry:<token>`, the newest last. So a forced sync that
restores the token of a manifest, after a person has used another one, requests nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final

KEPT: Final = 32
"""Maximum tokens kept of each kind: hundreds of steps do not make an execution forget its retries."""


class TokenKind(StrEnum):
    STEP = "step"
    RESUME = "resume"
    RETRY = "retry"


def asks(kind: TokenKind, token: str, *, used: Collection[str], last: str) -> bool:
    """Whether this token of the spec requests something: it is set, and was never used.

    Args:
        used: the row's list.
        last: the last handled token of its kind; the only one known for rows older than the list.
    """
    return bool(token) and token != last and _entry(kind, token) not in used


def with_token(kind: TokenKind, token: str, *, used: Sequence[str], last: str) -> tuple[str, ...]:
    """Return the row's list once this token was used, or seen again: it is the newest of its kind then.

    So the token in a manifest is not forgotten, however many others are used before it is set again. Nothing changes
    when it is the newest already.
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
