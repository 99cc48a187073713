"""The messages between worker and runner: a small JSON header, and values as bytes that the worker never parses.

    length of the rest (4 bytes) | length of the header (4 bytes) | header | blobs

`blobs` in the header has their lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

MAX_HEADER: Final = 8 * 1024 * 1024
"""Maximum bytes of a header: ids, names, times and messages. A runner that sends more is ended."""
_LENGTHS: Final = struct.Struct("!II")

Header = Mapping[str, Any]
Frame = tuple[dict[str, Any], list[bytes]]


class FrameRefused(Exception):
    """The other side sent an invalid message: its process is corrupted."""


def encode(header: Header, blobs: Sequence[bytes] = ()) -> bytes:
    """Encode the message. `header` must not have a field `blobs`."""
    head = orjson.dumps({**header, "blobs": [len(each) for each in blobs]} if blobs else header)
    size = 4 + len(head) + sum(map(len, blobs))
    return b"".join((_LENGTHS.pack(size, len(head)), head, *blobs))


class Decoder:
    """Finds messages in a stream of bytes.

    Args:
        limit: maximum size of a message, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the messages that are complete now.

        Raises:
            FrameRefused: it is not a message, or larger than the limit.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTHS.size:
            size, head = _LENGTHS.unpack_from(buffer)
            if size > self._limit or head > MAX_HEADER or head + 4 > size:
                raise FrameRefused(f"message of {size} bytes with a header of {head}")
            if len(buffer) < 4 + size:
                return
            frame = _decoded(memoryview(buffer)[_LENGTHS.size : 4 + size], head)
            del buffer[: 4 + size]
            yield frame


def _decoded(body: memoryview, head: int) -> Frame:
    try:
        header = orjson.loads(body[:head])
        at, blobs = head, []
        for length in header.pop("blobs", ()):
            blobs.append(bytes(body[at : at + length]))
            at += length
    except (ValueError, TypeError, AttributeError) as error:
        raise FrameRefused(str(error)) from error
    finally:
        body.release()
    if not isinstance(header, dict):
        raise FrameRefused("the header is not an object")
    return header, blobs
