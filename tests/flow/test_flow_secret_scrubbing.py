"""The scrubber finds the values of secrets wherever they are, in common encodings, and changes nothing else."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from chaingraph_flow import NodeFailed, Scrubber
from chaingraph_flow.secrets.encodings import SHORTEST, needles
from chaingraph_flow.secrets.scrubbing import _without
from chaingraph_worker.runner.streams import ScrubbedStream

# Without `*`: a placeholder between two texts could make a value that was not there.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0*"), max_size=30)
VALUES = st.one_of(
    st.text("abcdefABCDEF0123456789+/=-_.~%\"\\'<>& \n\té€😀", min_size=SHORTEST, max_size=60),
    st.text(st.characters(codec="utf-8", exclude_characters="\0*"), min_size=SHORTEST, max_size=60),
).filter(lambda value: len(value.strip()) >= SHORTEST and len(" ".join(value.split())) >= SHORTEST)

ENCODINGS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "JSON": lambda value: orjson.dumps(value)[1:-1].decode(),
    "ASCII JSON": lambda value: json.dumps(value)[1:-1],
    "URL": lambda value: quote(value, safe=""),
    "path": quote,
    "form": quote_plus,
    "HTML": html.escape,
    "Python": lambda value: repr(value)[1:-1],
    "one line": lambda value: " ".join(value.split()),
}


def scrubber_of(*values: str) -> Scrubber:
    made = Scrubber()
    for value in values:
        made.add(value, "a test's secret")
    return made


@given(VALUES, st.sampled_from(sorted(ENCODINGS)), TEXTS, TEXTS)
def test_text_has_no_secret_in_any_encoding(value: str, encoding: str, before: str, after: str) -> None:
    encoded = ENCODINGS[encoding](value)
    found = scrubber_of(value).text(f"{before}{encoded}{after}")
    assert encoded not in found
    assert value not in found
    assert "***" in found


@given(VALUES, st.binary(max_size=7), st.binary(max_size=7), st.sampled_from(["b64encode", "urlsafe_b64encode"]))
@example("aaaaaa", b"user:", b"", "b64encode")
def test_base64_of_a_secret_inside_other_bytes_is_removed(value: str, before: bytes, after: bytes, how: str) -> None:
    encode = getattr(base64, how)
    found = scrubber_of(value).text(encode(before + value.encode() + after).decode())
    assert "***" in found
    # Whatever is left decodes to less than a third of the secret, wherever it is cut.
    left = max(found.split("***"), key=len).rstrip("=")
    for offset in range(4):
        part = left[offset:]
        decoded = base64.b64decode(part[: len(part) // 4 * 4], altchars=b"-_" if how.startswith("url") else None)
        for length in range(len(value.encode()), max(3, len(value.encode()) // 3), -1):
            pieces = [value.encode()[at : at + length] for at in range(len(value.encode()) - length + 1)]
            assert not any(piece in decoded for piece in pieces if piece not in before + after)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(JSON, VALUES)
def test_value_without_a_secret_is_the_same_object(value: Any, secret: str) -> None:
    scrubber = scrubber_of(secret)
    written = orjson.dumps(value).decode()
    assume(not any(scrubber.finds(each) for each in (written, json.dumps(value))))
    assert scrubber.value(value) is value


@given(JSON, VALUES, st.sampled_from(sorted(ENCODINGS)), TEXTS)
def test_value_has_no_secret_in_texts_and_names(value: Any, secret: str, encoding: str, around: str) -> None:
    encoded = ENCODINGS[encoding](secret)
    whole = {"text": f"{around}{encoded}{around}", encoded: value, "list": [value, {f"x{encoded}": [encoded]}]}
    found = scrubber_of(secret).value(whole)
    assert encoded not in repr(list(_texts(found)))
    assert all(encoded not in text for text in _texts(found))


@given(JSON, st.one_of(VALUES, st.text('ntu01\\"abc', min_size=SHORTEST, max_size=8)), TEXTS)
@example([{"a": "\n123456"}], "n123456", "")
@example([{"a": "\\"}, "x"], '"}, "x"', "")
@example([1, True, "a"], ",true,", "")
@example([12345678, "12345678"], "12345678", "")
def test_quick_way_gives_the_same_as_part_by_part(value: Any, secret: str, around: str) -> None:
    assume(len(secret.strip()) >= SHORTEST)
    whole = [value, {f"{around}{secret}": f"{secret}{around}", "\\": f"\n{secret[1:]}"}]
    searched = tuple(needles(secret).values())
    assert scrubber_of(secret).value(whole) == _without(whole, searched)


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def test_number_that_is_the_secret_is_removed() -> None:
    scrubber = scrubber_of("8675309123")
    assert scrubber.value({"pin": 8675309123, "other": 8675309}) == {"pin": "***", "other": 8675309}


def test_secrets_inside_each_other_are_removed_whole() -> None:
    scrubber = scrubber_of("abcdef", "abcdefghij", "hijklmnop")
    assert scrubber.text("-abcdefghij-abcdefghijklmnop-") == "-***-***-"


def test_lines_of_a_key_are_removed_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"
    indented = "  MIIEvQIBADANBgkqhkiG9w0B\n  AQEFAASCBKcwggSjAgEAAoIB"
    assert scrubber_of(key).text(indented) == "  ***\n  ***"


@pytest.mark.parametrize("value", ["", "12345", " 1234 \n\n\n"])
def test_short_secret_is_refused_without_its_value(value: str) -> None:
    with pytest.raises(NodeFailed) as refused:
        scrubber_of(value)
    assert refused.value.reason == "SecretInvalid"
    assert "1234" not in str(refused.value)


def test_number_of_secrets_is_limited() -> None:
    scrubber = scrubber_of(*(f"secret-{number}" for number in range(100)))
    with pytest.raises(NodeFailed, match="at most 100 different secrets"):
        scrubber.add("secret-100", "one more")
    scrubber.add("secret-1", "a known one")


@given(
    VALUES.filter(lambda value: "\n" not in value and len(value.splitlines()) == 1),
    TEXTS.filter(lambda text: "\r" not in text),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_stream_finds_a_secret_in_pieces(value: str, around: str, cuts: list[int]) -> None:
    text = f"{around}{value}{around}\n{value}"
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    target = io.StringIO(newline="")
    stream = ScrubbedStream(target)
    stream.begin(scrubber_of(value))
    for start, end in pairwise(places):
        stream.write(text[start:end])
    stream.flush()
    stream.end()
    assert value not in target.getvalue()
    assert "***" in target.getvalue()


@pytest.mark.parametrize("shift", [0, 1, 8, 15])
def test_stream_finds_a_secret_at_the_border_of_a_long_line(shift: int) -> None:
    target = io.StringIO()
    stream = ScrubbedStream(target)
    stream.begin(scrubber_of("the-secret-value"))
    stream.write("-" * shift)
    for _ in range(500):
        stream.write("the-secret-value," * 333)
    assert target.getvalue(), "a line without an end does not grow in memory"
    stream.end()
    assert target.getvalue().strip("*-,") == ""


def test_stream_without_secrets_writes_immediately() -> None:
    target = io.StringIO()
    stream = ScrubbedStream(target)
    stream.write("part of a line")
    assert target.getvalue() == "part of a line"
