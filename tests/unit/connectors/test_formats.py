"""Values that an operator copies from Facebook are normalised or refused before any request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.connectors.facebook import facebook_formats
from runbook_lib.connectors.facebook.permissions import permission_doubt
from runbook_lib.connectors.registry import find_procedure
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_ID, APP_SECRET


@pytest.mark.parametrize("typed", [APP_ID, f" {APP_ID}\n", "12345678", "1" * 20])
def test_an_app_id_is_a_number(typed: str) -> None:
    """An App ID is a number of 8 to 20 digits; surrounding blanks are ignored."""
    assert facebook_formats.app_id(typed) == typed.strip()


@pytest.mark.parametrize(
    "typed", ["", "1234567", "1" * 21, "12 345678", "-12345678", "１２３４５６７８", "app"]
)
def test_an_invalid_app_id_is_refused(typed: str) -> None:
    """Text, other digits or a number of another length is not an App ID."""
    with refused(ValueError, "app-id-digits", code="setting-invalid"):
        facebook_formats.app_id(typed)


def test_an_app_secret_is_hexadecimal() -> None:
    """An App Secret is hexadecimal; surrounding blanks are ignored."""
    assert facebook_formats.app_secret(f" {APP_SECRET}\n") == APP_SECRET


@pytest.mark.parametrize(
    "typed", ["", APP_SECRET[:-1], APP_SECRET + "0", APP_SECRET.upper(), "•" * 32, "g" * 32]
)
def test_an_invalid_app_secret_is_refused_unquoted(typed: str) -> None:
    """An incomplete or still hidden App Secret is refused, and the error does not quote it."""
    with refused(ValueError, "app-secret-length", code="setting-invalid", length=32) as caught:
        facebook_formats.app_secret(typed)

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
    assert facebook_formats.permission_names(typed) == names


@pytest.mark.parametrize(
    "typed", ["Ads_Read", "ads-read", "ads__read", "_ads", "ads_", "1ads", "a;b"]
)
def test_an_invalid_permission_is_refused(typed: str) -> None:
    """The error names the invalid permission."""
    with refused(
        ValueError,
        "no-permission",
        code="setting-invalid",
        name=repr(typed),
        example="leads_retrieval",
    ):
        facebook_formats.permission_names(f"ads_read, {typed}")


@pytest.mark.parametrize(("typed", "version"), [("v26.0", "v26.0"), (" V27.0 ", "v27.0")])
def test_a_graph_version_has_its_v(typed: str, version: str) -> None:
    """A Graph version begins with v; case and blanks are ignored."""
    assert facebook_formats.graph_version(typed) == version


@pytest.mark.parametrize("typed", ["", "26.0", "v26", "v26.00", "v0.1", "latest", "v26.0/me"])
def test_an_invalid_graph_version_is_refused(typed: str) -> None:
    """Only a version such as v26.0 is accepted, because it becomes part of every request path."""
    with refused(ValueError, "graph-version-form", version="v26.0"):
        facebook_formats.graph_version(typed)


@pytest.mark.parametrize(
    "parse",
    [
        facebook_formats.app_id,
        facebook_formats.app_secret,
        facebook_formats.graph_version,
        facebook_formats.permission_names,
    ],
)
@given(typed=st.text(max_size=40))
def test_any_text_is_accepted_or_a_value_error(parse: Callable[[str], Any], typed: str) -> None:
    """Any text is accepted or raises `ValueError`, nothing else."""
    with suppress(ValueError):
        parse(typed)


@pytest.mark.parametrize(
    ("name", "brands"),
    [
        ("Acme for Facebook", "facebook"),
        ("AcmeFB Sync", "fb"),
        ("InstaLeads", "insta"),
        ("Acme ig feed", "ig"),
        ("Meta Connector", "meta"),
        ("FACEBOOK & WhatsApp", "facebook, whatsapp"),
        ("Face Book", "book, face"),
    ],
)
def test_a_brand_in_a_name_is_doubtful(name: str, brands: str) -> None:
    """A name with a brand of Meta's gets a warning that names it."""
    assert facebook_formats.name_doubt(name).startswith(f"It contains {brands}: ")


@pytest.mark.parametrize(
    "name", ["Acme Lead Sync", "Metadata Program", "Bookings", "Surface", "Igloo", "", "日本", "42"]
)
def test_an_ordinary_name_is_not_doubtful(name: str) -> None:
    """A word that only contains a short brand is no reason for a warning."""
    assert facebook_formats.name_doubt(name) == ""


def test_a_permission_that_no_list_has_is_doubtful() -> None:
    """An unknown permission gets a warning, with the one that may be meant; known ones none."""
    assert permission_doubt(("ads_read", "public_profile", "pages_messaging")) == ""
    mistyped = wording("findings.unknown-permission", permission="ads_raed")
    did_you_mean = wording("setting-invalid.did-you-mean", name="ads_read")
    assert permission_doubt(("ads_raed",)) == f"{mistyped} {did_you_mean}"
    assert permission_doubt(("quux_zzz",)) == wording(
        "findings.unknown-permission", permission="quux_zzz"
    )


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
def test_nothing_that_a_connector_needs_is_doubtful(name: str) -> None:
    """Defaults and examples give no warning."""
    procedure = find_procedure(name)
    defaults = {item.name: item.default for item in procedure.inputs if item.default is not None}
    examples = {
        item.name: item.parse(item.example)
        for item in procedure.inputs
        if item.example and not item.secret
    }

    assert procedure.doubts(defaults) == {}
    assert procedure.doubts(examples) == {}
