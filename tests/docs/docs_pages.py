"""What the pages of the documentation tell people to type, and to expect.

    ```console            commands after `$ `, continued after `> `; between them what they print
    ```sh                 commands alone, one a line
    <!-- file: NAME -->   the block below is a file that later commands use
    <!-- fails -->        the last command of the block below ends with an error
    <!-- not run: WHY --> the commands of the block below cannot be run by a test

In what is printed, a line `...` stands for any number of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_COMMENT = re.compile(r"^ *<!-- (file|fails|not run)(?:: (.*?))? -->$")
_SHELLS = ("console", "sh")


@dataclass(frozen=True)
class Command:
    """A command, what it prints (None when the page does not say), and whether it ends with an error."""

    line: int
    text: str
    prints: str | None
    fails: bool = False


@dataclass(frozen=True)
class Block:
    """A fenced block; `note` and `value` are those of the comment above it."""

    line: int
    language: str
    text: str
    note: str = ""
    value: str = ""

    @property
    def is_shell(self) -> bool:
        return self.language in _SHELLS

    @property
    def commands(self) -> list[Command]:
        found = list(_console(self) if self.language == "console" else _plain(self))
        if self.note == "fails":
            found[-1] = Command(found[-1].line, found[-1].text, found[-1].prints, fails=True)
        return found


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    note = value = ""
    opened: tuple[int, str, str] | None = None
    body: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, body = (number, fence[1], fence[2]), []
        elif opened is not None and fence and not fence[2]:
            indent = len(opened[1])
            text = "".join(f"{each[indent:]}\n" for each in body)
            yield Block(opened[0], opened[2], text, note, value)
            opened, note, value = None, "", ""
        elif opened is not None:
            body.append(line)
        elif comment := _COMMENT.match(line):
            note, value = comment[1], comment[2] or ""
        elif line.strip():
            note = value = ""


def _console(block: Block) -> Iterator[Command]:
    line, text, printed = 0, "", [""]
    for number, each in enumerate(block.text.splitlines(), start=block.line + 1):
        if each.startswith("$ "):
            if text:
                yield Command(line, text, "\n".join(printed) if printed else None)
            line, text, printed = number, each[2:], []
        elif each.startswith("> ") and not printed:
            text += "\n" + each[2:]
        else:
            assert text, f"line {number}: a console block begins with `$ `"
            printed.append(each)
    if text:
        yield Command(line, text, "\n".join(printed) if printed else None)


def _plain(block: Block) -> Iterator[Command]:
    for number, each in enumerate(block.text.splitlines(), start=block.line + 1):
        if each.strip() and not each.startswith("#"):
            yield Command(number, each, None)


# What differs from run to run, and what stands for it when a page is compared with what was printed.
_VARYING = (
    (re.compile(r"\bEX[A-Z2-7]{24}\b"), "<execution>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<revision>"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "<duration>"),
    (re.compile(r"(?<![\w.])(\d+[dhms]){1,2}(?![\w.])"), "<age>"),
    (re.compile(r"(?<=[ :])\d{4,6}\b"), "<number>"),
    (re.compile(r"(?<=\s)[\w-]+-[0-9a-f]{8,12}\b"), "<process>"),
    (re.compile(r"'(default|test-[0-9a-f]{10})'"), "<namespace>"),
    (re.compile(r"[ \t]+"), " "),
)


def comparable(text: str) -> list[str]:
    """The lines of a text with everything replaced that differs from run to run."""
    for pattern, stand_in in _VARYING:
        text = pattern.sub(stand_in, text)
    return [line.strip() for line in text.strip().splitlines()]


def matches(expected: str, printed: str) -> bool:
    """Whether a command printed what the page shows."""
    return _match(comparable(expected), comparable(printed))


def _match(expected: list[str], printed: list[str]) -> bool:
    if not expected:
        return not printed
    if expected[0] == "...":
        return any(_match(expected[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    return bool(printed) and expected[0] == printed[0] and _match(expected[1:], printed[1:])
