"""The certificate of a local cluster's gateway, and the ConfigMap with its address."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from chaingraph_cli import discovery
from chaingraph_cli.cluster import ports, private
from chaingraph_cli.cluster.access import applying
from chaingraph_cli.cluster.access.certificates import Authority

NAME = "gateway"
HEALTH = "gateway-health"
PORTS = (NAME, HEALTH)


@dataclass(frozen=True)
class GatewayFiles:
    """The gateway's certificate, its key and its CA."""

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
        """Make a new authority and a certificate of it for loopback."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = Authority("chaingraph up")
        authority.server("chaingraph-gateway", [ports.LOOPBACK, "localhost"]).write(self.certificate, self.key)
        private.write(self.ca, authority.certificate)


def publish(kubeconfig: Path, port: int, files: GatewayFiles) -> None:
    """Write the gateway's address and CA into the cluster; blocks.

    Raises:
        CliError: the cluster is unreachable or rejects a manifest.
    """
    ca = files.ca.read_text(encoding="ascii")
    url = f"https://{ports.LOOPBACK}:{port}"
    applying.apply(kubeconfig, discovery.manifests(url, ca, metadata.version("chaingraph")))
