"""`python -m tools.words [--check] [--code]`: words that make the documentation hard to read, and better ones.

Reads the prose of Markdown files, and the comments of the examples and of the chart's values. A line with the comment
`<!-- words: ok -->` is left out. `--check` ends with exit code 1 when something is found (`make lint`). `--code` reads
the texts in Python code, which other people see.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_ROOT: Final = Path(__file__).parents[1]
_PAGES: Final = (
    *("*.md", "docs/**/*.md", "charts/*/*.md", "examples/**/*.md", "gitops/*.md", "tests/**/*.md"),
    *("charts/*/values.yaml", "examples/**/*.yaml"),
)
_CODE: Final = ("crds", "flow", "runtime", "store", "worker", "operator", "gateway", "cli")
_GENERATED: Final = "<!-- Generated from"
_ALLOWED: Final = "words: ok"
_NO_PROSE: Final = re.compile(
    r"^(?P<indent> *)```.*?^(?P=indent)```|<!--.*?-->|<[a-z][^>]*>|``.*?``|`[^`]*`|\]\([^)]*\)|\w+://[^\s)]+",
    re.DOTALL | re.MULTILINE,
)
_ASKS: Final = "ask|see|show|shows|say|says|know|knows|learn|explain|explains|decide|decides|describe|describes|exactly"
_SQL: Final = re.compile(r"\s*(?:SELECT|WITH|UPDATE|INSERT|DELETE|CREATE)\b")

WORDS: Final = {
    # "What" and "who" that stand for a thing and a person. Questions are fine, and so is "says what".
    rf"(?i:(?P<asks>\b(?:{_ASKS}) +)?\bwhat\b)(?! happens?\b| to\b|[^.:;!|]*\?)": "the thing, as in 'finished nodes'",
    r"\bWho\b(?![^.:;|]*\?)|(?i:\bwhoever\b|\b(?:for one|those|by|of|to|than|and) +who\b)": "the person: 'users who'",
    r"(?i:\b(?:nobody|somebody|anybody|everybody)\b)": "no one, someone, anyone, everyone, or the actor",
    # Words that are not the field's.
    r"(?i:\bmend(?:s|ed|ing)?\b)": "fix",
    r"(?i:\b(?:heed|obey)(?:s|ed)?\b)": "observe, apply",
    r"(?i:\b(?:go|goes|going|went|gone) +on\b)": "continue, resume",
    r"(?i:\bfor +ever\b)": "forever, without a limit",
    r"(?i:\b(?:is|are|was|were|be) +told\b|\btold +of\b)": "is notified, receives",
    r"(?i:\b(?:hear|hears|heard) +(?:nothing +)?of\b)": "learns of, receives",
    r"(?i:\bfaults?\b)": "error",
    r"(?i:\bjudge[sd]?\b)": "validate, decide",
    r"(?i:\bsteer(?:s|ed|ing)?\b)": "control",
    r"(?i:\b(?:stand|stands|stood|standing) +still\b)": "stop, stall, block",
    r"(?i:\bcomes? +along\b)": "is included",
    r"(?i:\bin +vain\b)": "without effect",
    r"(?i:\banew\b)": "again",
    r"(?i:\bbeside\b)": "next to, in addition to",
    r"(?i:\bat +once\b)": "immediately; at the same time",
    r"(?i:\bnow +and +then\b)": "periodically",
    r"(?i:\bdealt +with\b)": "handled",
    r"(?i:\b(?:is|are|was|were) +to +[a-z]+)": "must, will, or the plain verb",
    r"(?i:\bof +one's +own\b)": "your own",
    r"(?i:\b(?:intake|workforce|obedience)\b)": "event triggers, worker registry, observed generation",
    # The style guides of Google and Kubernetes.
    r"(?i:\b(?:please|simply|obviously|of course)\b)": "nothing: leave it out",
    r"(?i:\b(?:hence|thus|thereby|shall|whilst|amongst)\b)": "so, must, while, among",
    r"(?i:\b(?:e\.g|i\.e|etc)\.)": "for example, that is, and so on",
    r"(?i:\bvia\b)": "through, with",
    r"(?i:\b(?:behaviour|licence|colour|favour|honour|centre|authoris|organis|recognis)\w*)": "the US spelling",
}
_PATTERNS: Final = [(re.compile(pattern), better) for pattern, better in WORDS.items()]


class Finding(NamedTuple):
    """A word in a file, and what to write instead."""

    line: int
    found: str
    better: str


def findings(text: str) -> Iterator[Finding]:
    """The words of a Markdown text that have a better one."""
    lines = text.split("\n")
    prose = _NO_PROSE.sub(lambda match: re.sub(r"[^\n]", "·", match[0]), text)
    # A line's end is a space, but for the end of a paragraph: words are found over two lines.
    prose = re.sub(r"(?<!\n)\n(?!\n)", " ", prose)
    for pattern, better in _PATTERNS:
        for match in pattern.finditer(prose):
            line = text.count("\n", 0, match.end())
            if not match.groupdict().get("asks") and _ALLOWED not in lines[line]:
                yield Finding(line + 1, " ".join(match[0].split()), better)


def messages(source: str) -> Iterator[tuple[int, str]]:
    """The texts of more than two words in Python code: messages, and not docstrings."""
    tree = ast.parse(source)
    docstrings = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text), lineno=line) if id(node) not in docstrings:
                if text.count(" ") > 1 and not _SQL.match(text):
                    yield line, text


def comments(text: str) -> str:
    """A YAML text with nothing but its comments, on the same lines."""
    return "\n".join(line.partition("# ")[2] if line.lstrip().startswith("#") else "" for line in text.split("\n"))


def _texts(*, code: bool) -> Iterator[tuple[Path, int, str]]:
    """What to read: the file, the line at which the text begins, the text."""
    if code:
        for path in sorted(path for each in _CODE for path in (_ROOT / each / f"chaingraph_{each}").rglob("*.py")):
            yield from ((path, line, text) for line, text in messages(path.read_text(encoding="utf-8")))
        return
    for path in sorted({path for pattern in _PAGES for path in _ROOT.glob(pattern)}):
        text = path.read_text(encoding="utf-8")
        if _GENERATED not in text:
            yield path, 1, comments(text) if path.suffix == ".yaml" else text


def main(arguments: list[str] | None = None) -> None:
    """Print the findings."""
    parser = argparse.ArgumentParser(prog="python -m tools.words", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit code 1 when something is found")
    parser.add_argument("--code", action="store_true", help="read the texts in Python code instead")
    chosen = parser.parse_args(arguments)
    count = 0
    for path, first, text in _texts(code=chosen.code):
        for line, found, better in sorted(findings(text)):
            print(f"{path.relative_to(_ROOT)}:{first + line - 1}: {found!r}: write {better}")
            count += 1
    print(f"{count} words to replace" if count else "words: nothing to replace")
    if chosen.check and count:
        sys.exit(1)


if __name__ == "__main__":
    main()
