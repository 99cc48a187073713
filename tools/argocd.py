"""Argo CD's settings for our kinds, made of the Lua below `gitops/argocd`.

The folders are laid out as Argo CD lays out its own `resource_customizations`; people paste one of two files: a patch
of the ConfigMap `argocd-cm`, or values for Argo CD's Helm chart.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from chaingraph_crds import names

FOLDER: Final = Path(__file__).parents[1] / "gitops" / "argocd"
_ACTIONS: Final = ("start", "pause", "resume", "step", "stop", "retry", "retry-from-start")
"""The buttons of an Execution, in the order of its life."""
_HEADER: Final = "# Generated from the Lua beside it by `make generate`. Do not edit.\n"


def config_map_yaml() -> str:
    """The text of `argocd-cm.yaml`: `kubectl patch --patch-file`, or a patch of a kustomization."""
    return _HEADER + _dumped(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "argocd-cm",
                "namespace": "argocd",
                "labels": {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"},
            },
            "data": _customizations(),
        }
    )


def values_yaml() -> str:
    """The text of `values.yaml`: values of the chart `argo-cd` of argo-helm."""
    return _HEADER + _dumped({"configs": {"cm": _customizations()}})


def _customizations() -> dict[str, str]:
    prefix = "resource.customizations"
    return {
        f"{prefix}.health.{names.GROUP}_{names.EXECUTION_KIND}": _lua(names.EXECUTION_KIND, "health.lua"),
        f"{prefix}.health.{names.GROUP}_{names.FLOW_KIND}": _lua(names.FLOW_KIND, "health.lua"),
        f"{prefix}.actions.{names.GROUP}_{names.EXECUTION_KIND}": _dumped(_actions()),
    }


def _actions() -> dict[str, Any]:
    kind = names.EXECUTION_KIND
    return {
        "discovery.lua": _lua(kind, "actions/discovery.lua"),
        "definitions": [{"name": name, "action.lua": _lua(kind, f"actions/{name}/action.lua")} for name in _ACTIONS],
    }


def _lua(kind: str, path: str) -> str:
    return (FOLDER / names.GROUP / kind / path).read_text(encoding="utf-8")


def _dumped(value: Mapping[str, Any]) -> str:
    return yaml.dump(value, Dumper=_BlockDumper, sort_keys=False, allow_unicode=True, width=1000)


class _BlockDumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that the Lua can be read where it was pasted."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_BlockDumper.add_representer(str, _text)
