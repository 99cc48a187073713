"""Memory that a worker and one of its runners share.

The runner counts heartbeats in it and records which nodes are executing code, at the cost of copying a few bytes. The
worker reads it when the runner no longer answers, and afterwards.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
from typing import Final, Self

from chaingraph_crds.limits import MAX_NODE_PATH

_COUNTER: Final = struct.Struct("=Q")
_RUNNER_BEATS: Final = 0
_WORKER_BEATS: Final = 8
_ON_LOOP: Final = 16
"""Whether the code of the node in the slot `_LOOP` is on the event loop now; otherwise it was the last one."""
_SLOT: Final = MAX_NODE_PATH + 3
"""Bytes of a slot: the length of a node's path, and the path."""
_CULPRIT: Final = _SLOT
_LOOP: Final = 2 * _SLOT
_THREADS: Final = 3 * _SLOT
_MOST_THREADS: Final = 64
_MOST_NAMES: Final = 1000
"""Maximum encoded names that are kept: an execution may have a million nodes, in calls."""
_SIZE: Final = _THREADS + _MOST_THREADS * _SLOT
_EMPTY: Final = b"\0"
_FULL: Final = b"\1"


class Board:
    """One page. The worker creates it and passes its file descriptor to the runner."""

    def __init__(self, descriptor: int) -> None:
        """Map a file of `_SIZE` bytes; the descriptor stays the caller's."""
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._beats = 0
        self._names: dict[str, bytes] = {}
        self._threads = list(range(_MOST_THREADS))
        self._lock = threading.Lock()

    @classmethod
    def new(cls) -> tuple[Self, int]:
        """Create an empty board. Returns it with the descriptor of its unnamed file, which the caller closes."""
        descriptor = _nameless_file()
        os.truncate(descriptor, _SIZE)
        return cls(descriptor), descriptor

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()

    # -- the runner's side -----------------------------------------------------------------------------------

    def beat(self) -> None:
        """Record that the runner's event loop is alive."""
        self._beats += 1
        _COUNTER.pack_into(self._memory, _RUNNER_BEATS, self._beats)

    @property
    def worker_beats(self) -> int:
        """The number of the worker's heartbeats."""
        return int(_COUNTER.unpack_from(self._memory, _WORKER_BEATS)[0])

    def enter(self, node_id: str) -> None:
        """Record that the node's code is on the event loop."""
        name = self._names.get(node_id)
        if name is None:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            name = self._names[node_id] = _written(node_id)
        self._memory[_LOOP : _LOOP + len(name)] = name
        self._memory[_ON_LOOP : _ON_LOOP + 1] = _FULL

    def leave(self) -> None:
        """Record that no node's code is on the event loop."""
        self._memory[_ON_LOOP : _ON_LOOP + 1] = _EMPTY

    def enter_thread(self, node_id: str) -> int:
        """Record that the node's code runs in a thread. Returns the number of its slot; -1 when none is free."""
        with self._lock:
            number = self._threads.pop() if self._threads else -1
        self._write(number, _written(node_id))
        return number

    def leave_thread(self, number: int) -> None:
        """Record that the thread's code has ended."""
        self._write(number, _EMPTY)
        if number >= 0:
            with self._lock:
                self._threads.append(number)

    @property
    def threads(self) -> int:
        """Return the number of threads that run code of nodes."""
        return _MOST_THREADS - len(self._threads)

    def blame(self, node_id: str) -> None:
        """Record that this node causes the end of the process."""
        name = _written(node_id)
        self._memory[_CULPRIT : _CULPRIT + len(name)] = name

    def clear(self) -> None:
        """Clear it for another execution."""
        self._names.clear()
        self._memory[_ON_LOOP:_SIZE] = bytes(_SIZE - _ON_LOOP)

    def _write(self, number: int, name: bytes) -> None:
        if number >= 0:
            at = _THREADS + number * _SLOT
            self._memory[at : at + len(name)] = name

    # -- the worker's side -----------------------------------------------------------------------------------

    @property
    def beats(self) -> int:
        """The number of the runner's heartbeats."""
        return int(_COUNTER.unpack_from(self._memory, _RUNNER_BEATS)[0])

    def beat_of_worker(self) -> None:
        """Record that the worker is alive."""
        _COUNTER.pack_into(self._memory, _WORKER_BEATS, self.worker_beats + 1)

    def suspects(self) -> tuple[str, ...]:
        """Return the nodes that may have ended the process: the blamed one, or those whose code was running.

        Code on the event loop blocks everything else there, so it comes before code in threads.
        """
        if name := self._read(_CULPRIT):
            return (name,)
        if self._memory[_ON_LOOP] and (name := self.last):
            return (name,)
        slots = (self._read(_THREADS + number * _SLOT) for number in range(_MOST_THREADS))
        return tuple(dict.fromkeys(name for name in slots if name))

    @property
    def last(self) -> str:
        """Return the last node whose code was on the event loop; empty without one."""
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
