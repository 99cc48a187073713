"""The health and metrics endpoint of a process: /healthz, /readyz and /metrics on one port.

Started by the mains of operator, workers and gateway, on their own event loop: an answer is proof that the loop turns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, disable_created_metrics, generate_latest

Check = Callable[[], str | None]
"""Says what is wrong, or None when nothing is."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CannotServe(OSError):
    """The address of health and metrics is not to be had. The message says what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        super().__init__(
            f"CHAINGRAPH_HEALTH_PORT is {port} and CHAINGRAPH_HEALTH_HOST {host}: {error.strerror or error}; give it a "
            "free port, or 0, and an address of this machine"
        )


class HealthServer:
    """Serves until `stop`. `live` failing means: restart me; `ready` failing: send me nothing yet.

    `notes` are lines that follow an `ok` of `ready`: what the process does without.
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
        # They double the series of every counter, for what nobody here asks.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        application = web.Application()
        application.router.add_get("/healthz", _answer(live, tuple))
        application.router.add_get("/readyz", _answer(ready, notes))
        application.router.add_get("/metrics", _metrics(registry))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Listens, and returns the port: the one asked for, or a free one for 0.

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
