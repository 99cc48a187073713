"""The reference page of both kinds, for docs/reference/api.md: written from the same schemas as the CRDs.

`make generate` calls `markdown`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from chaingraph_crds import names
from chaingraph_crds.conditions import CONDITION_MEANINGS, Condition
from chaingraph_crds.definitions.manifests import EXECUTION, FLOW, ResourceKind
from chaingraph_crds.definitions.structural import PRESERVE, VALIDATIONS, Schema, structural_schema
from chaingraph_crds.edits import EDITS
from chaingraph_crds.execution_status import PHASE_MEANINGS

_INTRODUCTION: Final = f"""\
<!-- Generated from the models in crds/chaingraph_crds by `make generate`. Do not edit. -->
# The API: Flow and Execution

Both kinds are namespaced and of `apiVersion: {names.API_VERSION}`; `kubectl get {names.CATEGORY}` lists them
together. The API server refuses unknown fields (`kubectl apply` validates strictly), wrong types and what breaks
a rule below; whether a graph makes sense (types, ports, cycles) the operator says in the Flow's condition `Ready`.
`kubectl explain {names.EXECUTION_SINGULAR}.spec --recursive` shows the same in a terminal.
"""
_ELSEWHERE: Final[Mapping[str, str]] = {
    "spec.flow": "Same fields as [a Flow's `spec`](#flow-spec).",
    "status.conditions": "See [Conditions](#conditions).",
}
"""Fields whose own fields have a place of their own on the page."""


def markdown() -> str:
    """The whole page."""
    parts = [
        _INTRODUCTION,
        *_kind(FLOW),
        *_kind(EXECUTION),
        "## Edits of an Execution's `spec`\n",
        "What an edit does once the execution is in the database. While it waits for its Flow, for its quota or for "
        "the first worker, it is not, and any edit takes effect.\n",
        _table(("Field", "An edit"), [(f"`{path}`", text) for path, text in EDITS.items()]),
        "## Phases of an Execution\n",
        "For people and columns; programs read the conditions.\n",
        _table(("Phase", "Meaning"), [(f"`{phase}`", text) for phase, text in PHASE_MEANINGS.items()]),
        "## Conditions\n",
        "A Flow has `Ready`, and `Reconciling` or `Stalled` while it is not ready. An Execution may have any.\n",
        _table(("Type", "Meaning"), [(f"`{kind}`", text) for kind, text in CONDITION_MEANINGS.items()]),
        "Each has the fields of `metav1.Condition`:\n",
        _table(("Field", "Type", "Meaning"), _rows("status", structural_schema(Condition, "", people_write=False))),
    ]
    return "\n".join(parts)


def _kind(kind: ResourceKind) -> Iterator[str]:
    yield f"## {kind.kind}\n"
    yield f"{kind.description}\n"
    yield f"`kubectl get {kind.short}` (or `{kind.plural}`) has these columns, those marked * with `-o wide`:\n"
    yield _table(
        ("Column", "Meaning"),
        [(f"{column.name}{'*' if column.priority else ''}", column.description) for column in kind.columns],
    )
    if kind.selectable:
        example = f"kubectl get {kind.short} --field-selector {kind.selectable[0].removeprefix('.')}=Running"
        fields = ", ".join(f"`{path[1:]}`" for path in kind.selectable)
        yield f"Field selectors, as in `{example}`, from Kubernetes 1.31 on: {fields}.\n"
    yield from _section(kind, "spec", structural_schema(kind.spec, "spec"))
    yield from _section(kind, "status", structural_schema(kind.status, "status", people_write=False))


def _section(kind: ResourceKind, path: str, schema: Schema) -> Iterator[str]:
    """The table of one object's fields and the rules on it, then the same of the objects within it."""
    yield f"### {kind.kind} `{path}`\n"
    yield f"{schema['description']}\n"
    yield _table(("Field", "Type", "Meaning"), _rows(path, schema))
    rules = [rule["message"] for rule in schema.get(VALIDATIONS, ()) if "immutable" not in rule["message"]]
    if rules:
        yield "Rules:\n"
        yield "".join(f"- {text}\n" for text in rules)
    for name, field in schema["properties"].items():
        yield from _within(kind, f"{path}.{name}", field)


def _rows(path: str, schema: Schema) -> list[tuple[str, str, str]]:
    required = schema.get("required", ()) if path.startswith("spec") else ()
    return [
        (f"`{name}`{' **required**' if name in required else ''}", _type(field), _meaning(f"{path}.{name}", field))
        for name, field in schema["properties"].items()
    ]


def _within(kind: ResourceKind, path: str, field: Schema) -> Iterator[str]:
    if path in _ELSEWHERE:
        return
    inner, inner_path = (field["items"], f"{path}[]") if "items" in field else (field, path)
    if "properties" in inner:
        yield from _section(kind, inner_path, inner)


def _type(schema: Mapping[str, Any]) -> str:
    match schema.get("type"):
        case None:
            return "any"
        case "array":
            return f"list of {_type(schema['items'])}"
        case "object" if schema.get(PRESERVE) or "additionalProperties" in schema:
            return "object, free-form"
        case "string" if schema.get("format") == "date-time":
            return "time"
        case str(name):
            return name
        case other:
            raise TypeError(f"type {other!r} of a schema")


def _meaning(path: str, field: Schema) -> str:
    """The description, what a spec's schema demands beyond it, and where the fields are if not on this path."""
    parts = [str(field["description"])]
    if not path.startswith("status"):
        parts += _demands(field)
    elif "enum" in field:
        parts.append(_choices(field))
    if path in _ELSEWHERE:
        parts.append(_ELSEWHERE[path])
    return " ".join(parts)


def _choices(field: Schema) -> str:
    return f"One of {', '.join(f'`{value}`' for value in field['enum'])}."


def _demands(field: Schema) -> Iterator[str]:
    if "enum" in field:
        yield _choices(field)
    texts = field.get("items", field)
    for each in texts.get(VALIDATIONS, ()):
        if "messageExpression" in each:
            yield f"Form: {each['message'].removeprefix('must be ')}."
    if "maxLength" in texts:
        yield f"At most {texts['maxLength']} characters."
    if "maxItems" in field:
        yield f"At most {field['maxItems']} items."
    if "maxProperties" in field:
        yield f"At most {field['maxProperties']} keys."
    if keys := field.get("x-kubernetes-list-map-keys"):
        yield f"No two of the same `{keys[0]}`."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
