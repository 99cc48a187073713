"""Runs kubectl and turns its error messages into errors with a remedy.

All requests to the API server go through kubectl, so that contexts, exec plugins, proxies, impersonation and
permissions are the user's own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.commands import typed
from chaingraph_cli.errors import CliError, Forbidden, NotFound, Unreachable, Usage
from chaingraph_crds import names
from chaingraph_crds.messages.suggestions import similar

EXECUTIONS: Final = f"{names.EXECUTION_PLURAL}.{names.VERSION}.{names.GROUP}"
FLOWS: Final = f"{names.FLOW_PLURAL}.{names.VERSION}.{names.GROUP}"
FIELD_MANAGER: Final = "chaingraph-cli"
"""The owner of our fields in `metadata.managedFields`. Flux reverts changes by managers whose name begins with
`kubectl`: a pause would not last, and a stop, which is final, would block every later apply."""

_SERVER_ERROR: Final = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: (?P<message>.*)", re.DOTALL)
_DENIED: Final = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "[^"]*" '
    r'(?:in the namespace "(?P<namespace>[^"]+)"|at the cluster scope)'
)
_DEEPEST: Final = 10_000
"""The deepest JSON that the API server decodes, in levels."""
PERMISSIONS_HINT: Final = "Ask for a Role that allows it. List your permissions: kubectl auth can-i --list"
_LOG_LINE: Final = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ ")
"""Log lines of kubectl's libraries: they repeat the error several times."""
_UNREACHABLE: Final = re.compile(
    r"connection refused|was refused - did you specify|no such host|i/o timeout|TLS handshake|x509:|"
    r"must be logged in to the server|network is unreachable|context deadline exceeded|Unable to connect",
)


@dataclass(frozen=True)
class Kubectl:
    """kubectl with options for the cluster and the namespace."""

    program: str
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, args: argparse.Namespace) -> Kubectl:
        """Return kubectl for the cluster and namespace of the command line.

        Raises:
            CliError: kubectl is not installed.
        """
        given = {
            "--namespace": args.namespace,
            "--context": args.context,
            "--kubeconfig": args.kubeconfig,
        }
        return cls(_program(), tuple(f"{flag}={value}" for flag, value in given.items() if value))

    @classmethod
    def on(cls, kubeconfig: Path | None = None) -> Kubectl:
        """Return kubectl for a kubeconfig; None for its default.

        Raises:
            CliError: kubectl is not installed.
        """
        return cls(_program(), (f"--kubeconfig={kubeconfig}",) if kubeconfig else ())

    @property
    def namespace(self) -> str:
        """The namespace of the command line; empty if it names none."""
        flag = "--namespace="
        return next((each.removeprefix(flag) for each in self.options if each.startswith(flag)), "")

    def typed(self, *words: str) -> str:
        """Return a command for the same cluster and namespace, as the user types it."""
        return typed(*words, *(each.replace("--namespace=", "-n ") for each in self.options))

    def start(self, *arguments: str, input_: bool = False, namespace: str = "") -> subprocess.Popen[str]:
        """Start kubectl with its output in pipes; `namespace` overrides the one of the command line."""
        options = self.options
        if namespace:
            kept = [each for each in options if not each.startswith("--namespace=")]
            options = (*kept, f"--namespace={namespace}")
        return subprocess.Popen(
            [self.program, *arguments, *options],
            stdin=subprocess.PIPE if input_ else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, *arguments: str, input_: str | None = None) -> Result:
        return finish(self.start(*arguments, input_=input_ is not None), input_)

    def print(self, *arguments: str) -> int:
        """Run kubectl with its own stdout and return an exit code of ours.

        Raises:
            CliError: kubectl failed.
        """
        done = subprocess.run(
            [self.program, *arguments, *self.options], stderr=subprocess.PIPE, text=True, encoding="utf-8", check=False
        )
        if done.returncode == -signal.SIGPIPE:
            # The reader closed the output, as in `| head`: not an error.
            return 128 + signal.SIGPIPE
        if done.returncode != 0:
            raise error_of(done.stderr)
        return 0


@dataclass(frozen=True)
class Result:
    """The result of a kubectl process; `stderr` is its stderr."""

    code: int
    out: str
    stderr: str

    def ok(self) -> Result:
        """Return itself.

        Raises:
            CliError: kubectl failed.
        """
        if self.code != 0:
            raise error_of(self.stderr)
        return self

    def json(self) -> dict[str, Any]:
        """Return the object that `-o json` printed.

        Raises:
            CliError: kubectl failed.
        """
        found: dict[str, Any] = read_json(self.ok().out)
        return found


def read_json(text: str) -> Any:
    """Parse JSON as deep as the API server accepts it: an object of someone else must not break a list.

    Python's parser needs about 100 bytes of C stack for each level, and a stack has 8 MB.
    """
    try:
        return json.loads(text)
    except RecursionError:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(before + _DEEPEST)
        try:
            return json.loads(text)
        finally:
            sys.setrecursionlimit(before)


def finish(process: subprocess.Popen[str], input_: str | None = None) -> Result:
    """Wait for a kubectl process."""
    out, stderr = process.communicate(input_)
    return Result(process.returncode, out, stderr)


def error_of(stderr: str) -> CliError:
    """Make an error with an exit code and a remedy of kubectl's stderr."""
    text = "\n".join(line for line in stderr.splitlines() if not _LOG_LINE.match(line)).strip()
    found = _SERVER_ERROR.match(text)
    reason = found["reason"] if found else ""
    message = found["message"].strip() if found else text.removeprefix("error: ")
    if "the server doesn't have a resource type" in text or "could not find the requested resource" in text:
        return NotFound(
            "The CRDs of ChainGraph are not installed in this cluster.",
            "Install the CRDs: chaingraph up --kubeconfig FILE. Or use another cluster: --context CONTEXT",
        )
    if "field label not supported" in text:
        return CliError(
            "This API server does not support field selectors for Executions.",
            "They need Kubernetes 1.31 or later. List all executions, and filter by labels (-l) or with grep.",
        )
    if reason == "NotFound":
        return NotFound(sentence(message))
    if reason == "Forbidden":
        return Forbidden(_forbidden(message), PERMISSIONS_HINT)
    if _UNREACHABLE.search(text):
        return Unreachable(sentence(message), "Check which cluster is in use: kubectl config current-context")
    if reason in ("Invalid", "BadRequest") or "is invalid" in text:
        return Usage(sentence(message))
    return CliError(sentence(message) if message else "kubectl failed without a message")


def sentence(message: str) -> str:
    """Capitalize the first letter, as in our own errors."""
    return message[:1].upper() + message[1:]


def _forbidden(message: str) -> str:
    found = _DENIED.search(message)
    if found is None:
        return f"Forbidden: {message}"
    where = f"in namespace '{found['namespace']}'" if found["namespace"] else "in the whole cluster"
    return f"Forbidden: user '{found['user']}' cannot {found['verb']} {found['resource']} {where}."


def nothing_there(kubectl: Kubectl, name: str, kind: str = EXECUTIONS) -> NotFound:
    """Make the error for a name that does not exist, with similar names."""
    listed = kubectl.run("get", kind, "-o", "jsonpath={.items[*].metadata.name}")
    existing = listed.out.split() if listed.code == 0 else []
    what = kind.partition(".")[0].removesuffix("s")
    near = similar(name, existing, most=3)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
    if not hint:
        look = kubectl.typed("get") if kind == EXECUTIONS else f"kubectl get {what}s"
        hint = f"List them: {look}. Use another namespace: -n NAMESPACE"
    where = f"namespace {kubectl.namespace!r}" if kubectl.namespace else "this namespace"
    return NotFound(f"{what.capitalize()} {name!r} not found in {where}.", hint)


def _program() -> str:
    given = os.environ.get("KUBECTL")
    found = shutil.which(given or "kubectl")
    if found is None and not given:
        # `chaingraph up` builds one into its cache if there is none.
        from chaingraph_cli.upstream import binaries

        built = binaries.find("kubectl")
        found = str(built) if built else None
    if found is None:
        raise CliError(
            f"{given or 'kubectl'} not found on PATH.",
            "Install it: https://kubernetes.io/docs/tasks/tools/, or set KUBECTL to its path.",
        )
    return found
