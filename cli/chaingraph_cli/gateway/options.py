"""The options for the gateway. Not in `client`, which takes longer to import."""

from __future__ import annotations

import argparse
import os
from typing import Final

from chaingraph_cli import discovery

VARIABLE: Final = "CHAINGRAPH_GATEWAY"
CA_VARIABLE: Final = "CHAINGRAPH_GATEWAY_CA"


def add_gateway(parser: argparse.ArgumentParser) -> None:
    """Add the options for the gateway."""
    group = parser.add_argument_group("gateway options")
    group.add_argument(
        "--gateway",
        metavar="URL",
        default=os.environ.get(VARIABLE, ""),
        help=f"Address of the gateway. Default: ${VARIABLE}, then ConfigMap {discovery.NAMESPACE}/{discovery.NAME}.",
    )
    group.add_argument(
        "--gateway-ca",
        metavar="FILE",
        default=os.environ.get(CA_VARIABLE, ""),
        help=f"CA certificates of the gateway. Default: ${CA_VARIABLE}, then the ConfigMap, then the system.",
    )
