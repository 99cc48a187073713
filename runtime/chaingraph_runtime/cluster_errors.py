"""What can go wrong between a process of ours and the API server. Each says what to do about it.

ClusterError
├── NoCluster          no way to the API server is configured: set KUBECONFIG, or run in a Pod with a service account
└── ApiError           the API server refused; `status` is its HTTP status
    ├── NotFound       404: the object or its kind is gone
    ├── Conflict       409: another object has that name by now, or it exists already
    ├── Gone           410: a list's continuation has expired: list again from the start
    ├── Rejected       400, 422: the request itself is wrong: repeating it is of no use
    └── Unavailable    401, 429, 5xx, no connection, timeout: try again later
"""


class ClusterError(Exception):
    """Base of what the way to the API server raises on purpose."""


class NoCluster(ClusterError):
    """There is no usable kubeconfig and no service account. The message says what was looked for."""


class ApiError(ClusterError):
    """The API server answered with an error. Look at the subclass for what to do.

    Attributes:
        status: the answer's HTTP status; 0 for no answer.
        retry_after: the seconds that it asks to be left alone for; 0 when it does not say.
    """

    def __init__(self, status: int, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.retry_after = retry_after


class NotFound(ApiError):
    """There is no such object, or no such kind. Forget it; the watch says the same."""


class Conflict(ApiError):
    """The object of that name has another UID, or exists already. Do not repeat the request."""


class Gone(ApiError):
    """The continuation of a list has expired. Begin the list again."""


class Rejected(ApiError):
    """The API server will never take this request. Mend the sender."""


class Unavailable(ApiError):
    """The API server is away or overloaded, or the credentials are being renewed. Repeat the request after a while.

    `status` 0: no answer at all.
    """


def of_status(status: int, message: str, *, retry_after: float = 0.0) -> ApiError:
    """The exception for an HTTP status of 400 or above."""
    kinds: dict[int, type[ApiError]] = {400: Rejected, 404: NotFound, 409: Conflict, 410: Gone, 422: Rejected}
    if status in kinds:
        return kinds[status](status, message)
    if status in (401, 429) or status >= 500:
        return Unavailable(status, message, retry_after=retry_after)
    return ApiError(status, message)
