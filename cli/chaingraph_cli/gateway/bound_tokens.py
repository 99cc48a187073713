"""Tokens that are valid at the gateway alone, from a file or of a service account.

The gateway accepts the tokens of kubeconfigs by default. Such a token is also valid at the API server, and no client
can restrict it. A bound token comes from a TokenRequest of a service account (`create serviceaccounts/token`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from chaingraph_cli.errors import Usage
from chaingraph_cli.gateway.credentials import Credentials
from chaingraph_cli.kubectl import Kubectl, finish

AUDIENCE: Final = "chaingraph-gateway"
"""The default of the gateway's setting CHAINGRAPH_TOKEN_AUDIENCES."""
FILE_VARIABLE: Final = "CHAINGRAPH_GATEWAY_TOKEN_FILE"
ACCOUNT_VARIABLE: Final = "CHAINGRAPH_GATEWAY_SERVICE_ACCOUNT"
_MINUTES: Final = 10
"""The shortest lifetime that the API server accepts."""


def reader(kubectl: Kubectl, namespace: str) -> Callable[[], Credentials] | None:
    """Return a function that reads the token of the environment; None if it names none.

    Args:
        namespace: the namespace of a service account that is named without one.
    """
    file, account = os.environ.get(FILE_VARIABLE, ""), os.environ.get(ACCOUNT_VARIABLE, "")
    if file:
        return lambda: _of_file(Path(file))
    if account:
        where, _, name = account.rpartition("/")
        return lambda: _requested(kubectl, where or namespace, name)
    return None


def _of_file(path: Path) -> Credentials:
    """Read a projected token. The kubelet replaces it before it expires, so it is read for each request."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"Cannot read the token file {FILE_VARIABLE}={path}: {error}") from error
    if not token:
        raise Usage(f"The token file {FILE_VARIABLE}={path} is empty.", "Write a token for the gateway into it.")
    return Credentials(token, user=FILE_VARIABLE, until=datetime.now(UTC))


def _requested(kubectl: Kubectl, namespace: str, name: str) -> Credentials:
    arguments = ("create", "token", name, f"--audience={AUDIENCE}", f"--duration={_MINUTES}m")
    done = finish(kubectl.start(*arguments, namespace=namespace)).ok()
    until = datetime.now(UTC) + timedelta(minutes=_MINUTES / 2)
    return Credentials(done.out.strip(), user=f"{namespace}/{name}", until=until)
