"""Errors between our processes and the API server, each with its remedy.

ClusterError
├── NoCluster          no access to an API server is configured: set KUBECONFIG, or run in a Pod with a service account
└── ApiError           the API server refused; `status` is its HTTP status
    ├── NotFound       404: the object or its kind is gone
    ├── Conflict       409: another object has that name by now, or it exists already
    ├── Gone           410: a list's continuation has expired: list again from the start
    ├── Rejected       400, 422: the request itself is wrong: do not repeat it
    └── Unavailable    401, 429, 5xx, no connection, timeout: try again later
"""


class ClusterError(Exception):
    """Base of the errors of API server access."""


class NoCluster(ClusterError):
    """There is no valid kubeconfig and no service account. The message says what was tried."""


class ApiError(ClusterError):
    """The API server answered with an error. The subclass says what to do.

    Attributes:
        status: the answer's HTTP status; 0 for no answer.
        retry_after: the seconds that it requests to wait; 0 when it does not say.
    """

    def __init__(self, status: int, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.retry_after = retry_after


class NotFound(ApiError):
    """There is no such object, or no such kind. Forget it; the watch reports the same."""


class Conflict(ApiError):
    """The object of that name has another UID, or exists already. Do not repeat the request."""


class Gone(ApiError):
    """The continuation of a list has expired. Start the list again."""


class Rejected(ApiError):
    """The API server will never accept this request. Fix the sender."""


class Unavailable(ApiError):
    """The API server is unavailable or overloaded, or the credentials are being renewed. Retry the request later.

    `status` 0: no answer at all.
    """


def of_status(status: int, message: str, *, retry_after: float = 0.0) -> ApiError:
    """Return the exception for an HTTP status of 400 or above."""
    kinds: dict[int, type[ApiError]] = {400: Rejected, 404: NotFound, 409: Conflict, 410: Gone, 422: Rejected}
    if status in kinds:
        return kinds[status](status, message)
    if status in (401, 429) or status >= 500:
        return Unavailable(status, message, retry_after=retry_after)
    return ApiError(status, message)
