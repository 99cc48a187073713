"""The worker process: `chaingraph-worker`, and `chaingraph-worker migrate` for the database's schemas.

Exit codes: 0 after a drain, 2 for invalid settings, 70 for a lost lease, 1 for anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from functools import partial
from typing import Final, NoReturn

import structlog
from pydantic import ValidationError

from chaingraph_runtime import logs, tracing
from chaingraph_runtime.http import CannotServe, HealthServer
from chaingraph_runtime.pool_figures import PoolMetrics
from chaingraph_runtime.settings import cannot_start, refuse
from chaingraph_runtime.shutdown import Shutdown
from chaingraph_runtime.tracing import TracingUnavailable
from chaingraph_store import schema
from chaingraph_store.errors import StoreError
from chaingraph_store.ledger import Ledger
from chaingraph_store.pool_roles import own
from chaingraph_store.queue import dispatch, leases, recovery
from chaingraph_store.transient import TRANSIENT_ERRORS, is_outage, retry_transient
from chaingraph_worker import application, metrics, migrate, workflows
from chaingraph_worker.attempts.attempt import RunDependencies
from chaingraph_worker.attempts.running import RunningAttempts
from chaingraph_worker.attempts.spawner import Spawner
from chaingraph_worker.errors import StartRefused
from chaingraph_worker.lease import Lease
from chaingraph_worker.recovery import Recovery
from chaingraph_worker.runner import limits
from chaingraph_worker.runner.assignment import RunnerLimits
from chaingraph_worker.secrets.files import SecretFiles
from chaingraph_worker.secrets.reading import SecretReader
from chaingraph_worker.settings import WorkerSettings
from chaingraph_worker.supervision.connections import ConnectionShares
from chaingraph_worker.supervision.pool import Pool, fork, warn_of_memory
from chaingraph_worker.waking import Waking

_HAND_BACK_SECONDS: Final = 5.0
_INTERRUPT_SECONDS: Final = 6.0
"""How long interrupted nodes may take to clean up: a little longer than the engine allows."""
_END_SECONDS: Final = 5.0
_RECORD_SECONDS: Final = 2.0
_TRACES_SECONDS: Final = 2.0
_log = structlog.get_logger(__name__)


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["migrate"]:
        migrate.main()
        return
    if arguments:
        cannot_start([f"unknown arguments {arguments}. Use none, or `migrate`"], component="worker")
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        refuse(error, WorkerSettings, component="worker")
    logs.configure(settings.log_level, component="worker")
    # Before anything starts a thread, which a fork would not survive.
    runners = fork(settings.runners)
    try:
        tracing.begin(service="chaingraph-worker", instance=settings.executor_id, version=settings.application_version)
        asyncio.run(_run_and_exit(Worker(settings, runners)))
    except (StartRefused, StoreError, TracingUnavailable) as error:
        _log.critical("cannot start", reason=str(error))
        sys.exit(2)


async def _run_and_exit(worker: Worker) -> NoReturn:
    """End the process as soon as the worker has drained.

    The interpreter would wait forever for a node that ignores its cancellation, or one that a timeout left behind in
    its thread. Their work has been handed back, so anything they still do must end here.
    """
    await worker.run()
    await tracing.end(_TRACES_SECONDS)
    logging.shutdown()
    os._exit(0)


class Worker:
    """The process's components, from start to drain."""

    def __init__(self, settings: WorkerSettings, runners: socket.socket) -> None:
        """Create it. `runners`: the connection to the process that forks runners."""
        self._settings = settings
        # Attempts hold a connection only for the duration of a statement, so a few serve many.
        self._ledger = Ledger(
            settings.database_url,
            application_name=f"chaingraph-worker {settings.executor_id}"[:63],
            pool_size=4 + min(8, settings.worker_concurrency),
        )
        metrics.REGISTRY_OF_WORKER.register(PoolMetrics("chaingraph_worker", self._ledger.pool_stats))
        self._pool = Pool(settings.runners, runners)
        self._running = RunningAttempts(self._ledger)
        self._spawner = Spawner(
            self._ledger,
            self._pool,
            application_name=settings.application_name,
            spacing_ms=settings.child_spacing_ms,
            max_tree=settings.max_tree,
        )
        self._lease = Lease(
            settings.database_url,
            settings.executor_id,
            seconds=settings.lease_seconds,
            stall_seconds=settings.stall_seconds,
            serving=lambda: application.serving(settings),
            retired=self._told,
        )
        self._recovery = Recovery(
            self._ledger,
            application_name=settings.application_name,
            interval=settings.recovery_seconds,
            patience=settings.lease_seconds / 2,
        )
        self._waking = Waking(
            self._ledger,
            application_name=settings.application_name,
            spacing_ms=settings.child_spacing_ms,
            tell=partial(self._spawner.ended, awaited=True),
        )
        self._closing = contextlib.AsyncExitStack()
        self._retired = False
        self._kept_to_pool = False
        self._state = "starting"
        self._shutdown = Shutdown()
        self._health = HealthServer(
            settings.health_port,
            host=settings.health_host,
            ready=self._not_ready,
            live=self._lease.overdue,
            notes=lambda: self._pool.notes,
            registry=metrics.REGISTRY_OF_WORKER,
        )

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then drain.

        Raises:
            StartRefused: a setting or the database's schema is wrong.
        """
        self._shutdown.on_signals()
        await self._start_health()
        try:
            await self._pool.open()
            if not await self._shutdown.interrupts(self._connect()):
                await self._serve()
        finally:
            self._pool.close()
            await self._closing.aclose()
            await self._health.stop()
            await self._ledger.close()

    async def _serve(self) -> None:
        settings = self._settings
        dependencies = RunDependencies(
            ledger=self._ledger,
            pool=self._pool,
            running=self._running,
            application_name=settings.application_name,
            executor_id=settings.executor_id,
            build=settings.build,
            flush_seconds=settings.flush_seconds,
            park_seconds=settings.park_seconds,
            spawner=self._spawner,
            limits=RunnerLimits(
                max_depth=settings.max_depth,
                max_children=settings.max_children,
                values=settings.value_limits,
                egress_allow=settings.egress_allow,
                egress_deny=settings.egress_deny,
            ),
            connections=ConnectionShares(
                per_execution=settings.max_http_connections, per_namespace=settings.namespace_http_connections
            ),
            secrets=await self._secrets(),
        )
        workflows.register(dependencies, application_name=settings.application_name)
        application.configure(settings)
        # The launch takes dozens of round trips, at a distance longer than a lease, and no work. The lease comes after.
        await application.launch(settings, shared_rows=not self._kept_to_pool)
        await self._take_lease()
        background = [
            asyncio.create_task(self._pool.keep(), name="runners"),
            asyncio.create_task(self._lease.beat(), name="beat"),
            asyncio.create_task(self._recovery.run(), name="recovery"),
            asyncio.create_task(self._waking.run(), name="waking"),
            asyncio.create_task(self._running.listen(), name="listen"),
            asyncio.create_task(self._spawner.tell(), name="notify parents"),
        ]
        application.serve(settings, retired=self._retired)
        warn_of_memory(settings.runners, settings.worker_concurrency)
        self._state = "ready"
        _log.info(
            "ready",
            executor_id=settings.executor_id,
            pool=settings.pool,
            version=settings.application_version,
            retired=self._retired,
            queues=settings.queue_names,
            node_types=len(self._pool.catalogue.catalogue),
        )
        for each in background:
            each.add_done_callback(lambda _: self._shutdown.request())
        await self._shutdown.wait()
        failed = [each for each in background if each.done()]
        await self._drain()
        for each in background:
            each.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for each in failed:
            each.result()

    async def _secrets(self) -> SecretReader:
        """Return the reader of secrets.

        Raises:
            StartRefused: it has no access to the API server.
        """
        settings, store = self._settings, None
        if settings.namespaces_with_secrets:
            # Here and not above: the import takes a second, and runners must not have it.
            from chaingraph_worker.secrets.cluster import ClusterSecrets

            limits.keep_memory_private()  # values pass through this process too
            store = await self._closing.enter_async_context(contextlib.aclosing(await ClusterSecrets.open()))
        return SecretReader(settings.namespaces_with_secrets, store, SecretFiles(settings.secrets_folder))

    async def _drain(self) -> None:
        """Take nothing new, park paused executions, let running ones continue for a while, hand back the rest."""
        settings = self._settings
        self._state = "draining"
        _log.info("draining", running=len(self._running), seconds=settings.drain_seconds)
        with contextlib.suppress(TimeoutError, *TRANSIENT_ERRORS):
            async with asyncio.timeout(_HAND_BACK_SECONDS), self._ledger.connection() as connection:
                await leases.drain(connection, settings.executor_id)
        application.stop_dequeuing()
        self._running.drain()
        try:
            if await self._running.idle(within=settings.drain_seconds):
                await self._recorded()
            else:
                # First the hand-back, which fences us, and only then the interruption.
                await retry_transient(self._hand_back, what="hand-back")
        finally:
            self._running.interrupt_all("the worker is shutting down")
        await self._running.idle(within=_INTERRUPT_SECONDS)
        try:
            async with asyncio.timeout(_END_SECONDS):
                await application.end()
        except TimeoutError:
            _log.warning("DBOS did not stop in time, exiting without it")
        await retry_transient(self._hand_back, what="hand-back")
        await retry_transient(self._release_lease, what="release of the lease")
        self._lease.end()
        _log.info("drained")

    async def _recorded(self) -> None:
        """Wait a moment for DBOS to record the ends of workflows whose attempts have ended."""
        with contextlib.suppress(TimeoutError, *TRANSIENT_ERRORS):
            async with asyncio.timeout(_RECORD_SECONDS), self._ledger.connection() as connection:
                while await dispatch.pending_runs(connection, executor=self._settings.executor_id):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)  # DBOS records in threads of its own

    async def _hand_back(self) -> None:
        settings = self._settings
        # The hand-back revokes the lease.
        self._lease.give_up()
        async with self._ledger.transaction() as connection:
            for back in await recovery.hand_back(
                connection,
                application_name=settings.application_name,
                executors=[settings.executor_id],
                counts=False,
            ):
                _log.info("handed back", execution_id=back.execution_id, namespace=back.namespace, name=back.name)

    async def _release_lease(self) -> None:
        async with self._ledger.connection() as connection:
            await leases.release(connection, self._settings.executor_id)

    async def _start_health(self) -> None:
        try:
            bound = await self._health.start()
        except CannotServe as error:
            raise StartRefused(str(error)) from error
        _log.info("serving health and metrics", health_port=bound)

    async def _connect(self) -> None:
        """Wait for PostgreSQL and its schema.

        Raises:
            StartRefused: the database role may not do what the settings say.
        """
        await schema.connect(self._ledger, waiting=self._wait_for)
        await retry_transient(self._check_role, what="database role", failed=self._wait_for)

    def _wait_for(self, error: Exception) -> None:
        self._state = "waiting for PostgreSQL" if is_outage(error) else str(error)

    async def _check_role(self) -> None:
        async with self._ledger.connection() as connection:
            role = await own.read(connection)
        if role is None:
            return
        refusal = own.refusal(role, pool=self._settings.pool, queues=self._settings.queue_names)
        if refusal:
            raise StartRefused(refusal)
        self._kept_to_pool = True
        _log.info("database role is restricted to its pool", role=role.role, queues=role.queues)

    async def _take_lease(self) -> None:
        settings = self._settings
        nodes = self._pool.catalogue
        # A pool's role publishes under the pool's name, so that it cannot publish for others.
        catalogue = f"{settings.pool}/{nodes.catalogue_hash}" if self._kept_to_pool else nodes.catalogue_hash
        async with self._ledger.transaction() as connection:
            asked = time.monotonic()
            self._retired = await leases.take(
                connection,
                leases.NewLease(
                    executor_id=settings.executor_id,
                    application_name=settings.application_name,
                    pool=settings.pool,
                    application_version=settings.application_version,
                    host=socket.gethostname(),
                    pod=settings.pod_name,
                    queues=settings.queue_names,
                    concurrency=settings.worker_concurrency,
                    catalogue_hash=catalogue,
                    catalogue=nodes.catalogue,
                    seconds=settings.lease_seconds,
                ),
            )
        self._lease.start(asked)
        metrics.INFO.labels(settings.executor_id, settings.pool, settings.application_version).set(1)

    def _told(self, retired: bool) -> None:
        """Handle a renewal of the lease: is this worker's version retired? Running executions continue in any case."""
        if retired != self._retired:
            self._retired = retired
            _log.info(
                "retired, only running the executions of its version" if retired else "serving its queues again",
                pool=self._settings.pool,
                version=self._settings.application_version,
                running=len(self._running),
            )
        application.serve(self._settings, retired=retired)

    def _not_ready(self) -> str | None:
        return None if self._state == "ready" else self._state


if __name__ == "__main__":
    main()
