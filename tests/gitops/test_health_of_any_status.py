"""Whatever status the operator may write: nobody takes an Execution for well before it completed, or for failed before
its end, and Argo CD and kstatus never disagree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide.plan import ObjectMeta, Verdict, Wait
from chaingraph_operator.decide.status import execution_status
from chaingraph_store.executions import ExecutionRow
from fixtures import soak
from fixtures.chart.evaluators import Evaluators
from fixtures.cluster.execution_cases import NOW, metas, rows, spec_of, specs, statuses

_VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(
    [Wait("FlowNotFound", "none"), Wait("FlowInvalid", "wrong", stalled=True)]
)


def _object(status: dict[str, Any], *, generation: int) -> dict[str, Any]:
    return {
        "apiVersion": "chaingraph.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": "nightly", "namespace": "team", "generation": generation},
        "spec": spec_of().manifest(),
        "status": status,
    }


@pytest.mark.soak
@settings(max_examples=soak.examples(300), deadline=None)
@given(spec=specs, meta=metas, row=rows, verdict=_VERDICTS, previous=statuses, behind=st.integers(0, 1))
def test_argo_cd_and_kstatus_agree(
    evaluators: Evaluators,
    spec: ExecutionSpec,
    meta: ObjectMeta,
    row: ExecutionRow | None,
    verdict: Verdict,
    previous: ExecutionStatus,
    behind: int,
) -> None:
    status = execution_status(meta, spec, row, None if row else verdict, previous, now=NOW)
    found = _object(status, generation=meta.generation + behind)
    health, kstatus = evaluators.health(found)["status"], evaluators.kstatus(found)
    stalled = any(each["type"] == "Stalled" for each in status["conditions"])
    if behind or (status["phase"] != "Completed" and not stalled):
        assert health in ("Progressing", "Suspended")
        assert kstatus == "InProgress"
        assert (health == "Progressing") or not behind
    elif status["phase"] == "Completed":
        assert (health, kstatus) == ("Healthy", "Current")
    else:
        assert (health, kstatus) == ("Degraded", "Failed")


def test_unobserved_execution_is_in_progress(evaluators: Evaluators) -> None:
    unseen = _object({"observedGeneration": -1}, generation=1)
    assert evaluators.health(unseen)["status"] == "Progressing"
    assert evaluators.kstatus(unseen) == "InProgress"
