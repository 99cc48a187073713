"""`python -m tools.generated [--check]`: every file of the repository that is made from code.

Without `--check` it writes them (`make generate`); with it, it prints how they differ from what the code would make
and ends with exit code 1 (`make lint`).
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from chaingraph_crds import names
from chaingraph_crds.definitions import manifests, policies
from tools import argocd, chart_crds, chart_values, settings_reference
from tools.api_reference import markdown as api_reference
from tools.dashboard import dashboard_json
from tools.metrics_reference import markdown as metrics_markdown
from tools.node_reference import markdown as node_reference

_ROOT = Path(__file__).parents[1]
_CHART = "charts/chaingraph"
_CHART_CRDS = f"{_CHART}/templates/crds"


@dataclass(frozen=True)
class GeneratedFile:
    """A path in the repository, and what its text has to be."""

    path: str
    text: Callable[[], str]


FILES = (
    GeneratedFile(f"crds/{manifests.crd_filename(names.FLOW_KIND)}", lambda: manifests.crd_yaml(names.FLOW_KIND)),
    GeneratedFile(
        f"crds/{manifests.crd_filename(names.EXECUTION_KIND)}", lambda: manifests.crd_yaml(names.EXECUTION_KIND)
    ),
    GeneratedFile(f"crds/{policies.POLICY_FILENAME}", policies.policy_yaml),
    GeneratedFile(
        f"{_CHART_CRDS}/{manifests.crd_filename(names.FLOW_KIND)}", lambda: chart_crds.crd_template(names.FLOW_KIND)
    ),
    GeneratedFile(
        f"{_CHART_CRDS}/{manifests.crd_filename(names.EXECUTION_KIND)}",
        lambda: chart_crds.crd_template(names.EXECUTION_KIND),
    ),
    GeneratedFile(f"{_CHART_CRDS}/{policies.POLICY_FILENAME}", chart_crds.policy_template),
    GeneratedFile("docs/reference/api.md", api_reference),
    GeneratedFile("docs/reference/nodes.md", node_reference),
    GeneratedFile("docs/reference/settings.md", settings_reference.settings_markdown),
    GeneratedFile("docs/reference/cli.md", settings_reference.commands_markdown),
    GeneratedFile("docs/reference/metrics.md", metrics_markdown),
    GeneratedFile("charts/chaingraph/files/dashboard.json", dashboard_json),
    GeneratedFile("docs/reference/values.md", lambda: chart_values.values_markdown(_ROOT / _CHART / "values.yaml")),
    GeneratedFile("gitops/argocd/argocd-cm.yaml", argocd.config_map_yaml),
    GeneratedFile("gitops/argocd/values.yaml", argocd.values_yaml),
)


def write(root: Path, files: Iterable[GeneratedFile]) -> list[str]:
    """Write the files under a root; returns the paths that changed."""
    changed = []
    for each in files:
        path = root / each.path
        text = each.text()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(each.path)
    return changed


def differences(root: Path, files: Iterable[GeneratedFile]) -> str:
    """A unified diff from what is on disk to what the code makes; empty when all is as it should be."""
    parts: list[str] = []
    for each in files:
        path = root / each.path
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        parts += difflib.unified_diff(
            found.splitlines(keepends=True),
            each.text().splitlines(keepends=True),
            fromfile=f"{each.path} (on disk)",
            tofile=f"{each.path} (from the code)",
        )
    return "".join(parts)


def main(arguments: list[str] | None = None) -> None:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="python -m tools.generated", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when something differs")
    if not parser.parse_args(arguments).check:
        for path in write(_ROOT, FILES):
            print(f"written: {path}")
        return
    found = differences(_ROOT, FILES)
    if found:
        print(found)
        sys.exit("Generated files are not what the code makes. Run: make generate")


if __name__ == "__main__":
    main()
