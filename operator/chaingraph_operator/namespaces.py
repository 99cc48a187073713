"""The UIDs of namespaces, for the rows of executions: a name can be given to another namespace later."""

from __future__ import annotations

import time
from typing import Final

import structlog

from chaingraph_operator.api import KubernetesApi
from chaingraph_process.cluster_errors import ApiError, NotFound

_KEPT_SECONDS: Final = 60.0
_log = structlog.get_logger(__name__)


class Namespaces:
    """UIDs as last read. `forget` is called for each deletion in a namespace.

    A namespace goes only after everything in it. The watch shows the deletion of what we have read the UID for before
    it shows anything of a later namespace of that name, so what is kept is never a former one's.
    """

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._kept: dict[str, tuple[float, str]] = {}
        self._refused = False

    async def uid(self, name: str) -> str:
        """The UID of the namespace; '' where the operator may not read it, or it is gone.

        Raises:
            ApiError: the API server does not answer.
        """
        kept = self._kept.get(name)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        try:
            found = await self._api.namespace_uid(name)
        except NotFound:
            return ""
        except ApiError as error:
            if error.status != 403:
                raise
            if not self._refused:
                self._refused = True
                _log.info(
                    "no right to get namespaces: executions are told from those of a former namespace of the same name "
                    "by their age alone",
                    namespace=name,
                )
            found = ""
        self._kept[name] = (time.monotonic() + _KEPT_SECONDS, found)
        return found

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)
