"""Flows and Executions of one namespace through the API server, as `demo` needs them; blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import ClusterUnreachable, ResourceRefused
from chaingraph_crds import names

_FIELD_MANAGER: Final = "chaingraph-demo"
_REQUEST_SECONDS: Final = 15.0
_PLURALS: Final = {names.FLOW_KIND: names.FLOW_PLURAL, names.EXECUTION_KIND: names.EXECUTION_PLURAL}


class Resources:
    """The resources of a namespace. Every method raises ClusterUnreachable when the server does not answer."""

    def __init__(self, connection: Any, namespace: str) -> None:
        from kubernetes import client

        self._custom = client.CustomObjectsApi(connection)
        self.namespace = namespace

    def apply(self, manifest: dict[str, Any]) -> None:
        """Server-side apply of a Flow or an Execution.

        Raises:
            ResourceRefused: the server refused it; the message is the server's.
        """
        from kubernetes import client

        kind, name = manifest["kind"], manifest["metadata"]["name"]
        patch: Callable[..., object] = self._custom.patch_namespaced_custom_object
        try:
            patch(
                names.GROUP,
                names.VERSION,
                self.namespace,
                _PLURALS[kind],
                name,
                manifest,
                field_manager=_FIELD_MANAGER,
                force=True,
                _content_type="application/apply-patch+yaml",
                _request_timeout=_REQUEST_SECONDS,
            )
        except client.ApiException as refused:
            raise ResourceRefused(f"{kind} {name} was refused: {message_of(refused)}") from refused

    def executions(self) -> dict[str, dict[str, Any]]:
        """The Executions by name."""
        listed: Callable[..., Any] = self._custom.list_namespaced_custom_object
        found = listed(
            names.GROUP,
            names.VERSION,
            self.namespace,
            names.EXECUTION_PLURAL,
            _request_timeout=_REQUEST_SECONDS,
        )
        return {str(each["metadata"]["name"]): each for each in found["items"]}


@contextmanager
def new_namespace(kubeconfig: Path, wanted: str) -> Iterator[Resources]:
    """The resources of a namespace that is made now: `wanted`, or `wanted-2` and so on when it is there already.

    Raises:
        ClusterUnreachable: the server does not answer or does not let us.
    """
    # Here, not above: the client takes a second to import.
    import urllib3
    from kubernetes import client, config

    configuration = client.Configuration()
    load: Callable[..., None] = config.load_kube_config  # has no types of its own
    try:
        load(config_file=str(kubeconfig), client_configuration=configuration)
        with client.ApiClient(configuration) as connection:
            yield Resources(connection, _make_namespace(client.CoreV1Api(connection), wanted))
    except client.ApiException as refused:
        raise ClusterUnreachable(f"The cluster refused: {message_of(refused)}") from refused
    except (urllib3.exceptions.HTTPError, config.ConfigException) as error:
        raise ClusterUnreachable(f"The cluster of {kubeconfig} does not answer: {error}") from error


def _make_namespace(api: Any, wanted: str) -> str:
    existing = {each.metadata.name for each in api.list_namespace(_request_timeout=_REQUEST_SECONDS).items}
    number = 1
    while (name := wanted if number == 1 else f"{wanted}-{number}") in existing:
        number += 1
    api.create_namespace({"metadata": {"name": name}}, _request_timeout=_REQUEST_SECONDS)
    return name


def message_of(refused: Any) -> str:
    """What the API server said, of an ApiException."""
    import json

    try:
        return str(json.loads(refused.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"HTTP {refused.status} {refused.reason}"
