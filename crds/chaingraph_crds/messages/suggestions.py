"""Find names that resemble a misspelled one: the rule for "did you mean" in every program.

Case makes no difference, nor do `-`, `_`, `.` and spaces between words: `json_read` is `JSONRead`.
"""

import difflib
from collections.abc import Iterable
from typing import Final

from chaingraph_crds.yaml.scalars import asked_for

_SEPARATORS: Final = str.maketrans("", "", "-_. ")
_MOST_CANDIDATES: Final = 500
_LONGEST_NAME: Final = 128
_ALMOST: Final = 0.75
"""Similarity of a typo: one letter of four, or two swapped letters."""
_FEW: Final = 12
"""Maximum number of known names to list when none resembles the given one."""


def similar(name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return known names that resemble this one, the nearest first: `Shout` is `acme.Shout` without its prefix.

    Bounded: compares 500 names of 128 characters.
    """
    if len(name) > _LONGEST_NAME:
        return []
    plain = plainly(name)
    # Two strings whose lengths differ by more than this cannot reach the cutoff.
    shortest, longest = len(plain) * cutoff / (2 - cutoff), len(plain) * (2 - cutoff) / cutoff
    by_plain: dict[str, list[str]] = {}
    prefixed: list[str] = []
    for each in known:
        if "." in each and plainly(each.rpartition(".")[2]) == plain:
            prefixed.append(each)
            continue
        if len(each) <= _LONGEST_NAME and shortest <= len(other := plainly(each)) <= longest:
            by_plain.setdefault(other, []).append(each)
    candidates = list(by_plain)
    if len(candidates) > _MOST_CANDIDATES:
        candidates.sort(key=lambda each: _common(plain, each), reverse=True)
        candidates = candidates[:_MOST_CANDIDATES]
    near = difflib.get_close_matches(plain, candidates, n=most, cutoff=cutoff)
    return [*prefixed, *(each for found in near for each in by_plain[found])][:most]


def almost(name: str, known: Iterable[str]) -> str | None:
    """Return the known name of which this one is a typo, or None.

    Stricter than `similar`: a common prefix counts for nothing (`acme.Stop` is not almost `acme.Shout`), and names that
    differ only in digits are versions of each other.
    """
    for each in similar(name, known, most=3, cutoff=_ALMOST):
        if plainly(each.rpartition(".")[2]) == plainly(name):
            return each
        ours, theirs = _own_parts(name, each)
        if _without_digits(ours) == _without_digits(theirs) and ours != theirs:
            continue
        if difflib.SequenceMatcher(None, ours, theirs).ratio() >= _ALMOST:
            return each
    return None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `nearest`, else the known names if they are few, else ''."""
    names = list(known)
    near = nearest(name, names)
    if near:
        return near
    if 0 < len(names) <= _FEW:
        return f"; available: {', '.join(repr(each) for each in sorted(names))}"
    return ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'response'?` for the nearest known name, or ''.

    A name `true` or `false` is what YAML makes of `y`, `on`, `n` and others.
    """
    words = asked_for(name)
    if words:
        return words
    near = similar(name, known)
    return f"; did you mean {near[0]!r}?" if near else ""


def plainly(name: str) -> str:
    """Normalize a name: ignore case and word separators."""
    return name.translate(_SEPARATORS).casefold() or name


def _own_parts(name: str, other: str) -> tuple[str, str]:
    """Return both names normalized, without their common prefix (up to the last dot)."""
    (prefix, _, last), (other_prefix, _, other_last) = name.rpartition("."), other.rpartition(".")
    if plainly(prefix) == plainly(other_prefix):
        return plainly(last), plainly(other_last)
    return plainly(name), plainly(other)


def _without_digits(name: str) -> str:
    return "".join(each for each in name if not each.isdigit())


def _common(one: str, other: str) -> int:
    """Count the characters at the same position: cheap, and high for most typos."""
    return sum(left == right for left, right in zip(one, other, strict=False))
