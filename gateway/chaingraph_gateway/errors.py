"""Errors of requests, as their senders get them: an HTTP status and a JSON object with a message.

Problem                the request cannot be answered; `status` is the HTTP status
├── BadRequest         400: the request itself is wrong; names the field, its value and a valid form
├── Unauthenticated    401: no credentials, or the token is not accepted
├── Forbidden          403: the caller lacks a right; names the RBAC rule
├── NotFound           404: there is no such thing, sent only to callers that may know
├── TooMany            429: the caller, or its address, has reached its limit; `setting` names the limit
├── TooLarge           413: a request with a body
├── Busy               503: this gateway has reached its limit; `setting` names the limit
└── ServiceUnavailable 503: PostgreSQL or the API server does not answer; try again
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final

_LONGEST_QUOTED: Final = 64
_BEGINNING: Final = 16


class GatewayError(Exception):
    """Base of this package's exceptions."""


class CertificateUnusable(GatewayError):
    """The serving certificate or its key is invalid. The message names the file."""


class PartEnded(GatewayError):
    """A permanent component of the gateway stopped. The process must exit, so that its supervisor restarts it."""


class Problem(GatewayError):
    """A request that cannot be answered.

    Args:
        message: what is wrong and what to do about it.
        fields: further fields of the answer, such as the field and its value.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: Mapping[str, str] = {}

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"status": int(self.status), "reason": type(self).__name__, "message": self.message, **self.fields}


class BadRequest(Problem):
    status = HTTPStatus.BAD_REQUEST

    def __init__(self, field: str, value: str, message: str) -> None:
        shown = value if len(value) <= _LONGEST_QUOTED else f"{value[:_BEGINNING]}… ({len(value)} characters)"
        super().__init__(f"{field}: {shown!r} {message}", field=field, value=shown)


class UnknownParameter(BadRequest):
    """An unknown parameter. Its value is not repeated, because it may be a token."""

    def __init__(self, name: str, message: str) -> None:
        Problem.__init__(self, f"{name[:_LONGEST_QUOTED]}: {message}", field=name[:_LONGEST_QUOTED])

    def document(self) -> dict[str, Any]:
        return super().document() | {"reason": "BadRequest"}


class Unauthenticated(Problem):
    status = HTTPStatus.UNAUTHORIZED
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="kubernetes"'}


class Forbidden(Problem):
    status = HTTPStatus.FORBIDDEN


class NotFound(Problem):
    status = HTTPStatus.NOT_FOUND


class TooMany(Problem):
    """A limit of one caller or one address.

    Args:
        retry_seconds: when to try again.
    """

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_seconds: int = 5, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.headers = {"Retry-After": str(retry_seconds)}


class TooLarge(Problem):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Busy(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers: Mapping[str, str] = {"Retry-After": "5"}


class ServiceUnavailable(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers: Mapping[str, str] = {"Retry-After": "1"}
