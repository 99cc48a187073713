"""The reference page: every field has its row, with what a reader needs to know of it."""

import re

import pytest
from tools.api_reference import markdown

from chaingraph_crds import names
from fixtures.cluster.crd_schemas import parts


@pytest.mark.parametrize("kind", names.KINDS)
def test_reference_page_lists_every_field(kind: str) -> None:
    page = markdown()
    for path, _ in parts(kind):
        parent, _, name = path.rpartition(".")
        if not parent or path.startswith(("spec.flow.", "status.conditions[].")):
            continue
        section = page.split(f"### {kind} `{parent}`\n")[1].split("\n### ")[0]
        assert re.search(rf"^\| `{name.removesuffix('[]')}`", section, re.MULTILINE), path


@pytest.mark.parametrize(
    "words",
    [
        "| `maxConcurrency` | integer | Maximum nodes running at the same time. Default: 50. From 1 to 500. |",
        "| `nodes` **required** | list of object |",
        "Values of the flow's inputs, by name. Null means not given. `kubectl apply` drops null members of objects, "
        "`kubectl apply --server-side` keeps them. Immutable. At most 100 keys.",
        "Same fields as [a Flow's `spec`](#flow-spec).",
        "- exactly one of flowRef and flow must be set",
        "| Current* |",
        "| `Stopped` | Ended by `spec.stop`. |",
    ],
)
def test_reference_page_contains_expected_text(words: str) -> None:
    assert words in markdown()


def test_reference_tables_have_complete_rows() -> None:
    """Every row of a table has as many cells as its head."""
    width = 0
    for line in markdown().splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if width and cells:
            assert cells == width, line
        width = cells
