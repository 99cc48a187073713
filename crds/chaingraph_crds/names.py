"""The names under which the API server knows the two kinds.

Everything that builds a URL, a manifest or an owner reference takes them from here.
"""

from typing import Final

GROUP: Final = "chaingraph.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "chaingraph"

FLOW_KIND: Final = "Flow"
FLOW_PLURAL: Final = "flows"
FLOW_SINGULAR: Final = "flow"
FLOW_SHORT: Final = "cgf"

EXECUTION_KIND: Final = "Execution"
EXECUTION_PLURAL: Final = "executions"
EXECUTION_SINGULAR: Final = "execution"
EXECUTION_SHORT: Final = "cgx"

FLOW_CRD: Final = f"{FLOW_PLURAL}.{GROUP}"
EXECUTION_CRD: Final = f"{EXECUTION_PLURAL}.{GROUP}"

KINDS: Final = (FLOW_KIND, EXECUTION_KIND)
