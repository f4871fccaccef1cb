"""What an operator copies from Facebook is normalised or refused before any request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.connectors.facebook import formats
from tests.unit.bodies import APP_ID, APP_SECRET


@pytest.mark.parametrize("typed", [APP_ID, f" {APP_ID}\n", "12345678", "1" * 20])
def test_an_app_id_is_a_number(typed: str) -> None:
    """An App ID is a number of 8 to 20 digits; surrounding blanks are ignored."""

    assert formats.app_id(typed) == typed.strip()


@pytest.mark.parametrize(
    "typed", ["", "1234567", "1" * 21, "12 345678", "-12345678", "１２３４５６７８", "app"]
)
def test_an_invalid_app_id_is_refused(typed: str) -> None:
    """Text, other digits or a number of another length is not an App ID."""

    with pytest.raises(ValueError, match="an App ID is a number"):
        formats.app_id(typed)


def test_an_app_secret_is_hexadecimal() -> None:
    """An App Secret is hexadecimal; surrounding blanks are ignored."""

    assert formats.app_secret(f" {APP_SECRET}\n") == APP_SECRET


@pytest.mark.parametrize(
    "typed", ["", APP_SECRET[:-1], APP_SECRET + "0", APP_SECRET.upper(), "•" * 32, "g" * 32]
)
def test_an_invalid_app_secret_is_refused_unquoted(typed: str) -> None:
    """An incomplete or still hidden App Secret is refused, and the error does not quote it."""

    with pytest.raises(ValueError, match="an App Secret has 32 characters") as caught:
        formats.app_secret(typed)

    assert not typed or typed not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("", ("public_profile",)),
        ("leads_retrieval", ("public_profile", "leads_retrieval")),
        ("ads_read, ads_read\nleads_retrieval,", ("public_profile", "ads_read", "leads_retrieval")),
        ("ads_read,public_profile", ("public_profile", "ads_read")),
    ],
)
def test_permissions_come_once_each_with_public_profile_first(
    typed: str, names: tuple[str, ...]
) -> None:
    """Separators and repetitions are ignored; `public_profile` is always first."""

    assert formats.permission_names(typed) == names


@pytest.mark.parametrize(
    "typed", ["Ads_Read", "ads-read", "ads__read", "_ads", "ads_", "1ads", "a;b"]
)
def test_an_invalid_permission_is_refused(typed: str) -> None:
    """The error names the invalid permission."""

    with pytest.raises(ValueError, match=r"is not a permission") as caught:
        formats.permission_names(f"ads_read, {typed}")

    assert repr(typed) in str(caught.value)


@pytest.mark.parametrize(("typed", "version"), [("v26.0", "v26.0"), (" V27.0 ", "v27.0")])
def test_a_graph_version_has_its_v(typed: str, version: str) -> None:
    """A Graph version begins with v; case and blanks are ignored."""

    assert formats.graph_version(typed) == version


@pytest.mark.parametrize("typed", ["", "26.0", "v26", "v26.00", "v0.1", "latest", "v26.0/me"])
def test_an_invalid_graph_version_is_refused(typed: str) -> None:
    """Only a version such as v26.0 is accepted, because it becomes part of every request path."""

    with pytest.raises(ValueError, match=r"looks like v26\.0"):
        formats.graph_version(typed)


@pytest.mark.parametrize(
    "parse",
    [formats.app_id, formats.app_secret, formats.graph_version, formats.permission_names],
)
@given(typed=st.text(max_size=40))
def test_any_text_is_accepted_or_a_value_error(parse: Callable[[str], Any], typed: str) -> None:
    """Any text is accepted or raises `ValueError`, nothing else."""

    with suppress(ValueError):
        parse(typed)
