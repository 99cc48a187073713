"""The environment variables that our processes have in common. Their settings are made from these classes."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class LoggingSettings(BaseSettings):
    """Of all that writes a log."""

    log_level: str = Field(
        default="info",
        pattern=r"(?i)^(debug|info|warning|error)$",
        validation_alias="LOG_LEVEL",
        description="debug, info, warning or error",
    )


class ServingSettings(LoggingSettings):
    """Of what runs until it is told to end, and serves its health and its figures meanwhile."""

    health_port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        validation_alias="CHAINGRAPH_HEALTH_PORT",
        description="the port of /healthz, /readyz and /metrics; 0 for a free one",
    )
    health_host: str = Field(
        default="0.0.0.0",
        min_length=1,
        validation_alias="CHAINGRAPH_HEALTH_HOST",
        description="the address of /healthz, /readyz and /metrics; :: where Pods have addresses of IPv6 alone",
    )
