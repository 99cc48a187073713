"""Extracts an output from a page of the gateway, piece by piece. Pure."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

_END: Final = "}\n"
"""The text after the value on the page."""
# Only whole escapes: a pair of surrogates belongs together. An incomplete escape waits for the next piece.
_WHOLE: Final = re.compile(
    r"(?:[^\\]++|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[0-9a-fA-F]{4}|(?=[^\\]|\\[^u])))*+"
)


def value_of(page: Iterable[bytes], field: str) -> Iterator[str]:
    """Yield the JSON of the last field of an object, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    mark, head, begun, kept = f'"{field}":', "", False, ""
    for piece in page:
        text = decoder.decode(piece)
        if not begun:
            head += text
            _, found, text = head.partition(mark)
            if not found:
                continue
            begun = True
        kept += text
        if len(kept) > len(_END):
            yield kept[: -len(_END)]
            kept = kept[-len(_END) :]


def raw(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the text of a JSON string, without quotes and escapes; the JSON of any other value."""
    kept, is_text = "", None
    for piece in pieces:
        content = piece
        if is_text is None and piece:
            is_text = piece.startswith('"')
            content = piece[1:] if is_text else piece
        if not is_text:
            yield content
            continue
        kept += content
        # The last character may be the closing quote.
        match = _WHOLE.match(kept, 0, max(len(kept) - 1, 0))
        if match is not None and match.end():
            yield _said(kept[: match.end()])
            kept = kept[match.end() :]
    if is_text:
        yield _said(kept.removesuffix('"'))


def _said(text: str) -> str:
    return str(json.loads(f'"{text}"', strict=False))
