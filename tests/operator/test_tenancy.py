"""Annotations of a Namespace as a policy: every form, right and wrong."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds import names
from chaingraph_operator.decide import allowance
from chaingraph_store.tenancy.policies import NamespacePolicy

DEFAULTS = NamespacePolicy(queues=("chaingraph-executions",), max_running=7, max_waiting=9, max_priority=5)


@pytest.mark.parametrize(
    ("name", "text", "column", "value"),
    [
        ("queues", "fast, slow,fast", "queues", ("fast", "slow")),
        ("queues", "*", "queues", None),
        ("queues", "", "queues", ()),
        ("max-running", "0", "max_running", 0),
        ("max-running", " 12 ", "max_running", 12),
        ("max-running", "unlimited", "max_running", None),
        ("max-waiting", "1000", "max_waiting", 1000),
        ("max-priority", "0", "max_priority", 0),
        ("weight", "3", "weight", 3.0),
        ("max-ledger-bytes", "10Gi", "max_ledger_bytes", 10 * 2**30),
        ("max-ledger-bytes", "5k", "max_ledger_bytes", 5000),
        ("max-ledger-bytes", "unlimited", "max_ledger_bytes", None),
        ("egress", "10.1.0.0/16, fd00:1::/64", "egress", ("10.1.0.0/16", "fd00:1::/64")),
        ("egress", "10.1.2.3", "egress", ("10.1.2.3/32",)),
    ],
)
def test_annotation_sets_its_field(name: str, text: str, column: str, value: object) -> None:
    policy, problems = allowance.read({f"chaingraph.dev/{name}": text}, DEFAULTS)
    assert problems == ()
    changed = {
        each.name for each in fields(NamespacePolicy) if getattr(policy, each.name) != getattr(DEFAULTS, each.name)
    }
    assert getattr(policy, column) == value
    assert changed <= {column}


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("queues", "chaingraph-held", "'chaingraph-held' is reserved"),
        ("queues", "fast,fast@default/1", "'fast@default/1' is reserved"),
        ("queues", "_dbos_internal_queue", "reserved"),
        ("queues", "a b", "'a b' is not a queue name"),
        ("queues", "q" * 64, "is not a queue name"),
        ("queues", ",".join(f"q{n}" for n in range(257)), "at most 256"),
        ("max-running", "ten", "a number from 0"),
        ("max-running", "-1", "a number from 0"),
        ("max-running", "1.5", "a number from 0"),
        ("max-running", "\u0661", "a number from 0"),
        ("max-running", "9" * 5000, "a number from 0"),
        ("max-waiting", "", "a number from 0"),
        ("max-priority", "1001", "a number from 0 to 1000"),
        ("weight", "0", "a number from 1 to 1000"),
        ("max-ledger-bytes", "10gb", "an amount of bytes such as '500Mi'"),
        ("max-ledger-bytes", "999999999999999Ti", "an amount of bytes"),
        ("egress", "10.0.0.1/8", "'10.0.0.1/8' is not a network, or has bits beyond its prefix"),
        ("egress", "10.0.0.0/8,example.com", "'example.com' is not a network"),
        ("max-runing", "3", "did you mean 'chaingraph.dev/max-running'"),
    ],
)
def test_wrong_annotation_is_named_and_the_default_holds(name: str, text: str, right: str) -> None:
    policy, [problem] = allowance.read({f"chaingraph.dev/{name}": text}, DEFAULTS)
    assert policy == DEFAULTS
    assert problem.startswith(f"chaingraph.dev/{name}: ")
    assert right in problem
    assert len(problem) < 500


def test_annotations_of_others_are_left_alone() -> None:
    others = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "example.com/chaingraph.dev": "x"}
    assert allowance.read(others, DEFAULTS) == (DEFAULTS, ())


_NAMES = st.sampled_from(
    [
        names.QUEUES_ANNOTATION,
        names.MAX_RUNNING_ANNOTATION,
        names.MAX_WAITING_ANNOTATION,
        names.MAX_PRIORITY_ANNOTATION,
        names.WEIGHT_ANNOTATION,
        names.MAX_LEDGER_BYTES_ANNOTATION,
        names.EGRESS_ANNOTATION,
        "chaingraph.dev/other",
    ]
)
_TEXTS = st.text("0159afx:./,*@_KMGTi -\u0661\u00b2\x1b\n\u202e\ud800", max_size=40)


@given(st.dictionaries(_NAMES, _TEXTS, max_size=8))
def test_no_text_breaks_a_policy(annotations: dict[str, str]) -> None:
    policy, problems = allowance.read(annotations, DEFAULTS)
    assert not any(names.reserved_queue(each) for each in policy.queues or ())
    assert policy.weight >= 1
    assert all(count is None or 0 <= count < 2**31 for count in (policy.max_running, policy.max_waiting))
    assert all(each.isprintable() for each in problems)
