"""The check of words: it reads prose and comments, leaves code alone, and lets a line be an exception."""

from __future__ import annotations

import pytest
from tools.words import comments, findings, messages


def _found(text: str) -> list[tuple[int, str]]:
    return sorted((each.line, each.found) for each in findings(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The rows of what has ended.", "what"),
        ("| symptom | what it is |", "what"),
        ("Who asks is a caller.", "Who"),
        ("It goes on with any worker.", "goes on"),
        ("The execution is to pause.", "is to pause"),
        ("Mend the flow.", "Mend"),
        ("Their behaviour is the same.", "behaviour"),
    ],
)
def test_words_finds_word(text: str, found: str) -> None:
    assert _found(text) == [(1, found)]


@pytest.mark.parametrize(
    "text",
    [
        "What happens when a worker dies",
        "What is a lease? It is a right.",
        "The message says what to do.",
        "The condition says what paused it.",
        "Run `what goes on` in a shell.",
        "See [the page](how-to/see-what-it-does.md).",
        "```sh\necho what goes on\n```",
        "<!-- not run: nobody has it -->",
        "Users who read logs continue.",
    ],
)
def test_words_accepts_plain_text(text: str) -> None:
    assert _found(text) == []


def test_words_reads_over_line_ends_but_not_paragraphs() -> None:
    assert _found("one\n\nAn execution goes\n  on.") == [(4, "goes on")]
    assert _found("It goes\n\non the list.") == []


def test_words_skips_marked_lines() -> None:
    assert _found('The word "what". <!-- words: ok -->\nof what is.') == [(2, "what")]


def test_words_of_yaml_are_those_of_its_comments() -> None:
    text = "# -- Queues that nobody serves.\nqueues: [nobody]\n  # Whom: anybody\n"
    assert _found(comments(text)) == [(1, "nobody"), (3, "anybody")]


def test_words_of_code_are_those_of_its_messages() -> None:
    source = (
        '"""What it is for."""\nRUN = "SELECT what FROM b"\nraise ValueError("nobody has asked for it")\nX = "what"\n'
    )
    assert list(messages(source)) == [(3, "nobody has asked for it")]
