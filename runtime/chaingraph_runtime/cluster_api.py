"""Requests to the API server, for the operator and the gateway.

Bounded connections, one timeout, JSON in and out, errors as `cluster_errors.ApiError`. Each request is sent once; the
caller decides whether to retry it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import orjson

from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.cluster_errors import Unavailable, of_status
from chaingraph_runtime.objects import read_any

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)

_LARGE: Final = 256 * 1024

Object = dict[str, Any]
Answered = Callable[[str, str, int, float], None]
"""Called for each finished request: method, path, status (0: no answer), seconds."""


class ClusterApi:
    """One session with the API server.

    Args:
        connections: maximum open connections.
        user_agent: our name in the API server's audit log.
        timeout: of one request.
    """

    def __init__(
        self, access: ClusterAccess, *, connections: int, user_agent: str, timeout: aiohttp.ClientTimeout = _TIMEOUT
    ) -> None:
        self._access = access
        self._connections = connections
        self._user_agent = user_agent
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self.answered: Answered = lambda *_: None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        """Send a request once and return the answer's object.

        Raises:
            NoCluster: the API server no longer accepts our credentials, and there are no others.
            ApiError: see `cluster_errors`.
        """
        headers = {"Accept": accept, "User-Agent": self._user_agent, **await self._access.headers()}
        if body is not None:
            headers["Content-Type"] = content_type
        # Nothing is awaited between here and the request: a renewal must not close the session in between.
        if self._session is None:
            self._session = self._access.session(connections=self._connections)
        session = self._session
        status, asked_at = 0, time.perf_counter()
        try:
            async with session.request(
                method,
                self._access.server + path,
                data=None if body is None else orjson.dumps(body),
                headers=headers,
                params=params,
                timeout=self._timeout,
            ) as response:
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(0, f"{method} {path}: {type(error).__name__}: {error}") from error
        finally:
            self.answered(method, path, status, time.perf_counter() - asked_at)
        if response.status == 401:
            await self._renew()
        if response.status >= 400:
            asked = _seconds(response.headers.get("Retry-After", ""))
            raise of_status(response.status, f"{method} {path}: {_message(answer)}", retry_after=asked)
        try:
            # Metadata in a list can take a megabyte per object: nothing else may wait while it is parsed.
            return await asyncio.to_thread(read_any, answer) if len(answer) > _LARGE else read_any(answer)
        except ValueError as error:
            raise Unavailable(0, f"{method} {path}: the answer is not a JSON object: {error}") from error

    async def _renew(self) -> None:
        """Renew rejected credentials: the next request uses new ones, over a new session."""
        session, self._session = self._session, None
        await self._access.renew()
        if session is not None:
            await session.close()


def _seconds(retry_after: str) -> float:
    """Parse the header. The API server sends whole seconds; a date from a proxy is ignored."""
    return float(retry_after) if retry_after.isdecimal() else 0.0


def _message(answer: bytes) -> str:
    """Return the message of a `Status` object, or the start of another answer (proxies answer in HTML)."""
    try:
        return str(orjson.loads(answer)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return answer[:200].decode(errors="replace")
