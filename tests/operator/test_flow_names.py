"""What the operator tells the ledger of the names of Flows: at once, once, and also of what it did not see happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_flow.registry import Registry
from chaingraph_flow.revision import content, revision
from chaingraph_operator.decide.flow_status import NotValidated, Unparseable, Validated
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.reconcile.flow_names import FlowNames, named
from chaingraph_operator.reconcile.flows import Flows
from chaingraph_store.flows import flow_names
from chaingraph_store.flows.flow_names import Content, FlowName, Named
from chaingraph_store.health import LedgerHealth
from chaingraph_store.ledger import Connection, Ledger
from fixtures.cluster.execution_cases import FLOW as NEEDS_INPUT
from fixtures.cluster.view import Cluster
from fixtures.ledger.ledger import row_of
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.cut_off import DistantLedger
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

TEXT = {"nodes": [{"id": "a", "type": "Text"}]}
LONGER = {"nodes": [{"id": "a", "type": "Text"}, {"id": "b", "type": "Text"}]}
ACME = {"nodes": [{"id": "a", "type": "acme.Shout"}]}
REPORT: FlowName = ("team", "report")


def right(spec: dict[str, Any]) -> Named:
    flow = FlowSpec.model_validate(spec)
    return Named(revision(flow), len(flow.nodes))


def test_a_flow_without_errors_has_a_revision_with_its_content() -> None:
    flow = FlowSpec.model_validate(TEXT | {"inputs": [{"name": "days", "type": "number", "default": 3}]})
    assert named(Validated(flow, "r1", ())) == (Named("r1", 1), Content(content(flow), {"days": 3}))


ERRORS = (
    FieldError("spec.nodes[0].type", ErrorCode.UNKNOWN_NODE_TYPE, "there is no 'Tex'\nnor anything like it"),
    FieldError("spec.nodes[1].id", ErrorCode.DUPLICATE_NODE_ID, "twice"),
    FieldError("spec.nodes[2].id", ErrorCode.DUPLICATE_NODE_ID, "thrice"),
)


@pytest.mark.parametrize(
    ("validation", "reason", "problem"),
    [
        (
            Validated(FlowSpec.model_validate(TEXT), "r", ERRORS[:1]),
            "UnknownNodeType",
            "spec.nodes[0].type: there is no 'Tex'",
        ),
        (
            Validated(FlowSpec.model_validate(TEXT), "r", ERRORS),
            "FlowInvalid",
            "spec.nodes[0].type: there is no 'Tex' (and 2 more)",
        ),
        (
            Unparseable(("spec.odd: unknown",)),
            "FlowInvalid",
            "This operator version cannot read the flow: spec.odd: unknown",
        ),
        (
            NotValidated(NEEDS_INPUT, "r"),
            "WaitingForWorkers",
            "No worker has published its node types yet. The flow is validated as soon as the first worker starts.",
        ),
    ],
)
def test_unrunnable_flow_has_a_one_line_problem(validation: Any, reason: str, problem: str) -> None:
    assert named(validation) == (Named(None, problem=problem, reason=reason), None)


def test_flow_that_needs_inputs_can_be_called_and_takes_no_events() -> None:
    found, content = named(Validated(NEEDS_INPUT, "r", ()))
    problem = "events provide no inputs: the flow requires input 'city' of type string"
    assert found == Named("r", 1, problem, "InvalidInputs")
    assert content is not None


class CountingLedger(Ledger):
    """Counts how often something was asked of it or told."""

    asked = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        self.asked += 1
        async with super().connection() as connection:
            yield connection


class Keeper:
    """FlowNames beside the index of Flows that it tells of, fed by hand."""

    def __init__(self, ledger: Ledger, *, namespaces: Iterable[str] = ("team",)) -> None:
        metrics = Metrics()
        self.flows = Flows(WorkQueue[Key](), wake=lambda _: None)
        self.flows.use(Registry.discover().catalogue)
        self.names = FlowNames(self.flows, ledger, namespaces=tuple(namespaces), metrics=metrics)
        self.health = LedgerHealth(ledger, writes=True)

    def see(self, spec: dict[str, Any], flow: FlowName = REPORT, *, version: int = 1) -> None:
        namespace, name = flow
        metadata = {"namespace": namespace, "name": name, "uid": name, "generation": version}
        self.flows.observed({"metadata": metadata | {"resourceVersion": str(version)}, "spec": spec})
        self.names.changed(flow)

    def miss(self, flow: FlowName = REPORT) -> None:
        self.flows.vanished(Key(*flow, flow[1]))
        self.names.changed(flow)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.health.retry("flow names", self.names.run))
        yield
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def published(ledger: Ledger) -> dict[FlowName, Named]:
    async with ledger.connection() as connection:
        return await flow_names.published(connection, namespaces=None)


async def expect(ledger: Ledger, expected: dict[FlowName, Named], *, within: float = 10) -> None:
    found: list[dict[FlowName, Named]] = []

    async def look() -> bool:
        found[:] = [await published(ledger)]
        return found[0] == expected

    await eventually(look, within=within, what=lambda: f"{expected}, not {found}")


async def put(ledger: Ledger, flow: FlowName, value: Named) -> None:
    async with ledger.connection() as connection:
        await flow_names.publish(connection, flow, value, Content(TEXT, {}) if value.revision else None)


@pytest.mark.integration
async def test_flow_names_publish_changes_and_deletions_only(database_url: str) -> None:
    ledger = CountingLedger(database_url, application_name="tests", pool_size=3)
    await ledger.open()
    other = Ledger(database_url, application_name="beside", pool_size=1)
    await other.open()
    keeper = Keeper(ledger)
    async with keeper.at_work():
        keeper.see(TEXT)
        await expect(other, {REPORT: right(TEXT)})
        keeper.see(LONGER, version=2)
        await expect(other, {REPORT: right(LONGER)})
        asked = ledger.asked
        for version in range(3, 8):
            keeper.see(LONGER, version=version)
            await asyncio.sleep(0.02)
        keeper.flows.use(Registry.discover().catalogue)
        keeper.names.changed(REPORT)
        await asyncio.sleep(0.2)
        assert ledger.asked == asked
        keeper.miss()
        await expect(other, {})
    again = Keeper(ledger)
    again.see(TEXT)
    await put(other, REPORT, right(TEXT))
    asked = ledger.asked
    async with again.at_work():
        await asyncio.sleep(0.3)
        assert ledger.asked == asked + 1, "an operator that starts reads what is there, and finds it right"
    for each in (ledger, other):
        await each.close()


@pytest.mark.integration
async def test_changed_catalogue_republishes_the_flow(ledger: Ledger) -> None:
    keeper = Keeper(ledger)
    async with keeper.at_work():
        keeper.see(TEXT)
        await expect(ledger, {REPORT: right(TEXT)})
        keeper.flows.use(Catalogue([]))
        keeper.names.changed(REPORT)

        async def refused() -> bool:
            return (await published(ledger))[REPORT].problem.startswith("spec.nodes[0].type: ")

        await eventually(refused, what="the problem")
        assert (await published(ledger))[REPORT].revision is None


@pytest.mark.integration
async def test_flow_changes_in_a_postgresql_outage_are_published_later(
    ledger: Ledger, distant_ledger: DistantLedger
) -> None:
    proxy, cut_off = distant_ledger
    keeper = Keeper(cut_off)
    flows = [("team", f"flow-{number}") for number in range(10)]
    async with keeper.at_work():
        for flow in [REPORT, *flows[:5]]:
            keeper.see(TEXT, flow)
        await expect(ledger, {flow: right(TEXT) for flow in [REPORT, *flows[:5]]})
        proxy.cut()
        keeper.miss()
        for flow in flows[5:]:
            keeper.see(TEXT, flow)
        keeper.see(LONGER, flows[0], version=2)

        async def noticed() -> bool:
            return keeper.health.error() is not None

        await eventually(noticed, what="the outage")
        proxy.restore()
        await expect(ledger, {flow: right(TEXT) for flow in flows} | {flows[0]: right(LONGER)}, within=30)


@pytest.mark.integration
async def test_refused_flow_name_does_not_delay_the_others(ledger: Ledger) -> None:
    async with ledger.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN IF NEW.name = 'refused' THEN RAISE EXCEPTION 'not allowed'; END IF; RETURN NEW; END$$"
        )
        await connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON chaingraph.flows FOR EACH ROW EXECUTE FUNCTION no()"
        )
    keeper = Keeper(ledger)
    async with keeper.at_work():
        keeper.see(TEXT, ("team", "refused"))
        keeper.see(TEXT)
        await expect(ledger, {REPORT: right(TEXT)})
        async with ledger.connection() as connection:
            await connection.execute("DROP TRIGGER no ON chaingraph.flows")
        await expect(ledger, {REPORT: right(TEXT), ("team", "refused"): right(TEXT)})


@pytest.mark.integration
async def test_comparison_fixes_differences_but_spares_late_flows(ledger: Ledger) -> None:
    kept, gone, late, mine = [("team", name) for name in ("kept", "gone", "late", "mine")]
    elsewhere = ("other", "gone")
    keeper = Keeper(ledger)
    for flow in (kept, gone, late, elsewhere):
        await put(ledger, flow, right(TEXT))
    async with keeper.at_work():
        keeper.see(TEXT, kept)
        keeper.see(TEXT, mine)
        await expect(ledger, {flow: right(TEXT) for flow in (kept, gone, late, elsewhere, mine)})
        # Somebody else writes last, and a name is lost: nothing tells us.
        await put(ledger, kept, Named(None, problem="somebody else's view"))
        async with ledger.connection() as connection:
            await flow_names.forget(connection, mine)
        found = await keeper.names.published()
        assert elsewhere not in found
        await keeper.names.compare(found, {kept, late, mine})
        await expect(ledger, {flow: right(TEXT) for flow in (kept, late, elsewhere, mine)})


@pytest.mark.integration
async def test_flow_names_follow_flows_across_operator_downtime(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    kept, gone, lacks = [(cluster.namespace, name) for name in ("kept", "gone", "lacks")]
    elsewhere = ("somewhere-else", "gone")
    await put(ledger, elsewhere, right(TEXT))
    await start_worker()
    operator = run_operator()
    for flow, spec in ((kept, TEXT), (gone, TEXT), (lacks, ACME)):
        cluster.apply("Flow", flow[1], spec)

    async def lacking() -> bool:
        return (await published(ledger)).get(lacks, Named("")).problem.startswith("spec.nodes[0].type: ")

    await eventually(lacking, what="the problem")
    problem = (await published(ledger))[lacks]
    rest = {elsewhere: right(TEXT), lacks: problem}
    await expect(ledger, rest | {kept: right(TEXT), gone: right(TEXT)})
    execution = cluster.apply("Execution", "first", {"flowRef": {"name": "kept"}})
    assert (await row_of(ledger, (await cluster.row(execution)).id)).flow_revision == right(TEXT).revision
    operator.kill()
    cluster.kubectl("delete", "flow", "gone")
    cluster.apply("Flow", "kept", LONGER)
    run_operator()
    await expect(ledger, rest | {kept: right(LONGER)})
    cluster.kubectl("delete", "flow", "kept", "lacks")
    await expect(ledger, {elsewhere: right(TEXT)})
