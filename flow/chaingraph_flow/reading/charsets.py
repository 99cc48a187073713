"""Decode and encode texts, in the charset of a byte order mark or a Content-Type."""

from __future__ import annotations

import codecs
import json
import re
from typing import Final

from chaingraph_flow.errors import UnreadableText
from chaingraph_flow.ports.json_values import quoted

_NAMED: Final = re.compile(r"(?:^|[;,])\s*charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^;,\s]*))", re.IGNORECASE)
_NO_CHARSETS: Final = frozenset(("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf_7"))
"""Python codecs that are not charsets of exchanged texts; some take quadratic time."""
_SUPERSETS: Final = {"gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932"}
"""Charsets that are often named for texts in a larger one."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""UTF-32 first: its mark in little-endian order starts like that of UTF-16, and is that of UTF-16 before a U+0000."""


def text_of_body(content: bytes, content_type: str, what: str, *, of_json: bool) -> str:
    """Decode a body, without its byte order mark.

    A mark decides, then the charset of the Content-Type. Without both it is UTF-8; JSON may also be UTF-16 or UTF-32,
    as its first bytes show.

    Raises:
        UnreadableText: the charset is unknown, or the bytes are invalid in it.
    """
    named = charset_named(content_type)
    for mark, charset in _MARKS:
        if content.startswith(mark) and not (mark == codecs.BOM_UTF32_LE and named.lower().startswith("utf-16")):
            return _decoded(content[len(mark) :], charset, what)
    if named:
        return _decoded(content, _known(named, what), what)
    return _decoded(content, json.detect_encoding(content) if of_json else "utf-8", what)


def encoded(text: str, content_type: str, what: str) -> bytes:
    """Encode a text in the charset of a Content-Type, else in UTF-8.

    Raises:
        UnreadableText: the charset is unknown, or lacks a character of the text.
    """
    charset = charset_named(content_type) or "utf-8"
    try:
        return text.encode(_known(charset, what))
    except UnicodeEncodeError as error:
        raise UnreadableText(
            f"{what}: charset {quoted(charset)} has no character {text[error.start]!a}; use utf-8"
        ) from None


def charset_named(content_type: str) -> str:
    """Return the charset of a Content-Type; empty without one."""
    found = _NAMED.search(content_type)
    return (found[1] or found[2] or found[3] or "").strip() if found else ""


def _known(name: str, what: str) -> str:
    """Return Python's name of a charset."""
    try:
        found = codecs.lookup(name).name.replace("-", "_") if name.isascii() and len(name) <= 40 else ""
        b"a".decode(found or "undefined", "replace")  # the lookup also finds base64 and the like
    except (LookupError, UnicodeError, ValueError):
        found = ""
    if not found or found in _NO_CHARSETS:
        raise UnreadableText(f"{what}: unknown charset {quoted(name)}; use one such as utf-8")
    return found


def _decoded(content: bytes, charset: str, what: str) -> str:
    try:
        return content.decode(charset)
    except UnicodeDecodeError as error:
        if charset in _SUPERSETS:
            return _decoded(content, _SUPERSETS[charset], what)
        raise UnreadableText(f"{what} is not valid {charset}: byte {error.start} is invalid") from None
