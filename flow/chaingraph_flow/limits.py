"""The limits of what a flow's values may cost: bytes, steps and connections.

Each field is a setting of the worker: `value_bytes` is `CHAINGRAPH_MAX_VALUE_BYTES`. Whoever meets a limit raises
`exceeded`, which names the limit, the measured size and the setting. Another try would meet the same limit, so none
follows. They are refused before the memory is spent; what gets past them is stopped from outside of the process.

The defaults fit together: one value of 16 MiB costs up to some 80 MiB as Python objects, a node has its inputs and its
outputs at the same time, and the journal of an execution is loaded in one piece when another worker goes on with it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from chaingraph_flow.errors import LimitExceeded

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How large and how much. Sizes are those of `json_values.size_of`: close to the bytes of the value as JSON."""

    value_bytes: int = 16 * MIB
    """One value: an output, or an input with what its edges bring."""
    node_bytes: int = 32 * MIB
    """The inputs of a node together; the outputs and emitted payloads of a node together; the flow's own outputs."""
    journal_bytes: int = 64 * MIB
    """The outputs and payloads of all nodes of an execution that have ended, over all its attempts."""
    log_bytes: int = 4 * MIB
    """Log messages of an execution in one run. Further ones are dropped, with one notice."""
    read_bytes: int = 16 * MIB
    """A response, as it comes and as unpacked; a text to be read as JSON or CSV."""
    template_text_bytes: int = 64 * 1024
    """A template itself: some seconds to parse."""
    template_steps: int = 1_000_000
    """Work of one rendering. A step is a turn, a call, an element that is looked at, or 16 characters."""
    template_bytes: int = 32 * MIB
    """Memory of all values that one rendering makes."""
    template_output_bytes: int = MIB
    """The text that a template makes."""
    http_connections: int = 10
    """Connections of an execution that are open at once. Further requests wait."""
    http_redirects: int = 5
    """Redirects that a request follows."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) < (0 if each.name == "http_redirects" else 1):
                raise ValueError(f"{each.name} must be at least 1, is {getattr(self, each.name)}")

    def exceeded(
        self, name: str, what: str, measured: int | None = None, *, does: str = "has", unit: str = "bytes"
    ) -> LimitExceeded:
        """The failure of a value or piece of work beyond the limit of this name.

        Args:
            name: A field of this class.
            what: The subject of the sentence: `the output 'rows'`.
            measured: How much it is; None when measuring stopped at the limit.
            does: The verb of the sentence.
            unit: What is counted.
        """
        limit: int = getattr(self, name)
        if measured is None or measured <= limit:
            return LimitExceeded(f"{what} {does} more than {limit} {unit}, which are the most ({setting(name)})")
        return LimitExceeded(f"{what} {does} {measured} {unit}; {limit} are the most ({setting(name)})")


def setting(name: str) -> str:
    """The environment variable that sets a limit."""
    return f"CHAINGRAPH_MAX_{name.upper()}"
