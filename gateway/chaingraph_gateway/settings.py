"""The gateway's settings, from environment variables. Read once by `main`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from chaingraph_process.environment import ServingSettings
from chaingraph_store.errors import SettingsRefused
from chaingraph_store.ledger import checked_dsn


class Settings(ServingSettings):
    """Every variable that the gateway reads, but for those of the Kubernetes configuration (KUBECONFIG)."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    database_url: str = Field(
        validation_alias="DATABASE_URL_EXECUTIONS",
        description="the PostgreSQL database of the ledger, as postgresql://user:password@host:5432/database; "
        "the gateway reads only",
    )
    host: str = Field(
        default="0.0.0.0",
        min_length=1,
        validation_alias="CHAINGRAPH_GATEWAY_HOST",
        description="the address to listen at",
    )
    port: int = Field(
        default=8443,
        ge=0,
        le=65535,
        validation_alias="CHAINGRAPH_GATEWAY_PORT",
        description="the port of the HTTPS server; 0 for a free one",
    )
    certificate: Path = Field(
        validation_alias="CHAINGRAPH_TLS_CERTIFICATE",
        description="the file of the serving certificate with its chain, PEM; read again when it changes",
    )
    key: Path = Field(
        validation_alias="CHAINGRAPH_TLS_KEY",
        description="the file of the serving certificate's private key, PEM; read again when it changes",
    )
    heartbeat_seconds: float = Field(
        default=15,
        gt=0,
        le=300,
        validation_alias="CHAINGRAPH_HEARTBEAT_SECONDS",
        description="seconds of silence after which a stream gets a comment, so that nobody in between closes it, "
        "and after which its events are looked for without a notification; more than 0, at most 300",
    )
    max_streams: int = Field(
        default=1000,
        ge=1,
        validation_alias="CHAINGRAPH_MAX_STREAMS",
        description="streams of events that are open at the same time, 1 or more; further requests get 503",
    )
    stream_seconds: float = Field(
        default=1800,
        ge=1,
        allow_inf_nan=False,
        validation_alias="CHAINGRAPH_STREAM_SECONDS",
        description="seconds after which a stream of events is ended, so that its subscriber comes back and is asked "
        "for its rights again; each stream gets once to twice as many, by chance; 1 or more",
    )
    pool_size: int = Field(
        default=8,
        ge=2,
        le=100,
        validation_alias="CHAINGRAPH_GATEWAY_CONNECTIONS",
        description="connections to PostgreSQL, besides the one that listens; from 2 to 100",
    )

    @field_validator("database_url")
    @classmethod
    def _usable_dsn(cls, value: str) -> str:
        try:
            return checked_dsn(value)
        except SettingsRefused as error:
            raise ValueError(str(error).partition(": ")[2]) from error

    @field_validator("certificate", "key")
    @classmethod
    def _readable(cls, value: Path) -> Path:
        if not value.is_file():
            raise ValueError("there is no such file; name one in PEM")
        return value
