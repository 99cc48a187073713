"""What the flows of a worker may cost and reach, as environment variables. Part of the worker's settings."""

from __future__ import annotations

from dataclasses import fields

from pydantic import Field, field_validator

from chaingraph_flow import Egress, Limits
from chaingraph_flow.egress import parse_networks
from chaingraph_process.environment import ServingSettings

_DEFAULT = Limits()
_GIB = 1024**3


class FlowSettings(ServingSettings):
    """Each limit is a field of `Limits` behind `max_`, where it says what it counts and why."""

    max_value_bytes: int = Field(
        _DEFAULT.value_bytes,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_VALUE_BYTES",
        description="the size of one value that an output or an input may have: its bytes as JSON, and 32 for each "
        "list and object in it. A node that goes beyond fails with `LimitExceeded`, as with all limits here",
    )
    max_node_bytes: int = Field(
        _DEFAULT.node_bytes,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_NODE_BYTES",
        description="the size of all inputs of a node together, of all its outputs, of the payloads that it emits, and "
        "of a flow's outputs",
    )
    max_journal_bytes: int = Field(
        _DEFAULT.journal_bytes,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_JOURNAL_BYTES",
        description="the size of everything that the nodes of an execution put out. The node that passes it fails",
    )
    max_log_bytes: int = Field(
        _DEFAULT.log_bytes,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_LOG_BYTES",
        description="bytes of log messages of an execution, 100 for each beside its text, until it ends or moves to "
        "another worker; further ones are dropped with one notice",
    )
    max_read_bytes: int = Field(
        _DEFAULT.read_bytes,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_READ_BYTES",
        description="bytes of an HTTP response, as it comes and as unpacked, and of a text that is read as JSON or CSV",
    )
    max_template_text_bytes: int = Field(
        _DEFAULT.template_text_bytes,
        ge=1024,
        le=1024**2,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_TEXT_BYTES",
        description="the template itself, in characters",
    )
    max_template_steps: int = Field(
        _DEFAULT.template_steps,
        ge=100,
        le=1_000_000_000,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_STEPS",
        description="the work of one Template: turns of loops, calls, elements that are looked at, and 16 characters "
        "of a text are a step each",
    )
    max_template_bytes: int = Field(
        _DEFAULT.template_bytes,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_BYTES",
        description="the size of all values that one Template makes while it writes",
    )
    max_template_output_bytes: int = Field(
        _DEFAULT.template_output_bytes,
        ge=1024,
        le=_GIB,
        validation_alias="CHAINGRAPH_MAX_TEMPLATE_OUTPUT_BYTES",
        description="the text that a Template writes",
    )
    max_http_connections: int = Field(
        _DEFAULT.http_connections,
        ge=1,
        le=1000,
        validation_alias="CHAINGRAPH_MAX_HTTP_CONNECTIONS",
        description="HTTP connections that one execution has open at once; further requests wait for one",
    )
    max_http_redirects: int = Field(
        _DEFAULT.http_redirects,
        ge=0,
        le=20,
        validation_alias="CHAINGRAPH_MAX_HTTP_REDIRECTS",
        description="redirects that an HTTP request follows",
    )
    egress_allow: str = Field(
        "",
        validation_alias="CHAINGRAPH_EGRESS_ALLOW",
        description="networks that flows may reach beside public addresses, separated by commas, such as "
        "`10.20.0.0/16,192.0.2.7`. Loopback, link-local, private, shared, multicast and reserved networks are closed "
        "otherwise. A cloud's metadata address opens only when it is named itself",
    )
    egress_deny: str = Field(
        "",
        validation_alias="CHAINGRAPH_EGRESS_DENY",
        description="networks that flows may not reach, separated by commas, such as the API server's public address. "
        "Goes before what is allowed",
    )

    @field_validator("egress_allow", "egress_deny")
    @classmethod
    def _networks(cls, value: str) -> str:
        parse_networks(value)
        return value

    @property
    def flow_limits(self) -> Limits:
        """The limits that engines run with."""
        return Limits(**{each.name: getattr(self, f"max_{each.name}") for each in fields(Limits)})

    @property
    def egress(self) -> Egress:
        """The addresses that nodes may reach."""
        return Egress.of(self.egress_allow, self.egress_deny)
