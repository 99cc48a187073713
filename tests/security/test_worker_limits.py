"""The administrator's settings of a worker hold for the flows that it runs."""

from __future__ import annotations

from typing import Any

import pytest

from chaingraph_store.ledger import Ledger
from fixtures.flows.http_server import raw_server
from fixtures.ledger.ledger import ended
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker

pytestmark = pytest.mark.integration


def node(type_: str, **inputs: Any) -> dict[str, Any]:
    return {"nodes": [{"id": "it", "type": type_, "inputs": inputs}]}


async def test_worker_settings_decide_over_egress_and_sizes(ledger: Ledger, run_worker: RunWorker) -> None:
    with raw_server() as server, raw_server("127.0.0.2") as other:
        allowed = await create_of(ledger, node("HTTP", baseUri=server.url))
        closed = await create_of(ledger, node("HTTP", baseUri=other.url))
        large = await create_of(ledger, node("Text", value="x" * 5000))
        run_worker(CHAINGRAPH_EGRESS_ALLOW="127.0.0.1", CHAINGRAPH_MAX_VALUE_BYTES="4096")
        assert (await ended(ledger, allowed)).phase == "Completed"
        row = await ended(ledger, closed)
        assert (row.phase, row.error_reason) == ("Failed", "EgressDenied")
        row = await ended(ledger, large)
        assert (row.phase, row.error_reason) == ("Failed", "LimitExceeded")
        assert "CHAINGRAPH_MAX_VALUE_BYTES" in row.error_message
        assert (len(server.requests), len(other.requests)) == (1, 0)
