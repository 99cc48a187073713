"""The identity of a flow's content. An execution pins the revision it started with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import orjson

from chaingraph_crds.flow import FlowSpec


def content(spec: FlowSpec) -> dict[str, Any]:
    """Return the flow as JSON, without defaults. The ledger keeps it under its revision."""
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def canonical(content: Mapping[str, Any]) -> bytes:
    """Serialize content canonically: keys sorted, no spaces."""
    try:
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Integers of more than 64 bits, and halves of surrogate pairs.
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def revision(spec: FlowSpec) -> str:
    """Return the SHA-256 of the flow's canonical JSON in hex. It is not shortened: a short one can be forged.

    Keys are sorted and defaults are left out, so neither the format of the YAML nor a field added by a later API
    version changes it.
    """
    return hashlib.sha256(canonical(content(spec))).hexdigest()
