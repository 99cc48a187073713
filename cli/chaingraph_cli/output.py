"""How a command prints what it found: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class OutputFormat(StrEnum):
    """The values of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def dump(content: Mapping[str, Any], form: OutputFormat) -> str:
    """The content as JSON or YAML text (not a table, which each command makes itself)."""
    if form is OutputFormat.YAML:
        import yaml

        return yaml.safe_dump(dict(content), sort_keys=False).rstrip("\n")
    return json.dumps(content, indent=2)
