"""The threads of nodes with a plain `def run`.

Each try has its own thread. A pool would be shared with threads that a timeout could not end, and the event loop's
default pool belongs to the program that embeds the engine.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

MOST_THREADS: Final = min(64, 8 * (os.cpu_count() or 1))
"""Maximum threads of nodes that run at once in this process. Further nodes wait for one."""
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class _Ended(BaseException):
    """Raised inside a node's thread when its timeout is over or its run was cancelled."""


class _Work:
    """One call in one thread."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._over = False
        self._thread_id = 0

    def run(self) -> BaseException | None:
        """Call it. Returns the exception that it raised."""
        self._thread_id = threading.get_ident()
        try:
            try:
                self._work()
            finally:
                with self._lock:
                    self._over = True
        except BaseException as error:  # noqa: BLE001 - handed to the event loop, which raises it
            return error
        return None

    def end(self) -> None:
        """Raise `_Ended` in the thread. It takes effect between two steps of Python code, never inside a call of C."""
        with self._lock:
            if not self._over and self._thread_id:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), ctypes.py_object(_Ended))


async def in_thread(work: Callable[[], object], *, started: Callable[[], None], patient: bool = False) -> None:
    """Run a function in a thread, with the caller's context variables.

    A cancellation raises an exception in the thread, which ends pure Python code.

    Args:
        work: its result is dropped. Its exceptions are raised here, StopIteration and SystemExit too, which a future
            cannot carry.
        started: called on the event loop once a thread has taken it, possibly after a wait.
        patient: after a cancellation, return only when the thread has ended: the caller ends the process otherwise.
    """
    loop = asyncio.get_running_loop()
    slots = _slots.setdefault(loop, asyncio.Semaphore(MOST_THREADS))
    ended: asyncio.Future[BaseException | None] = loop.create_future()
    context = contextvars.copy_context()
    each = _Work(lambda: context.run(work))

    def finish(error: BaseException | None) -> None:
        slots.release()
        ended.set_result(error)

    def body() -> None:
        error: BaseException | None = None
        with suppress(RuntimeError):  # the loop has ended meanwhile: the node is no longer awaited
            loop.call_soon_threadsafe(started)
        with suppress(_Ended):  # a late one must not prevent this report
            error = each.run()
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, error)

    await slots.acquire()
    try:
        threading.Thread(target=body, name="node", daemon=True).start()
    except BaseException:
        slots.release()
        raise
    try:
        error = await asyncio.shield(ended)
    except asyncio.CancelledError:
        each.end()
        if patient:
            await _outlast(ended)
        raise
    if error is not None:
        raise error


async def _outlast(ended: asyncio.Future[BaseException | None]) -> None:
    """Wait for a thread that was told to end, even if the wait is cancelled."""
    while not ended.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([ended])
