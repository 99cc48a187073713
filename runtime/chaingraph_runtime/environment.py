"""The environment variables that our processes have in common, as base classes of their settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class LoggingSettings(BaseSettings):
    """Settings of every process with a log."""

    log_level: str = Field(
        default="info",
        pattern=r"(?i)^(debug|info|warning|error)$",
        validation_alias="LOG_LEVEL",
        description="Log level: debug, info, warning or error.",
    )


class ServingSettings(LoggingSettings):
    """Settings of every long-running process with an endpoint for health and metrics."""

    health_port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        validation_alias="CHAINGRAPH_HEALTH_PORT",
        description="Port of /healthz, /readyz and /metrics. 0 for a free one.",
    )
    health_host: str = Field(
        default="0.0.0.0",
        min_length=1,
        validation_alias="CHAINGRAPH_HEALTH_HOST",
        description="Address of /healthz, /readyz and /metrics. Use :: for Pods with IPv6 addresses only.",
    )
