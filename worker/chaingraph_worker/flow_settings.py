"""The limits of flows on a worker, as environment variables. Part of the worker's settings."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from pydantic import Field, field_validator

from chaingraph_runtime.environment import ServingSettings

_MIB: Final = 1024**2
_GIB: Final = 1024**3
_PREFIX: Final = "max_"


class FlowSettings(ServingSettings):
    """Each limit is a field of `chaingraph_flow.Limits` prefixed with `max_`: that class documents it.

    The worker itself reads no value of a flow, so it does not import them; a test keeps the defaults equal.
    """

    max_value_bytes: int = Field(
        16 * _MIB,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_VALUE_BYTES",
        description="Maximum size of one value of an output or an input: its bytes as JSON, and 32 for each "
        "list and object in it. A node that exceeds it fails with `LimitExceeded`, as with all limits here.",
    )
    max_node_bytes: int = Field(
        32 * _MIB,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_NODE_BYTES",
        description="Maximum size of all inputs of a node, of all its outputs, of its emitted payloads, and "
        "of a flow's outputs.",
    )
    max_journal_bytes: int = Field(
        64 * _MIB,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_JOURNAL_BYTES",
        description="Maximum size of all outputs of an execution's nodes. The node that exceeds it fails.",
    )
    max_log_bytes: int = Field(
        4 * _MIB,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_LOG_BYTES",
        description="Maximum bytes of log messages of an execution, plus 100 for each, until it ends or moves to "
        "another worker. Further ones are dropped, with one notice.",
    )
    max_read_bytes: int = Field(
        16 * _MIB,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_READ_BYTES",
        description="Maximum bytes of an HTTP response, compressed and uncompressed, and of a JSON or CSV text.",
    )
    max_template_text_bytes: int = Field(
        64 * 1024,
        ge=1024,
        le=1024**2,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_TEXT_BYTES",
        description="Maximum length of a template, in characters.",
    )
    max_template_steps: int = Field(
        1_000_000,
        ge=100,
        le=1_000_000_000,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_STEPS",
        description="Maximum steps of one Template or Expression: iterations, calls, visited elements, and every "
        "16 characters of a text are a step each.",
    )
    max_template_bytes: int = Field(
        32 * _MIB,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_BYTES",
        description="Maximum size of all values that one Template or Expression creates.",
    )
    max_template_output_bytes: int = Field(
        _MIB,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_OUTPUT_BYTES",
        description="Maximum length of a text that a Template writes or an Expression makes.",
    )
    max_http_connections: int = Field(
        10,
        ge=1,
        le=1000,
        validation_alias="CHAINGRAPH_MAX_HTTP_CONNECTIONS",
        description="Maximum HTTP connections that one execution has open at the same time. Further requests wait.",
    )
    namespace_http_connections: int = Field(
        50,
        ge=1,
        le=10_000,
        validation_alias="CHAINGRAPH_NAMESPACE_HTTP_CONNECTIONS",
        description="Maximum HTTP connections that the executions of one namespace have open at the same time in one "
        "worker. Each of them may have one.",
    )
    max_http_redirects: int = Field(
        5,
        ge=0,
        le=20,
        validation_alias="CHAINGRAPH_MAX_HTTP_REDIRECTS",
        description="Maximum redirects that an HTTP request follows.",
    )
    egress_allow: str = Field(
        "",
        validation_alias="CHAINGRAPH_EGRESS_ALLOW",
        description="Networks that flows may reach besides public addresses, separated by commas, such as "
        "`10.20.0.0/16,192.0.2.7`. Loopback, link-local, private, shared, multicast and reserved networks are closed "
        "otherwise. A cloud's metadata address must be listed itself.",
    )
    egress_deny: str = Field(
        "",
        validation_alias="CHAINGRAPH_EGRESS_DENY",
        description="Networks that flows may not reach, separated by commas, such as the API server's public address. "
        "Overrides the allowed networks.",
    )

    @field_validator("egress_allow", "egress_deny")
    @classmethod
    def _networks(cls, value: str) -> str:
        for entry in filter(None, (each.strip() for each in value.split(","))):
            try:
                ip_network(entry)
            except ValueError:
                raise ValueError(f"{entry!r} is not a network. Write it as 10.0.0.0/8, fd00::/8 or 192.0.2.7") from None
        return value

    @property
    def value_limits(self) -> dict[str, int]:
        """Return the limits by their names in `chaingraph_flow.Limits`."""
        return {
            name.removeprefix(_PREFIX): getattr(self, name)
            for name in FlowSettings.model_fields
            if name.startswith(_PREFIX)
        }
