"""The list of generated files: what differs is shown, and writing makes the check pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import generated
from tools.generated import GeneratedFile, differences, write

FILES = (GeneratedFile("docs/a.md", lambda: "one\ntwo\n"), GeneratedFile("b.yaml", lambda: "b: 1\n"))


def test_written_files_have_no_differences_and_are_written_once(tmp_path: Path) -> None:
    assert write(tmp_path, FILES) == ["docs/a.md", "b.yaml"]
    assert differences(tmp_path, FILES) == ""
    assert write(tmp_path, FILES) == []


def test_a_difference_is_shown_as_a_diff(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "docs" / "a.md").write_text("one\nthree\n")
    found = differences(tmp_path, FILES)
    assert "docs/a.md (on disk)" in found
    assert "-three" in found
    assert "+two" in found
    assert "b.yaml" not in found


def test_a_missing_file_is_a_difference(tmp_path: Path) -> None:
    assert "+b: 1" in differences(tmp_path, FILES)


def test_the_check_ends_with_an_error_that_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generated, "_ROOT", tmp_path)
    monkeypatch.setattr(generated, "FILES", FILES)
    with pytest.raises(SystemExit, match="make generate"):
        generated.main(["--check"])
    assert "+two" in capsys.readouterr().out
    generated.main([])
    generated.main(["--check"])


def test_repository_matches_the_generated_files() -> None:
    assert differences(Path(generated.__file__).parents[1], generated.FILES) == ""
