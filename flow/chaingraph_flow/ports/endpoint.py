"""Parse the ends of edges: `node.port`, `fetch.response.items[0].name`, `rows.value["full.name"]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chaingraph_flow.ports.json_values import Segment

_HEAD = re.compile(r"(?P<node>[A-Za-z_][A-Za-z0-9_-]*)\.(?P<port>[A-Za-z_][A-Za-z0-9_-]*)")
_STEP = re.compile(r'\.(?P<name>[^\s.\[\]"]+)|\[(?P<index>\d{1,4})\]|\["(?P<quoted>[^"]*)"\]')


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of an edge: a port, and a path into its value."""

    node: str
    port: str
    segments: tuple[Segment, ...] = ()


def parse_endpoint(text: str) -> Endpoint | None:
    """Parse an endpoint, or return None when the text has another form. Indexes go up to 9999."""
    head = _HEAD.match(text)
    if head is None:
        return None
    segments: list[Segment] = []
    position = head.end()
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            return None
        if step["index"] is not None:
            segments.append(int(step["index"]))
        else:
            segments.append(step["name"] if step["name"] is not None else step["quoted"])
        position = step.end()
    return Endpoint(head["node"], head["port"], tuple(segments))
