"""A process that creates runners by forking itself. It has no threads and never runs code of a flow.

A fork is cheap, because everything is imported already, and memory is shared until it is written. The worker itself
cannot fork, because it has threads, so it forks this process first of all.

A request is one byte and two file descriptors: the runner's connection and its board. The answers are lines of JSON:
the installed nodes, once; `forked` with a process id; `exited` with a process id and its status.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

import orjson

from chaingraph_worker.runner import limits
from chaingraph_worker.runner.board import Board
from chaingraph_worker.runner.settings import RunnerSettings

_SECRETS: Final = ("DATABASE_URL", "PGPASSWORD", "KUBECONFIG", "OTEL_EXPORTER_OTLP_HEADERS")
"""Prefixes of environment variables that nodes must not see."""


def start(settings: RunnerSettings) -> socket.socket:
    """Fork the server from the calling process, which must not have threads yet. Returns the worker's end."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        serve(theirs, settings)
    theirs.close()
    return ours


def serve(control: socket.socket, settings: RunnerSettings) -> NoReturn:
    """Run the server, in a process with one thread. Never returns."""
    code = 1
    with suppress(BaseException):  # the worker sees its end, and no code of the worker may run here
        code = _Server(control, settings).run()
    os._exit(code)


class _Server:
    def __init__(self, control: socket.socket, settings: RunnerSettings) -> None:
        self._control = control
        self._settings = settings
        self._children: set[int] = set()

    def run(self) -> int:
        """Serve until the worker's end of the connection is closed. Returns an exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        limits.die_with_parent()
        for name in [each for each in os.environ if each.startswith(_SECRETS)]:
            del os.environ[name]
        # Here and not above: the worker imports this module, and must not import code of nodes.
        from chaingraph_flow import Registry, http_client
        from chaingraph_flow.plugins import load_plugins
        from chaingraph_worker.runner import process

        self._run = process.run
        plugins = load_plugins()
        self._registry = Registry(plugins.classes)
        catalogue = self._registry.catalogue
        broken = [{"said": str(each), "traceback": each.traceback} for each in plugins.broken]
        self._say({"catalogue": catalogue.to_json(), "hash": catalogue.hash, "broken": broken})
        http_client.prepare()
        gc.collect()
        gc.freeze()
        woken, wake = socket.socketpair()
        for each in (woken, wake):
            each.setblocking(False)
        self._woken, self._wake = woken, wake
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        return self._loop()

    def _loop(self) -> int:
        with selectors.DefaultSelector() as selector:
            self._selector = selector
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    with suppress(BlockingIOError):
                        self._woken.recv(4096)
                    self._reap()
                if self._control in ready and not self._answer():
                    self._kill_all()
                    return 0

    def _answer(self) -> bool:
        """Handle one request; False when there will be no more."""
        asked, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if not asked:
            return False
        connection, board = descriptors
        pid = os.fork()
        if pid == 0:
            self._become_runner(connection, board)
        os.close(connection)
        os.close(board)
        self._children.add(pid)
        self._say({"forked": pid})
        return True

    def _become_runner(self, connection: int, board: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for each in (self._control, self._woken, self._wake):
                each.close()
            page = Board(board)
            os.close(board)
            self._run(socket.socket(fileno=connection), page, self._registry, self._settings)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self._say({"exited": pid, "status": os.waitstatus_to_exitcode(status)})

    def _kill_all(self) -> None:
        """Kill all runners, because the worker has ended: anything they do would be done twice."""
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _say(self, answer: dict[str, Any]) -> None:
        self._control.sendall(orjson.dumps(answer) + b"\n")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), RunnerSettings(**orjson.loads(sys.argv[2])))
