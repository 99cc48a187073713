"""The gateway's settings, from environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from chaingraph_gateway.access.addresses import networks
from chaingraph_runtime.environment import ServingSettings
from chaingraph_store.errors import SettingsRefused
from chaingraph_store.ledger import checked_dsn


class Settings(ServingSettings):
    """All environment variables of the gateway, except those of the Kubernetes configuration (KUBECONFIG)."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    database_url: str = Field(
        validation_alias="DATABASE_URL_EXECUTIONS",
        description="PostgreSQL database of the ledger, as postgresql://user:password@host:5432/database. "
        "The gateway only reads.",
    )
    host: str = Field(
        default="0.0.0.0",
        min_length=1,
        validation_alias="CHAINGRAPH_GATEWAY_HOST",
        description="Address to listen at.",
    )
    port: int = Field(
        default=8443,
        ge=0,
        le=65535,
        validation_alias="CHAINGRAPH_GATEWAY_PORT",
        description="Port of the HTTPS server. 0 for a free one.",
    )
    certificate: Path = Field(
        validation_alias="CHAINGRAPH_TLS_CERTIFICATE",
        description="File of the serving certificate with its chain, PEM. Reloaded when it changes.",
    )
    key: Path = Field(
        validation_alias="CHAINGRAPH_TLS_KEY",
        description="File of the serving certificate's private key, PEM. Reloaded when it changes.",
    )
    heartbeat_seconds: float = Field(
        default=15,
        gt=0,
        le=300,
        validation_alias="CHAINGRAPH_HEARTBEAT_SECONDS",
        description="Seconds of silence after which a stream gets a comment, so that no proxy closes it, and after "
        "which its events are read without a notification; more than 0, at most 300.",
    )
    max_streams: int = Field(
        default=1000,
        ge=1,
        validation_alias="CHAINGRAPH_MAX_STREAMS",
        description="Maximum open streams of events, 1 or more. Further requests get 503. One in ten is reserved for "
        "callers without a stream.",
    )
    max_streams_per_caller: int = Field(
        default=100,
        ge=1,
        validation_alias="CHAINGRAPH_MAX_STREAMS_PER_CALLER",
        description="Maximum open streams of events of one caller, 1 or more. Further requests get 429. The service "
        "accounts of a namespace count as one caller.",
    )
    max_requests_per_caller: int = Field(
        default=30,
        ge=1,
        validation_alias="CHAINGRAPH_MAX_REQUESTS_PER_CALLER",
        description="Maximum concurrent requests of one caller, streams not counted, 1 or more. Further requests get "
        "429.",
    )
    max_connections: int = Field(
        default=2000,
        ge=1,
        validation_alias="CHAINGRAPH_MAX_CONNECTIONS",
        description="Maximum open connections, 1 or more. Further ones are closed immediately.",
    )
    max_connections_per_address: int = Field(
        default=200,
        ge=1,
        validation_alias="CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS",
        description="Maximum connections of one client address (a /64 network of IPv6), 1 or more. Requests on further "
        "ones get 429, and a quarter more are closed immediately. For clients of trusted proxies, requests count.",
    )
    trusted_proxies: str = Field(
        default="",
        validation_alias="CHAINGRAPH_TRUSTED_PROXIES",
        description="Addresses or networks of the proxies in front of the gateway, separated by commas, such as "
        "10.0.0.0/8. Their X-Forwarded-For is trusted. Empty to trust none.",
    )
    head_seconds: float = Field(
        default=10,
        gt=0,
        le=300,
        validation_alias="CHAINGRAPH_HEAD_SECONDS",
        description="Timeout in seconds of a TLS handshake, and of receiving a request's head; more than 0, at most "
        "300",
    )
    idle_seconds: float = Field(
        default=75,
        gt=0,
        le=3600,
        validation_alias="CHAINGRAPH_IDLE_SECONDS",
        description="Seconds after which an idle connection is closed; more than 0, at most 3600, and longer than a "
        "proxy in front of the gateway keeps idle connections.",
    )
    stall_seconds: float = Field(
        default=60,
        ge=1,
        le=3600,
        validation_alias="CHAINGRAPH_STALL_SECONDS",
        description="Seconds after which a reader that takes nothing is disconnected, from 1 to 3600.",
    )
    max_head_bytes: int = Field(
        default=65_536,
        ge=4096,
        le=1_048_576,
        validation_alias="CHAINGRAPH_MAX_HEAD_BYTES",
        description="Maximum bytes of a request's head, from 4096 to 1048576. Tokens of users in many groups are long.",
    )
    page_bytes: int = Field(
        default=1_000_000,
        ge=10_000,
        le=16_000_000,
        validation_alias="CHAINGRAPH_PAGE_BYTES",
        description="Bytes of records after which a page of a journal ends, from 10000 to 16000000.",
    )
    inline_bytes: int = Field(
        default=32_768,
        ge=1024,
        le=1_000_000,
        validation_alias="CHAINGRAPH_INLINE_BYTES",
        description="Maximum bytes of a node's record, of an event and of an execution's outputs in pages and streams, "
        "from 1024 to 1000000. Larger ones are left out, and have requests of their own.",
    )
    max_large_reads: int = Field(
        default=16,
        ge=1,
        le=1000,
        validation_alias="CHAINGRAPH_MAX_LARGE_READS",
        description="Maximum concurrent requests for large values, from 1 to 1000. Each takes 8 MB. One caller may use "
        "a quarter of them.",
    )
    token_audiences: str = Field(
        default="chaingraph-gateway",
        validation_alias="CHAINGRAPH_TOKEN_AUDIENCES",
        description="Audiences that a token may be bound to, separated by commas. Such a token is not valid for the "
        "API server.",
    )
    accept_api_tokens: bool = Field(
        default=True,
        validation_alias="CHAINGRAPH_ACCEPT_API_TOKENS",
        description="Whether to accept tokens for the API server too, as in kubeconfigs: true or false.",
    )
    token_cache_seconds: float = Field(
        default=10,
        gt=0,
        le=300,
        validation_alias="CHAINGRAPH_TOKEN_CACHE_SECONDS",
        description="Seconds for which an accepted token and a right are remembered; more than 0, at most 300.",
    )
    max_token_reviews: int = Field(
        default=8,
        ge=1,
        le=100,
        validation_alias="CHAINGRAPH_MAX_TOKEN_REVIEWS",
        description="Maximum concurrent token reviews by the API server, from 1 to 100. Eight times as many may wait, "
        "two times as many of one address.",
    )
    failed_tokens_per_minute: int = Field(
        default=60,
        ge=1,
        validation_alias="CHAINGRAPH_FAILED_TOKENS_PER_MINUTE",
        description="Invalid tokens of one address within a minute, 1 or more. Beyond that, new tokens from there "
        "get 429.",
    )
    reauthorize_seconds: float = Field(
        default=60,
        gt=0,
        le=3600,
        validation_alias="CHAINGRAPH_REAUTHORIZE_SECONDS",
        description="Maximum seconds between two checks of whether the reader of an open stream may still read; more "
        "than 0, at most 3600.",
    )
    stream_seconds: float = Field(
        default=1800,
        ge=1,
        allow_inf_nan=False,
        validation_alias="CHAINGRAPH_STREAM_SECONDS",
        description="Seconds after which a stream of events is ended, so that its subscriber reconnects, 1 or more. "
        "Each stream gets a random time from once to twice as long.",
    )
    pool_size: int = Field(
        default=8,
        ge=2,
        le=100,
        validation_alias="CHAINGRAPH_GATEWAY_CONNECTIONS",
        description="Connections to PostgreSQL, besides the listening one, from 2 to 100.",
    )

    @field_validator("database_url")
    @classmethod
    def _usable_dsn(cls, value: str) -> str:
        try:
            return checked_dsn(value)
        except SettingsRefused as error:
            raise ValueError(str(error).partition(": ")[2]) from error

    @field_validator("trusted_proxies")
    @classmethod
    def _usable_networks(cls, value: str) -> str:
        try:
            networks(value)
        except ValueError as error:
            raise ValueError(f"{error}. Use addresses or networks, separated by commas") from error
        return value

    @model_validator(mode="after")
    def _some_token_is_taken(self) -> Settings:
        if not self.accept_api_tokens and not self.audiences:
            raise ValueError(
                "CHAINGRAPH_TOKEN_AUDIENCES is empty and CHAINGRAPH_ACCEPT_API_TOKENS is false: no token is accepted. "
                "Set an audience, or accept tokens for the API server"
            )
        return self

    @property
    def audiences(self) -> tuple[str, ...]:
        return tuple(each.strip() for each in self.token_audiences.split(",") if each.strip())

    @field_validator("certificate", "key")
    @classmethod
    def _readable(cls, value: Path) -> Path:
        if not value.is_file():
            raise ValueError("file not found. Set it to a file in PEM format")
        return value
