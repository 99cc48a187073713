"""Where programs are looked for, in which order, and what is said when there are none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from chaingraph_cli.errors import BinariesMissing, BuildFailed
from chaingraph_cli.upstream import binaries, build


def _program(folder: Path, name: str = "etcd", text: str = "#!/bin/sh\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_assets_come_before_path_and_path_before_the_cache(tmp_path: Path) -> None:
    cached = _program(tmp_path / "cache" / "bin")
    environment = {"CHAINGRAPH_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path / "path")}
    assert binaries.find("etcd", environment) == cached
    on_path = _program(tmp_path / "path")
    assert binaries.find("etcd", environment) == on_path
    asset = _program(tmp_path / "assets")
    assert binaries.find("etcd", {**environment, "KUBEBUILDER_ASSETS": str(tmp_path / "assets")}) == asset


def test_a_file_that_cannot_be_executed_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("")
    assert binaries.find("etcd", {"PATH": str(tmp_path), "CHAINGRAPH_CACHE": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CHAINGRAPH_CACHE": "/somewhere"}, Path("/somewhere/bin")),
        ({"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/chaingraph/bin")),
        ({}, Path.home() / ".cache/chaingraph/bin"),
    ],
)
def test_cache_folder_follows_the_environment(environment: dict[str, str], expected: Path) -> None:
    assert binaries.cache_folder(environment) == expected


def test_ensure_without_go_explains_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHAINGRAPH_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(BinariesMissing) as raised:
        binaries.ensure(["etcd", "kube-apiserver"])
    assert "etcd, kube-apiserver" in raised.value.message
    assert "https://go.dev/dl" in raised.value.hint
    assert "KUBEBUILDER_ASSETS" in raised.value.hint


# A stand-in for the compiler, which takes minutes: it prints what `go list` and `go build -v` print.
_GO = """#!/bin/sh
if [ "$1" = list ]; then echo errors; echo golang.org/x/net/http2; echo k8s.io/api/core/v1; exit 0; fi
while [ "$1" != -o ]; do shift; done
echo go: downloading k8s.io/api v0.36.3
echo golang.org/x/net/http2
echo k8s.io/api/core/v1
printf '#!/bin/sh\\n' > "$2"; chmod +x "$2"
"""


def test_missing_program_is_built_once_with_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = _program(tmp_path / "path", "go", _GO)
    monkeypatch.setenv("PATH", f"{go.parent}{os.pathsep}/bin")
    monkeypatch.setenv("CHAINGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    told: list[build.BuildProgress] = []
    found = binaries.ensure(["etcd"], told.append)
    assert found == {"etcd": tmp_path / "cache" / "bin" / "etcd"}
    assert [(each.compiled, each.packages) for each in told] == [(0, 0), (0, 3), (1, 3), (2, 3)]
    go.unlink()
    assert binaries.ensure(["etcd"]) == found


def test_failed_build_shows_its_log_and_leaves_no_program(tmp_path: Path) -> None:
    go = _program(tmp_path, "go", '#!/bin/sh\necho errors\necho "api.go:7:2: undefined: Pod" >&2\nexit 1\n')
    with pytest.raises(BuildFailed) as raised:
        build.build(["etcd"], into=tmp_path / "bin", go=go, on_progress=lambda progress: None)
    assert "api.go:7:2: undefined: Pod" in raised.value.message
    log = tmp_path / "bin" / "build.log"
    assert str(log) in raised.value.hint
    assert "undefined: Pod" in log.read_text()
    assert not (tmp_path / "bin" / "etcd").exists()


def test_the_pinned_version_and_the_programs_are_in_the_module() -> None:
    assert build.kubernetes_version().startswith("v1.")
    module = (Path(build.__file__).parent / "controlplane" / "go.mod").read_text()
    assert all(f"\t{package}\n" in module for package in build.PACKAGES.values())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("k8s.io/api/core/v1", True),
        ("errors", True),
        ("github.com/go-openapi/jsonpointer", True),
        ("go: downloading k8s.io/api v0.36.3", False),
        ("# k8s.io/api/core/v1", False),
        ("vendor/api.go:3:1: syntax error", False),
        ("", False),
    ],
)
def test_import_paths_are_distinguished_from_messages(line: str, expected: bool) -> None:
    assert build.is_import_path(line) is expected
