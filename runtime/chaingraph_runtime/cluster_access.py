"""Access to the API server: its address and our credentials.

The official client reads the configuration (contexts, client certificates, exec plugins, rotating service account
tokens). The requests use sessions of our own, because bounded connections matter more here than models.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from chaingraph_runtime.cluster_errors import NoCluster

_SERVICE_ACCOUNT: Final = "KUBERNETES_SERVICE_HOST"
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# The client's loaders have no types.
_load_in_cluster: Final[Callable[..., None]] = config.load_incluster_config
_load_kubeconfig: Final[Callable[..., Awaitable[None]]] = config.load_kube_config


class ClusterAccess:
    """The API server's address, and current credentials for it."""

    def __init__(self, configuration: Any) -> None:
        self._take(configuration)

    def _take(self, configuration: Any) -> None:
        self._configuration = configuration
        self._tls = _tls_context(configuration)

    async def renew(self) -> None:
        """Read the configuration again, because the API server no longer accepts the credentials.

        Exec plugins return tokens valid for minutes, and client certificates are rotated in place.

        Raises:
            NoCluster: it has become invalid.
        """
        self._take(await _configuration())

    @property
    def server(self) -> str:
        return str(self._configuration.host).rstrip("/")

    @property
    def authority(self) -> str:
        """Fingerprint of the certificates that verify the API server; empty when the system's own are used."""
        return _fingerprint(_authority_certificates(self._configuration))

    async def headers(self) -> Mapping[str, str]:
        """Return the authorization header; an old projected token is read again."""
        value = await self._configuration.get_api_key_with_prefix("BearerToken")
        if value:
            # The in-cluster loader writes the scheme in lower case, which some proxies in front of API servers reject.
            scheme, _, token = str(value).partition(" ")
            return {"Authorization": f"{scheme.capitalize()} {token}" if token else f"Bearer {scheme}"}
        if self._configuration.username:
            return {"Authorization": str(self._configuration.get_basic_auth_token())}
        return {}

    def session(
        self,
        *,
        connections: int,
        headers: Mapping[str, str] | None = None,
        responses: type[aiohttp.ClientResponse] = aiohttp.ClientResponse,
    ) -> aiohttp.ClientSession:
        """Open a session with at most this many connections. Without a limit, kopf opened 1,800 of them.

        Args:
            responses: the class of its responses.
        """
        connector = aiohttp.TCPConnector(limit=connections, ssl=self._tls, keepalive_timeout=60)
        return aiohttp.ClientSession(connector=connector, headers=headers, response_class=responses, trust_env=False)


async def load() -> ClusterAccess:
    """Load the access from the environment: KUBECONFIG, else the Pod's service account, else ~/.kube/config.

    An explicit KUBECONFIG comes first: in a Pod, it is set for another cluster.

    Raises:
        NoCluster: none of them is valid.
    """
    return ClusterAccess(await _configuration())


async def _configuration() -> Any:
    configuration = Configuration()
    in_pod = bool(os.environ.get(_SERVICE_ACCOUNT)) and not os.environ.get("KUBECONFIG")
    # The client reads the variable when it is imported, and takes an empty one for a path.
    kubeconfig = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    try:
        if in_pod:
            _load_in_cluster(client_configuration=configuration)
        else:
            await _load_kubeconfig(config_file=kubeconfig, client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError) as error:
        looked = "the Pod's service account" if in_pod else kubeconfig
        raise NoCluster(
            f"no Kubernetes configuration at {looked}: {error}. Set KUBECONFIG to a kubeconfig file with a current "
            "context, or run in a Pod with a service account"
        ) from error
    return configuration


def _authority_certificates(configuration: Any) -> str:
    """Return the certificates in PEM, as `_tls_context` takes them."""
    files = Path(configuration.ssl_ca_cert).read_text(encoding="utf-8") if configuration.ssl_ca_cert else ""
    data = configuration.ca_cert_data or ""
    return files + "\n" + (data.decode() if isinstance(data, bytes) else str(data))


def _fingerprint(pem: str) -> str:
    """Return the same fingerprint for the same certificates, whatever their order and separators."""
    found = sorted({ssl.PEM_cert_to_DER_cert(each) for each in _CERTIFICATE.findall(pem)})
    return f"sha256:{hashlib.sha256(b''.join(found)).hexdigest()[:32]}" if found else ""


def _tls_context(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
