"""A page of memory that a worker and one of its runners share.

The runner counts heartbeats in it and says which nodes have code on a processor, at the cost of a copy of a few bytes;
the worker reads it when the runner answers nothing any more, and afterwards.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
from typing import Final, Self

_COUNTER: Final = struct.Struct("=Q")
_RUNNER_BEATS: Final = 0
_WORKER_BEATS: Final = 8
_ON_LOOP: Final = 16
"""Whether the code of the node in the slot `_LOOP` is on the event loop now; else it was the last that was."""
_SLOT: Final = 64
"""Bytes of a slot: the length of a node's id, and the id."""
_CULPRIT: Final = _SLOT
_LOOP: Final = 2 * _SLOT
_THREADS: Final = 3 * _SLOT
_MOST_THREADS: Final = 64
_SIZE: Final = _THREADS + _MOST_THREADS * _SLOT
_EMPTY: Final = b"\0"
_FULL: Final = b"\1"


class Board:
    """One page. Made by the worker, which hands its file descriptor to the runner."""

    def __init__(self, descriptor: int) -> None:
        """Map a file of `_SIZE` bytes; the descriptor stays the caller's."""
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._beats = 0
        self._names: dict[str, bytes] = {}
        self._threads = list(range(_MOST_THREADS))
        self._lock = threading.Lock()

    @classmethod
    def new(cls) -> tuple[Self, int]:
        """An empty one, and the descriptor of its file, which has no name and which the caller closes."""
        descriptor = _nameless_file()
        os.truncate(descriptor, _SIZE)
        return cls(descriptor), descriptor

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()

    # -- the runner's side -----------------------------------------------------------------------------------

    def beat(self) -> None:
        """The runner's event loop is alive."""
        self._beats += 1
        _COUNTER.pack_into(self._memory, _RUNNER_BEATS, self._beats)

    @property
    def worker_beats(self) -> int:
        """How often the worker has said that it is alive."""
        return int(_COUNTER.unpack_from(self._memory, _WORKER_BEATS)[0])

    def enter(self, node_id: str) -> None:
        """The node's code is on the event loop."""
        name = self._names.get(node_id)
        if name is None:
            name = self._names[node_id] = _written(node_id)
        self._memory[_LOOP : _LOOP + len(name)] = name
        self._memory[_ON_LOOP : _ON_LOOP + 1] = _FULL

    def leave(self) -> None:
        """No node's code is on the event loop."""
        self._memory[_ON_LOOP : _ON_LOOP + 1] = _EMPTY

    def enter_thread(self, node_id: str) -> int:
        """The node's code is in a thread. Returns the number of its slot; -1 when there is none left."""
        with self._lock:
            number = self._threads.pop() if self._threads else -1
        self._write(number, _written(node_id))
        return number

    def leave_thread(self, number: int) -> None:
        """It is no more."""
        self._write(number, _EMPTY)
        if number >= 0:
            with self._lock:
                self._threads.append(number)

    @property
    def threads(self) -> int:
        """How many threads run code of nodes."""
        return _MOST_THREADS - len(self._threads)

    def blame(self, node_id: str) -> None:
        """This node is why the process ends."""
        name = _written(node_id)
        self._memory[_CULPRIT : _CULPRIT + len(name)] = name

    def clear(self) -> None:
        """Another execution begins."""
        self._names.clear()
        self._memory[_ON_LOOP:_SIZE] = bytes(_SIZE - _ON_LOOP)

    def _write(self, number: int, name: bytes) -> None:
        if number >= 0:
            at = _THREADS + number * _SLOT
            self._memory[at : at + len(name)] = name

    # -- the worker's side -----------------------------------------------------------------------------------

    @property
    def beats(self) -> int:
        """How often the runner has said that it is alive."""
        return int(_COUNTER.unpack_from(self._memory, _RUNNER_BEATS)[0])

    def beat_of_worker(self) -> None:
        """The worker is alive."""
        _COUNTER.pack_into(self._memory, _WORKER_BEATS, self.worker_beats + 1)

    def suspects(self) -> tuple[str, ...]:
        """The nodes that are to blame when the process has ended: the one that it named, else those whose code ran.

        Code on the event loop keeps everything else from it, so it comes before code in threads.
        """
        if name := self._read(_CULPRIT):
            return (name,)
        if self._memory[_ON_LOOP] and (name := self.last):
            return (name,)
        slots = (self._read(_THREADS + number * _SLOT) for number in range(_MOST_THREADS))
        return tuple(dict.fromkeys(name for name in slots if name))

    @property
    def last(self) -> str:
        """The node whose code was on the event loop last; empty when none was."""
        return self._read(_LOOP)

    def _read(self, at: int) -> str:
        length = min(self._memory[at], _SLOT - 1)
        return self._memory[at + 1 : at + 1 + length].decode(errors="replace")


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("chaingraph-board")  # a container's file system may be read-only
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _written(node_id: str) -> bytes:
    name = node_id.encode()[: _SLOT - 1]
    return bytes((len(name),)) + name
