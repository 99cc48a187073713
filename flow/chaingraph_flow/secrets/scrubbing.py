"""Remove the values of secrets from what an execution writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.secrets.encodings import SHORTEST, Needle, needles

PLACEHOLDER: Final = "***"
"""What stands in place of a secret."""
LONGEST: Final = 64 * 1024
"""Maximum characters of a secret."""
MOST: Final = 100
"""Maximum distinct secrets of one run: each costs a search of everything that the run writes."""
INVALID: Final = "SecretInvalid"
"""The reason of a failure because of the form of a secret."""


class Scrubber:
    """The secrets of one run. Without any, everything is returned unchanged, at no cost."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._needles: tuple[Needle, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, value: str, what: str) -> None:
        """Remove this value from now on.

        Args:
            what: names it in messages.

        Raises:
            NodeFailed: it is too short or too long to be removed, or there are too many.
        """
        if value in self._values:
            return
        if len(value.strip()) < SHORTEST:
            raise NodeFailed(
                f"{what} has fewer than {SHORTEST} characters, which is too short to remove it from outputs and logs: "
                "use a longer secret",
                reason=INVALID,
            )
        if len(value) > LONGEST:
            raise NodeFailed(f"{what} has more than {LONGEST} characters", reason=INVALID)
        if len(self._values) >= MOST:
            raise NodeFailed(f"{what}: an execution can use at most {MOST} different secrets", reason=INVALID)
        self._values.add(value)
        known = {each.text: each for each in self._needles} | needles(value)
        self._needles = tuple(known.values())

    def text(self, text: str) -> str:
        """Return the text with a placeholder for each secret in it."""
        return _replaced(text, [(each, each.text) for each in self._needles]) if self._values else text

    def finds(self, text: str) -> bool:
        """Whether the text has a secret in it."""
        return any(each.text in text for each in self._needles)

    def value(self, value: Any) -> Any:
        """Return a JSON value without the secrets in its texts, names and numbers; the same object if it has none."""
        if not self._values:
            return value
        try:
            written = orjson.dumps(value)
        except TypeError:
            return _without(value, self._needles)
        there = [each for each in self._needles if each.bytes_in_json in written]
        if not there:
            return value
        if all(each.only_in_texts for each in there):
            # Replaced in the JSON, which is much faster than part by part. Where a secret begins inside an escape, the
            # result is no JSON.
            with suppress(orjson.JSONDecodeError):
                return orjson.loads(_replaced(written.decode(), [(each, each.in_json) for each in there]))
        return _without(value, there)


def _replaced(text: str, searched: Iterable[tuple[Needle, str]]) -> str:
    spans = [span for needle, form in searched for span in needle.spans(text, form)]
    if not spans:
        return text
    parts: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            parts += (text[end:start], PLACEHOLDER)
        end = max(end, stop)
    return "".join((*parts, text[end:]))


def _without(value: Any, searched: Sequence[Needle]) -> Any:
    if isinstance(value, str):
        return _replaced(value, [(each, each.text) for each in searched])
    if isinstance(value, dict):
        return {_without(name, searched): _without(inner, searched) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, searched) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)
        return PLACEHOLDER if any(each.text in text for each in searched) else value
    return value
