"""Tokens that are of use at the gateway alone, where somebody wants that: of a file, or of a service account.

A token of a kubeconfig is one for the API server: whoever has it can do there what its user can. The gateway takes such
tokens by default, and no client can turn one into another. So a bound one is asked for where the API server makes it:
by the TokenRequest of a service account, which the user needs the right to (`create serviceaccounts/token`).
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
"""That of the gateway's setting CHAINGRAPH_TOKEN_AUDIENCES, by default."""
FILE_VARIABLE: Final = "CHAINGRAPH_GATEWAY_TOKEN_FILE"
ACCOUNT_VARIABLE: Final = "CHAINGRAPH_GATEWAY_SERVICE_ACCOUNT"
_MINUTES: Final = 10
"""The shortest that the API server makes."""


def reader(kubectl: Kubectl, namespace: str) -> Callable[[], Credentials] | None:
    """What reads the token that the environment names; None where it names none.

    Args:
        namespace: that of the command, where a service account is looked for that is named without one.
    """
    file, account = os.environ.get(FILE_VARIABLE, ""), os.environ.get(ACCOUNT_VARIABLE, "")
    if file:
        return lambda: _of_file(Path(file))
    if account:
        where, _, name = account.rpartition("/")
        return lambda: _requested(kubectl, where or namespace, name)
    return None


def _of_file(path: Path) -> Credentials:
    """A projected token, which the kubelet writes anew before it expires: so it is read for each request."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"The token of {FILE_VARIABLE}={path} cannot be read: {error}") from error
    if not token:
        raise Usage(f"The file of {FILE_VARIABLE}={path} is empty.", "It has a token for the gateway.")
    return Credentials(token, user=FILE_VARIABLE, until=datetime.now(UTC))


def _requested(kubectl: Kubectl, namespace: str, name: str) -> Credentials:
    arguments = ("create", "token", name, f"--audience={AUDIENCE}", f"--duration={_MINUTES}m")
    done = finish(kubectl.start(*arguments, namespace=namespace)).ok()
    until = datetime.now(UTC) + timedelta(minutes=_MINUTES / 2)
    return Credentials(done.out.strip(), user=f"{namespace}/{name}", until=until)
