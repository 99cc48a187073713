"""JSON logs: one object a line on stderr, from structlog and from the standard library alike.

Called once by each process's main. Fields bound with `structlog.contextvars.bound_contextvars` (execution_id,
namespace, name) are on every line logged below them, those of dbos and kopf included.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_QUIET: Mapping[str, int] = {
    "aiohttp.access": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "psycopg.pool": logging.ERROR,
}
"""Libraries that log each request of theirs, or that report what we report better ourselves."""


def configure(level: str, *, component: str) -> None:
    """Sends every log line of the process to stderr as JSON.

    Args:
        level: debug, info, warning or error, in any case.
        component: the field of this name on every line: worker, operator.

    Raises:
        ValueError: there is no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"LOG_LEVEL: no level {level!r}; use debug, info, warning or error")

    def named(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        line["component"] = component
        return line

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        named,
    ]
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


def adopt(name: str) -> None:
    """Takes a library's own handlers away, so that its lines come once and as JSON."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True


def _dumps(value: Any, **_options: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
