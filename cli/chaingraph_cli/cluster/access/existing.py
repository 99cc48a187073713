"""Copies a context of the user's kubeconfig into the state folder.

The copy does not change with the original. `kubectl config view` cannot make it: it leaves a relative tokenFile or exec
command as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaingraph_cli.cluster import private
from chaingraph_cli.errors import Usage
from chaingraph_crds.yaml.nodes import YamlError
from chaingraph_crds.yaml.reading import read
from chaingraph_crds.yaml.writing import written

# Fields with paths relative to the kubeconfig (client-go's ResolveLocalPaths).
_CLUSTER_FILES = ("certificate-authority",)
_USER_FILES = ("client-certificate", "client-key", "tokenFile")


def copy_context(kubeconfig: Path | None, context: str | None, *, to: Path) -> str:
    """Write a private kubeconfig of one context; returns its name.

    Args:
        kubeconfig: the file to copy from; None for those of $KUBECONFIG, else `~/.kube/config`.
        context: the name of the context; None for the current one.
        to: the path of the copy.

    Raises:
        Usage: a file cannot be read, or there is no such context.
    """
    files = [kubeconfig] if kubeconfig else _default_files()
    loaded = [(path.expanduser().resolve(), _load(path.expanduser())) for path in files]
    name, content = isolate(loaded, context)
    private.write(to, written(content))
    return name


def isolate(files: Sequence[tuple[Path, dict[str, Any]]], context: str | None) -> tuple[str, dict[str, Any]]:
    """Return the name of the context, and a kubeconfig of it alone with absolute paths. The first of equal names wins.

    Raises:
        Usage: there is no such context, or its cluster or user is missing.
    """
    source = ", ".join(str(path) for path, _ in files)
    name = context or next((each["current-context"] for _, each in files if each.get("current-context")), None)
    if name is None:
        raise Usage(f"{source} has no current context.", "Set one: --context NAME")
    _, chosen = _entry(files, "contexts", "context", name, source)
    cluster_folder, cluster = _entry(files, "clusters", "cluster", chosen.get("cluster", ""), source)
    user_folder, user = _entry(files, "users", "user", chosen.get("user", ""), source)
    return name, {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": chosen["cluster"], "cluster": _absolute(cluster, _CLUSTER_FILES, cluster_folder)}],
        "users": [{"name": chosen["user"], "user": _absolute(user, _USER_FILES, user_folder)}],
        "contexts": [{"name": name, "context": chosen}],
        "current-context": name,
    }


def _entry(
    files: Sequence[tuple[Path, dict[str, Any]]], section: str, key: str, name: str, source: str
) -> tuple[Path, dict[str, Any]]:
    for path, content in files:
        for each in content.get(section) or ():
            if each.get("name") == name:
                return path.parent, each.get(key) or {}
    known = sorted(each.get("name", "") for _, content in files for each in content.get(section) or ())
    raise Usage(
        f"{source} has no {key} named {name!r}.",
        f"Use one of: {', '.join(known)}" if known else "",
    )


def _absolute(entry: dict[str, Any], fields: Sequence[str], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {field: str(folder / entry[field]) for field in fields if entry.get(field)}
    command = (entry.get("exec") or {}).get("command", "")
    # A command with a slash is relative to the file; others are found on PATH.
    if "/" in command:
        found["exec"] = {**entry["exec"], "command": str(folder / command)}
    return {**entry, **found}


def _default_files() -> list[Path]:
    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    # As in kubectl, missing files of the list are skipped.
    return [path for path in listed if path.exists()] or [Path.home() / ".kube" / "config"]


def _load(path: Path) -> dict[str, Any]:
    try:
        documents = read(path.read_text(encoding="utf-8")).documents
    except OSError as error:
        raise Usage(f"Cannot read {path}: {error.strerror}.", "Set another kubeconfig: --kubeconfig FILE") from error
    except (UnicodeDecodeError, YamlError) as error:
        raise Usage(f"{path} is not valid YAML: {error}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Usage(f"{path} is not a kubeconfig.")
    return documents[0]
