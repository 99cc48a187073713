"""kopf, embedded as the informer: it lists and watches, `handlers` take what it sees.

The settings are those that held under 50,000 objects. kopf ends the process on in-stream errors that it does not
know, so whoever awaits `run` treats its end as a crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import kopf

from chaingraph_crds import names
from chaingraph_operator.kube import handlers
from chaingraph_operator.kube.handlers import ObjectObserver
from chaingraph_operator.kube.reading import ObjectInbox, responses
from chaingraph_runtime.cluster_access import ClusterAccess

_CONNECTIONS: Final = 32
_UNUSED: Final = f"kopf.{names.GROUP}/unused"


class _NoDiffBase(kopf.DiffBaseStorage):
    """Remembers nothing: `on.event` handlers need no former version, and copying each object was half of the cost."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Remembers nothing: `on.event` handlers have no progress."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:
        return None

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return None

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return None

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class _Backoffs:
    """Delays between repeated requests, without an end: an API server that is away is waited for, not given up."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(10.0, delay * 2)


class _WithoutSettings(logging.Filter):
    """kopf hangs its whole settings onto each line about an object."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.pop("settings", None)
        return True


def quieten() -> None:
    """Lets kopf log what goes wrong, and not each call of a handler. Called once, after logging is configured."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").addFilter(_WithoutSettings())


def settings() -> kopf.OperatorSettings:
    """The settings for a pure informer."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.posting.enabled = False
    made.scanning.disabled = True
    made.persistence.finalizer = _UNUSED
    made.persistence.consistency_timeout = 0
    made.persistence.diffbase_storage = _NoDiffBase()
    made.persistence.progress_storage = _NoProgress()
    made.queueing.worker_limit = None
    made.queueing.idle_timeout = 0.5
    made.watching.chunk_size = 500
    made.watching.server_timeout = 300
    made.watching.client_timeout = 330
    made.networking.request_timeout = 30
    made.networking.error_backoffs = _Backoffs()
    made.process.ultimate_exiting_timeout = 25
    # No field selector on `status.phase`, although it would spare the listing of finished executions: their
    # ttlSecondsAfterFinished must be kept after a restart of the operator, an edit of a finished execution must reach
    # its status (kstatus waits for observedGeneration), and a retry will start from one. The cache keeps a few hundred
    # bytes of a finished execution, which is what makes this affordable.
    return made


class Watch:
    """Lists and watches both kinds.

    Args:
        unreadable: told of each object that cannot be read, by kind.
    """

    def __init__(
        self, access: ClusterAccess, *, namespaces: tuple[str, ...], unreadable: Callable[[str], None]
    ) -> None:
        self._access = access
        self._namespaces = namespaces
        self._unreadable = unreadable
        self._inbox = ObjectInbox(lost=unreadable)
        self._plurals: set[str] = set()
        self._registry = kopf.OperatorRegistry()
        self._stop = asyncio.Event()
        self.started = asyncio.Event()
        self._login()

    def register(self, plural: str, observer: ObjectObserver) -> None:
        self._plurals.add(plural)
        handlers.register(self._registry, plural, observer, inbox=self._inbox, unreadable=self._unreadable)

    def stop(self) -> None:
        """Lets `run` return."""
        self._stop.set()

    async def run(self, *, spawned: Callable[[], None]) -> None:
        """Watches until `stop`, or until something happens that kopf cannot go on from.

        When it ends it cancels every task that did not exist before it was called, so all parts of ours are to be
        started first.

        Args:
            spawned: called once kopf has installed its signal handlers, so that the caller can install its own.
        """
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry,
            settings=settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=list(self._namespaces),
            stop_flag=self._stop,
            ready_flag=self.started,
        )
        spawned()
        await kopf.run_tasks(tasks, ignored=ours)

    def _login(self) -> None:
        access = self._access

        async def login(**_: Any) -> kopf.AiohttpSession:
            # kopf calls this at its start, and again when the API server no longer takes the credentials.
            await access.renew()
            session = access.session(
                connections=_CONNECTIONS,
                headers=await access.headers(),
                responses=responses(self._inbox, frozenset(self._plurals)),
            )
            return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

        kopf.on.login(registry=self._registry, id="login")(login)
