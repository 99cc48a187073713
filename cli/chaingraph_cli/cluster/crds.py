"""Installs the API (the CustomResourceDefinitions and their admission policy) by server-side apply.

Called by `up`, in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaingraph_cli.errors import ClusterUnreachable
from chaingraph_crds.manifests import crd_manifests
from chaingraph_crds.policies import policy_manifests

_FIELD_MANAGER = "chaingraph-up"
_ESTABLISHED_SECONDS = 30.0
_POLL_SECONDS = 0.05
_REQUEST_SECONDS = 15.0


def apply(kubeconfig: Path) -> None:
    """Apply everything and wait until the API server serves the resources; blocks.

    Raises:
        ClusterUnreachable: the server cannot be reached, refuses us, or does not establish them in time.
    """
    # Here, not above: the client takes a second to import.
    import urllib3
    from kubernetes import client, config

    configuration = client.Configuration()
    load: Callable[..., None] = config.load_kube_config  # has no types of its own
    try:
        load(config_file=str(kubeconfig), client_configuration=configuration)
        with client.ApiClient(configuration) as connection:
            definitions = client.ApiextensionsV1Api(connection)
            admission = client.AdmissionregistrationV1Api(connection)
            patch_of_kind: dict[str, Callable[..., object]] = {
                "CustomResourceDefinition": definitions.patch_custom_resource_definition,
                "ValidatingAdmissionPolicy": admission.patch_validating_admission_policy,
                "ValidatingAdmissionPolicyBinding": admission.patch_validating_admission_policy_binding,
            }
            manifests = crd_manifests()
            for manifest in (*manifests, *policy_manifests()):
                patch_of_kind[manifest["kind"]](
                    manifest["metadata"]["name"],
                    manifest,
                    field_manager=_FIELD_MANAGER,
                    force=True,
                    _content_type="application/apply-patch+yaml",
                    _request_timeout=_REQUEST_SECONDS,
                )
            _await_established(definitions, [each["metadata"]["name"] for each in manifests])
    except client.ApiException as refused:
        reason = str(refused.body or refused.reason)[:500]
        raise ClusterUnreachable(
            f"The cluster did not take ChainGraph's API: HTTP {refused.status} {reason}",
            "The user of this context needs the rights of a cluster administrator, once, to install them.",
        ) from refused
    except (urllib3.exceptions.HTTPError, config.ConfigException) as fault:
        raise ClusterUnreachable(f"The cluster of {kubeconfig} does not answer: {fault}") from fault


def _await_established(api: Any, names: list[str]) -> None:
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    for name in names:
        while not _established(api.read_custom_resource_definition(name, _request_timeout=_REQUEST_SECONDS)):
            if time.monotonic() > deadline:
                raise ClusterUnreachable(f"The cluster does not serve {name} after {_ESTABLISHED_SECONDS:g} s.")
            time.sleep(_POLL_SECONDS)


def _established(definition: Any) -> bool:
    conditions = (definition.status.conditions if definition.status else None) or ()
    return any(each.type == "Established" and each.status == "True" for each in conditions)
