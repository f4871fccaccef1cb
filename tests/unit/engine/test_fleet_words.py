"""The attestations of a fleet: every entry has a subject, and what is no tenant's is reported."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.engine.fleet_words import check_words
from runbook_lib.errors import SettingsError

MARKETING = find_procedure("facebook_marketing")
MESSENGER = find_procedure("facebook_messenger")
TENANTS = [
    (MARKETING, {"app_id": "1000000001", "service_domain": "a.cyclr.com"}),
    (MESSENGER, {"app_id": "1000000002", "service_domain": "b.cyclr.com"}),
]
# Both connectors have this step, which is about an app and a Service Domain.
STEP = "fb-08-redirect-uri"
ENTRY = '[[{}]]\nstep = "{}"\nby = "Ann"\nat = 2026-01-20T09:00:00Z\nsubject = {}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.toml"


def test_what_is_about_no_tenant_is_reported(path: Path) -> None:
    """Each subject that no tenant has is a sentence, of a list each member alone."""

    path.write_text(
        ENTRY.format(
            "attestation",
            STEP,
            '[{app_id = "1000000001"}, {app_id = "1000000009"}, {app_id = "1000000002"},'
            ' {app_id = "1000000001", service_domain = "b.cyclr.com"}]',
        )
        + ENTRY.format("attestation", STEP, '{service_domain = "c.cyclr.com"}')
    )

    about = [
        "app_id 1000000009",
        "app_id 1000000001 and service_domain b.cyclr.com",
        "service_domain c.cyclr.com",
    ]
    assert check_words(path, TENANTS) == [
        f"{path}, step {STEP}: no tenant has {each}, so this counts for none." for each in about
    ]


def test_a_tenant_of_either_connector_counts(path: Path) -> None:
    """An entry that is about a tenant of one connector is not missed in the other."""

    path.write_text(ENTRY.format("attestation", STEP, '{app_id = "1000000002"}'))

    assert check_words(path, TENANTS) == []
    assert len(check_words(path, TENANTS[:1])) == 1


@pytest.mark.parametrize("subject", ["{}", "[]", "[{}]", '[{app_id = "1000000001"}, {}]'])
def test_an_entry_without_a_subject_is_refused(subject: str, path: Path) -> None:
    """An entry that names nothing, or a list of which one names nothing, is refused."""

    path.write_text(ENTRY.format("attestation", STEP, subject))

    with pytest.raises(SettingsError, match="subject"):
        check_words(path, TENANTS)


def test_many_words_about_many_tenants_take_no_time(path: Path) -> None:
    """Thousands of subjects and of tenants are compared by what they have, not each with each."""

    numbers = range(1_000_000_000, 1_000_010_000)
    subjects = ", ".join(f'{{app_id = "{number}"}}' for number in numbers)
    path.write_text(ENTRY.format("attestation", STEP, f"[{subjects}]"))
    began = time.process_time()

    assert check_words(path, [(MARKETING, {"app_id": f"{number}"}) for number in numbers]) == []
    assert time.process_time() - began < 20
