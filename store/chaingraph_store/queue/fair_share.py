"""Choose the next runs of a worker: fair shares of a queue between namespaces, and limits for each.

This replaces DBOS's own dequeue, which supports neither. It decides by the current rows of DBOS: no separate counts can
get lost when a process dies. See docs/decisions/0012 and the function `chaingraph.take` in migration 0009.
"""

from __future__ import annotations

from typing import Any, Final

TAKE: Final = (
    "SELECT * FROM chaingraph.take(%(queue)s, %(executor)s, %(application)s, %(version)s, %(owner)s, %(free)s,"
    " %(guests)s, %(limit)s)"
)
"""Gives the executor its next runs, in the order to start them, as ids of DBOS's workflows. Run it as a statement of
its own: it locks out other executors until it is committed."""


def take_parameters(
    *,
    queue: str,
    executor: str,
    application_name: str,
    version: str,
    owner: str,
    free: int,
    guests: int = 0,
    limit: int | None = None,
) -> dict[str, Any]:
    """Return the parameters of `TAKE`.

    Args:
        version: of the application, as DBOS knows it.
        owner: the fence of DBOS's rows.
        free: the worker's free slots for the queue, including guest slots.
        guests: the slots of the worker for namespaces with nothing running in the queue.
        limit: maximum concurrent runs of the queue, over all workers, apart from guests.
    """
    return {
        "queue": queue,
        "executor": executor,
        "application": application_name,
        "version": version,
        "owner": owner,
        "free": free,
        "guests": guests,
        "limit": limit,
    }
