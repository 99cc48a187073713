"""etcd, kube-apiserver and kube-controller-manager: an API server with garbage collection and namespaces, without nodes
and Pods.

Everything listens on 127.0.0.1. etcd requires a client certificate, and only the API server has one, because access to
etcd is access to the whole cluster. RBAC is on; the user is `admin` in `system:masters` by a static token. The API
server makes its certificate and key in `pki/` at its first start: clients verify it by the certificate file, which has
the whole chain, and the key also signs service account tokens.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaingraph_cli.cluster import ports, private
from chaingraph_cli.cluster.access import kubeconfig
from chaingraph_cli.cluster.access.certificates import Authority
from chaingraph_cli.cluster.programs.probes import HttpProbe
from chaingraph_cli.cluster.spec import ProcessSpec, Tier
from chaingraph_cli.cluster.supervisor import Supervisor

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager")
PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager")
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)
# kube-apiserver's own certificates are valid for a year; they are renewed well before.
_CERTIFICATE_SECONDS = 300 * 24 * 3600
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
"""


@dataclass(frozen=True)
class EtcdFiles:
    """Certificates of etcd and of its client, the API server, by an authority of their own."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def server(self) -> tuple[Path, Path]:
        """Certificate and key."""
        return self.folder / "server.crt", self.folder / "server.key"

    @property
    def client(self) -> tuple[Path, Path]:
        """Certificate and key."""
        return self.folder / "client.crt", self.folder / "client.key"

    def make(self) -> None:
        """Make all certificates again, by a new authority whose key is not kept."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = Authority("etcd of chaingraph up")
        authority.server("etcd", [ports.LOOPBACK]).write(*self.server)
        authority.client("kube-apiserver").write(*self.client)
        private.write(self.ca, authority.certificate)


@dataclass(frozen=True)
class ControlPlaneLayout:
    """Paths and options of the control plane.

    Attributes:
        folder: data, certificates and tokens; kept across restarts.
        logs: folder of the logs.
        binaries: a path for each of `BINARIES`.
        ports: a port for each of `PORTS`.
        audit: write `audit_log`, a JSON line for each write request (metadata only).
        client_ca: PEM file of a CA whose client certificates are accepted; None for tokens alone.
        durable: False lets etcd skip fsync: faster, but a crash of the machine may lose data.
    """

    folder: Path
    logs: Path
    binaries: Mapping[str, Path]
    ports: Mapping[str, int]
    audit: bool = False
    client_ca: Path | None = None
    durable: bool = True

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def certificate(self) -> Path:
        return self.pki / "apiserver.crt"

    @property
    def key(self) -> Path:
        return self.pki / "apiserver.key"

    @property
    def etcd_files(self) -> EtcdFiles:
        return EtcdFiles(self.pki / "etcd")

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    @property
    def url(self) -> str:
        return f"https://{ports.LOOPBACK}:{self.ports['kube-apiserver']}"

    @property
    def admin_token(self) -> str:
        """The bearer token of `admin`, from the token file of `prepare`."""
        return self._tokens.read_text(encoding="ascii").partition(",")[0]

    @property
    def _tokens(self) -> Path:
        return self.pki / "tokens.csv"

    @property
    def _audit_policy(self) -> Path:
        return self.folder / "audit-policy.yaml"

    def prepare(self) -> None:
        """Make missing folders, tokens and the audit policy, and new certificates of etcd; call it before a start."""
        self.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
        # etcd rejects a data folder that others can read.
        (self.folder / "etcd").mkdir(exist_ok=True, mode=0o700)
        self.logs.mkdir(parents=True, exist_ok=True)
        self.etcd_files.make()
        if not self._tokens.exists():
            lines = [
                f'{secrets.token_urlsafe(32)},admin,admin,"system:masters"\n',
                f"{secrets.token_urlsafe(32)},system:kube-controller-manager,kube-controller-manager\n",
            ]
            private.write(self._tokens, "".join(lines))
        if self.audit:
            private.write(self._audit_policy, _AUDIT_POLICY)
        if self.certificate.exists() and time.time() - self.certificate.stat().st_mtime > _CERTIFICATE_SECONDS:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.pki / "controller-manager")
            self.certificate.unlink()
            self.key.unlink(missing_ok=True)

    def write_kubeconfigs(self) -> None:
        """Write the kubeconfigs of `admin` and the controller manager; the API server must be ready."""
        manager_token = self._tokens.read_text(encoding="ascii").splitlines()[1].partition(",")[0]
        kubeconfig.write(self.kubeconfig, server=self.url, ca=self.certificate, token=self.admin_token, user="admin")
        kubeconfig.write(
            self._manager_kubeconfig,
            server=self.url,
            ca=self.certificate,
            token=manager_token,
            user="kube-controller-manager",
        )

    @property
    def _manager_kubeconfig(self) -> Path:
        return self.folder / "kube-controller-manager.kubeconfig"

    def etcd(self) -> ProcessSpec:
        """Return the spec of etcd, with its data in `etcd/`."""
        files = self.etcd_files
        client = f"https://{ports.LOOPBACK}:{self.ports['etcd']}"
        peer = f"https://{ports.LOOPBACK}:{self.ports['etcd-peer']}"
        arguments = [
            "--name=chaingraph",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=chaingraph={peer}",
            *(
                argument
                for side in ("", "peer-")
                for argument in (
                    f"--{side}client-cert-auth",
                    f"--{side}trusted-ca-file={files.ca}",
                    f"--{side}cert-file={files.server[0]}",
                    f"--{side}key-file={files.server[1]}",
                )
            ),
            "--tls-min-version=TLS1.3",
            # The JSON API is not used.
            "--enable-grpc-gateway=false",
            "--log-level=warn",
            # Without compaction every write would stay on disk.
            "--auto-compaction-retention=1h",
        ]
        if not self.durable:
            arguments.append("--unsafe-no-fsync")
        certificate, key = files.client
        probe = HttpProbe(url=f"{client}/health", ca=files.ca, certificate=certificate, key=key)
        return self._spec("etcd", arguments, probe, Tier.STORAGE)

    def apiserver(self) -> ProcessSpec:
        """Return the spec of kube-apiserver; etcd must be ready."""
        etcd_certificate, etcd_key = self.etcd_files.client
        arguments = [
            f"--etcd-servers=https://{ports.LOOPBACK}:{self.ports['etcd']}",
            f"--etcd-cafile={self.etcd_files.ca}",
            f"--etcd-certfile={etcd_certificate}",
            f"--etcd-keyfile={etcd_key}",
            f"--secure-port={self.ports['kube-apiserver']}",
            f"--bind-address={ports.LOOPBACK}",
            f"--cert-dir={self.pki}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.key}",
            f"--service-account-signing-key-file={self.key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--token-auth-file={self._tokens}",
            "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",
        ]
        if self.client_ca is not None:
            arguments.append(f"--client-ca-file={self.client_ca}")
        if self.audit:
            arguments += [
                f"--audit-policy-file={self._audit_policy}",
                f"--audit-log-path={self.audit_log}",
            ]
        probe = HttpProbe(url=f"{self.url}/readyz", ca=self.certificate)
        return self._spec("kube-apiserver", arguments, probe, Tier.API)

    def controller_manager(self) -> ProcessSpec:
        """Return the spec of kube-controller-manager with garbage collection, namespaces and service accounts alone."""
        port = self.ports["kube-controller-manager"]
        certificates = self.pki / "controller-manager"
        arguments = [
            f"--kubeconfig={self._manager_kubeconfig}",
            f"--service-account-private-key-file={self.key}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            f"--secure-port={port}",
            f"--bind-address={ports.LOOPBACK}",
            f"--cert-dir={certificates}",
            f"--controllers={','.join(_CONTROLLERS)}",
        ]
        probe = HttpProbe(
            url=f"https://{ports.LOOPBACK}:{port}/healthz", ca=certificates / "kube-controller-manager.crt"
        )
        return self._spec("kube-controller-manager", arguments, probe, Tier.CONTROLLERS)

    def _spec(self, name: str, arguments: list[str], probe: HttpProbe, tier: Tier) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=(str(self.binaries[name]), *arguments),
            log=self.logs / f"{name}.log",
            probe=probe,
            tier=tier,
            port=self.ports[name],
        )


async def start(layout: ControlPlaneLayout, supervisor: Supervisor) -> None:
    """Start the three in order and write `layout.kubeconfig`.

    Raises:
        StartFailed: one of them did not become ready.
    """
    layout.prepare()
    await supervisor.start(layout.etcd())
    await supervisor.start(layout.apiserver())
    layout.write_kubeconfigs()
    await supervisor.start(layout.controller_manager())
