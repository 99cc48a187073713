"""The health and metrics endpoint of a process: /healthz, /readyz and /metrics on one port.

It runs on the process's own event loop: an answer proves that the loop is running.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, disable_created_metrics, generate_latest

Check = Callable[[], str | None]
"""Returns the current problem, or None."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CannotServe(OSError):
    """The address for health and metrics is not available. The message says what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        super().__init__(
            f"CHAINGRAPH_HEALTH_PORT is {port} and CHAINGRAPH_HEALTH_HOST is {host}: {error.strerror or error}. Set a "
            "free port, or 0, and an address of this machine"
        )


class HealthServer:
    """Serves until `stop`. A failing `live` means: restart the process; a failing `ready`: send it no traffic yet.

    `notes` are lines after an `ok` of `ready`, with warnings.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str,
        ready: Check,
        live: Check,
        registry: CollectorRegistry,
        notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        # They double the series of every counter, without use here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        application = web.Application()
        application.router.add_get("/healthz", _answer(live, tuple))
        application.router.add_get("/readyz", _answer(ready, notes))
        application.router.add_get("/metrics", _metrics(registry))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Listen, and return the port: the requested one, or a free one for 0.

        Raises:
            CannotServe: the port is taken, or the address is not of this machine.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            raise CannotServe(self._host, self._port, error) from error
        address: tuple[str, int] = self._runner.addresses[0]
        return address[1]

    async def stop(self) -> None:
        await self._runner.cleanup()


def _answer(check: Check, notes: Callable[[], Sequence[str]]) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        error = check()
        lines = [error] if error else ["ok", *notes()]
        return web.Response(text="".join(f"{line}\n" for line in lines), status=503 if error else 200)

    return handler


def _metrics(registry: CollectorRegistry) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handler
