"""Reads YAML and JSON files as kubectl does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import Usage

_MOST_WARNINGS: Final = 5


def documents(file: str) -> list[Any]:
    """Read the documents of a file (- for stdin). Warnings go to stderr.

    Raises:
        Usage: it cannot be read.
    """
    # Imported late: PyYAML takes longer than most verbs.
    from chaingraph_crds.yaml.nodes import YamlError
    from chaingraph_crds.yaml.reading import read

    try:
        reading = read(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise Usage(f"Cannot read {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Usage(f"{file} is not valid UTF-8: {error}.") from error
    except YamlError as error:
        raise Usage(f"{file} is not valid YAML or JSON: {error}.") from error
    warnings = list(dict.fromkeys(reading.warnings))
    for each in warnings[:_MOST_WARNINGS]:
        print(f"Warning: {'stdin' if file == '-' else file}, {each}", file=sys.stderr)
    if len(warnings) > _MOST_WARNINGS:
        print(f"Warning: and {len(warnings) - _MOST_WARNINGS} more warnings", file=sys.stderr)
    return reading.documents
