"""Values and credentials that a person types into a panel: validated, recorded, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import INSTALL_CONNECTOR, SERVICE_DOMAIN
from runbook_lib.connectors.facebook import inputs
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import Link, Paste, Step, StepKind
from runbook_lib.errors import ResponseTimeoutError, UnreachableError
from runbook_lib.walkthrough.input_fields import as_sentence
from tests.support.attestations import attested
from tests.support.wording import wording
from tests.unit.bodies import APP_ID, APP_SECRET
from tests.unit.walkthrough.conftest import (
    DONE,
    KNOWN,
    LEFT_OUT,
    OTHER_SECRET,
    MakeHarness,
    undecided,
)
from tests.unit.walkthrough.sample_run import (
    PERMISSIONS,
    app_step,
    eventually,
    make_step,
    settled,
    verified,
)

NO_APP_ID = as_sentence(wording("setting-invalid.app-id-digits"))
NO_APP_SECRET = as_sentence(wording("setting-invalid.app-secret-length", length=32))
TRUE_OR_FALSE = f"it {wording('setting-invalid.takes-true-or-false', value='perhaps')}"
DID_YOU_MEAN = wording("setting-invalid.did-you-mean", name="ads_read")
CONTAINS_FACEBOOK = wording("findings.name-contains", word="facebook")


def test_typed_values_are_recorded(make_harness: MakeHarness) -> None:
    """Typed values are recorded with their type; empty and unknown fields are ignored."""
    harness = make_harness(app_step())
    given = {"app_id": f" {APP_ID} ", "permissions": "ads_read", "install_connector": False}
    harness.perform("app", {**given, "app_secret": "", "unknown": "x"})

    assert harness.run.history.given == {
        "app_id": APP_ID,
        "permissions": ("public_profile", "ads_read"),
        "install_connector": False,
    }
    shown = {each["name"]: each["value"] for each in harness.panels["app"].view["inputs"]}
    assert shown["app_id"] == APP_ID


def test_a_secret_that_was_typed_stays_in_memory(make_harness: MakeHarness, tmp_path: Path) -> None:
    """A typed secret can be used by a check, but no file and no view contains it."""

    def quotes(context: CheckContext) -> Finding:
        said = context.secrets["app_secret"].reveal()
        return Finding(outcome=Outcome.FAILED, code="a-code", reason=f"It refused {said}.")

    harness = make_harness(app_step(quotes))
    view = harness.perform("app", {"app_secret": f" {APP_SECRET}\n"})

    assert view["reason"].startswith("It refused *")
    assert harness.run.settings.secrets["app_secret"].reveal() == APP_SECRET
    secret = next(each for each in view["inputs"] if each["name"] == "app_secret")
    assert (secret["value"], secret["saved_in"]) == ("", "this session")
    assert APP_SECRET not in json.dumps(harness.panels["app"].views)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if APP_SECRET.encode() in path.read_bytes()]


def test_a_malformed_secret_is_refused_unquoted(make_harness: MakeHarness) -> None:
    """An invalid secret is refused without being quoted, and no check runs."""
    harness = make_harness(app_step())
    view = harness.perform("app", {"app_secret": "halfasecret"})

    problem = wording("setting-invalid.app-secret-length", length=32)
    assert view["message"].startswith(f"App Secret: {problem}")
    assert (view["advice"], view["is_error"]) == (
        wording("walkthrough.press-the-button-again"),
        True,
    )
    (refused,) = view["refused"]
    assert refused["problem"].startswith(NO_APP_SECRET)
    assert "halfasecret" not in json.dumps(harness.panels["app"].views)
    assert "app_secret" not in harness.run.settings.secrets
    assert harness.types == []


def test_valid_fields_are_kept_if_another_is_invalid(make_harness: MakeHarness) -> None:
    """If a field is invalid, its problem is shown, no check runs, and the valid fields are kept."""
    harness = make_harness(app_step())
    view = harness.perform("app", {"app_id": "x", "app_secret": APP_SECRET})

    problem = wording("setting-invalid.app-id-digits")
    assert view["message"].startswith(f"App ID: {problem}")
    assert view["taken"] == 1
    (refused,) = view["refused"]
    assert refused["input"] == "app_id"
    assert refused["problem"].startswith(NO_APP_ID)
    assert harness.run.settings.secrets["app_secret"].reveal() == APP_SECRET
    assert harness.types == []

    view = harness.perform("app", {"app_id": APP_ID}, finished=2)
    assert (view["taken"], view["refused"], view["outcome"]) == (2, [], "verified")


def test_an_invalid_value_is_named_by_its_label(make_harness: MakeHarness) -> None:
    """The message about an invalid value names the field by its label."""
    harness = make_harness(app_step())
    message = harness.perform("app", {"install_connector": "perhaps"})["message"]
    assert message.startswith(f"{INSTALL_CONNECTOR.label}: {TRUE_OR_FALSE}")


def test_written_words_are_counted(make_harness: MakeHarness) -> None:
    """`written` counts only what was recorded, so that a refused form keeps its text."""
    harness = make_harness(make_step("a"))
    assert harness.say("a", LEFT_OUT, {"by": "Operator", "note": ""})["written"] == 0
    assert (
        harness.say("a", LEFT_OUT, {"by": "Operator", "note": "No leads."}, finished=2)["written"]
        == 1
    )
    assert harness.say("a", DONE, {"by": "Operator"}, finished=3)["written"] == 2


LEADS = wording("setting-invalid.no-permission", name="'Leads'", example="leads_retrieval")


@pytest.mark.parametrize(
    ("name", "text", "problem", "doubt"),
    [
        ("app_id", "x", NO_APP_ID, ""),
        ("app_secret", "halfasecret", NO_APP_SECRET, ""),
        ("permissions", "Leads", LEADS, ""),
        # A correct or an empty field has neither a problem nor a warning.
        ("app_id", APP_ID, "", ""),
        ("app_id", "  ", "", ""),
        ("permissions", "ads_read", "", ""),
        ("app_display_name", "Acme", "", ""),
        # A doubtful value gives a warning; it is no problem of its form.
        ("permissions", "ads_raed", "", DID_YOU_MEAN),
        ("app_display_name", "Acme for Facebook", "", CONTAINS_FACEBOOK),
    ],
)
def test_a_field_is_validated_while_it_is_typed(
    make_harness: MakeHarness, name: str, text: str, problem: str, doubt: str
) -> None:
    """A field's problem and warning are returned without storing the text."""
    harness = make_harness(app_step())
    answer = harness.walkthrough.problem(name, text)

    assert answer["effect"] == ""
    assert answer["problem"].startswith(problem)
    assert bool(answer["problem"]) is bool(problem)
    assert doubt in answer["doubt"]
    assert bool(answer["doubt"]) is bool(doubt)
    assert "halfasecret" not in answer["problem"]
    assert harness.types == []


@pytest.mark.parametrize(
    ("name", "text", "home"),
    [
        ("app_id", APP_SECRET, "app_secret"),
        ("app_display_name", f"EAA{'b' * 60}", ""),
        ("app_secret", APP_ID, "app_id"),
        ("app_id", APP_ID, None),
        ("app_secret", APP_SECRET, None),
        ("app_display_name", "Acme", None),
    ],
)
def test_a_text_in_the_wrong_field_is_recognised(
    make_harness: MakeHarness, name: str, text: str, home: str | None
) -> None:
    """A secret in a plain field, and an ID in a secret's, are not taken for what belongs there."""
    harness = make_harness(app_step())
    answer = harness.walkthrough.problem(name, text, harness.step("app").inputs)

    assert bool(answer["problem"]) is (home is not None)
    assert answer["home"] == (home or "")
    assert text not in answer["problem"]


def test_a_secret_in_a_plain_field_is_not_saved(make_harness: MakeHarness) -> None:
    """It reaches neither the journal nor the values."""
    token = f"EAA{'b' * 60}"
    harness = make_harness(app_step())
    view = harness.perform("app", {"app_display_name": token})

    assert view["is_error"]
    assert token not in harness.written
    assert token not in json.dumps(view)


DOUBTFUL = [
    ("permissions", "ads_raed", ("public_profile", "ads_raed"), DID_YOU_MEAN),
    ("app_display_name", "Facebook Leads for Acme", None, CONTAINS_FACEBOOK),
]


def naming_step() -> Step:
    """Return a step that asks for the values that can be doubtful."""
    return make_step("app", verified, inputs=(inputs.APP_DISPLAY_NAME, PERMISSIONS))


@pytest.mark.parametrize("action", ["check", "save", "confirm"])
@pytest.mark.parametrize(("name", "text", "value", "doubt"), DOUBTFUL)
def test_a_doubtful_value_is_taken_only_from_somebody_who_is_sure(
    make_harness: MakeHarness, name: str, text: str, value: Any, doubt: str, action: str
) -> None:
    """Whatever sends it, the value is not used until the person says so; then it stays in use."""
    harness = make_harness(naming_step())
    step = harness.step("app")
    before = dict(harness.run.values)

    def send(*sure: str) -> None:
        if action == "confirm":
            words = {"by": "Ann", "inputs": {name: text}, "sure": list(sure)}
            harness.walkthrough.say(step, DONE, words, [])
        else:
            ask = harness.walkthrough.perform if action == "check" else harness.walkthrough.save
            ask(step, {name: text}, list(sure))

    send()
    view = settled(harness.panels["app"])
    (refused,) = view["refused"]
    assert refused["input"] == name
    assert doubt in refused["doubt"]
    assert wording("walkthrough.use-it-anyway") in view["advice"]
    assert (view["is_error"], view["written"]) == (True, 0)
    assert dict(harness.run.values) == before

    send(name)
    view = settled(harness.panels["app"], 2)
    assert (view["refused"], view["is_error"]) == ([], False)
    assert harness.run.values[name] == (value or text)
    send()  # what is in use is not asked about again
    assert settled(harness.panels["app"], 3)["refused"] == []


@pytest.mark.parametrize(("name", "text", "value", "doubt"), DOUBTFUL)
def test_the_warning_of_a_value_stays(
    make_harness: MakeHarness, name: str, text: str, value: Any, doubt: str
) -> None:
    """Panel and record warn of it: the panel at once, both with the check; once in a view."""
    harness = make_harness(naming_step())
    harness.walkthrough.save(harness.step("app"), {name: text}, [name])
    (saved,) = settled(harness.panels["app"])["warnings"]
    (checked,) = harness.perform("app", finished=2)["warnings"]
    recorded = harness.run.state.step("app").findings

    assert doubt in saved
    assert checked == saved
    assert [finding.warnings for finding in recorded] == [(saved,)]


def test_a_problem_comes_with_an_example(make_harness: MakeHarness) -> None:
    """The problem has the field's example, unless it has one already or there is none."""
    harness = make_harness(app_step())

    assert harness.walkthrough.problem("app_id", "x")["problem"].endswith(
        "; for example 123456789012345"
    )
    assert "for example" not in harness.walkthrough.problem("app_secret", "halfasecret")["problem"]
    service_domain = harness.walkthrough.problem("service_domain", "acme")["problem"]
    assert service_domain.count("acme-h.cyclr.com") == 1


def test_a_field_says_beforehand_what_saving_it_undoes(make_harness: MakeHarness) -> None:
    """A field names the steps that saving another value undoes; what undoes nothing names none."""
    about = make_step("about", subject=("app_id", "app_secret"))
    harness = make_harness(
        app_step(), about, make_step("other"), secrets={"app_secret": APP_SECRET}
    )

    def effect(name: str, text: str) -> str:
        return harness.walkthrough.problem(name, text)["effect"]

    assert effect("app_id", "123456789012345") == ""
    harness.run.give("app_id", "123456789012345")
    harness.run.say([attested("about"), attested("other")])

    said = "If you save this, do these steps again: 2."
    assert effect("app_id", "543210987654321") == said
    assert effect("app_secret", OTHER_SECRET) == said
    assert effect("app_id", "123456789012345") == ""
    assert effect("app_secret", APP_SECRET) == ""
    assert effect("app_id", "x") == ""
    assert effect("permissions", "ads_read") == ""
    assert harness.panels["about"].view["outcome"] == "not_run"  # drawn before; nothing was saved


def test_an_emptied_field_is_an_emptied_value(make_harness: MakeHarness) -> None:
    """An emptied field takes the value away; an empty credential changes nothing."""
    harness = make_harness(app_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    harness.perform("app", {"app_id": "123456789012345"})
    emptied = {"app_id": "", "app_secret": "", "permissions": ""}
    harness.perform("app", emptied, finished=2)

    assert harness.run.values["app_id"] == ""
    assert harness.run.values["permissions"] == PERMISSIONS.default
    assert "app_secret" in harness.run.settings.secrets


def test_a_typed_value_wins_over_the_settings_file(make_harness: MakeHarness) -> None:
    """A typed value takes precedence over one from the settings."""
    seen: list[str] = []

    def looks(context: CheckContext) -> Finding:
        seen.append(context.text("app_id"))
        return verified(context)

    harness = make_harness(app_step(looks), app_id="1111111111111111")
    harness.perform("app", {"app_id": APP_ID})

    assert seen == [APP_ID]


def _step_8(*checks: Any) -> Step:
    """Return a step like the documented step 8: a page, a field, a text that is made of it."""
    made = make_step(
        "a",
        *checks,
        needs=("service_domain",),
        kind=StepKind.ASK,
        inputs=(SERVICE_DOMAIN,),
        links=(Link("Settings", "https://d.example/settings"),),
        pastes=(
            Paste("Redirect URI", "https://{service_domain}/connector/callback"),
            Paste("Fixed", "always"),
        ),
    )
    second = replace(made.checks[-1], needs=("app_id", "service_domain"))
    return replace(made, checks=(*made.checks[:-1], second))


@pytest.mark.parametrize(
    ("finding", "is_rejected"),
    [
        (UnreachableError("x.example does not resolve."), True),
        (Finding(outcome=Outcome.FAILED, code="certificate-invalid", reason="It ended."), True),
        (Finding(outcome=Outcome.INCONCLUSIVE, code="callback-not-shown", reason="404."), True),
        (Finding(outcome=Outcome.VERIFIED, code="callback-answers", reason="Here."), False),
        # Nobody knows anything about the value then.
        (ResponseTimeoutError("x.example was too slow."), False),
        (Finding(outcome=Outcome.INCONCLUSIVE, code="check-stopped", reason="Late."), False),
    ],
)
def test_a_rejected_value_cannot_be_copied(
    make_harness: MakeHarness, finding: Any, is_rejected: bool
) -> None:
    """After a check of a value alone failed, no text made of it is offered: Check stays first."""

    def alone(_context: object) -> Finding:
        if isinstance(finding, Exception):
            raise finding
        return finding

    # A check of more than this value does not reject it: the address may just not be entered yet.
    harness = make_harness(
        make_step("b"), _step_8(alone, undecided), app_id=APP_ID, service_domain="x.example"
    )
    harness.open_cards("a")
    shown = harness.perform("a")

    assert [paste["label"] for paste in shown["pastes"]] == [
        *([] if is_rejected else ["Redirect URI"]),
        "Fixed",
    ]
    assert (shown["actions"]["primary"] == "check") is is_rejected
    compare = wording("walkthrough.compare-service-domain")
    assert shown["to_do"].startswith(compare) is is_rejected


def test_a_pair_that_was_refused_cannot_be_copied(make_harness: MakeHarness) -> None:
    """After Facebook refused the App ID, neither it nor the App Secret is copied elsewhere."""

    def refused(_context: object) -> Finding:
        return Finding(outcome=Outcome.FAILED, code="a", reason="No.", refuses=("app_id",))

    other = make_step(
        "b", pastes=(Paste("Client ID", "{app_id}"),), copies_secret=inputs.APP_SECRET
    )
    harness = make_harness(
        app_step(refused), other, app_id=APP_ID, secrets={"app_secret": APP_SECRET}
    )
    harness.open_cards("b")
    before = harness.panels["b"].view
    assert before["pastes"]
    assert not before["copied_secret"]["unknown"]

    harness.perform("app")

    eventually(lambda: not harness.panels["b"].view["pastes"])
    assert harness.panels["b"].view["copied_secret"]["unknown"]
