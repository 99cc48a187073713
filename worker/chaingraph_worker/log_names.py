"""Add the execution's name to log records of DBOS, which knows workflow ids and logs in threads of its own."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from typing import Final

from chaingraph_crds.names import EXECUTION_KIND
from chaingraph_store.ids import ExecutionId

_EXECUTION: Final = re.compile(r"\bEX[A-Z2-7]{24}\b")
_REMEMBERED: Final = 10_000
_names: Final[OrderedDict[str, tuple[str, str]]] = OrderedDict()


def remember(execution: ExecutionId, namespace: str, name: str) -> None:
    """Remember namespace and name of an execution that this process runs; the oldest of 10,000 is forgotten."""
    _names[execution] = namespace, name
    _names.move_to_end(execution)
    if len(_names) > _REMEMBERED:
        _names.popitem(last=False)


def name_execution(record: logging.LogRecord) -> bool:
    """Add the fields `execution_id`, `namespace` and `name` to a record, as far as known. A logging filter."""
    # DBOS puts the workflow into the message, or into a field of the record.
    said = f"{record.getMessage()} {getattr(record, 'operationUUID', '')}"
    if (found := _EXECUTION.search(said)) is not None:
        record.execution_id = found[0]
        if (known := _names.get(found[0])) is not None:  # read once: the event loop forgets names meanwhile
            namespace, name = known
            # As kopf names an object; a record's own `name` is its logger's.
            record.k8s_ref = {"kind": EXECUTION_KIND, "namespace": namespace, "name": name}
    return True
