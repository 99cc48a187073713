"""Which runs a worker is given next: fair shares of a queue between namespaces, and how many of each may run.

Takes the place of DBOS's own look into the queue, which knows neither. What it decides by is what DBOS's rows say at
that moment: nothing is counted beside them, so nothing is lost when a process dies. See docs/decisions/0012 and the
function `chaingraph.take` in migration 0009.
"""

from __future__ import annotations

from typing import Any, Final

TAKE: Final = (
    "SELECT * FROM chaingraph.take(%(queue)s, %(executor)s, %(application)s, %(version)s, %(owner)s, %(free)s,"
    " %(guests)s, %(limit)s)"
)
"""Gives the executor its next runs, in the order in which to start them, as ids of DBOS's workflows. A statement of
its own: it locks out others that take, until it is committed."""


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
    """The parameters of `TAKE`.

    Args:
        version: of the application, as DBOS knows it.
        owner: what DBOS's rows are fenced by.
        free: the worker's free slots for the queue, guest slots included.
        guests: the slots of the worker for namespaces with nothing running in the queue.
        limit: runs of the queue at once, over all workers, beside guests.
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
