"""The address of health and metrics: as it was asked for, or a reason that names the variables."""

from __future__ import annotations

import socket

import httpx
import pytest
from prometheus_client import CollectorRegistry

from chaingraph_runtime.http import CannotServe, HealthServer


def server(host: str, port: int) -> HealthServer:
    return HealthServer(port, host=host, ready=lambda: None, live=lambda: "stuck", registry=CollectorRegistry())


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))]
)
async def test_health_server_answers_at_its_address(host: str) -> None:
    made = server(host, 0)
    port = await made.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://{f'[{host}]' if ':' in host else host}:{port}") as client:
            assert (await client.get("/readyz")).text == "ok\n"
            live = await client.get("/healthz")
        assert (live.status_code, live.text) == (503, "stuck\n")
    finally:
        await made.stop()


async def test_health_server_names_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        made = server("127.0.0.1", port)
        with pytest.raises(CannotServe, match=f"CHAINGRAPH_HEALTH_PORT is {port} .*address already in use. Set a free"):
            await made.start()
        await made.stop()


async def test_health_server_names_foreign_address() -> None:
    made = server("192.0.2.1", 0)
    with pytest.raises(CannotServe, match=r"CHAINGRAPH_HEALTH_HOST is 192\.0\.2\.1: .* an address of this machine"):
        await made.start()
    await made.stop()
