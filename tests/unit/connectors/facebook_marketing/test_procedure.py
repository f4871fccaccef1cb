"""The procedure of Facebook Marketing has every documented step, in order."""

from __future__ import annotations

import pytest

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.procedure import StepKind
from tests.support.run_states import step_state
from tests.support.wording import wording
from tests.unit.bodies import APP_ID

DEFAULTS = {item.name: item.default for item in inputs_of(PROCEDURE) if item.default is not None}

# A word from the title of each documented step, in the documented order (Cyclr: Facebook Marketing
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
    """All thirteen documented steps are there in order, with their numbers in their ids."""
    partner_app = PROCEDURE.sections[0].steps

    documented = [step for step in partner_app if step.source.step]
    assert [step.source.step for step in documented] == list(range(1, 14))
    assert [int(step.id.split("-")[1]) for step in documented] == list(range(1, 14))
    for words, step in zip(DOCUMENTED, documented, strict=True):
        assert words in step.title.lower()
        assert step.source.section == 1


def test_cyclr_and_the_test_follow() -> None:
    """Then come the console's steps, and the documented test in a user account."""
    _, cyclr, *tests = PROCEDURE.sections
    tested = [step for section in tests for step in section.steps]

    documented = [step for step in cyclr.steps if not step.source.off_page]
    assert [step.id for step in documented][1:] == ["cy-02-client-id", "cy-03-client-secret"]
    assert [int(step.id.split("-")[1]) for step in documented] == [1, 2, 3]
    assert cyclr.steps[-1].id == "cy-03a-error-webhook"
    assert PROCEDURE.numbers["cy-03a-error-webhook"].endswith("a")
    assert [int(step.id.split("-")[1]) for step in tested] == list(range(1, len(tested) + 1))
    assert all(step.source.section == 2 for step in (*cyclr.steps, *tested))
    assert [section.id for section in PROCEDURE.sections] == [
        "partner-app",
        "cyclr-connector",
        "connection-test",
        "ask-cyclr",
    ]


def test_steps_that_are_not_on_the_page_stand_in_their_place() -> None:
    """Today's steps stand where they must be done, each with its source, and say what they are."""
    added = [step for step in PROCEDURE.steps if step.source.off_page]
    order = [step.id for step in PROCEDURE.steps]

    assert [step.id for step in added] == [
        "fb-04a-use-case",
        "fb-05a-business-verification",
        "fb-05b-access-verification",
        "fb-09a-test-calls",
        "fb-11a-public-pages",
        "fb-11b-data-access-renewal",
        "fb-12a-publish",
        "cy-03a-error-webhook",
        "test-06-customer-consent",
        "test-07-ask-old-requests",
        "test-08-ask-login-product",
        "test-09-ask-token-kind",
        "test-10-ask-graph-version",
    ]
    assert order.index("fb-09a-test-calls") < order.index("fb-10-public-profile")
    assert all("https://" in step.source.off_page for step in added)
    states = [step_state(step) for step in added]
    headings = [wording("notebook.not-documented", title=step.title) for step in added]
    assert [state.heading for state in states] == headings


def test_numbers_on_screen_are_those_of_the_page() -> None:
    """A documented step keeps its number; one that is not on the page has a letter."""
    numbers = PROCEDURE.numbers

    assert [numbers[step.id] for step in PROCEDURE.steps if step.source.step] == [
        str(number) for number in range(1, 14)
    ]
    assert numbers["fb-04a-use-case"] == "4a"
    assert numbers["fb-05b-access-verification"] == "5b"
    assert numbers["cy-01-connector-setup"] == "14"
    assert len(set(numbers.values())) == len(PROCEDURE.steps)


def test_links_fill_in_the_app_id_once_it_is_known() -> None:
    """Without an App ID the link leads nowhere, with it to the app."""
    step = next(step for step in PROCEDURE.steps if step.id == "fb-08-redirect-uri")
    link = step.links[0]
    before = link.url(DEFAULTS)
    after = link.url({**DEFAULTS, "app_id": APP_ID})

    assert before == ""
    assert after == f"https://developers.facebook.com/apps/{APP_ID}/fb-login/settings/"


@pytest.mark.parametrize("number", [6, 7, 8, 9, 10, 11, 12, 13])
def test_steps_within_the_app_link_into_it(number: int) -> None:
    """From step 6 on, the first link of each documented step leads to the app."""
    step = next(step for step in PROCEDURE.steps if step.source.step == number)

    assert f"/apps/{APP_ID}/" in step.links[0].url({**DEFAULTS, "app_id": APP_ID})


def test_pasted_values_are_the_documented_ones() -> None:
    """The redirect URI is built from the Service Domain, and the Client ID is the App ID."""
    values = {**DEFAULTS, "service_domain": "acme-h.cyclr.com", "app_id": APP_ID}
    pasted = {
        step.id: {paste.label: paste.value(values) for paste in step.pastes}
        for step in PROCEDURE.steps
    }

    assert pasted["fb-08-redirect-uri"] == {
        "Valid OAuth Redirect URIs": "https://acme-h.cyclr.com/connector/callback",
        "App Domains": "acme-h.cyclr.com",
    }
    assert pasted["cy-02-client-id"] == {"Client ID": APP_ID}


def test_only_the_gates_wait_for_an_outside_party() -> None:
    """App Review, the renewal and the two verifications wait for Facebook; nothing else does."""
    waiting = [step.id for step in PROCEDURE.steps if step.kind is StepKind.WAIT]

    assert waiting == [
        "fb-05a-business-verification",
        "fb-05b-access-verification",
        "fb-11b-data-access-renewal",
        "fb-12-submit-review",
    ]
