"""JSON logs: one object per line on stderr, from structlog and from the standard library.

Each process's main calls this once. Fields bound with `structlog.contextvars.bound_contextvars` (execution_id,
namespace, name) are on every record below, including those of dbos and kopf. With tracing, a record with an
execution_id also has the trace_id. Output of Python itself becomes records as well: warnings, and uncaught exceptions.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from chaingraph_runtime import tracing

_QUIET: Mapping[str, int] = {
    "aiohttp.access": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "psycopg.pool": logging.ERROR,
}
"""Libraries that log each of their requests, or report what we report better ourselves."""


_log = structlog.get_logger(__name__)


def configure(level: str, *, component: str) -> None:
    """Send all log records of the process to stderr as JSON.

    Args:
        level: debug, info, warning or error, in any case.
        component: the field of this name in every record: worker, operator.

    Raises:
        ValueError: unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"LOG_LEVEL: unknown level {level!r}; use debug, info, warning or error")

    def named(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        line["component"] = component
        return line

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _of_kopf,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        named,
    ]
    if tracing.wanted():
        shared.append(_traced)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(),
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(max(floor, number))
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def adopt(name: str) -> None:
    """Remove a library's own handlers, so that its records come once and as JSON."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True


def _of_kopf(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Convert `k8s_ref`, which kopf sets in records about an object, to the usual fields."""
    if isinstance(reference := line.pop("k8s_ref", None), Mapping):
        line.setdefault("kind", reference.get("kind"))
        line.setdefault("namespace", reference.get("namespace"))
        line.setdefault("name", reference.get("name"))
        for field in ("k8s_skip", "settings"):
            line.pop(field, None)
    return line


def _traced(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    if "execution_id" in line:
        line["trace_id"] = tracing.trace_id(str(line["execution_id"]))
    return line


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _log.critical("uncaught exception, exiting", exc_info=(kind, error, trace))


def _uncaught_in_thread(error: threading.ExceptHookArgs) -> None:
    if error.exc_value is not None and not isinstance(error.exc_value, SystemExit):
        thread = error.thread.name if error.thread is not None else ""
        _log.error("uncaught exception in a thread", thread=thread, exc_info=error.exc_value)


def _unraisable(error: sys.UnraisableHookArgs) -> None:
    _log.error(
        error.err_msg or "an exception was ignored", object=repr(error.object), exc_info=error.exc_value or False
    )


def _dumps(value: Any, **_options: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
