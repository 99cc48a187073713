"""The text of the generated YAML files: `manifests` and `policies` give the objects, this writes them."""

from typing import Any, Final

from chaingraph_crds.yaml.writing import written

HEADER: Final = "# Generated from the models in crds/chaingraph_crds by `make generate`. Do not edit.\n"


def yaml_text(*objects: dict[str, Any]) -> str:
    """The objects as YAML documents in their own order of keys, below the header that says what writes them."""
    documents = (written(item, allow_unicode=True, width=100) for item in objects)
    return HEADER + "---\n".join(documents)
