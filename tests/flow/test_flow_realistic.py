"""Flows as people write them: they validate without casts, and run."""

from __future__ import annotations

from chaingraph_flow import ExternalEvent, FlowOutcome
from fixtures.flows.runs import run_flow

QUAKES = """
    description: The strongest earthquake of a CSV feed, with an event when it is strong
    inputs: [{name: csv, type: string, required: true}]
    nodes:
    - id: read
      type: CSVRead
      inputs: {schema: {type: object, properties: {place: string, mag: number or null, depth: number}}}
    - {id: worst, type: Sort, inputs: {field: mag, descending: true}}
    - {id: first, type: First}
    - {id: strong, type: Branch, inputs: {operator: ">=", right: 6}}
    - {id: alert, type: EventEmitter, inputs: {eventName: quake, payload: {kind: strong}}}
    - {id: text, type: Template, inputs: {template: "Strong: {{ q.place }}"}}
    - {id: calm, type: Text, inputs: {value: all calm}}
    - {id: say, type: Join}
    - id: handler
      type: EventListener
      inputs: {eventName: quake, schema: {type: object, properties: {place: string}}}
    - {id: message, type: Template, inputs: {template: "{{ place }}!"}}
    edges:
    - {from: inputs.csv, to: read.text}
    - {from: read.rows, to: worst.items}
    - {from: worst.result, to: first.items}
    - {from: first.result.mag, to: strong.left}
    - {from: strong.result, to: alert.__execute}
    - {from: first.result.place, to: alert.payload.place}
    - {from: first.result, to: text.values.q}
    - {from: alert.__success, to: text.__execute}
    - {from: strong.otherwise, to: calm.__execute}
    - {from: text.result, to: say.a}
    - {from: calm.value, to: say.b}
    - {from: handler.payload.place, to: message.values.place}
    outputs: [{name: text, from: say.result}, {name: message, from: message.result}]
"""


async def test_quakes_flow_branches_emits_and_handles_event() -> None:
    strong = await run_flow(QUAKES, inputs={"csv": "place,mag,depth,more\nTokyo,6.5,10,x\nRome,,3,y\n"})
    assert strong.result.outputs == {"text": "Strong: Tokyo"}
    (emission,) = strong.result.emissions
    assert (emission.name, emission.payload) == ("quake", {"kind": "strong", "place": "Tokyo"})
    calm = await run_flow(QUAKES, inputs={"csv": "place,mag,depth\nRome,2,3\n"})
    assert (calm.result.outputs, calm.result.emissions) == ({"text": "all calm"}, ())
    child = await run_flow(QUAKES, inputs={"csv": ""}, trigger=[ExternalEvent(emission.name, emission.payload)])
    assert child.result.outputs == {"message": "Tokyo!"}
    broken = await run_flow(QUAKES, inputs={"csv": "place,mag,depth\nRome,2\n"})
    assert broken.result.error is not None
    assert broken.result.error.message.startswith("line 2: depth is empty")


async def test_summary_flow_aggregates_service_rows() -> None:
    run = await run_flow("""
        inputs: [{name: body, type: string}, {name: least, type: number, default: 100000}]
        nodes:
        - id: parse
          type: JSONRead
          inputs:
            schema:
              type: object
              properties:
                updated: string
                cities:
                  type: array
                  items: {type: object, properties: {name: string, country: string, n: number or null}}
        - {id: big, type: Filter, inputs: {field: n, operator: ">="}}
        - {id: byCountry, type: Summarize, inputs: {by: country, field: n, operation: sum}}
        - {id: top, type: Sort, inputs: {field: value, descending: true}}
        - {id: total, type: Reduce, inputs: {field: n}}
        - {id: names, type: Pluck, inputs: {field: name}}
        - {id: average, type: Math, inputs: {operation: divide}}
        - {id: each, type: EmitEach, inputs: {eventName: city}}
        - id: report
          type: Template
          inputs:
            values: {heading: Cities}
            template: |-
              {{ heading }} of {{ updated }}: {{ total | numeral }}
              {% for row in rows %}{{ row.key }} {{ row.count }} {{ row.value | numeral }}; {% endfor %}{{ first }}
        edges:
        - {from: inputs.body, to: parse.text}
        - {from: inputs.least, to: big.value}
        - {from: parse.value.cities, to: big.items}
        - {from: big.result, to: byCountry.items}
        - {from: byCountry.rows, to: top.items}
        - {from: big.result, to: total.items}
        - {from: big.result, to: names.items}
        - {from: big.result, to: each.items}
        - {from: total.result, to: average.a}
        - {from: each.count, to: average.b}
        - {from: top.result, to: report.values.rows}
        - {from: total.result, to: report.values.total}
        - {from: "names.result[0]", to: report.values.first}
        - {from: parse.value.updated, to: report.values.updated}
        outputs:
        - {name: report, from: report.result}
        - {name: topCountry, from: "top.result[0].key"}
        - {name: average, from: average.result}
    """, inputs={"body": """{"updated": "2026", "cities": [
        {"name": "Bern", "country": "CH", "n": 134000}, {"name": "Basel", "country": "CH", "n": 178000},
        {"name": "Lyon", "country": "FR", "n": 522000}, {"name": "X", "country": "FR", "n": null}]}"""})  # fmt: skip
    assert run.result.outputs == {
        "report": "Cities of 2026: 834,000\nFR 1 522,000; CH 2 312,000; Bern",
        "topCountry": "FR",
        "average": 278000,
    }
    assert len(run.result.emissions) == 3


async def test_triage_flow_applies_rate_and_falls_back() -> None:
    run = await run_flow("""
        nodes:
        - id: order
          type: Object
          inputs: {value: {customer: {tier: gold}, lines: [{sku: a, price: 3.5}, {sku: b, price: 10}]}}
        - {id: tier, type: Switch, inputs: {cases: {gold: gold, silver: silver}}}
        - {id: goldRate, type: Number, inputs: {value: 0.1}}
        - {id: silverRate, type: Number, inputs: {value: 0.05}}
        - {id: noRate, type: Number, inputs: {value: 0}}
        - {id: rate, type: Join}
        - {id: sum, type: Reduce, inputs: {field: price}}
        - {id: discount, type: Math, inputs: {operation: multiply}}
        - id: check
          type: HTTP
          inputs: {baseUri: "http://127.0.0.1:1", schema: {type: object, properties: {ok: boolean}}}
        - {id: fallback, type: Text, inputs: {value: unchecked}}
        - {id: verdict, type: Join}
        - {id: result, type: Object}
        edges:
        - {from: order.value.customer.tier, to: tier.value}
        - {from: tier.gold, to: goldRate.__execute}
        - {from: tier.silver, to: silverRate.__execute}
        - {from: tier.default, to: noRate.__execute}
        - {from: goldRate.value, to: rate.a}
        - {from: silverRate.value, to: rate.b}
        - {from: noRate.value, to: rate.c}
        - {from: order.value.lines, to: sum.items}
        - {from: sum.result, to: discount.a}
        - {from: rate.result, to: discount.b}
        - {from: check.__error, to: fallback.__execute}
        - {from: check.response.ok, to: verdict.a}
        - {from: fallback.value, to: verdict.b}
        - {from: discount.result, to: result.value.discount}
        - {from: verdict.result, to: result.value.verdict}
        - {from: "order.value.lines[1].sku", to: "result.value.skus[0]"}
        outputs: [{name: result, from: result.value}]
    """)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert run.result.outputs["result"] == {"discount": 1.35, "verdict": "unchecked", "skus": ["b"]}
