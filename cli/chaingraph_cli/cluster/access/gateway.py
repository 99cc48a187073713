"""What the gateway of a local cluster needs besides its process: a certificate, and an address that people find.

Used by `run` at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from chaingraph_cli import discovery
from chaingraph_cli.cluster import ports
from chaingraph_cli.cluster.access import applying
from chaingraph_cli.cluster.access.certificates import Authority
from chaingraph_cli.cluster.access.kubeconfig import write_private

NAME = "gateway"
HEALTH = "gateway-health"
PORTS = (NAME, HEALTH)


@dataclass(frozen=True)
class GatewayFiles:
    """Where the gateway's certificate is."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "gateway.crt"

    @property
    def key(self) -> Path:
        return self.folder / "gateway.key"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    def make(self) -> None:
        """Makes a new authority and a certificate of it for this machine's loopback."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = Authority("chaingraph up")
        authority.server("chaingraph-gateway", [ports.LOOPBACK, "localhost"]).write(self.certificate, self.key)
        write_private(self.ca, authority.certificate)


def publish(kubeconfig: Path, port: int, files: GatewayFiles) -> None:
    """Writes into the cluster where the gateway is and what verifies it; blocks.

    Raises:
        ClusterUnreachable: the server cannot be reached or refuses us.
    """
    manifests = discovery.manifests(
        f"https://{ports.LOOPBACK}:{port}", files.ca.read_text(encoding="ascii"), metadata.version("chaingraph")
    )
    with applying.connected(kubeconfig) as connection:
        applying.apply(connection, manifests)
