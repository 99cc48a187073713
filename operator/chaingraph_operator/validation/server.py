"""The process that validates Flows, in children limited by the kernel. `process` starts one per operator:
`python -m chaingraph_operator.validation.server FD`.

The server has imported everything that a validation needs, has one thread, and forks a checker for each datagram. It
replies with the checker's process id and a socket to it, and reports each exit. A checker reads frames (four bytes of
length, then JSON): the node types once, then one flow at a time. The kernel limits time and memory, so that no loop in
Python or Rust can exceed them: ITIMER_PROF ends the process after its CPU time, RLIMIT_CPU is the fallback, RLIMIT_DATA
limits memory.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from typing import Any, Final

import orjson

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.field_errors import FieldError
from chaingraph_flow.revision import revision
from chaingraph_flow.validation.unhandled_events import unhandled_events
from chaingraph_flow.validation.validation import validate

FRAME: Final = struct.Struct(">I")
OUT_OF_MEMORY: Final = 3
"""Exit code of a checker that reached its memory limit."""


def main() -> None:
    """Serve until the operator closes its end."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for each in (signal.SIGINT, signal.SIGTERM):
        # A signal to the process group is meant for the operator, which closes the socket when it ends.
        signal.signal(each, signal.SIG_IGN)
    exits, wake_up = socket.socketpair()
    for each_end in (exits, wake_up):
        each_end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_up.fileno(), warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(exits, selectors.EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if exits in ready:
            exits.recv(4096)
            _tell_exits(control, children)
        if control not in ready:
            continue
        asked = control.recv(4096)
        if not asked:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            return
        theirs, ours = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            selector.close()
            for each_end in (control, exits, wake_up, theirs):
                each_end.close()
            _check_all(ours, memory=int(asked))
            os._exit(0)
        ours.close()
        children.add(pid)
        socket.send_fds(control, [orjson.dumps({"pid": pid})], [theirs.fileno()])
        theirs.close()


def _tell_exits(control: socket.socket, children: set[int]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            control.send(orjson.dumps({"pid": pid, "code": os.waitstatus_to_exitcode(status)}))


def _check_all(operator: socket.socket, *, memory: int) -> None:
    """Validate flows until the operator closes its end, or a limit ends the process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    stream = operator.makefile("rwb")
    catalogue = Catalogue()
    try:
        while head := stream.read(FRAME.size):
            asked = orjson.loads(stream.read(*FRAME.unpack(head)))
            if "catalogue" in asked:
                catalogue = Catalogue.from_json(asked["catalogue"])
                continue
            _limit(asked["cpu"])
            answer = orjson.dumps(_checked(asked["spec"], catalogue))
            _limit(0)
            stream.write(FRAME.pack(len(answer)) + answer)
            stream.flush()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _limit(seconds: float) -> None:
    """Have the kernel end this process after this much more CPU time. 0 removes the limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    if seconds:
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds) + 1, hard))


def _checked(spec: Any, catalogue: Catalogue) -> dict[str, Any]:
    flow = FlowSpec.model_validate(spec)
    errors = validate(flow, catalogue)
    warnings = [] if errors else unhandled_events(flow, catalogue)
    return {
        "revision": revision(flow),
        "errors": [_parts(each) for each in errors],
        "warnings": [_parts(each) for each in warnings],
    }


def _parts(error: FieldError) -> tuple[str, str, str]:
    return error.path, str(error.code), error.message


if __name__ == "__main__":
    main()
