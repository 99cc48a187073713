"""Where the control plane's programs are: the four places they are looked for, in order, else they are built."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from chaingraph_cli.cluster.programs import build
from chaingraph_cli.errors import BinariesMissing

_ASSETS = "KUBEBUILDER_ASSETS"
_CACHE = "CHAINGRAPH_CACHE"


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Folder of what was built here: `$CHAINGRAPH_CACHE/bin`, by default `~/.cache/chaingraph/bin`."""
    environment = os.environ if environment is None else environment
    given = environment.get(_CACHE)
    if given:
        return Path(given).expanduser().absolute() / "bin"
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chaingraph" / "bin"


def find(name: str, environment: Mapping[str, str] | None = None) -> Path | None:
    """A program's path: from `$KUBEBUILDER_ASSETS`, PATH, or the cache, in this order; None if in none of them."""
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
    """Every program's path; those found nowhere are built into the cache first, which takes minutes when cold.

    Args:
        names: names out of `build.PACKAGES`.
        on_progress: told about each package the compiler finishes.

    Raises:
        BinariesMissing: something has to be built and there is no Go.
        BuildFailed: the compiler ended with an error.
    """
    wanted = list(names)
    missing = [name for name in wanted if find(name) is None]
    if missing:
        go = build.find_go()
        if go is None:
            raise BinariesMissing(
                f"{', '.join(missing)}: neither in ${_ASSETS}, nor on PATH, nor in {cache_folder()}, and there is no "
                "Go to build from source.",
                "Install Go (https://go.dev/dl, or: pip install 'chaingraph[go]'), or point "
                f"{_ASSETS} at a folder with the programs (setup-envtest use -p path).",
            )
        build.build(missing, into=cache_folder(), go=go, on_progress=on_progress)
    found = {name: find(name) for name in wanted}
    return {name: path for name, path in found.items() if path is not None}
