"""A connection string that cannot be right is told without its password, however it is written."""

from __future__ import annotations

import string
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings

from chaingraph_runtime.settings import explain

MIDDLE = st.text(string.ascii_letters + string.punctuation, max_size=12)
QUOTED = st.text(string.ascii_letters + string.punctuation + " \t", max_size=12)


class Refusing(BaseSettings):
    """Takes no connection string."""

    dsn: str = Field(validation_alias="SOME_DSN")

    @field_validator("dsn")
    @classmethod
    def _none(cls, value: str) -> NoReturn:
        raise ValueError("not a connection string")


def told(dsn: str) -> str:
    """What the log says of it."""
    with pytest.raises(ValidationError) as refused:
        Refusing.model_validate({"SOME_DSN": dsn})
    return explain(refused.value, Refusing)


@given(MIDDLE)
def test_password_of_a_url_is_not_told(middle: str) -> None:
    said = told(f"postgresql://me:H34d{middle}T41l@db.example.com:5432/database")
    assert "H34d" not in said
    assert "T41l" not in said
    assert said.startswith("SOME_DSN is ")


@given(
    QUOTED, st.sampled_from(["password='{}'", "password = '{}'", "sslpassword='{}'"]), st.sampled_from(["", " user=me"])
)
def test_quoted_password_is_not_told(middle: str, form: str, more: str) -> None:
    password = f"H34d{middle}T41l".replace("\\", "\\\\").replace("'", "\\'")
    said = told(f"host=h {form.format(password)}{more}")
    assert "H34d" not in said
    assert "T41l" not in said


@given(QUOTED.filter(lambda text: "'" not in text))
def test_password_without_closing_quote_is_not_told(middle: str) -> None:
    said = told(f"host=h password='H34d{middle}T41l")
    assert "H34d" not in said
    assert "T41l" not in said


@given(MIDDLE.filter(lambda text: not text.startswith("'")))
def test_plain_password_is_not_told(middle: str) -> None:
    for dsn in (f"host=h password=H34d{middle}T41l user=me", f"postgresql://h/d?password=H34d{middle}T41l"):
        said = told(dsn)
        assert "H34d" not in said
        assert "T41l" not in said
