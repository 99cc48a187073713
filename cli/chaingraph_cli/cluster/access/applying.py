"""Server-side apply of manifests for `up`: the API, and where the gateway is. Blocks; called in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import ClusterUnreachable

REQUEST_SECONDS: Final = 15.0
_FIELD_MANAGER: Final = "chaingraph-up"


@contextmanager
def connected(kubeconfig: Path) -> Iterator[Any]:
    """A client of the cluster for the block.

    Raises:
        ClusterUnreachable: the server cannot be reached or refuses us, now or within the block.
    """
    # Here, not above: the client takes a second to import.
    import urllib3
    from kubernetes import client, config

    configuration = client.Configuration()
    load: Callable[..., None] = config.load_kube_config  # has no types of its own
    try:
        load(config_file=str(kubeconfig), client_configuration=configuration)
        with client.ApiClient(configuration) as connection:
            yield connection
    except client.ApiException as refused:
        reason = str(refused.body or refused.reason)[:500]
        raise ClusterUnreachable(
            f"The cluster did not take what ChainGraph installs: HTTP {refused.status} {reason}",
            "The user of this context needs the rights of a cluster administrator, once, to install it.",
        ) from refused
    except (urllib3.exceptions.HTTPError, config.ConfigException) as error:
        raise ClusterUnreachable(f"The cluster of {kubeconfig} does not answer: {error}") from error


def apply(connection: Any, manifests: Iterable[Mapping[str, Any]]) -> None:
    """Applies each manifest; its kind must be one that ChainGraph installs.

    Raises:
        kubernetes.client.ApiException: the server refused one.
    """
    from kubernetes import client

    definitions, core = client.ApiextensionsV1Api(connection), client.CoreV1Api(connection)
    admission, rights = client.AdmissionregistrationV1Api(connection), client.RbacAuthorizationV1Api(connection)
    patch_of_kind: dict[str, Callable[..., object]] = {
        "CustomResourceDefinition": definitions.patch_custom_resource_definition,
        "ValidatingAdmissionPolicy": admission.patch_validating_admission_policy,
        "ValidatingAdmissionPolicyBinding": admission.patch_validating_admission_policy_binding,
        "ConfigMap": core.patch_namespaced_config_map,
        "Role": rights.patch_namespaced_role,
        "RoleBinding": rights.patch_namespaced_role_binding,
    }
    for manifest in manifests:
        metadata = manifest["metadata"]
        where = [metadata["namespace"]] if "namespace" in metadata else []
        patch_of_kind[manifest["kind"]](
            metadata["name"],
            *where,
            manifest,
            field_manager=_FIELD_MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
            _request_timeout=REQUEST_SECONDS,
        )
