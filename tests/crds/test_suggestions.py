"""Did you mean: the same rule for every name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.messages.suggestions import almost, similar, suggestion
from chaingraph_flow import Registry

TYPES = (*Registry.discover(), "acme.Shout", "acme.Whisper", "beta.Shout2")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "small": str.lower,
    "capital": str.upper,
    "dashes": lambda name: name.replace("_", "-"),
    "words": lambda name: "".join(f"_{each}" if each.isupper() else each for each in name).lstrip("_"),
}


@given(st.sampled_from(TYPES), st.sampled_from(sorted(SPELLINGS)))
def test_case_and_separators_make_no_difference(name: str, spelling: str) -> None:
    spelled = SPELLINGS[spelling](name)
    if spelled not in TYPES:
        assert similar(spelled, TYPES)[0] == name
        assert almost(spelled, TYPES) == name
        assert suggestion(spelled, TYPES) == f"; did you mean {name!r}?"


@given(st.sampled_from([each for each in TYPES if len(each) > 4]), st.data())
def test_a_slip_of_a_long_name_is_almost_it(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(name) - 2))
    slips = {
        "left out": name[:place] + name[place + 1 :],
        "twice": name[:place] + name[place] + name[place:],
        "swapped": name[:place] + name[place + 1] + name[place] + name[place + 2 :],
    }
    spelled = data.draw(st.sampled_from(sorted(slips.values())))
    if spelled not in TYPES and not any(each.isdigit() or each == "." for each in name[place : place + 2]):
        assert almost(spelled, TYPES) is not None


@pytest.mark.parametrize(
    "name", ["acme.Stop", "acme.Shout2", "JSONRead2", "acme.Translate", "gamma.Resize", "Nope", ""]
)
def test_another_type_of_a_team_and_another_version_are_no_slips(name: str) -> None:
    assert almost(name, TYPES) is None


def test_a_forgotten_prefix_is_found() -> None:
    assert almost("whisper", TYPES) == "acme.Whisper"
    assert similar("shout", TYPES)[0] == "acme.Shout"


def test_few_names_are_listed_when_none_is_near() -> None:
    assert suggestion("x", ["beta", "alpha"]) == "; available: 'alpha', 'beta'"
    assert suggestion("x", []) == ""
