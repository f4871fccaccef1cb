"""The tenants of an evidence folder, from their journals alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.config.settings import Settings
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_names import (
    TenantQuestion,
    chosen_tenant,
    list_some_names,
    tenants_of,
)
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.errors import SettingsError
from runbook_lib.operations.tenant_reader import read_tenants
from tests.conftest import NOON
from tests.support.attestations import attested
from tests.support.wording import refused, wording

pytestmark = pytest.mark.usefixtures("folder")


def begin(tenant: str, connector: str = PROCEDURE.id, *words: str) -> None:
    """Begin a tenant, whose operator has confirmed these steps."""
    run = open_run(
        find_procedure(connector),
        {"app_id": "1234567891011121"},
        mode=Mode.HEADLESS,
        tenant=tenant,
        evidence="evidence",
        environ={},
    )
    run.start()
    run.say([attested(step) for step in words])


def test_each_connector_of_each_tenant_is_listed() -> None:
    """Tenants are sorted by name, each with its connectors; other folders are none."""
    begin("umbrella")
    begin("acme", "facebook_messenger")
    begin("acme")
    for other in ("keys/facebook_marketing", "acme/notes", "-odd/facebook_marketing", "acme/x"):
        (Path("evidence") / other).mkdir(parents=True, exist_ok=True)
        (Path("evidence") / other / "journal.jsonl").touch()

    assert tenants_of("evidence") == [
        ("acme", "facebook_marketing"),
        ("acme", "facebook_messenger"),
        ("umbrella", "facebook_marketing"),
    ]


def test_a_state_rests_on_the_journal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of another tenant, in the environment or in `.env`, void nothing."""
    begin("acme", PROCEDURE.id, "fb-01-log-in", "fb-02-developer-account")
    Path(".env").write_text("RUNBOOK_FACEBOOK_APP_ID=999999999999999\n", "utf-8")
    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_ID", "888888888888888")

    (status,) = read_tenants("evidence", NOON).statuses

    assert (status.tenant, status.connector, status.done) == ("acme", PROCEDURE.id, 2)
    assert status.standing == "needs_you"


def test_an_empty_folder_has_no_tenant() -> None:
    """Nothing is listed, and nothing is written."""
    assert read_tenants("evidence", NOON).statuses == []
    assert not Path("evidence").exists()
    Path("file").touch()
    with pytest.raises(SettingsError):
        read_tenants("file", NOON)


@pytest.mark.parametrize(
    ("many", "sentence"),
    [
        (2, "t0, t1"),
        (10, "t0, t1, t2, t3, t4, t5, t6, t7, t8, t9"),
        (5_010, "t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 5,000 more (`runbook status`)"),
    ],
)
def test_only_the_first_of_many_tenants_are_named(many: int, sentence: str) -> None:
    """A sentence names at most ten tenants, and where the others are listed."""
    assert list_some_names([f"t{number}" for number in range(many)]) == sentence


@pytest.mark.parametrize(
    ("typed", "tenant"),
    [
        ("https://Acme-h.cyclr.com/", "acme-h.cyclr.com"),
        (" Acme-h.cyclr.com ", "acme-h.cyclr.com"),
        ("acme-h.cyclr.com.", "acme-h.cyclr.com"),
        ("Initech", "Initech"),
        ("Old.Name", "Old.Name"),
    ],
)
def test_the_walkthrough_takes_a_service_domain_as_its_step_does(typed: str, tenant: str) -> None:
    """An address is its host's name in lower case; a name, and a tenant that is there, stay."""
    begin("Old.Name")

    answers = iter([typed, "yes"])
    assert chosen_tenant(Settings(), "evidence", lambda _: next(answers)) == tenant


def test_a_new_tenant_is_begun_only_after_a_yes() -> None:
    """A name without a record is asked about, without a yes the first question comes again."""
    begin("acme")
    answers = ["acme-h.cyclr.com", "no", "acme-h.cyclr.com", "", "acme-h.cyclr.com", " Yes "]
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return answers[len(asked) - 1]

    assert chosen_tenant(Settings(), "evidence", answer) == "acme-h.cyclr.com"
    assert asked[::2] == [asked[0]] * 3
    assert asked[1::2] == [asked[1]] * 3
    assert asked[1].startswith(wording("tenant-unknown.no-record-yet", name="acme-h.cyclr.com"))
    assert "LIVE" in asked[1]

    def leave(question: str) -> str:
        if question == asked[1]:
            raise EOFError
        return "acme-h.cyclr.com"

    with refused(SettingsError, "no-tenant-named"):
        chosen_tenant(Settings(), "evidence", leave)


@pytest.mark.parametrize(
    ("address", "world"),
    [("https://127.0.0.1:8443", "SANDBOX"), ("https://graph.facebook.com", "LIVE")],
)
def test_the_question_says_where_a_new_tenant_begins(address: str, world: str) -> None:
    """With a remote system on this machine a new tenant is practice, else production."""
    assert TenantQuestion(Settings({"graph_base_url": address}), "evidence").world == world


def test_the_walkthrough_asks_again_for_what_is_no_tenant() -> None:
    """An answer that cannot name a tenant is asked again, with why."""
    begin("acme")
    answers = ["", "Acme Corp", "https://acme-h.cyclr.com:8443/", "acme"]
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return answers[len(asked) - 1]

    assert chosen_tenant(Settings(), "evidence", answer) == "acme"
    question = wording("lab.whose-app", example="acme-h.cyclr.com", tenants="acme")
    assert asked[0] == question
    assert all(again.endswith(f" {question}") for again in asked[1:])
    assert asked[2].startswith(f"'Acme Corp' {wording('setting-invalid.not-a-tenant-name')}")
