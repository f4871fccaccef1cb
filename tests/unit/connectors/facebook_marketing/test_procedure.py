"""The documented procedure is whole, in order, and hangs together."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest
from runbook_lib.connectors.facebook_marketing.inputs import EVIDENCE, RUNNER

from runbook_lib.config.attestations import read_words
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.procedure import Input, Procedure, Step, StepKind, WordKind
from tests.unit.bodies import APP_ID

DEFAULTS = {item.name: item.default for item in PROCEDURE.inputs if item.default is not None}
INPUTS = {item.name for item in PROCEDURE.inputs}

steps = pytest.mark.parametrize("step", PROCEDURE.steps, ids=lambda step: step.id)
inputs = pytest.mark.parametrize("item", PROCEDURE.inputs, ids=lambda item: item.name)

# What each documented step is about, in the documented order (Cyclr: Facebook Marketing
# Authentication).
DOCUMENTED = [
    "log in",
    "developer account",
    "my apps",
    "create app",
    "password",
    "facebook login",
    "settings",
    "redirect uri",
    "permissions and features",
    "public_profile",
    "leads_retrieval",
    "review",
    "app secret",
]


def test_all_thirteen_documented_steps_are_there_in_order() -> None:
    """No documented step is left out, merged or moved, and ids carry the documented numbers."""

    partner_app = PROCEDURE.sections[0].steps

    assert [step.source.step for step in partner_app] == list(range(1, 14))
    assert [int(step.id.split("-")[1]) for step in partner_app] == list(range(1, 14))
    for words, step in zip(DOCUMENTED, partner_app, strict=True):
        assert words in step.title.lower()
        assert step.source.section == 1


def test_cyclr_and_the_test_follow() -> None:
    """Then the console's two fields, then the documented test in a user account."""

    _, cyclr, test = PROCEDURE.sections

    assert [step.id for step in cyclr.steps][1:] == ["cy-02-client-id", "cy-03-client-secret"]
    assert [int(step.id.split("-")[1]) for step in cyclr.steps] == [1, 2, 3]
    assert [int(step.id.split("-")[1]) for step in test.steps] == list(
        range(1, len(test.steps) + 1)
    )
    assert all(step.source.section == 2 for step in (*cyclr.steps, *test.steps))
    assert [section.id for section in PROCEDURE.sections] == [
        "facebook_marketing",
        "facebook_marketing",
        "facebook_marketing",
    ]


def test_ids_are_unique_and_valid_as_cell_ids() -> None:
    """A step's id is its notebook cell's id (nbformat 4.5: 1 to 64 of A-Z a-z 0-9 - _)."""

    ids = [step.id for step in PROCEDURE.steps]

    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"(fb|cy|test)-[0-9]{2}-[a-z0-9-]+", each) for each in ids)
    assert all(len(f"{each}-text") <= 64 for each in ids)


@steps
def test_a_step_says_what_to_do(step: Step) -> None:
    """Every step has a title, prose, and no line that a template was left in."""

    assert step.title
    assert step.prose.endswith((".", ")"))
    assert "{" not in step.prose + step.today + step.title


@steps
def test_what_a_step_needs_is_an_input(step: Step) -> None:
    """A check cannot wait for a value that nobody can give."""

    for check in step.checks:
        assert set(check.needs) <= INPUTS
        assert check.run.__doc__
    assert all(item in PROCEDURE.inputs for item in step.inputs)


@steps
def test_a_step_requires_earlier_steps_only(step: Step) -> None:
    """An obstacle lies behind, never ahead."""

    ids = [each.id for each in PROCEDURE.steps]

    assert set(step.requires) <= set(ids[: ids.index(step.id)])


def test_every_input_is_asked_for_somewhere_or_has_its_place_in_settings() -> None:
    """No parameter is there that no step asks for, apart from addresses and the version."""

    asked = {item.name for step in PROCEDURE.steps for item in step.inputs}
    elsewhere = {name for name in INPUTS if name.endswith(("_url", "_address", "_file"))}

    elsewhere |= {item.name for item in (*EVIDENCE, *RUNNER)}

    assert INPUTS - asked <= elsewhere | {"graph_version", "four_eyes", "redirect_hosts"}


def test_links_fill_in_the_app_id_once_it_is_known() -> None:
    """Before the app exists the link leads to the list of apps, afterwards into the app."""

    step = next(step for step in PROCEDURE.steps if step.id == "fb-08-redirect-uri")
    link = step.links[0]
    before = link.url(DEFAULTS)
    after = link.url({**DEFAULTS, "app_id": APP_ID})

    assert before == "https://developers.facebook.com/apps"
    assert after == f"https://developers.facebook.com/apps/{APP_ID}/fb-login/settings/"


@steps
def test_every_link_works_before_and_after_the_app_id_is_known(step: Step) -> None:
    """A link never shows a hole, a brace or a plain-http address."""

    for values in (DEFAULTS, {**DEFAULTS, "app_id": APP_ID}):
        for link in step.links:
            assert re.fullmatch(r"https://[a-z.]+(/[^{}\s]*)?", link.url(values))
            assert link.label


@pytest.mark.parametrize("number", [6, 7, 8, 9, 10, 11, 12, 13])
def test_steps_within_the_app_link_into_it(number: int) -> None:
    """From the sixth step on every page belongs to the app."""

    step = PROCEDURE.sections[0].steps[number - 1]

    assert f"/apps/{APP_ID}/" in step.links[0].url({**DEFAULTS, "app_id": APP_ID})


def test_what_is_to_be_pasted_is_the_documented_value() -> None:
    """The redirect URI is made of the Service Domain; the App ID becomes the Client ID."""

    values = {**DEFAULTS, "service_domain": "acme-h.cyclr.com", "app_id": APP_ID}
    pasted = {
        step.id: {paste.label: paste.value(values) for paste in step.pastes}
        for step in PROCEDURE.steps
    }

    assert pasted["fb-08-redirect-uri"] == {
        "Valid OAuth Redirect URIs": "https://acme-h.cyclr.com/connector/callback"
    }
    assert pasted["cy-02-client-id"] == {"Client ID": APP_ID}


def test_no_secret_is_ever_shown_to_be_pasted() -> None:
    """A secret is not put into a page of the notebook, not even for copying."""

    secrets = {item.name for item in PROCEDURE.inputs if item.secret}
    templates = [part.template for step in PROCEDURE.steps for part in (*step.links, *step.pastes)]

    assert secrets == {
        "app_secret",
        "cyclr_client_secret",
        "user_access_token",
        "signing_passphrase",
    }
    assert not any(f"{{{name}}}" in template for name in secrets for template in templates)


def test_only_the_review_waits_for_the_world() -> None:
    """The one step on which the world must act is the review."""

    waiting = [step.id for step in PROCEDURE.steps if step.kind is StepKind.WAIT]

    assert waiting == ["fb-12-submit-review"]


@inputs
def test_an_input_can_be_given(item: Input) -> None:
    """Its name makes a parameter and a variable; its own default and example are valid."""

    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", item.name)
    assert item.variable == f"RUNBOOK_{item.name.upper()}"
    assert item.label
    assert item.help.endswith(".")
    assert not (item.secret and (item.default or item.example))
    if item.example:
        assert item.parse(item.example)
    if isinstance(item.default, str):
        assert item.parse(item.default) == item.default
    if isinstance(item.default, tuple):
        assert item.parse(",".join(item.default)) == item.default


def test_what_changes_cyclr_is_off_by_default() -> None:
    """Nothing of the partner's is altered unless a parameter says so."""

    assert DEFAULTS["install_connector"] is False
    assert DEFAULTS["create_test_account"] is False


def test_the_digest_changes_with_the_prose_of_any_step() -> None:
    """A record tells which text its operator read."""

    section = PROCEDURE.sections[0]
    digests = {PROCEDURE.digest}
    for number, step in enumerate(section.steps):
        altered = [*section.steps]
        altered[number] = replace(step, prose=f"{step.prose} Really.")
        sections = (replace(section, steps=tuple(altered)), *PROCEDURE.sections[1:])
        digests.add(replace(PROCEDURE, sections=sections).digest)

    assert len(digests) == len(section.steps) + 1


def words(name: str) -> Path:
    folder = resources.files("runbook_lib.connectors.facebook_marketing").joinpath("practice")
    return Path(str(folder.joinpath(name)))


@pytest.mark.parametrize("name", ["submitted.toml", "connected.toml"])
def test_the_practice_files_are_words_of_this_procedure(name: str) -> None:
    """What the sandbox's operator says names real steps and says SANDBOX."""

    said = read_words(words(name), PROCEDURE, now=datetime(2026, 2, 1, tzinfo=UTC))

    assert {word.kind for word in said} == {WordKind.ATTESTED, WordKind.SUBMITTED}
    assert {word.by for word in said} == {"Sandbox operator"}
    assert "SANDBOX" in words(name).read_text(encoding="utf-8")


def test_a_procedure_is_data() -> None:
    """A second connector needs another `Procedure`, nothing else."""

    assert isinstance(PROCEDURE, Procedure)
    assert PROCEDURE.id == "facebook_marketing"


@pytest.mark.parametrize("step", PROCEDURE.steps, ids=lambda step: step.id)
def test_each_step_says_what_is_confirmed_and_of_what(step: Step) -> None:
    """One sentence beside the button, bound to the app or console that the step is about."""

    inputs = {item.name for item in PROCEDURE.inputs}

    assert step.confirms.endswith(".")
    assert step.subject
    assert set(step.subject) <= inputs
    assert "app_id" in step.subject or "cyclr_client_id" in step.subject


def test_each_sentence_and_each_check_is_its_own() -> None:
    """Two steps never confirm the same, and a check's id is no other's."""

    sentences = [step.confirms for step in PROCEDURE.steps]
    checks = [check.id for step in PROCEDURE.steps for check in step.checks]

    assert len(set(sentences)) == len(sentences)
    assert len(set(checks)) == len(checks)


@pytest.mark.parametrize("name", ["app_id", "app_secret", "service_domain", "account_api_id"])
def test_what_is_handed_over_is_the_subject_of_a_step(name: str) -> None:
    """Another value of one of these voids the words of at least one step."""

    assert any(name in step.subject for step in PROCEDURE.steps)
