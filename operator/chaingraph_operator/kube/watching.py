"""kopf, embedded as an informer: it lists and watches, and `handlers` process the objects.

The settings were tested with 50,000 objects. kopf ends on in-stream errors that it does not know, so the caller of
`run` must treat a return as a crash.
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
    """Stores nothing: `on.event` handlers need no former version, and copying each object took half of the time."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Stores nothing: `on.event` handlers have no progress."""

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
    """Endless delays between repeated requests: the watch waits for an unavailable API server and never gives up."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(10.0, delay * 2)


class _WithoutSettings(logging.Filter):
    """Removes kopf's complete settings from each log record about an object."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.pop("settings", None)
        return True


def quieten() -> None:
    """Silence kopf's log record for each handler call. Called once, after logging is configured."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").addFilter(_WithoutSettings())


def settings() -> kopf.OperatorSettings:
    """Return the settings for a pure informer."""
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
    # No field selector on `status.phase`, although it would avoid listing finished executions: their
    # ttlSecondsAfterFinished must be applied after a restart of the operator, an edit of a finished execution must
    # reach its status (kstatus waits for observedGeneration), and a retry starts from one. The cache keeps a few
    # hundred bytes of a finished execution, which makes this affordable.
    return made


class Watch:
    """Lists and watches both kinds.

    Args:
        unreadable: called with the kind for each object that cannot be read.
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
        """Make `run` return."""
        self._stop.set()

    async def run(self, *, spawned: Callable[[], None]) -> None:
        """Watch until `stop`, or until kopf fails.

        When kopf ends, it cancels every task that did not exist before this call, so all other components must be
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
            # kopf calls this at its start, and again when the API server rejects the credentials.
            await access.renew()
            session = access.session(
                connections=_CONNECTIONS,
                headers=await access.headers(),
                responses=responses(self._inbox, frozenset(self._plurals)),
            )
            return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

        kopf.on.login(registry=self._registry, id="login")(login)
