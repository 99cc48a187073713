"""The gateway's process: `chaingraph-gateway`, or `python -m chaingraph_gateway.main`.

Crash-only: when any component ends, the process logs the cause and exits with 1, so that its supervisor restarts it.
SIGTERM and SIGINT exit with 0, streams after a complete event. `cluster` lists the rights of its service account.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import ValidationError

from chaingraph_gateway.access.addresses import networks
from chaingraph_gateway.access.authentication import Authenticator, TokenRules
from chaingraph_gateway.access.authorization import Authorizer
from chaingraph_gateway.cluster import Cluster
from chaingraph_gateway.connections.client_ca import ClientCa
from chaingraph_gateway.connections.connections import ConnectionTimeouts, enough_files
from chaingraph_gateway.connections.limits import ConnectionCounts, FailedTokens, RequestLimits, Shares
from chaingraph_gateway.connections.tls import ServingTls
from chaingraph_gateway.errors import GatewayError, PartEnded
from chaingraph_gateway.metrics import Metrics
from chaingraph_gateway.reader import Reader
from chaingraph_gateway.reads.access import Access
from chaingraph_gateway.reads.handlers import Reads
from chaingraph_gateway.reads.values import ValueReads
from chaingraph_gateway.server import Fairness, GatewayServer, Handlers
from chaingraph_gateway.settings import Settings
from chaingraph_gateway.streams.handlers import Streams
from chaingraph_gateway.streams.tail import Tails
from chaingraph_runtime import logs
from chaingraph_runtime.cluster_access import load
from chaingraph_runtime.cluster_errors import ClusterError
from chaingraph_runtime.http import HealthServer
from chaingraph_runtime.pool_figures import PoolMetrics
from chaingraph_runtime.settings import refuse
from chaingraph_runtime.shutdown import Shutdown
from chaingraph_store.ledger import Ledger

_log = structlog.get_logger("chaingraph_gateway.main")
_KEEPALIVE: Final = {"keepalives_idle": "15", "keepalives_interval": "5", "keepalives_count": "3"}


def main() -> None:
    """Run the gateway until a signal or a failure ends it."""
    try:
        settings = Settings()
    except ValidationError as error:
        refuse(error, Settings, component="gateway")
    logs.configure(settings.log_level, component="gateway")
    try:
        asyncio.run(_run(settings))
    except BaseExceptionGroup as group:
        _log.critical("a component of the gateway failed, exiting", exc_info=group)
        sys.exit(1)
    except (GatewayError, ClusterError, OSError) as error:
        _log.critical("gateway failed, exiting", error=str(error))
        sys.exit(1)


def read_only(dsn: str) -> str:
    """Return the connection string for read-only sessions that detect a dead network."""
    fields = conninfo_to_dict(dsn)
    options = f"{fields.get('options') or ''} -c default_transaction_read_only=on".strip()
    return make_conninfo(dsn, **{key: fields.get(key) or value for key, value in _KEEPALIVE.items()}, options=options)


async def _run(settings: Settings) -> None:
    shutdown = Shutdown()
    shutdown.on_signals()
    metrics = Metrics()
    tls = ServingTls(settings.certificate, settings.key)
    access = await load()
    cluster = Cluster(access, metrics)
    ledger = Ledger(
        read_only(settings.database_url), application_name="chaingraph-gateway", pool_size=settings.pool_size
    )
    metrics.registry.register(PoolMetrics("chaingraph_gateway", ledger.pool_stats))
    reader = Reader(ledger, metrics)
    client_ca = ClientCa(cluster, tls)
    tails = Tails(
        ledger, reader, metrics, reread_seconds=settings.heartbeat_seconds, inline_bytes=settings.inline_bytes
    )
    server = _server(settings, cluster, tls, reader, tails, metrics)
    health = HealthServer(
        settings.health_port,
        host=settings.health_host,
        ready=lambda: reader.error() or client_ca.error(),
        live=lambda: None,
        registry=metrics.registry,
    )
    try:
        health_port = await health.start()
        port = await server.start(settings.host, settings.port, tls.context)
        _log.info("started", server=access.server, port=port, health_port=health_port)
        if not await shutdown.interrupts(_parts(reader, tails, client_ca, tls)):
            raise PartEnded("the gateway has ended without a signal")
    finally:
        await server.stop()
        await health.stop()
        await cluster.close()
        await ledger.close()


def _server(
    settings: Settings, cluster: Cluster, tls: ServingTls, reader: Reader, tails: Tails, metrics: Metrics
) -> GatewayServer:
    limits = RequestLimits(
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        max_streams=settings.max_streams,
        max_streams_per_caller=settings.max_streams_per_caller,
        max_requests_per_caller=settings.max_requests_per_caller,
        failed_tokens_per_minute=settings.failed_tokens_per_minute,
    )
    rules = TokenRules(
        audiences=settings.audiences,
        accept_api_tokens=settings.accept_api_tokens,
        remember_seconds=settings.token_cache_seconds,
        max_reviews=settings.max_token_reviews,
    )
    allowed = Access(
        Authenticator(cluster, rules, FailedTokens(limits)),
        Authorizer(cluster, remember_seconds=settings.token_cache_seconds),
        reader,
        cluster,
        trusts=tls.trusts,
    )
    shares = Shares(limits)
    # Half of the connections to PostgreSQL are for replays, and a few always for live streams and lookups.
    pages = max(1, settings.pool_size // 4)
    handlers = Handlers(
        allowed,
        Reads(allowed, reader, pages=pages, page_bytes=settings.page_bytes, inline_bytes=settings.inline_bytes),
        ValueReads(allowed, reader, pages=1, max_values=settings.max_large_reads, stall_seconds=settings.stall_seconds),
        Streams(
            tails,
            reader,
            metrics,
            heartbeat_seconds=settings.heartbeat_seconds,
            reauthorize_seconds=settings.reauthorize_seconds,
            stall_seconds=settings.stall_seconds,
            stream_seconds=settings.stream_seconds,
            replays=max(1, settings.pool_size // 2),
            inline_bytes=settings.inline_bytes,
        ),
    )
    patience = ConnectionTimeouts(settings.head_seconds, settings.idle_seconds, settings.max_head_bytes)
    fairness = Fairness(
        ConnectionCounts(limits), shares, networks(settings.trusted_proxies), patience, settings.stall_seconds
    )
    enough_files(settings.max_connections)
    return GatewayServer(handlers, fairness, metrics)


async def _parts(reader: Reader, tails: Tails, client_ca: ClientCa, tls: ServingTls) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(client_ca.follow(), name="client CA")
        group.create_task(tls.watch(), name="serving certificate")
        await reader.open()
        group.create_task(reader.probe(), name="probe")
        group.create_task(tails.listen(), name="listen")


if __name__ == "__main__":
    main()
