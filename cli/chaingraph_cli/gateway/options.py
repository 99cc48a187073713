"""The options that name the gateway. Apart from `gateway_client`, whose imports take longer."""

from __future__ import annotations

import argparse
import os
from typing import Final

from chaingraph_cli import discovery

VARIABLE: Final = "CHAINGRAPH_GATEWAY"
CA_VARIABLE: Final = "CHAINGRAPH_GATEWAY_CA"


def add_gateway(parser: argparse.ArgumentParser) -> None:
    """The options that name the gateway."""
    group = parser.add_argument_group("where the gateway is")
    group.add_argument(
        "--gateway",
        metavar="URL",
        default=os.environ.get(VARIABLE, ""),
        help=f"Its address; by default ${VARIABLE}, else as ConfigMap {discovery.NAMESPACE}/{discovery.NAME} says.",
    )
    group.add_argument(
        "--gateway-ca",
        metavar="FILE",
        default=os.environ.get(CA_VARIABLE, ""),
        help=f"Certificates to verify it by; by default ${CA_VARIABLE}, else the ConfigMap's, else the system's.",
    )
