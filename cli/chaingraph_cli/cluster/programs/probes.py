"""Health checks of the processes of the cluster."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Literal

import httpx
import psycopg
from pydantic import BaseModel, ConfigDict

_TIMEOUT_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.03
_LONGEST_PAUSE_SECONDS = 0.25


class HttpProbe(BaseModel):
    """A GET request on loopback; healthy means status 200.

    Attributes:
        url: http or https.
        ca: PEM file with the CA of the server; None for http. It may not exist before the server has started, which
            counts as not healthy.
        certificate, key: PEM files of the client certificate, if the server requires one.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["http"] = "http"
    url: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class PostgresProbe(BaseModel):
    """A query; healthy means that it succeeds."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["postgres"] = "postgres"
    url: str


async def check(probe: HttpProbe | PostgresProbe) -> str | None:
    """Return None if healthy, else the reason in a few words, within two seconds."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await (_check_http(probe) if isinstance(probe, HttpProbe) else _check_postgres(probe))
    except TimeoutError:
        return f"no answer within {_TIMEOUT_SECONDS:g} s"


async def notes(probe: HttpProbe | PostgresProbe) -> list[str]:
    """Return the warnings of a healthy process; nothing if it is not healthy."""
    if not isinstance(probe, HttpProbe):
        return []
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), _client(probe) as client:
            response = await client.get(probe.url)
    except (TimeoutError, httpx.HTTPError, OSError):
        return []
    return response.text.splitlines()[1:] if response.status_code == httpx.codes.OK else []


async def until_healthy(probe: HttpProbe | PostgresProbe) -> None:
    """Wait until the probe is healthy; the caller limits the time."""
    pause = _FIRST_PAUSE_SECONDS
    while await check(probe) is not None:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)


async def _check_http(probe: HttpProbe) -> str | None:
    try:
        async with _client(probe) as client:
            response = await client.get(probe.url)
    except httpx.ConnectError:
        return "does not answer"
    except (httpx.HTTPError, OSError) as error:
        return str(error) or type(error).__name__
    if response.status_code == httpx.codes.OK:
        return None
    first_line = response.text.strip().partition("\n")[0][:120]
    return f"HTTP {response.status_code} {first_line}".strip()


def _client(probe: HttpProbe) -> httpx.AsyncClient:
    # trust_env=False: a proxy of the user's shell does not apply to loopback.
    return httpx.AsyncClient(verify=_tls(probe), trust_env=False)


def _tls(probe: HttpProbe) -> ssl.SSLContext | bool:
    if probe.ca is None:
        return False
    context = ssl.create_default_context(cafile=str(probe.ca))
    if probe.certificate is not None:
        context.load_cert_chain(probe.certificate, probe.key)
    return context


async def _check_postgres(probe: PostgresProbe) -> str | None:
    try:
        async with await psycopg.AsyncConnection.connect(probe.url, autocommit=True) as connection:
            await connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return None
