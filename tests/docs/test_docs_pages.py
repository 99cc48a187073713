"""What reads the pages: blocks, commands, and the comparison with what was printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.docs.pages import blocks, matches

PAGE = """\
Some text.

<!-- file: a.yaml -->
```yaml
a: 1
```

```console
$ export X=1
$ cat <<E
> hello
> E
hello

world
```

<!-- not run: needs a license -->
```sh
one
# a comment
two
```

<!-- fails -->
```console
$ true
$ false
```
"""


def test_blocks_parses_notes_and_commands(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    file, console, unrun, failing = blocks(page)
    assert (file.note, file.value, file.text, file.is_shell) == ("file", "a.yaml", "a: 1\n", False)
    assert [(each.line, each.text, each.prints) for each in console.commands] == [
        (9, "export X=1", None),
        (10, "cat <<E\nhello\nE", "hello\n\nworld"),
    ]
    assert (unrun.note, unrun.value) == ("not run", "needs a license")
    assert [each.text for each in unrun.commands] == ["one", "two"]
    assert [each.fails for each in failing.commands] == [False, True]


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("same", "same"),
        ("NAME   AGE\nhello   1s", "NAME    AGE\nhello   2m13s"),
        ("up after 15 s: ok", "up after 41.7 s: ok"),
        ("first\n...\nlast", "first\n1\n2\nlast"),
        ("first\n...", "first"),
        ("id EXPYVMTHSSM6CAHDFBMS3AVFDS", "id EXAAAMTHSSM6CAHDFBMS3AVFDS"),
        ("in namespace 'default'", "in namespace 'test-0123456789'"),
        ("worker-1   4711 40001 healthy  5s   0", "worker-1    612  33711  healthy  1m2s   0"),
    ],
)
def test_matches_accepts_varying_output(expected: str, printed: str) -> None:
    assert matches(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("same", "other"),
        ("one", "one\ntwo"),
        ("one\ntwo", "one"),
        ("phase Completed", "phase Failed"),
        ("DONE   2", "DONE   1"),
        ("first\n...\nlast", "first\n1\n2"),
        ('{"celsius":77}', '{"celsius":78}'),
        ("12 mm of rain", "13 mm of rain"),
        ("worker-1   4711 40001 healthy  5s   0", "worker-1   4711 40001 healthy  5s   1"),
    ],
)
def test_matches_rejects_different_output(expected: str, printed: str) -> None:
    assert not matches(expected, printed)
