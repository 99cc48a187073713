"""From `kubectl apply` to Completed: API server, operator, PostgreSQL and worker are all real."""

from __future__ import annotations

import pytest

from fixtures.cluster.user import SUM, User, execution, flow
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration


def test_an_applied_execution_completes_with_its_outputs(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    user.apply(flow("sum", **SUM), execution("sum-1", flowRef={"name": "sum"}, inputs={"a": 40}))
    user.wait("sum-1")
    status = user.status("sum-1")
    assert (status["phase"], status["outputs"]) == ("Completed", {"total": 42})
    assert status["nodes"] == {
        "total": 1,
        "done": 1,
        "completed": 1,
        "failed": 0,
        "skipped": 0,
        "running": 0,
        "waiting": 0,
    }
    assert status["observedGeneration"] == 1
    assert status["flowRevision"] == user.get("cgf", "sum")["status"]["revision"]
    row = user.kubectl("get", "cgx", "sum-1").stdout.splitlines()[1].split()
    assert row[:5] == ["sum-1", "Completed", "sum", "1", "1"]
    described = user.kubectl("describe", "cgx", "sum-1").stdout
    assert "Normal  Completed" in described
