"""Builds the programs that the tests start, where they are not there yet: `make test` does so before its first test.

The control plane, and Helm, promtool and the evaluators of GitOps, each from its Go module. Cold this takes minutes on
two cores, warm it only looks. A single test that needs one of them builds it by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from chaingraph_cli.cluster.programs import control_plane
from chaingraph_cli.upstream import binaries, build
from fixtures.chart import evaluators, helm
from fixtures.monitoring import promtool

_PROGRESS_SECONDS: Final = 15


def main() -> None:
    """Builds one after the other: two compilers at once would only share the cores."""
    _build("control plane", lambda: binaries.ensure([*control_plane.BINARIES, "kubectl"], on_progress=_Shown()))
    _build("Helm", helm.find_helm)
    _build("promtool", promtool.find_or_build)
    _build("GitOps evaluators", evaluators.program)
    _build("definitions of other projects", helm.foreign_crds)


def _build(name: str, ensure: Callable[[], object]) -> None:
    began = time.monotonic()
    ensure()
    took = time.monotonic() - began
    if took > 1:
        print(f"{name}: ready after {took:.0f} s", flush=True)


class _Shown:
    """Prints how far the control plane is, now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, progress: build.BuildProgress) -> None:
        if progress.seconds >= self._next:
            self._next = progress.seconds + _PROGRESS_SECONDS
            of = f" of {progress.packages}" if progress.packages else ""
            print(
                f"building {progress.program} ({progress.position} of {progress.programs}): "
                f"{progress.compiled}{of} packages, {progress.seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
