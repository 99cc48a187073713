"""Write the generated YAML files from the objects of `manifests` and `policies`."""

from typing import Any, Final

from chaingraph_crds.yaml.writing import written

HEADER: Final = "# Generated from the models in crds/chaingraph_crds by `make generate`. Do not edit.\n"


def yaml_text(*objects: dict[str, Any]) -> str:
    """Format the objects as YAML documents in their own order of keys, below the header."""
    documents = (written(item, allow_unicode=True, width=100) for item in objects)
    return HEADER + "---\n".join(documents)
