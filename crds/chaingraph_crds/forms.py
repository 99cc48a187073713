"""The formats of the API's strings: a pattern for the schema, and a description for messages and the reference."""

from collections.abc import Mapping
from typing import Final

IDENTIFIER: Final = r"^[A-Za-z_][A-Za-z0-9_-]*$"
"""For node ids, inputs and outputs: no dots, so that `node.port` is unambiguous."""
NODE_PATH: Final = r"^[A-Za-z_][A-Za-z0-9_-]*(\[[0-9]{1,5}\])?(\.[A-Za-z_][A-Za-z0-9_-]*(\[[0-9]{1,5}\])?)*$"
"""A node id, or its path inside the subflows that nodes call: `pages[12].fetch`."""
NODE_TYPE: Final = r"^[A-Za-z][A-Za-z0-9_.-]*$"
ENDPOINT: Final = r"^[A-Za-z_][A-Za-z0-9_-]*\.[^.\s][^\s]*$"
"""`node.port` and any path after it. The flow package checks the format of the path."""
RESOURCE_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
OPTIONAL_RESOURCE_NAME: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
QUEUE: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
TOKEN: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.:+]*[A-Za-z0-9])?$"  # a time with its zone is one
EXECUTION_ID: Final = r"^EX[A-Z2-7]{24}$"
RETRY_REASON: Final = r"^[A-Z][A-Za-z0-9]*$"
CONDITION_REASON: Final = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
"""The pattern of `metav1.Condition`."""

FORMS: Final[Mapping[str, str]] = {
    IDENTIFIER: "a letter or '_', then letters, digits, '_' and '-'",
    NODE_PATH: "a node id, or the path of a node inside a subflow, such as pages[12].fetch",
    NODE_TYPE: "a letter, then letters, digits, '_', '.' and '-'",
    ENDPOINT: "an endpoint: 'node.port', or 'node.port.path'",
    RESOURCE_NAME: "the name of a Kubernetes object: small letters, digits, '-' and '.'",
    OPTIONAL_RESOURCE_NAME: "empty or the name of a Kubernetes object (small letters, digits, '-' and '.')",
    QUEUE: "letters, digits, '-', '_' and '.', a letter or digit at both ends",
    TOKEN: "letters, digits and '-_.:+', a letter or digit at both ends",
    EXECUTION_ID: "an execution id: 'EX', then 24 capital letters and digits from 2 to 7",
    RETRY_REASON: "one word in CamelCase, such as NodeTimeout or HTTP5xx",
    CONDITION_REASON: "one word in CamelCase",
}
