"""Build the two CustomResourceDefinitions from the models.

`make generate` writes `crd_yaml` of both kinds to `crds/`; `chaingraph up` and the tests apply `crd_manifests`.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from chaingraph_crds import names
from chaingraph_crds.definitions.structural import Schema, structural_schema
from chaingraph_crds.execution import ExecutionSpec, ExecutionStatus
from chaingraph_crds.flow import FlowSpec, FlowStatus
from chaingraph_crds.messages.text import yaml_text

Manifest = dict[str, Any]

UNSEEN_STATUS: Final = {"observedGeneration": -1}
"""Default of every status. Without it, kstatus takes an object that no operator has seen for a finished one."""


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`. Priority 1 shows with `-o wide` only."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0
    description: str = ""

    def manifest(self) -> Manifest:
        built: Manifest = {"name": self.name, "type": self.type, "jsonPath": self.json_path}
        if self.description:
            built["description"] = self.description
        if self.priority:
            built["priority"] = self.priority
        return built


@dataclass(frozen=True)
class ResourceKind:
    """The content of a CustomResourceDefinition besides the schemas of spec and status."""

    kind: str
    plural: str
    singular: str
    short: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.plural}.{names.GROUP}"


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date", description="Time since creation.")

FLOW: Final = ResourceKind(
    kind=names.FLOW_KIND,
    plural=names.FLOW_PLURAL,
    singular=names.FLOW_SINGULAR,
    short=names.FLOW_SHORT,
    description="A Flow is a graph of typed nodes. Executions run it; by itself it does nothing.",
    spec=FlowSpec,
    status=FlowStatus,
    columns=(
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status", description="Whether it can run."),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", description="Reason why it is ready or not."),
        Column("Nodes", ".status.nodes", "integer", description="Number of nodes."),
        Column("Revision", ".status.revision", priority=1, description="Hash of its content."),
        Column(
            "Message",
            ".status.conditions[?(@.type=='Ready')].message",
            priority=1,
            description="The first error, if any.",
        ),
        _AGE,
    ),
)

EXECUTION: Final = ResourceKind(
    kind=names.EXECUTION_KIND,
    plural=names.EXECUTION_PLURAL,
    singular=names.EXECUTION_SINGULAR,
    short=names.EXECUTION_SHORT,
    description="An Execution is one durable run of a flow: creating it starts the run, "
    "fields of its spec pause, step, resume, stop and retry it, its status shows progress and results.",
    spec=ExecutionSpec,
    status=ExecutionStatus,
    columns=(
        Column("Phase", ".status.phase", description="The state in one word."),
        Column("Flow", ".spec.flowRef.name", description="Flow that it runs; empty for an inline graph."),
        Column(
            "Done",
            ".status.nodes.done",
            "integer",
            description="Finished nodes: completed, failed or skipped.",
        ),
        Column("Total", ".status.nodes.total", "integer", description="Nodes of the graph."),
        Column(
            "Waiting",
            ".status.conditions[?(@.type=='Waiting')].reason",
            description="Kind of its wait, when nothing else is left to do.",
        ),
        Column("Attempt", ".status.attempt", "integer", priority=1, description="Current or last attempt."),
        Column("Current", ".status.currentNodes", priority=1, description="Nodes that are running or held."),
        Column("Worker", ".status.worker", priority=1, description="Worker that runs it."),
        Column("Version", ".status.workerVersion", priority=1, description="Version of that worker."),
        Column("Parent", ".spec.spawnedBy.parentName", priority=1, description="The Execution that spawned it."),
        Column(
            "Message",
            ".status.conditions[?(@.type=='Succeeded')].message",
            priority=1,
            description="State, or error message.",
        ),
        _AGE,
    ),
    selectable=(".status.phase", ".spec.flowRef.name", ".spec.queue", ".status.rootExecutionID"),
)

_KINDS: Final = {kind.kind: kind for kind in (FLOW, EXECUTION)}


def crd_manifests() -> list[Manifest]:
    """Return both CustomResourceDefinitions as JSON objects, Flow first."""
    return [_manifest(kind) for kind in _KINDS.values()]


def crd_manifest(kind: str) -> Manifest:
    """Return the CustomResourceDefinition of one kind.

    Raises:
        KeyError: unknown kind; `names.KINDS` has the known ones.
    """
    return _manifest(_KINDS[kind])


def crd_yaml(kind: str) -> str:
    """Return the text of the YAML file, with a header that says what generates it.

    Raises:
        KeyError: unknown kind; `names.KINDS` has the known ones.
    """
    return yaml_text(crd_manifest(kind))


def crd_filename(kind: str) -> str:
    """Return the name of the committed file, as controller-gen names it: `chaingraph.dev_flows.yaml`."""
    return f"{names.GROUP}_{_KINDS[kind].plural}.yaml"


def _manifest(kind: ResourceKind) -> Manifest:
    version: Manifest = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.manifest() for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    version["schema"] = {"openAPIV3Schema": _root_schema(kind)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": kind.name,
            "labels": {"app.kubernetes.io/name": "chaingraph", "app.kubernetes.io/part-of": "chaingraph"},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": [names.CATEGORY],
            },
            "versions": [version],
        },
    }


def _root_schema(kind: ResourceKind) -> Schema:
    status = structural_schema(kind.status, "status", people_write=False)
    return {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"`{names.API_VERSION}`.", "type": "string"},
            "kind": {"description": f"`{kind.kind}`.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(kind.spec, "spec"),
            "status": {**status, "default": UNSEEN_STATUS},
        },
    }
