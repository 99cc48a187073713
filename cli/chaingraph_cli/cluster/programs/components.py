"""ChainGraph's own processes: operator, gateway, workers, and the migration before them."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from chaingraph_cli.cluster import ports, private
from chaingraph_cli.cluster.access import gateway
from chaingraph_cli.cluster.access.gateway import GatewayFiles
from chaingraph_cli.cluster.log_tail import tail
from chaingraph_cli.cluster.programs.probes import HttpProbe
from chaingraph_cli.cluster.spec import ProcessSpec, Tier
from chaingraph_cli.errors import DatabaseUnusable

OPERATOR = "operator"
_DATABASE_VARIABLE = "DATABASE_URL_EXECUTIONS"
_HEALTH_PORT_VARIABLE = "CHAINGRAPH_HEALTH_PORT"
_HEALTH_HOST_VARIABLE = "CHAINGRAPH_HEALTH_HOST"
_DRAIN_VARIABLE = "CHAINGRAPH_DRAIN_SECONDS"
# The user waits at Ctrl-C; interrupted executions continue from their journal at the next `up`.
_DRAIN_SECONDS = "3"
_QUEUES_VARIABLE = "CHAINGRAPH_NAMESPACE_QUEUES"
_EGRESS_VARIABLE = "CHAINGRAPH_EGRESS_ALLOW"
_WITHOUT_BROKEN_VARIABLE = "CHAINGRAPH_SERVE_WITHOUT_BROKEN_NODES"
_SECRETS_VARIABLE = "CHAINGRAPH_SECRET_NAMESPACES"
_LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"
_STOP_SECONDS = 30.0
# -P: a file types.py in the current folder must not be imported by a worker.
_PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True)
class Components:
    """Makes the specs of operator, gateway and workers."""

    database_url: str
    kubeconfig: Path
    logs: Path
    secret_namespaces: str = ""
    """Namespaces whose Secrets flows may use."""

    def operator(self, port: int) -> ProcessSpec:
        """Return the spec of the operator; its health endpoint listens on the port."""
        environment = {
            "KUBECONFIG": str(self.kubeconfig),
            # A cluster of one user: no queue needs to be restricted.
            _QUEUES_VARIABLE: os.environ.get(_QUEUES_VARIABLE, "*"),
        }
        return self._spec(OPERATOR, "chaingraph_operator.main", port, environment)

    def worker(self, name: str, port: int) -> ProcessSpec:
        """Return the spec of a worker; each start is a new executor with a new id."""
        environment = {
            _DRAIN_VARIABLE: os.environ.get(_DRAIN_VARIABLE, _DRAIN_SECONDS),
            _EGRESS_VARIABLE: egress_allowed(),
            "KUBECONFIG": str(self.kubeconfig),
            _SECRETS_VARIABLE: os.environ.get(_SECRETS_VARIABLE, self.secret_namespaces),
            # While you write a node, all other nodes still work.
            _WITHOUT_BROKEN_VARIABLE: os.environ.get(_WITHOUT_BROKEN_VARIABLE, "true"),
        }
        return self._spec(name, "chaingraph_worker.main", port, environment)

    def gateway(self, port: int, health_port: int, files: GatewayFiles) -> ProcessSpec:
        """Return the spec of the gateway; it serves at `port`."""
        environment = {
            "KUBECONFIG": str(self.kubeconfig),
            "CHAINGRAPH_GATEWAY_HOST": ports.LOOPBACK,
            "CHAINGRAPH_GATEWAY_PORT": str(port),
            "CHAINGRAPH_TLS_CERTIFICATE": str(files.certificate),
            "CHAINGRAPH_TLS_KEY": str(files.key),
        }
        return replace(self._spec(gateway.NAME, "chaingraph_gateway.main", health_port, environment), port=port)

    def _spec(self, name: str, module: str, port: int, env: dict[str, str]) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=(*_PYTHON, module),
            log=self.logs / f"{name}.log",
            probe=HttpProbe(url=f"http://{ports.LOOPBACK}:{port}/readyz"),
            tier=Tier.COMPONENTS,
            port=port,
            stop_seconds=_STOP_SECONDS,
            env={
                _DATABASE_VARIABLE: self.database_url,
                _HEALTH_HOST_VARIABLE: ports.LOOPBACK,
                _HEALTH_PORT_VARIABLE: str(port),
                **env,
            },
        )

    async def migrate(self) -> None:
        """Migrate the database; the output goes to `migrate.log`.

        Raises:
            DatabaseUnusable: the database is unreachable, or the migration failed.
        """
        log_path = self.logs / "migrate.log"
        log_path.unlink(missing_ok=True)
        with private.append_to(log_path) as log:
            process = await asyncio.create_subprocess_exec(
                *_PYTHON,
                "chaingraph_worker.migrate",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, _DATABASE_VARIABLE: self.database_url},
            )
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
        if code != 0:
            raise DatabaseUnusable(
                f"The migration of the database failed (exit code {code}):\n{tail(log_path)}",
                f"Full log: {log_path}",
            )


def egress_allowed() -> str:
    """Return the private networks that flows may reach: by default this machine, which serves data of the examples."""
    return os.environ.get(_EGRESS_VARIABLE, _LOOPBACK_NETWORKS)


def worker_names(count: int) -> list[str]:
    """Return `worker-1` and so on."""
    return [f"worker-{number}" for number in range(1, count + 1)]
