"""What the chart gets from the code, and the reference from the chart: on texts that the real files do not have yet."""

from __future__ import annotations

import pytest
from tools import chart_crds
from tools.chart_values import Value, documented

from chaingraph_crds import names
from chaingraph_crds.definitions import manifests

VALUES = """\
# Not this one.

# -- A list.
# It goes on.
list: [1, 2]
group:
  # -- One | two.
  inside: ""
  # An aside.
  silent: true
# -- A map as a whole.
map:
  # -- And this of it.
  part: {a: b}
"""


def test_comments_belong_to_the_key_below_them() -> None:
    assert list(documented(VALUES)) == [
        Value(("list",), [1, 2], "A list. It goes on."),
        Value(("group", "inside"), "", "One | two."),
        Value(("map",), {"part": {"a": "b"}}, "A map as a whole."),
        Value(("map", "part"), {"a": "b"}, "And this of it."),
    ]


def test_braces_in_a_description_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = manifests.crd_yaml(names.FLOW_KIND)
    monkeypatch.setattr(
        manifests, "crd_yaml", lambda kind: plain.replace("A Flow is", "With {{ name }} in it, a Flow is")
    )
    template = chart_crds.crd_template(names.FLOW_KIND)
    assert 'With {{ "{{" }} name }} in it' in template
    assert template.startswith("{{- if .Values.crds.enabled }}\n")
    assert template.endswith("{{- end }}\n")


def test_definition_of_another_shape_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "crd_yaml", lambda kind: "kind: CustomResourceDefinition\n")
    with pytest.raises(ValueError, match="has not one line `metadata:` at its margin"):
        chart_crds.crd_template(names.FLOW_KIND)
