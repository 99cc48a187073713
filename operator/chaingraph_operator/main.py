"""The operator's process: `chaingraph-operator`, or `python -m chaingraph_operator.main`. The argument
`remove-workers` runs a short command instead: see `removal`.

Crash-only: when any component or kopf ends, the process logs the cause and exits with 1, so that its supervisor
restarts it. All pending work follows from the resources and the ledger. SIGTERM and SIGINT exit with 0, invalid
settings with 2. An operator that loses the leadership, or finds itself replaced, exits with 70.

Rights of its service account (a ClusterRole, or a Role in each of CHAINGRAPH_NAMESPACES):

    chaingraph.dev      flows, executions              get list watch
    chaingraph.dev      flows/status                   patch
    chaingraph.dev      executions/status              patch
    chaingraph.dev      executions                     create       (for children)
    chaingraph.dev      executions                     delete       (ttlSecondsAfterFinished)
    "" (core)           events                         create
    "" (core)           namespaces                     get          (policies, and which rows belong to which namespace)
    "" (core)           namespaces (kube-system)       get          (cluster identity; see `cluster_guard`)
    apps                deployments                    list delete  (CHAINGRAPH_WORKER_NAMESPACE; `worker_deployments`)
    "" (core)           configmaps                     get          (there, CHAINGRAPH_WORKER_POOLS)
    coordination.k8s.io leases                         get create update   (CHAINGRAPH_LEADER_ELECTION; see `election`)

and discovery (`system:discovery`, which every service account has). With a ClusterRole the watch is cluster-wide.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from importlib.metadata import version

import structlog
from pydantic import ValidationError

from chaingraph_crds import names
from chaingraph_operator import removal
from chaingraph_operator.assembly import Operator
from chaingraph_operator.errors import ClusterUnknown, NoLeaseNamespace, OperatorError, PartEnded
from chaingraph_operator.kube import watching
from chaingraph_operator.leader.leadership import Leadership
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.settings import Settings
from chaingraph_runtime import logs, tracing
from chaingraph_runtime.cluster_access import load
from chaingraph_runtime.cluster_errors import ApiError, ClusterError, NotFound
from chaingraph_runtime.http import HealthServer
from chaingraph_runtime.settings import cannot_start, refuse
from chaingraph_runtime.shutdown import Shutdown
from chaingraph_runtime.tracing import TracingUnavailable
from chaingraph_store import schema
from chaingraph_store.errors import ForeignLedger
from chaingraph_store.health import LedgerHealth
from chaingraph_store.ledger import Ledger

_log = structlog.get_logger("chaingraph_operator.main")
_POOL_EXTRA = 4
_DRAIN_SECONDS = 4.0
_TRACES_SECONDS = 1.0


def main() -> None:
    """Run the operator until a signal or a failure ends it."""
    arguments = sys.argv[1:]
    if arguments == [removal.COMMAND]:
        removal.main()
        return
    if arguments:
        cannot_start([f"unknown arguments {arguments}. Use none, or `{removal.COMMAND}`"], component="operator")
    try:
        settings = Settings()
    except ValidationError as error:
        refuse(error, Settings, component="operator")
    logs.configure(settings.log_level, component="operator")
    logs.adopt("kopf")
    watching.quieten()
    try:
        tracing.begin(service="chaingraph-operator", instance=settings.pod_name, version=version("chaingraph"))
        asyncio.run(_run(settings))
    except BaseExceptionGroup as group:
        _log.critical("a component of the operator failed, exiting", exc_info=group)
        sys.exit(1)
    except (NoLeaseNamespace, TracingUnavailable) as error:
        _log.critical("cannot start", error=str(error))
        sys.exit(2)
    except (OperatorError, ClusterError, OSError) as error:
        _log.critical("operator failed, exiting", error=str(error))
        sys.exit(1)


async def _run(settings: Settings) -> None:
    shutdown = Shutdown()
    shutdown.on_signals()
    access = await load()
    metrics = Metrics()
    ledger = Ledger(
        settings.database_url,
        application_name="chaingraph-operator",
        pool_size=settings.reconcile_workers + _POOL_EXTRA,
    )
    health = LedgerHealth(ledger, writes=True)
    metrics.ledger_up(health.up)
    leadership = Leadership(settings, ledger=ledger)
    metrics.leader(lambda: float(leadership.leads))
    operator = Operator(
        settings,
        access=access,
        ledger=ledger,
        fence=leadership.fence,
        health=health,
        metrics=metrics,
        may_write=leadership.check,
    )
    startup = Startup()
    server = HealthServer(
        settings.health_port,
        host=settings.health_host,
        ready=lambda: startup.error() or (health.error() if leadership.leads else None),
        live=lambda: None,
        registry=metrics.registry,
    )
    port = await server.start()
    _log.info("started", server=access.server, namespaces=settings.namespaces or "all", health_port=port)
    try:
        serve = _serve(operator, leadership, ledger, health, startup, shutdown)
        if not await shutdown.interrupts(serve, drain=partial(operator.drain, _DRAIN_SECONDS)):
            raise PartEnded("the operator has ended without a signal")
    finally:
        await leadership.close()
        await server.stop()
        await operator.close()
        await ledger.close()
        await tracing.end(_TRACES_SECONDS)


class Startup:
    """The progress of the start, for readiness and logs."""

    def __init__(self) -> None:
        self._waits_for: str | None = "its initialization"

    def waits_for(self, what: str | None) -> None:
        self._waits_for = what
        _log.info("ready" if what is None else f"waiting for {what}")

    def stands_by(self, leader: str) -> None:
        """Become ready as a standby, to replace the leader when needed."""
        self._waits_for = None
        _log.info("standing by", leader=leader or "nobody yet")

    def refused(self, why: str) -> None:
        self._waits_for = f"an administrator: {why}"
        _log.error("refusing to serve", error=why)

    def error(self) -> str | None:
        return None if self._waits_for is None else f"starting: waiting for {self._waits_for}"


async def _serve(
    operator: Operator,
    leadership: Leadership,
    ledger: Ledger,
    health: LedgerHealth,
    startup: Startup,
    shutdown: Shutdown,
) -> None:
    """Wait for the dependencies and the leadership, then run all components. Ends with an exception only."""
    startup.waits_for("PostgreSQL")
    await schema.connect(ledger, waiting=health.failed)
    health.answered()
    startup.waits_for("the API server to serve the kinds Flow and Execution")
    await _kinds_served(operator)
    startup.waits_for("leader election")
    await leadership.acquire(startup.stands_by)
    async with asyncio.TaskGroup() as group:
        group.create_task(leadership.keep(), name="leadership")
        await health.retry("epoch", leadership.begin)
        startup.waits_for("the API server to identify this cluster")
        await health.retry("cluster guard", lambda: _own_ledger(operator, startup))
        await health.retry("worker_registry", operator.prepare)
        startup.waits_for("the first list of all objects")
        group.create_task(operator.run(), name="parts")
        group.create_task(_ready(operator, startup), name="readiness")
        # kopf cancels every task younger than its own when it ends: start ours first.
        await operator.started.wait()
        group.create_task(operator.watch.run(spawned=shutdown.on_signals), name="watch")


async def _ready(operator: Operator, startup: Startup) -> None:
    await operator.watch.started.wait()
    startup.waits_for(None)


async def _kinds_served(operator: Operator) -> None:
    """Wait for API server and CustomResourceDefinitions: kopf would miss kinds that appear after its start."""
    delay = 0.5
    wanted = {names.FLOW_PLURAL, names.EXECUTION_PLURAL}
    while True:
        try:
            missing = wanted - await operator.api.served_kinds()
            problem = f"{', '.join(sorted(missing))} not installed. Apply the CustomResourceDefinitions"
        except NotFound:
            missing, problem = wanted, f"{names.API_VERSION} not installed. Apply the CustomResourceDefinitions"
        except ApiError as error:
            missing, problem = wanted, str(error)
        if not missing:
            return
        _log.warning("waiting for the API server to serve Flow and Execution", error=problem, retry_seconds=delay)
        await asyncio.sleep(delay)
        delay = min(10.0, delay * 2)


async def _own_ledger(operator: Operator, startup: Startup) -> None:
    """Return once the ledger is known to belong to this cluster. Until then nothing in it is changed."""
    delay = 0.5
    while True:
        try:
            await operator.guard.check()
        except (ForeignLedger, ClusterUnknown) as error:
            startup.refused(str(error))
        except ApiError as error:
            _log.warning("waiting for the API server to identify this cluster", error=str(error))
        else:
            return
        await asyncio.sleep(delay)
        delay = min(10.0, delay * 2)


if __name__ == "__main__":
    main()
