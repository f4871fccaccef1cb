"""Values and credentials that a person types into a panel: validated, recorded, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import INSTALL_CONNECTOR
from runbook_lib.connectors.facebook import inputs
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import Step
from runbook_lib.core.step_record import step_record
from tests.support.attestations import attested
from tests.unit.bodies import APP_ID, APP_SECRET
from tests.unit.walkthrough.conftest import DONE, KNOWN, LEFT_OUT, OTHER_SECRET, Make
from tests.unit.walkthrough.stage import PERMISSIONS, app_step, make_step, settled, verified


def test_typed_values_are_recorded(scene: Make) -> None:
    """Typed values are recorded with their type; empty and unknown fields are ignored."""
    play = scene(app_step())
    given = {"app_id": f" {APP_ID} ", "permissions": "ads_read", "install_connector": False}
    play.perform("app", {**given, "app_secret": "", "unknown": "x"})

    assert play.run.history.index.given == {
        "app_id": APP_ID,
        "permissions": ("public_profile", "ads_read"),
        "install_connector": False,
    }
    shown = {each["name"]: each["value"] for each in play.screens["app"].view["inputs"]}
    assert shown["app_id"] == APP_ID


def test_a_secret_that_was_typed_stays_in_memory(scene: Make, tmp_path: Path) -> None:
    """A typed secret can be used by a check, but no file and no view contains it."""

    def quotes(context: CheckContext) -> Finding:
        said = context.secrets["app_secret"].reveal()
        return Finding(outcome=Outcome.FAILED, code="a-code", reason=f"It refused {said}.")

    play = scene(app_step(quotes))
    view = play.perform("app", {"app_secret": f" {APP_SECRET}\n"})

    assert view["reason"].startswith("It refused *")
    assert play.run.settings.secrets["app_secret"].reveal() == APP_SECRET
    secret = next(each for each in view["inputs"] if each["name"] == "app_secret")
    assert (secret["value"], secret["rests"]) == ("", "this session")
    assert APP_SECRET not in json.dumps(play.screens["app"].views)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if APP_SECRET.encode() in path.read_bytes()]


def test_a_malformed_secret_is_refused_unquoted(scene: Make) -> None:
    """An invalid secret is refused without being quoted, and no check runs."""
    play = scene(app_step())
    view = play.perform("app", {"app_secret": "halfasecret"})

    assert view["message"].startswith("App Secret: an App Secret has 32 characters")
    assert (view["advice"], view["is_error"]) == ("Correct it, then press the button again.", True)
    (refused,) = view["refused"]
    assert refused["problem"].startswith("An App Secret has 32 characters")
    assert "halfasecret" not in json.dumps(play.screens["app"].views)
    assert "app_secret" not in play.run.settings.secrets
    assert play.types == []


def test_valid_fields_are_kept_if_another_is_invalid(scene: Make) -> None:
    """If a field is invalid, its problem is shown, no check runs, and the valid fields are kept."""
    play = scene(app_step())
    view = play.perform("app", {"app_id": "x", "app_secret": APP_SECRET})

    assert view["message"].startswith("App ID: an App ID is a number of 15 or 16 digits")
    assert view["taken"] == 1
    (refused,) = view["refused"]
    assert refused["input"] == "app_id"
    assert refused["problem"].startswith("An App ID is a number of 15 or 16 digits")
    assert play.run.settings.secrets["app_secret"].reveal() == APP_SECRET
    assert play.types == []

    view = play.perform("app", {"app_id": APP_ID}, finished=2)
    assert (view["taken"], view["refused"], view["outcome"]) == (2, [], "verified")


def test_an_invalid_value_is_named_by_its_label(scene: Make) -> None:
    """The message about an invalid value names the field by its label."""
    play = scene(app_step())
    message = play.perform("app", {"install_connector": "perhaps"})["message"]
    assert message.startswith(f"{INSTALL_CONNECTOR.label}: takes true or false")


def test_written_words_are_counted(scene: Make) -> None:
    """`written` counts only what was recorded, so that a refused form keeps its text."""
    play = scene(make_step("a"))
    assert play.say("a", LEFT_OUT, {"by": "Operator", "note": ""})["written"] == 0
    assert (
        play.say("a", LEFT_OUT, {"by": "Operator", "note": "No leads."}, finished=2)["written"] == 1
    )
    assert play.say("a", DONE, {"by": "Operator"}, finished=3)["written"] == 2


LEADS = "'Leads' is not a permission; one looks like leads_retrieval"


@pytest.mark.parametrize(
    ("name", "text", "problem", "doubt"),
    [
        ("app_id", "x", "An App ID is a number of 15 or 16 digits", ""),
        ("app_secret", "halfasecret", "An App Secret has 32 characters", ""),
        ("permissions", "Leads", LEADS, ""),
        # A correct or an empty field has neither a problem nor a warning.
        ("app_id", APP_ID, "", ""),
        ("app_id", "  ", "", ""),
        ("permissions", "ads_read", "", ""),
        ("app_display_name", "Acme", "", ""),
        # A doubtful value gives a warning; it is no problem of its form.
        ("permissions", "ads_raed", "", "Did you mean ads_read?"),
        ("app_display_name", "Acme for Facebook", "", "It contains facebook"),
    ],
)
def test_a_field_is_validated_while_it_is_typed(
    scene: Make, name: str, text: str, problem: str, doubt: str
) -> None:
    """A field's problem and warning are returned without storing the text."""
    play = scene(app_step())
    answer = play.walkthrough.problem(name, text)

    assert answer["effect"] == ""
    assert answer["problem"].startswith(problem)
    assert bool(answer["problem"]) is bool(problem)
    assert doubt in answer["doubt"]
    assert bool(answer["doubt"]) is bool(doubt)
    assert "halfasecret" not in answer["problem"]
    assert play.types == []


DOUBTFUL = [
    ("permissions", "ads_raed", ("public_profile", "ads_raed"), "Did you mean ads_read?"),
    ("app_display_name", "Facebook Leads for Acme", None, "It contains facebook"),
]


def naming_step() -> Step:
    """Return a step that asks for the values that can be doubtful."""
    return make_step("app", verified, inputs=(inputs.APP_DISPLAY_NAME, PERMISSIONS))


@pytest.mark.parametrize("action", ["check", "save", "confirm"])
@pytest.mark.parametrize(("name", "text", "value", "doubt"), DOUBTFUL)
def test_a_doubtful_value_is_taken_only_from_somebody_who_is_sure(
    scene: Make, name: str, text: str, value: Any, doubt: str, action: str
) -> None:
    """Whatever sends it, the value is not used until the person says so; then it stays in use."""
    play = scene(naming_step())
    step, before = play.step("app"), dict(play.run.values)

    def send(*sure: str) -> None:
        if action == "confirm":
            words = {"by": "Ann", "inputs": {name: text}, "sure": list(sure)}
            play.walkthrough.say(step, DONE, words, [])
        else:
            ask = play.walkthrough.perform if action == "check" else play.walkthrough.save
            ask(step, {name: text}, list(sure))

    send()
    view = settled(play.screens["app"])
    (refused,) = view["refused"]
    assert refused["input"] == name
    assert doubt in refused["doubt"]
    assert "Use it anyway" in view["advice"]
    assert (view["is_error"], view["written"]) == (True, 0)
    assert dict(play.run.values) == before

    send(name)
    view = settled(play.screens["app"], 2)
    assert (view["refused"], view["is_error"]) == ([], False)
    assert play.run.values[name] == (value or text)
    send()  # what is in use is not asked about again
    assert settled(play.screens["app"], 3)["refused"] == []


@pytest.mark.parametrize(("name", "text", "value", "doubt"), DOUBTFUL)
def test_the_warning_of_a_value_stays(
    scene: Make, name: str, text: str, value: Any, doubt: str
) -> None:
    """Panel and record warn of it: the panel at once, both with the check; once in a view."""
    play = scene(naming_step())
    play.walkthrough.save(play.step("app"), {name: text}, [name])
    (saved,) = settled(play.screens["app"])["warnings"]
    (checked,) = play.perform("app", finished=2)["warnings"]
    record = step_record(play.run.state.steps["app"])

    assert doubt in saved
    assert checked == saved
    assert [finding.warnings for finding in record.checks] == [(saved,)]


def test_a_problem_comes_with_an_example(scene: Make) -> None:
    """The problem has the field's example, unless it has one already or there is none."""
    play = scene(app_step())

    assert play.walkthrough.problem("app_id", "x")["problem"].endswith(
        "; for example 123456789012345"
    )
    assert "for example" not in play.walkthrough.problem("app_secret", "halfasecret")["problem"]
    service_domain = play.walkthrough.problem("service_domain", "acme")["problem"]
    assert service_domain.count("acme-h.cyclr.com") == 1


def test_a_field_says_beforehand_what_saving_it_undoes(scene: Make) -> None:
    """A field names the steps that saving another value undoes; what undoes nothing names none."""
    about = make_step("about", subject=("app_id", "app_secret"))
    play = scene(app_step(), about, make_step("other"), secrets={"app_secret": APP_SECRET})

    def effect(name: str, text: str) -> str:
        return play.walkthrough.problem(name, text)["effect"]

    assert effect("app_id", "123456789012345") == ""
    play.run.give("app_id", "123456789012345")
    play.run.say([attested("about"), attested("other")])

    said = "If you save this, do these steps again: 2."
    assert effect("app_id", "543210987654321") == said
    assert effect("app_secret", OTHER_SECRET) == said
    assert effect("app_id", "123456789012345") == ""
    assert effect("app_secret", APP_SECRET) == ""
    assert effect("app_id", "x") == ""
    assert effect("permissions", "ads_read") == ""
    assert play.screens["about"].view["outcome"] == "not_run"  # drawn before; nothing was saved


def test_an_emptied_field_is_an_emptied_value(scene: Make) -> None:
    """An emptied field takes the value away; an empty credential changes nothing."""
    play = scene(app_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    play.perform("app", {"app_id": "123456789012345"})
    emptied = {"app_id": "", "app_secret": "", "permissions": ""}
    play.perform("app", emptied, finished=2)

    assert play.run.values["app_id"] == ""
    assert play.run.values["permissions"] == PERMISSIONS.default
    assert "app_secret" in play.run.settings.secrets


def test_what_is_typed_wins_over_the_settings_file(scene: Make) -> None:
    """A typed value takes precedence over one from the settings."""
    seen: list[str] = []

    def looks(context: CheckContext) -> Finding:
        seen.append(context.text("app_id"))
        return verified(context)

    play = scene(app_step(looks), app_id="1111111111111111")
    play.perform("app", {"app_id": APP_ID})

    assert seen == [APP_ID]
