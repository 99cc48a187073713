"""The identity of a flow's content. An execution pins the revision it started with."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from chaingraph_crds.flow import FlowSpec


def content(spec: FlowSpec) -> dict[str, Any]:
    """The flow as JSON, as the ledger keeps it under its revision: without what equals its default."""
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def revision(spec: FlowSpec) -> str:
    """16 hex characters of the SHA-256 of the flow's canonical JSON.

    Keys are sorted and what equals its default is left out, so neither the spelling of the YAML nor a field that a
    later version of the API adds changes it.
    """
    return hashlib.sha256(orjson.dumps(content(spec), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
