"""Every command of the README and the documentation is run, page by page, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.cluster.control_plane import ControlPlane
from fixtures.docs.pages import PAGES, Block, Command, blocks, matches
from fixtures.docs.shell import OpenShell, Shell
from fixtures.paths import ROOT
from fixtures.processes.system import StartSystem

_COMMAND_SECONDS = 180.0
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _named(page: Path) -> str:
    return str(page.relative_to(ROOT))


_WITH_COMMANDS = [page for page in PAGES if any(block.is_shell and block.note != "not run" for block in blocks(page))]


@pytest.mark.long
@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", _WITH_COMMANDS, ids=_named)
def test_page_commands_print_expected_output(
    page: Path, open_shell: OpenShell, start_system: StartSystem, control_plane: ControlPlane
) -> None:
    found = list(blocks(page))
    environment = {"EXISTING_KUBECONFIG": str(control_plane.kubeconfig)}
    if not any("chaingraph up" in each.text for each in found if each.is_shell and each.note != "not run"):
        environment["KUBECONFIG"] = str(start_system().kubeconfig)
    shell = open_shell(environment)
    for block in found:
        if block.note == "file":
            _write(shell, block)
        elif block.is_shell and block.note != "not run":
            for command in block.commands:
                _run(shell, page, command)


def _write(shell: Shell, block: Block) -> None:
    path = shell.folder / block.value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")


def _run(shell: Shell, page: Path, command: Command) -> None:
    where = f"{_named(page)}:{command.line}: {command.text}"
    code, printed = shell.run(command.text, within=_COMMAND_SECONDS)
    assert (code != 0) == command.fails, f"{where}\nended with exit code {code} and printed:\n{printed}"
    if command.prints is not None:
        assert matches(command.prints, printed), f"{where}\nprints:\n{printed}\n\nand the page shows:\n{command.prints}"


def test_skipped_commands_give_a_reason() -> None:
    unrun = {
        f"{_named(page)}: {block.commands[0].text}": block.value
        for page in PAGES
        for block in blocks(page)
        if block.note == "not run"
    }
    assert all(unrun.values())
    assert sorted(unrun) == [
        "README.md: make demo    # a cluster on this machine, fourteen examples, a year of real weather data; "
        "leaves nothing running",
        "README.md: make setup",
        "docs/how-to/build-a-worker-image.md: docker build --tag registry.example.com/acme-worker:1.0 acme",
        "docs/how-to/build-a-worker-image.md: docker run --rm registry.example.com/acme-worker:1.0 python3 -c "
        '"from chaingraph_flow import Registry; print(*Registry.discover().catalogue)"',
        "docs/how-to/install-with-helm.md: helm template chaingraph charts/chaingraph --namespace chaingraph-system "
        "--values values-production.yaml",
        "docs/how-to/install-with-helm.md: kubectl -n chaingraph-system create secret generic "
        "chaingraph-database-owner --from-literal=url='postgresql://chaingraph_owner:change-1@db.example.com:5432/chaingraph?sslmode=verify-full"
        "&sslrootcert=system'",
        "docs/how-to/install-with-helm.md: kubectl create namespace chaingraph-system",
        "docs/how-to/install-with-helm.md: kubectl get --raw "
        "/api/v1/namespaces/chaingraph-system/pods/$POD:8080/proxy/readyz",
        "docs/how-to/install-with-helm.md: python3 -m pip install '.[cli]'",
        "docs/how-to/run-against-an-existing-cluster.md: chaingraph up --kubeconfig $EXISTING_KUBECONFIG "
        "--database-url postgresql://user:password@db.example.com:5432/chaingraph",
        "docs/how-to/run-against-an-existing-cluster.md: kubectl --kubeconfig $EXISTING_KUBECONFIG delete crd "
        "flows.chaingraph.dev executions.chaingraph.dev",
        "docs/how-to/run-on-a-laptop.md: make setup",
        "docs/how-to/run-on-a-laptop.md: python3 -m http.server -d examples/data 8765 --bind 127.0.0.1 &",
        "docs/how-to/upgrade.md: helm history chaingraph --namespace chaingraph-system",
        "docs/how-to/upgrade.md: helm uninstall chaingraph --namespace chaingraph-system",
        "docs/how-to/upgrade.md: helm upgrade chaingraph charts/chaingraph --namespace chaingraph-system "
        "--values values-production.yaml --wait",
        "docs/how-to/upgrade.md: kubectl -n chaingraph-system get deployments -l app.kubernetes.io/component=worker "
        "-L chaingraph.dev/pool,chaingraph.dev/worker-version",
    ]


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / "examples").rglob("*.md")], ids=_named)
def test_page_links_resolve(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{_named(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_docs_index_links_every_page(page: Path) -> None:
    index = ROOT / "docs" / "README.md"
    if page in (ROOT / "README.md", index):
        return
    linked = {(index.parent / target).resolve() for target in _LINK.findall(index.read_text(encoding="utf-8"))}
    assert page.resolve() in linked
