"""One example for each built-in node, for the reference. A test validates each of them."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, str]] = {
    "Text": "{id: greeting, type: Text, inputs: {value: Hello}}",
    "Number": "{id: rate, type: Number, inputs: {value: 0.19}}",
    "Boolean": "{id: live, type: Boolean, inputs: {value: true}}",
    "Array": "{id: cities, type: Array, inputs: {value: [Bern, Basel], schema: {type: array, items: string}}}",
    "Object": "{id: order, type: Object, inputs: {value: {id: 7, customer: {name: Ann}}}}",
    "Branch": '{id: isLarge, type: Branch, inputs: {left: 12, operator: ">=", right: 10}}',
    "Switch": "{id: tier, type: Switch, inputs: {value: gold, cases: {gold: gold, silver: silver}}}",
    "Gate": "{id: gate, type: Gate, inputs: {value: 1, open: false}}",
    "Join": "{id: either, type: Join, inputs: {d: the last resort}}",
    "Call": "{id: check, type: Call, inputs: {subflow: page, cursor: 7}}",
    "ForEach": "{id: pages, type: ForEach, inputs: {subflow: item, items: [1, 2, 3], maxParallel: 2}}",
    "Repeat": "{id: poll, type: Repeat, inputs: {subflow: page, until: done, delaySeconds: 30}}",
    "Sleep": "{id: pause, type: Sleep, inputs: {milliseconds: 250}}",
    "WaitForSignal": "{id: paid, type: WaitForSignal, inputs: {schema: {type: object, properties: {amount: number}}}}",
    "Approval": '{id: ask, type: Approval, inputs: {prompt: "Deploy?", approvers: {groups: [release-managers]}}}',
    "WaitUntil": '{id: opening, type: WaitUntil, inputs: {time: "2026-01-31T09:00:00+01:00"}}',
    "EventEmitter": "{id: tell, type: EventEmitter, inputs: {eventName: order-placed, payload: {id: 7}}}",
    "EmitEach": "{id: tellAll, type: EmitEach, inputs: {eventName: city, items: [Bern, Basel]}}",
    "EventListener": (
        "{id: placed, type: EventListener, "
        "inputs: {eventName: order-placed, schema: {type: object, properties: {id: number}}}}"
    ),
    "IsRootExecution": "{id: atTop, type: IsRootExecution}",
    "Fail": "{id: refuse, type: Fail, inputs: {message: there is nothing to do}}",
    "Math": "{id: net, type: Math, inputs: {a: 119, b: 1.19, operation: divide}}",
    "And": "{id: both, type: And, inputs: {a: true, b: false}}",
    "Or": "{id: either, type: Or, inputs: {a: true, b: false}}",
    "Not": "{id: other, type: Not, inputs: {value: true}}",
    "Random": "{id: die, type: Random, inputs: {minimum: 1, maximum: 6, integer: true}}",
    "Element": "{id: second, type: Element, inputs: {items: [a, b, c], index: 1}}",
    "First": "{id: first, type: First, inputs: {items: [a, b, c]}}",
    "Last": "{id: last, type: Last, inputs: {items: [a, b, c]}}",
    "Length": "{id: howMany, type: Length, inputs: {value: [a, b, c]}}",
    "Slice": "{id: page, type: Slice, inputs: {items: [a, b, c], start: 1, count: 2}}",
    "Concat": "{id: all, type: Concat, inputs: {a: [1, 2], b: [3]}}",
    "Pluck": "{id: names, type: Pluck, inputs: {items: [{name: Bern}, {name: Basel}], field: name}}",
    "Filter": '{id: large, type: Filter, inputs: {items: [{kg: 1}, {kg: 9}], field: kg, operator: ">", value: 5}}',
    "Sort": "{id: sorted, type: Sort, inputs: {items: [{size: 1}, {size: 9}], field: size, descending: true}}",
    "Unique": "{id: distinct, type: Unique, inputs: {items: [a, b, a]}}",
    "Reduce": "{id: total, type: Reduce, inputs: {items: [{size: 1}, {size: 9}], field: size, operation: sum}}",
    "GroupBy": "{id: byCountry, type: GroupBy, inputs: {items: [{name: Bern, country: CH}], by: country}}",
    "Summarize": (
        "{id: perCountry, type: Summarize, "
        "inputs: {items: [{country: CH, size: 2}, {country: CH, size: 3}], by: country, field: size, operation: sum}}"
    ),
    "Keys": "{id: names, type: Keys, inputs: {object: {a: 1, b: 2}}}",
    "Values": "{id: numbers, type: Values, inputs: {object: {a: 1, b: 2}}}",
    "Merge": "{id: both, type: Merge, inputs: {a: {left: 1}, b: {right: 2}}}",
    "JSONRead": (
        '{id: parse, type: JSONRead, inputs: {text: "{\\"kg\\": 1}", schema: {type: object, properties: {kg: number}}}}'
    ),
    "JSONWrite": "{id: write, type: JSONWrite, inputs: {value: {size: 1}, indent: true}}",
    "Cast": "{id: asNumber, type: Cast, inputs: {value: 12, schema: number}}",
    "CSVRead": (
        '{id: read, type: CSVRead, inputs: {text: "name,size\\nBern,1", '
        "schema: {type: object, properties: {name: string, size: number or null}}}}"
    ),
    "ToText": "{id: shown, type: ToText, inputs: {value: {size: 1}}}",
    "ToNumber": '{id: parsed, type: ToNumber, inputs: {text: "12.5"}}',
    "HTTP": """\
{id: fetch, type: HTTP, timeoutSeconds: 60, retry: {maxAttempts: 5, backoffSeconds: 2},
 inputs: {baseUri: https://api.example.com, path: cities, query: {limit: 10},
          schema: {type: array, items: {type: object, properties: {name: string, population: number}}}}}""",
    "Template": (
        "{id: report, type: Template, "
        'inputs: {template: "{% for c in cities %}{{ c.name }} {% endfor %}", values: {cities: [{name: Bern}]}}}'
    ),
    "Expression": (
        "{id: large, type: Expression, inputs: {value: [{name: Bern, size: 1}, {name: Basel, size: 9}], "
        "expression: '[?size > `5`].{city: name}'}}"
    ),
    "SplitText": '{id: words, type: SplitText, inputs: {text: "Bern; Basel", separator: ";"}}',
    "JoinText": '{id: list, type: JoinText, inputs: {items: [Bern, Basel], separator: ", "}}',
    "DebugLog": "{id: say, type: DebugLog, inputs: {message: so far so good}}",
    "ServerTime": "{id: now, type: ServerTime}",
}
SUBFLOWS: Final = """
- name: page
  inputs: [{name: cursor, type: number, default: 0}]
  outputs: [{name: cursor, from: next.result}, {name: done, from: last.result}]
  nodes: [{id: next, type: Math, inputs: {b: 1}}, {id: last, type: Branch, inputs: {operator: ">=", right: 9}}]
  edges: [{from: inputs.cursor, to: next.a}, {from: next.result, to: last.left}]
- name: item
  inputs: [{name: item, type: number}]
  outputs: [{name: square, from: square.result}]
  nodes: [{id: square, type: Math, inputs: {operation: multiply}}]
  edges: [{from: inputs.item, to: square.a}, {from: inputs.item, to: square.b}]
"""
"""The subflows that the examples call."""
