"""Runs kubectl, and turns what it complains about into errors with a remedy.

kubectl is a process of its own: contexts, exec plugins, proxies, impersonation and permissions are then as they are
for the person who types, and nothing here speaks to the API server.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import Any, Final

from chaingraph_cli.commands import typed
from chaingraph_cli.errors import CliError, Forbidden, NotFound, Unreachable, Usage
from chaingraph_crds import names
from chaingraph_crds.suggestions import similar

EXECUTIONS: Final = f"{names.EXECUTION_PLURAL}.{names.VERSION}.{names.GROUP}"
FLOWS: Final = f"{names.FLOW_PLURAL}.{names.VERSION}.{names.GROUP}"
FIELD_MANAGER: Final = "chaingraph-cli"
"""In `metadata.managedFields` this says who changed a spec. Flux undoes what those did whose name begins with
`kubectl`: a pause would not last, and a stop, which cannot be taken back, would keep it from applying anything."""

_SERVER_ERROR: Final = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: (?P<message>.*)", re.DOTALL)
_LOG_LINE: Final = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ ")
"""What kubectl's libraries log beside its own words: the same error, several times."""
_UNREACHABLE: Final = re.compile(
    r"connection refused|was refused - did you specify|no such host|i/o timeout|TLS handshake|x509:|"
    r"must be logged in to the server|network is unreachable|context deadline exceeded|Unable to connect",
)


@dataclass(frozen=True)
class Kubectl:
    """kubectl with the options that say which cluster and namespace."""

    program: str
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, chosen: argparse.Namespace) -> Kubectl:
        """kubectl as the command line wants it.

        Raises:
            CliError: there is no kubectl.
        """
        given = {
            "--namespace": chosen.namespace,
            "--context": chosen.context,
            "--kubeconfig": chosen.kubeconfig,
        }
        return cls(_program(), tuple(f"{flag}={value}" for flag, value in given.items() if value))

    @property
    def namespace(self) -> str:
        """The one of the command line; empty when that names none."""
        flag = "--namespace="
        return next((each.removeprefix(flag) for each in self.options if each.startswith(flag)), "")

    def typed(self, *words: str) -> str:
        """A command of ours about the same cluster and namespace, as a person types it."""
        return typed(*words, *(each.replace("--namespace=", "-n ") for each in self.options))

    def start(self, *arguments: str, input_: bool = False, namespace: str = "") -> subprocess.Popen[str]:
        """A kubectl that runs, its output in pipes; `namespace` instead of the one of the command line."""
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

    def run(self, *arguments: str, input_: str | None = None) -> Done:
        return finish(self.start(*arguments, input_=input_ is not None), input_)

    def print(self, *arguments: str) -> int:
        """Lets kubectl print for itself; its exit code, as one of ours.

        Raises:
            CliError: it complained.
        """
        done = subprocess.run(
            [self.program, *arguments, *self.options], stderr=subprocess.PIPE, text=True, encoding="utf-8", check=False
        )
        if done.returncode == -signal.SIGPIPE:
            # Nobody reads on, as with `| head`: no error, and told as shells tell it.
            return 128 + signal.SIGPIPE
        if done.returncode != 0:
            raise error_of(done.stderr)
        return 0


@dataclass(frozen=True)
class Done:
    """What a kubectl has said."""

    code: int
    out: str
    complaint: str

    def ok(self) -> Done:
        """Itself.

        Raises:
            CliError: kubectl ended with an error.
        """
        if self.code != 0:
            raise error_of(self.complaint)
        return self

    def json(self) -> dict[str, Any]:
        """What it printed with `-o json`.

        Raises:
            CliError: kubectl ended with an error.
        """
        found: dict[str, Any] = json.loads(self.ok().out)
        return found


def finish(process: subprocess.Popen[str], input_: str | None = None) -> Done:
    """Waits until it has ended."""
    out, complaint = process.communicate(input_)
    return Done(process.returncode, out, complaint)


def error_of(complaint: str) -> CliError:
    """What kubectl wrote to stderr, as an error with an exit code and a remedy."""
    text = "\n".join(line for line in complaint.splitlines() if not _LOG_LINE.match(line)).strip()
    found = _SERVER_ERROR.match(text)
    reason = found["reason"] if found else ""
    message = found["message"].strip() if found else text.removeprefix("error: ")
    if "the server doesn't have a resource type" in text or "could not find the requested resource" in text:
        return NotFound(
            "This cluster does not know Executions of ChainGraph.",
            "Install the CRDs: chaingraph up --kubeconfig FILE. Or choose another cluster: --context CONTEXT",
        )
    if "field label not supported" in text:
        return CliError(
            "The API server does not select by a field of Executions.",
            "That came with Kubernetes 1.31. List them all, and choose by labels (-l) or with grep.",
        )
    if reason == "NotFound":
        return NotFound(sentence(message))
    if reason == "Forbidden":
        return Forbidden(sentence(message), "Ask for a Role that allows it; what you may do: kubectl auth can-i --list")
    if _UNREACHABLE.search(text):
        return Unreachable(sentence(message), "Which cluster is asked: kubectl config current-context")
    if reason in ("Invalid", "BadRequest") or "is invalid" in text:
        return Usage(sentence(message))
    return CliError(sentence(message) if message else "kubectl ended with an error and said nothing")


def sentence(message: str) -> str:
    """The first letter large, as our own errors have it."""
    return message[:1].upper() + message[1:]


def nothing_there(kubectl: Kubectl, name: str, kind: str = EXECUTIONS) -> NotFound:
    """The error for a name that there is not, with the names that are nearly it."""
    listed = kubectl.run("get", kind, "-o", "jsonpath={.items[*].metadata.name}")
    existing = listed.out.split() if listed.code == 0 else []
    what = kind.partition(".")[0].removesuffix("s")
    near = similar(name, existing, most=3)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
    if not hint:
        look = kubectl.typed("get") if kind == EXECUTIONS else f"kubectl get {what}s"
        hint = f"List them: {look}. Another namespace: -n NAMESPACE"
    return NotFound(f"There is no {what} {name!r} in this namespace.", hint)


def _program() -> str:
    given = os.environ.get("KUBECTL")
    found = shutil.which(given or "kubectl")
    if found is None and not given:
        # `chaingraph up` builds one into its cache where there is none.
        from chaingraph_cli.cluster.programs import binaries

        built = binaries.find("kubectl")
        found = str(built) if built else None
    if found is None:
        raise CliError(
            f"There is no {given or 'kubectl'} on PATH.",
            "Install it: https://kubernetes.io/docs/tasks/tools/, or name its path in KUBECTL.",
        )
    return found
