"""Limits for the cost of a flow's values: bytes, steps and connections.

Each field is a setting of the worker: `value_bytes` is `CHAINGRAPH_MAX_VALUE_BYTES`. At a limit, the code raises
`exceeded`, which names the limit, the measured size and the setting. Another try would exceed the same limit, so none
follows. Limits are checked before the memory is used; whatever they miss is stopped from outside the process.

The defaults fit together: one value of 16 MiB costs up to about 80 MiB as Python objects, a node has its inputs and its
outputs at the same time, and the journal of an execution is loaded as a whole when another worker continues it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from chaingraph_flow.errors import LimitExceeded

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits. Sizes are those of `json_values.size_of`: close to the bytes of the value as JSON."""

    value_bytes: int = 16 * MIB
    """One value: an output, or an input including its edges."""
    node_bytes: int = 32 * MIB
    """All inputs of a node; all outputs and emitted payloads of a node; all outputs of the flow."""
    journal_bytes: int = 64 * MIB
    """The outputs and payloads of all finished nodes of an execution, over all its attempts."""
    log_bytes: int = 4 * MIB
    """Log messages of an execution in one run. Further ones are dropped, with one notice."""
    read_bytes: int = 16 * MIB
    """A response, compressed and uncompressed; a text to be parsed as JSON or CSV."""
    template_text_bytes: int = 64 * 1024
    """A template's text. At the limit, parsing takes some seconds."""
    template_steps: int = 1_000_000
    """Steps of one rendering or expression: an iteration, a call, an element that is visited, or 16 characters."""
    template_bytes: int = 32 * MIB
    """Memory of all values that one rendering or expression creates."""
    template_output_bytes: int = MIB
    """A text that a template writes, or an expression makes."""
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
        """Return the error of a value or piece of work that exceeds a limit.

        Args:
            name: a field of this class.
            what: the subject of the sentence: `output 'rows'`.
            measured: the size; None when measuring stopped at the limit.
            does: the verb of the sentence.
            unit: the unit of the limit.
        """
        limit: int = getattr(self, name)
        if measured is None or measured <= limit:
            return LimitExceeded(f"{what} {does} more than the limit of {limit} {unit} ({setting(name)})")
        return LimitExceeded(f"{what} {does} {measured} {unit}, the limit is {limit} ({setting(name)})")


def setting(name: str) -> str:
    """Return the environment variable of a limit."""
    return f"CHAINGRAPH_MAX_{name.upper()}"
