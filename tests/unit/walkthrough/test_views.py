"""What a panel shows: all that is known of a step, and never a credential."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.connectors.facebook import inputs
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.connectors.troubles import ordered
from runbook_lib.core.advice import next_step
from runbook_lib.core.conclusion import Conclusion
from runbook_lib.core.model import (
    DATA,
    Assignment,
    Attachment,
    Entry,
    EventType,
    Exchange,
    Finding,
    Outcome,
    Table,
    Word,
    WordKind,
)
from runbook_lib.core.outcome import ICONS, IN_PART
from runbook_lib.core.procedure import (
    Cause,
    Check,
    Confirmation,
    Gate,
    Link,
    Paste,
    Procedure,
    Road,
    Section,
    Step,
    StepKind,
    Trouble,
)
from runbook_lib.core.redaction import MASK
from runbook_lib.core.state import RunState, StepState
from runbook_lib.core.words import Lapsed
from runbook_lib.walkthrough.activity import Activity
from runbook_lib.walkthrough.controller import Walkthrough
from runbook_lib.walkthrough.views import (
    NOTES,
    WORDS,
    finish_view,
    header_view,
    sitting_of,
    step_view,
)
from tests.support import journals
from tests.support.words import attested
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.conftest import spending
from tests.unit.walkthrough.stage import (
    CANARIES,
    HAND_STEP,
    PERMISSIONS,
    Screen,
    app_step,
    consent_step,
    make_run,
    make_scene,
    make_step,
    stopped,
    verified,
    waiting_step,
    waits,
)

AT = "2026-11-24T12:00:00.000Z"
EXCHANGE = Exchange(
    method="GET",
    url="https://graph.example/me",
    sent_on=AT,
    elapsed=0.0425,
    status=200,
    request={"fields": "id"},
    headers={"x-fb-trace-id": "DPsOqE2Ubys"},
    response={"id": "ü"},
)

PAGES = Table(caption="Pages", columns=("ID", "Name"), rows=(("1", "Acme"), ("2", "Umbrella")))


def state(step: Step, outcome: Outcome = Outcome.NOT_RUN, **more: Any) -> StepState:
    conclusion = Conclusion(outcome=outcome, reason="So.", by_person=more.pop("by_person", False))
    return StepState(step, conclusion, number=f"number {step.id}", **more)


def trouble(text: str) -> Trouble:
    return Trouble(
        shown=(text,),
        means="It means this.",
        causes=(Cause(text="By hand."), Cause(text="By machine.", tested_by=("verified",))),
        advice="Undo it.",
        source="https://example.com",
    )


def view(given: StepState, **more: Any) -> dict[str, Any]:
    own = {name: more.pop(name) for name in ("recent", "activity", "lacks") if name in more}
    known: dict[str, Any] = {"recent": (), "activity": Activity(), "lacks": ()}
    return step_view(given, make_scene(**more), **{**known, **own})


def run_state(*states: StepState) -> RunState:
    return RunState("0a1b2c3d", {each.step.id: each for each in states})


def header(*states: StepState, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"title": "One", "tenant": "acme", "user": ""}
    known |= {"is_sandbox": False, "activity": Activity(), "provider": "Facebook"}
    known |= {"others": "", "sealed": "", "is_unsaved": False, "road": None}
    return header_view(run_state(*states), **{**known, "today": date(2026, 11, 24), **more})


def finish(given: RunState, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"activity": Activity(), "bundle": "", "sealed": ""}
    return finish_view(given, **{**known, "doubts": (), "road": None, **more})


def entry(event: str, step: str = "a", **data: Any) -> Entry:
    fields = {field.name for field in structs.fields(DATA[event])}
    bound = {"connector": "p", "confirms": "0" * 64}
    usual: dict[str, Any] = {"at": AT, "sentence": "I did.", "binding": bound}
    data = {**{name: value for name, value in usual.items() if name in fields}, **data}
    return journals.entry(1, event, data, at=AT, run_id="0a1b2c3d", step=step)


def test_a_view_is_plain_json() -> None:
    """A view is plain JSON."""
    found = Finding(outcome=Outcome.VERIFIED, reason="So.", exchanges=(1,), tables=(PAGES,))
    exchanges = {1: EXCHANGE}
    shown = view(state(app_step(), Outcome.VERIFIED, findings=(found,), exchanges=exchanges))

    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize("outcome", Outcome)
def test_outcome_reason_and_icon_are_shown(outcome: Outcome) -> None:
    """A step shows its outcome, icon, reason and time of check."""
    shown = view(state(make_step("a"), outcome, checked_on=AT))

    assert (shown["outcome"], shown["icon"]) == (outcome, ICONS[outcome])
    assert (shown["id"], shown["title"], shown["reason"]) == ("a", "Do a", "So.")
    assert shown["checked_on"] == AT


def test_a_time_in_a_reason_is_readable() -> None:
    """An ISO time in a reason is shown as date and time in minutes, UTC."""
    said = f"Operator on {AT}: done; submitted on 2026-11-24T09:05:00Z."
    shown = view(StepState(make_step("a"), Conclusion(outcome=Outcome.ATTESTED, reason=said)))

    assert shown["reason"] == ("Operator on 24 Nov, 12:00: done; submitted on 24 Nov, 09:05.")


def test_warnings_limits_and_changes_are_collected() -> None:
    """Warnings, limits and changes of all findings are shown, in order."""
    found = Finding(outcome=Outcome.VERIFIED, reason="", limits=("l1",), warnings=("w1", "w2"))
    second = structs.replace(found, limits=(), warnings=("w3",), changes=("c1",))
    shown = view(state(make_step("a"), findings=(found, second)))

    assert shown["warnings"] == ["w1", "w2", "w3"]
    assert shown["limits"] == ["l1"]
    assert shown["changes"] == ["c1"]


def test_tables_of_findings_are_shown() -> None:
    """The tables of all findings are shown, in order, each with caption, columns and rows."""
    accounts = Table(caption="Ad accounts", columns=("ID",), rows=(("act_1",),))
    found = Finding(outcome=Outcome.VERIFIED, reason="", tables=(accounts, PAGES))
    other = structs.replace(found, tables=(structs.replace(PAGES, caption="Other"),))
    shown = view(state(make_step("a"), findings=(found, other)))["tables"]

    assert [table["caption"] for table in shown] == ["Ad accounts", "Pages", "Other"]
    assert shown[1] == {
        "caption": "Pages",
        "columns": ["ID", "Name"],
        "rows": [["1", "Acme"], ["2", "Umbrella"]],
    }


def test_links_and_pastes_are_filled_in() -> None:
    """A link without its values says what it needs; a paste is shown only with its values."""
    step = make_step(
        "a",
        links=(Link("App", "https://d.example/apps/{app_id}", "App ID"),),
        pastes=(Paste("Redirect URI", "https://{service_domain}/cb"),),
    )

    nothing = view(state(step))
    known = view(state(step), values={"app_id": "7", "service_domain": "acme.example"})

    assert nothing["links"] == [{"label": "App (needs the App ID)", "url": ""}]
    assert nothing["pastes"] == []
    assert known["links"] == [{"label": "App", "url": "https://d.example/apps/7"}]
    assert known["pastes"] == [{"label": "Redirect URI", "value": "https://acme.example/cb"}]


def test_an_input_has_its_kind_and_value() -> None:
    """An input is text, a checkbox or a password, with its value, help and example."""
    values = {"app_id": "77", "permissions": ("public_profile", "ads_read")}
    shown = {each["name"]: each for each in view(state(app_step()), values=values)["inputs"]}

    assert shown["app_id"]["kind"] == "text"
    assert shown["app_id"]["value"] == "77"
    assert shown["app_id"]["help"] == inputs.APP_ID.help
    assert shown["app_id"]["example"] == inputs.APP_ID.example
    assert shown["permissions"]["value"] == "public_profile, ads_read"
    assert shown["install_connector"]["kind"] == "checkbox"
    assert shown["install_connector"]["value"] == ""
    assert shown["app_secret"]["kind"] == "password"


def test_of_a_credential_only_its_place_is_shown() -> None:
    """Of a credential, only the place where it is stored is shown."""
    shown = view(
        state(app_step()),
        values={"app_secret": APP_SECRET},
        credentials={"app_secret": "keyring"},
    )

    secret = next(each for each in shown["inputs"] if each["name"] == "app_secret")
    assert (secret["value"], secret["rests"]) == ("", "keyring")
    assert APP_SECRET not in json.dumps(shown)


def test_a_credential_is_handed_over_by_the_step_that_names_it() -> None:
    """
    Only the step that hands over a credential shows that; if it is unknown, it says where to give
    it.
    """
    known = view(state(HAND_STEP), credentials={"app_secret": "this session"})["hand_over"]
    assert known == {"name": "app_secret", "label": "App Secret", "unknown": ""}
    for credentials in ({}, {"user_access_token": ".env"}):
        unknown = view(state(HAND_STEP), credentials=credentials)["hand_over"]["unknown"]
        assert unknown == "Not known yet: give it in the step that asks for it."
    assert view(state(app_step()), credentials={"app_secret": ".env"})["hand_over"] is None


def test_a_step_says_what_can_be_done_with_it() -> None:
    """Check and consent are offered only by steps that have them."""
    names = ("can_check", "needs_consent")

    def offered(step: Step) -> list[bool]:
        shown = view(state(step))
        return [shown[name] for name in names]

    assert offered(make_step("a")) == [False, False]
    assert offered(waiting_step()) == [True, False]
    assert offered(consent_step()) == [True, True]


@pytest.mark.parametrize(
    ("step", "outcome", "next_look"),
    [
        (waiting_step(), Outcome.WAITING, "12:15"),
        (waiting_step(), Outcome.VERIFIED, ""),
        (make_step("a", kind=StepKind.WAIT), Outcome.WAITING, ""),
        (spending(waiting_step()), Outcome.WAITING, ""),
    ],
)
def test_only_a_waiting_step_with_a_check_that_reads_is_watched(
    step: Step, outcome: Outcome, next_look: str
) -> None:
    """A step says when it is checked again only if it waits and its check spends nothing."""
    assert view(state(step, outcome))["next_look"] == next_look


def test_a_step_of_which_one_check_can_look_is_watched() -> None:
    """A waiting step is watched as long as one of its checks has all that it needs."""
    checks = (
        *make_step("a", verified, needs=("app_id",)).checks,
        *make_step("b", waits, needs=("app_id", "app_secret")).checks,
    )
    step = replace(waiting_step(), checks=checks)
    absent = (inputs.APP_SECRET, inputs.APP_ID)

    assert view(state(step, Outcome.WAITING), lacks=absent[:1])["next_look"]
    assert not view(state(step, Outcome.WAITING), lacks=absent)["next_look"]


@pytest.mark.parametrize(
    ("exchange", "status"),
    [
        (EXCHANGE, "200"),
        (structs.replace(EXCHANGE, status=None, error="No route."), "No route."),
        (structs.replace(EXCHANGE, status=None), "done"),
    ],
)
def test_an_exchange_is_one_line_and_its_detail(exchange: Exchange, status: str) -> None:
    """An exchange has one line with status, time and trace id, and its details as JSON."""
    (shown,) = view(state(make_step("a"), exchanges={1: exchange}))["exchanges"]

    assert shown["line"] == "GET https://graph.example/me"
    assert (shown["status"], shown["milliseconds"]) == (status, 42)
    assert (shown["trace"], shown["sent_on"]) == ("DPsOqE2Ubys", AT)
    detail = json.loads(shown["detail"])
    assert (detail["sent"], detail["answer"]) == ({"fields": "id"}, {"id": "ü"})


def test_an_exchange_omits_empty_parts_and_cuts_long_ones() -> None:
    """Empty parts of an exchange are left out, and a long answer is cut."""
    bare = structs.replace(EXCHANGE, request=None, headers={}, response=None)
    long = structs.replace(EXCHANGE, response="x" * 100_000)
    shown = view(state(make_step("a"), exchanges={1: bare, 2: long}))["exchanges"]

    assert (shown[0]["detail"], shown[0]["trace"]) == ("{}", "")
    assert 1_000 < len(shown[1]["detail"]) < 10_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            entry(
                EventType.STEP_CHECKED,
                findings=[
                    {"check": "one", "outcome": "verified", "reason": "Yes."},
                    {"check": "two", "outcome": "failed", "reason": "No."},
                ],
            ),
            "checked (one: verified, two: failed)",
        ),
        (
            entry(EventType.STEP_CHECKED, findings=[], unchecked="Not checked: X."),
            "checked (Not checked: X.)",
        ),
        (
            entry(EventType.STEP_CHECKED, findings=[], unchecked=""),
            "checked (nothing to check)",
        ),
        (entry(EventType.STEP_ATTESTED, by="Operator", note=""), "confirmed by Operator"),
        (
            entry(
                EventType.STEP_ATTESTED,
                by="Operator",
                note="Seen",
                attachments=[
                    {"name": "a.png", "sha256": "0" * 64, "size": 1, "media_type": "image/png"}
                ],
            ),
            "confirmed by Operator: Seen [a.png]",
        ),
        (entry(EventType.STEP_SUBMITTED, by="Operator", note=""), "submitted by Operator"),
        (entry(EventType.STEP_DECLINED, by="Operator", note="Why"), "declined by Operator: Why"),
        (
            entry(EventType.STEP_WITHDRAWN, by="Operator", note="A mistake"),
            "withdrawn by Operator: A mistake",
        ),
        (
            entry(EventType.STEP_SKIPPED, by="Operator", note="Not now"),
            "skipped by Operator: Not now",
        ),
        (
            entry(EventType.STEP_COMMENTED, by="Operator", note="Ask again."),
            "commented by Operator: Ask again.",
        ),
        (
            entry(EventType.STEP_ASSIGNED, by="Operator", to="Ann", due="2026-12-01", note=""),
            "assigned to Ann until 2026-12-01 by Operator",
        ),
        (
            entry(EventType.STEP_ASSIGNED, by="Operator", to="", due="", note="Ann is away."),
            "assigned to nobody by Operator: Ann is away.",
        ),
        (
            entry(EventType.CHANGE_INTENDED, change="Install it."),
            "about to change: Install it.",
        ),
    ],
)
def test_history_is_in_plain_words(given: Entry, said: str) -> None:
    """Each journal entry about a person becomes one sentence."""
    shown = view(state(make_step("a")), recent=(given,))

    assert shown["history"] == [{"at": "24 Nov, 12:00", "what": said}]


def test_known_errors_are_shown_those_seen_first() -> None:
    """A panel has the step's error texts, first those in its reason, and what tests each cause."""
    step = make_step(
        *("a", verified),
        troubles=(trouble("It fell"), trouble("It broke")),
        order_troubles=ordered,
    )
    given = StepState(step, Conclusion(outcome=Outcome.FAILED, reason="Facebook: It broke."))
    first, second = view(given)["troubles"]

    assert (first["title"], first["seen"]) == ("It broke", True)
    assert (second["title"], second["seen"]) == ("It fell", False)
    assert first["causes"] == ["By hand.", "By machine. (Tested by verified.)"]
    assert view(state(make_step("b", verified)))["troubles"] == []


def test_the_texts_for_app_review_are_at_their_step() -> None:
    """The step of the submission has the kit for the values so far; others have none."""
    values = {"permissions": ("pages_show_list", "email"), "app_display_name": "Acme Sync"}
    kit = view(state(make_step("a", review_kit="facebook_marketing")), values=values)["kit"]

    assert [part["label"] for part in kit["parts"]] == [
        "public_profile",
        "pages_show_list",
        "email",
    ]
    assert "Acme Sync" in kit["parts"][1]["usage"]
    assert kit["parts"][1]["calls"] == ["GET /me/accounts"]
    assert any("email" in warning for warning in kit["warnings"])
    assert kit["shots"][0].count("Caption: “") == 1
    assert json.loads(json.dumps(kit)) == kit
    assert view(state(make_step("b")), values=values)["kit"] is None


def test_history_is_newest_first() -> None:
    """The history begins with the newest entry."""
    first = entry(EventType.STEP_ATTESTED, by="Operator", note="first")
    second = entry(EventType.STEP_ATTESTED, by="Operator", note="second")
    shown = view(state(make_step("a")), recent=(first, second))

    assert [each["what"] for each in shown["history"]] == [
        "confirmed by Operator: second",
        "confirmed by Operator: first",
    ]


def test_a_step_offers_the_forms_that_apply() -> None:
    """
    Every step can be confirmed, skipped, withdrawn, commented and handed over.

    Where more than one thing may be true, that is one question, with all that it can be.
    """
    plain, waits = view(state(make_step("a"))), view(state(waiting_step()))

    others = ["no", "skip", "withdraw", "comment", "assign"]
    assert [form["name"] for form in plain["forms"]] == ["attest", *others]
    assert [form["name"] for form in waits["forms"]] == ["answer", *others]
    asked = waits["forms"][0]["options"]
    assert [option["name"] for option in asked] == ["submit", "attest", "decline"]
    sent = {option["action"] for form in waits["forms"] for option in form["options"]}
    assert {*WORDS, *NOTES} == sent
    assert plain["forms"][0]["options"][0]["sentence"] == "I did a."
    needs_note = {form["name"]: form["needs_note"] for form in waits["forms"]}
    assert [name for name in needs_note if needs_note[name]] == [
        "no",
        "skip",
        "withdraw",
        "comment",
    ]
    assert all(bool(form["note_missing"]) is form["needs_note"] for form in waits["forms"])
    assert [form["name"] for form in waits["forms"] if form["has_files"]] == ["answer"]


def test_what_is_approved_is_chosen_and_declined_names_nothing() -> None:
    """
    Where a check saw the approval, *Approved* is chosen, which the header asks for.

    In *Declined* each permission that was requested can be ticked, and none is.
    """
    seen = Check("seen", lambda _: None, person_confirms="It is Advanced.")
    step = replace(waiting_step(), inputs=(PERMISSIONS,), checks=(seen,))
    found = Finding(outcome=Outcome.VERIFIED, reason="So.", check="seen", limits=("The level.",))
    open_one = state(step, Outcome.WAITING)
    in_part = StepState(
        step,
        Conclusion(outcome=Outcome.VERIFIED, reason="So.", needs_person=True),
        findings=(found,),
    )

    before, after = (view(each)["forms"][0] for each in (open_one, in_part))
    assert (before["chosen"], after["chosen"]) == ("", "attest")
    assert view(in_part)["actions"]["primary"] == "answer"
    assert "It is Advanced." in header(in_part)["next"]["advice"]
    ticks = {
        option["name"]: (field["ticked"], field["choices"])
        for option in after["options"]
        for field in option["fields"]
        if field["type"] == "choices"
    }
    chosen = ("public_profile", "leads_retrieval")
    assert ticks["submit"] == (True, chosen)
    assert ticks["decline"][0] is False
    assert ticks["decline"][1][:2] == chosen
    assert {"ads_read", "pages_show_list"} < set(ticks["decline"][1])


@pytest.mark.parametrize(
    "answers", [(), (Confirmation(name="no", label="No", sentence="It is not."),)]
)
def test_a_second_person_says_yes_or_no(answers: Any) -> None:
    """The second person has a sentence of their own, and can say no with a reason."""
    half = Conclusion(outcome=Outcome.WAITING, reason="So.", by_person=True, needs_another=True)
    word = attested("a", by="Ann", sentence="I am logged in.")
    step = make_step("a", answers=answers)
    yes, no = view(StepState(step, half, word=word))["forms"][:2]

    (said,) = yes["options"]
    assert (said["action"], said["sentence"]) == ("attest", "Ann is logged in. I have seen it.")
    assert (no["options"][0]["action"], no["needs_note"]) == ("withdraw", True)
    assert "what Ann confirmed is withdrawn" in no["options"][0]["sentence"]
    assert "no" in view(StepState(step, half, word=word))["actions"]["menu"]
    assert "no" not in view(state(step))["actions"]["menu"]


def test_a_question_is_the_steps_own() -> None:
    """A step says what it asks; without that it asks what the provider says."""
    step = waiting_step()
    own = replace(step, question="What does App Review say?")

    assert view(state(own))["forms"][0]["label"] == "What does App Review say?"
    assert view(state(step))["forms"][0]["label"] == "What does Facebook say?"


def test_a_step_with_answers_asks_which_is_true() -> None:
    """What no outside party decides is not submitted or declined: only its answers can be given."""
    shown = view(state(make_step("a", answers=(ASKED_FOR,))))

    assert shown["actions"]["primary"] == shown["forms"][0]["name"] == "answer"
    options = [option["name"] for option in shown["forms"][0]["options"]]
    assert options == ["attest-asked", "attest"]


def test_an_answer_about_a_review_has_its_day_and_the_permissions() -> None:
    """What was sent or declined is said with its day and by name; a decline asks for its reason."""
    step = replace(waiting_step(), inputs=(PERMISSIONS, inputs.APP_ID))
    chosen = {"permissions": ("public_profile", "ads_read")}
    options = view(state(step), values=chosen)["forms"][0]["options"]
    fields = {
        option["name"]: [(field["name"], field["label"]) for field in option["fields"]]
        for option in options
    }

    names = ("permissions", "Permissions")
    assert fields == {
        "submit": [("on", "Sent"), names],
        "attest": [("on", "Decided")],
        "decline": [("on", "Decided"), names],
    }
    assert [option["note_label"] for option in options] == ["", "", "The reason given"]
    offered = options[0]["fields"][1]
    assert (offered["type"], offered["choices"]) == ("choices", ("public_profile", "ads_read"))


def test_only_what_was_said_can_be_withdrawn() -> None:
    """Without a word that counts, nothing can be withdrawn."""
    lapsed = (Lapsed(word=attested("a"), why="for App ID 1, not 2"),)

    assert "withdraw" not in view(state(make_step("a")))["actions"]["menu"]
    assert "withdraw" not in view(state(make_step("a"), lapsed=lapsed))["actions"]["menu"]
    assert "withdraw" in view(state(make_step("a"), word=attested("a")))["actions"]["menu"]


def test_a_lapsed_attestation_is_shown_with_the_reason() -> None:
    """A lapsed attestation is shown with author, time and the reason why it must be repeated."""
    lapsed = (Lapsed(word=attested("a", at=AT), why="for App ID 1, not 2"),)

    assert view(state(make_step("a"), lapsed=lapsed))["remarks"] == [
        (
            "Operator confirmed this on 24 Nov, 12:00 for App ID 1, not 2, so it no "
            "longer counts: confirm it again."
        )
    ]


def test_the_activity_is_part_of_the_view() -> None:
    """The current activity and its result are part of the view."""
    activity = Activity(busy_since=1.5, finished=2, message="m", advice="a", is_error=True)
    shown = view(state(make_step("a")), activity=activity)

    assert (shown["busy_since"], shown["finished"]) == (1.5, 2)
    assert (shown["message"], shown["advice"], shown["is_error"]) == ("m", "a", True)


def test_the_header_counts() -> None:
    """The header counts settled steps and lists the outcomes that occur, in a fixed order."""
    shown = header(
        state(make_step("a"), Outcome.VERIFIED),
        state(make_step("b"), Outcome.NOT_RUN),
        state(make_step("c"), Outcome.ATTESTED),
        state(make_step("d"), Outcome.SKIPPED, by_person=True),
        state(make_step("e"), Outcome.SKIPPED),
        state(make_step("f"), Outcome.VERIFIED),
    )

    assert (shown["settled"], shown["total"]) == (4, 6)
    assert [(each["outcome"], each["count"]) for each in shown["counts"]] == [
        ("verified", 2),
        ("attested", 1),
        ("skipped", 2),
        ("not_run", 1),
    ]
    assert (shown["tenant"], shown["title"], shown["sandbox"]) == ("acme", "One", False)


@pytest.mark.parametrize(
    ("outcomes", "following"),
    [
        ((Outcome.NOT_RUN, Outcome.FAILED), "b"),
        ((Outcome.INCONCLUSIVE, Outcome.NOT_RUN), "b"),
        ((Outcome.WAITING, Outcome.INCONCLUSIVE), "b"),
        ((Outcome.VERIFIED, Outcome.WAITING), "b"),
        ((Outcome.NOT_RUN, Outcome.NOT_RUN), "a"),
        ((Outcome.VERIFIED, Outcome.ATTESTED), None),
    ],
)
def test_next_is_what_needs_a_person_most(outcomes: Any, following: str | None) -> None:
    """
    Next is a failed step, then one to do, to look at, or to wait for; of equals the first one.

    What nobody has begun needs no advice but its own text.
    """
    states = [state(make_step(n), o) for n, o in zip("ab", outcomes, strict=True)]
    found = next_step(run_state(*states))

    assert (found[0].step.id if found else None) == following
    shown = header(*states)["next"]
    assert (shown and shown["id"]) == following
    if shown:
        assert found is not None
        is_new = found[0].conclusion.outcome is Outcome.NOT_RUN
        advice = "" if is_new else found[1].replace("described above", "described there")
        assert (shown["advice"], shown["number"]) == (advice, f"number {following}")


def test_a_step_that_needs_a_second_person_says_so() -> None:
    """A step that needs a second person is told apart from one that waits for an outside party."""
    half = Conclusion(outcome=Outcome.WAITING, reason="So.", by_person=True, needs_another=True)
    asked, waits = StepState(make_step("a"), half), state(make_step("b"), Outcome.WAITING)

    assert header(asked)["next"]["advice"] == "A second person must look and confirm it."
    assert header(waits)["next"]["advice"] == "Nothing to do but wait."
    assert (view(asked)["needs_another"], view(waits)["needs_another"]) == (True, False)


def test_the_end_counts_all_steps_and_names_what_is_open() -> None:
    """The last panel counts all steps and lists the open ones with number, title and icon."""
    states = run_state(
        state(make_step("a"), Outcome.VERIFIED),
        state(make_step("b"), Outcome.FAILED),
        state(make_step("c"), Outcome.NOT_RUN),
    )
    shown = finish(states, activity=Activity(message="m"), bundle="/e/acme/x-1")

    assert (shown["done"], shown["total"], shown["message"]) == (1, 3, "m")
    assert [(each["id"], each["number"]) for each in shown["open"]] == [
        ("b", "number b"),
        ("c", "number c"),
    ]
    assert (shown["open"][0]["title"], shown["open"][0]["icon"]) == ("Do b", "✘")
    assert (shown["bundle"], shown["bundle_name"]) == ("/e/acme/x-1", "x-1")


def test_the_end_is_reached_once_everything_is_done_and_sealed() -> None:
    """Then it says when it was sealed, and what to watch from now on; before, neither."""
    done = run_state(state(make_step("a"), Outcome.VERIFIED))
    going = run_state(state(make_step("a"), Outcome.VERIFIED), state(make_step("b")))
    sealed = {"bundle": "/e/acme/x-1", "sealed": "Sealed today: complete."}
    road = Road(
        ready=(), gates=(), meanwhile=(), afterwards=("the certificate",), whole="", source=""
    )

    assert finish(done, **sealed, road=road)["end"] == {
        "sealed": "Sealed today: complete.",
        "watch": ["the certificate"],
    }
    assert finish(done, **sealed)["end"] == {"sealed": "Sealed today: complete.", "watch": []}
    assert finish(done, road=road)["end"] is None
    assert finish(going, **sealed, road=road)["end"] is None


def test_no_view_holds_a_credential(tmp_path: Path) -> None:
    """Neither panel, header nor end contains a credential, whatever findings and people say."""

    def tells(context: Any) -> Finding:
        context.session.note(
            structs.replace(EXCHANGE, request=dict(CANARIES), response=str(CANARIES))
        )
        words = " ".join(secret.reveal() for secret in context.secrets.values())
        return Finding(
            outcome=Outcome.FAILED,
            reason=words,
            warnings=(words,),
            limits=(words,),
            facts={"x": words},
            tables=(Table(caption=words, columns=(words,), rows=((words,),)),),
        )

    steps = (app_step(tells), consent_step(verified), HAND_STEP)
    run = make_run(tmp_path, *steps, secrets=CANARIES)
    run.start()
    word = attested(
        "hand",
        at=AT,
        note=f"typed {APP_SECRET}",
        attachments=(Attachment(name=APP_SECRET, sha256="0" * 64, size=1, media_type="image/png"),),
    )
    run.perform("app")
    run.say([word])
    screens = {name: Screen() for name in ("app", "consent", "hand", "header", "finish")}

    with stopped(Walkthrough(run)) as walkthrough:
        for step in steps:
            walkthrough.displays.add_panel(step.id, screens[step.id])
        walkthrough.displays.add_header(screens["header"])
        walkthrough.displays.add_finish(screens["finish"])

    text = json.dumps([screen.views for screen in screens.values()])
    assert not [name for name, value in CANARIES.items() if value in text]
    assert MASK in text
    assert screens["hand"].view["hand_over"]["name"] == "app_secret"


@pytest.mark.parametrize(
    ("made", "who"),
    [
        (lambda: state(make_step("a"), Outcome.NOT_RUN), ""),
        (lambda: state(make_step("a"), Outcome.WAITING), "waits for Facebook"),
    ],
)
def test_the_overview_says_what_waits_for_whom(made: Any, who: str) -> None:
    """Each line of the overview names the step, its outcome, and who it waits for."""
    (line,) = header(made())["steps"]

    assert (line["id"], line["title"], line["who"]) == ("a", "Do a", who)


SECRET_CHECK = make_step("b", verified, needs=("app_secret",)).checks
PAGE = Link("My Apps", "https://d.example/apps/{app_id}", "App ID")
FAILED = Finding(outcome=Outcome.FAILED, reason="No.")
REFUSED = Finding(outcome=Outcome.INCONCLUSIVE, reason="Refused.", refuses=("app_secret",))
UNCLEAR = Finding(outcome=Outcome.INCONCLUSIVE, reason="Hidden.")
PROVEN = Finding(outcome=Outcome.VERIFIED, reason="So.", limits=("That it is saved.",))
CHECKED = app_step(links=(PAGE,))
PERMITTED = replace(
    CHECKED, checks=(replace(CHECKED.checks[0], spends="It uses 1.", permitted_by=("install",)),)
)
REVIEW = replace(waiting_step(), links=(PAGE,))
ASKED_FOR = Confirmation(name="asked", label="Asked for", sentence="It is asked for.", due_days=60)
DUE = Word(kind=WordKind.ATTESTED, step="wait", by="A", at=AT, due="2026-12-01")
KNOWN_APP = {"link_values": {"app_id": "7"}}
ELSEWHERE = (inputs.USER_ACCESS_TOKEN,)


def half(step: Step, **more: Any) -> StepState:
    """Return a step that somebody, or a check, has settled in part."""
    outcome = Outcome.VERIFIED if more.get("needs_person") else Outcome.WAITING
    conclusion = Conclusion(outcome=outcome, reason="So.", **more)
    return StepState(step, conclusion, findings=(PROVEN,) if step.checks else ())


@pytest.mark.parametrize(
    ("given", "more", "primary", "other"),
    [
        pytest.param(state(make_step("a")), {}, "attest", "", id="no check"),
        pytest.param(state(app_step()), {}, "check", "attest", id="to do"),
        pytest.param(
            state(app_step()), {"lacks": (inputs.APP_SECRET,)}, "check", "attest", id="asks here"
        ),
        pytest.param(
            state(CHECKED, Outcome.INCONCLUSIVE, findings=(UNCLEAR,)),
            {**KNOWN_APP, "lacks": (inputs.APP_SECRET,)},
            *("check", "attest"),
            id="asks here, tried",
        ),
        pytest.param(
            state(app_step()), {"lacks": ELSEWHERE}, "check", "attest", id="asked elsewhere"
        ),
        pytest.param(
            state(CHECKED, Outcome.INCONCLUSIVE, findings=(UNCLEAR,)),
            {**KNOWN_APP, "lacks": ELSEWHERE},
            *("open", "attest"),
            id="asked elsewhere, tried",
        ),
        pytest.param(state(CHECKED), KNOWN_APP, "check", "attest", id="to do, with a page"),
        pytest.param(
            state(CHECKED, Outcome.INCONCLUSIVE, findings=(UNCLEAR,)),
            KNOWN_APP,
            *("open", "attest"),
            id="inconclusive",
        ),
        pytest.param(
            state(CHECKED, Outcome.INCONCLUSIVE, findings=(UNCLEAR,)),
            {},
            *("check", "attest"),
            id="inconclusive, its page not known",
        ),
        pytest.param(
            state(CHECKED, Outcome.INCONCLUSIVE, findings=(REFUSED,)),
            KNOWN_APP,
            *("check", "attest"),
            id="what is given here is refused",
        ),
        pytest.param(
            state(CHECKED, Outcome.FAILED, findings=(FAILED,)),
            KNOWN_APP,
            *("open", "check"),
            id="failed",
        ),
        pytest.param(
            state(app_step(), Outcome.FAILED, findings=(FAILED,)),
            {},
            *("check", "attest"),
            id="failed, without a page",
        ),
        pytest.param(state(REVIEW), KNOWN_APP, "open", "answer", id="to submit"),
        pytest.param(state(REVIEW), {}, "answer", "", id="to submit, its page not known"),
        pytest.param(
            state(REVIEW, Outcome.FAILED, by_person=True),
            KNOWN_APP,
            *("answer", "open"),
            id="declined",
        ),
        pytest.param(
            state(REVIEW, Outcome.FAILED, findings=(FAILED,)),
            KNOWN_APP,
            *("open", "answer"),
            id="a review that a check calls failed",
        ),
        pytest.param(state(REVIEW, Outcome.WAITING), KNOWN_APP, "", "answer", id="waiting"),
        pytest.param(
            state(replace(REVIEW, answers=(ASKED_FOR,)), Outcome.WAITING, word=DUE),
            KNOWN_APP,
            *("answer", ""),
            id="asked for by a day",
        ),
        pytest.param(half(CHECKED, needs_person=True), KNOWN_APP, "attest", "check", id="in part"),
        pytest.param(
            half(make_step("a"), needs_another=True), {}, "attest", "", id="second person"
        ),
        pytest.param(
            half(make_step("a"), needs_another=True),
            {"has_confirm_page": True},
            *("attest", "link"),
            id="second person, by a link",
        ),
        pytest.param(state(consent_step()), {}, "consent", "check", id="no token"),
        pytest.param(
            state(consent_step()),
            {"credentials": {"user_access_token": ".env"}},
            *("check", "attest"),
            id="a token",
        ),
        pytest.param(state(app_step(), Outcome.VERIFIED), {}, "", "check", id="verified"),
        pytest.param(state(make_step("a"), Outcome.ATTESTED), {}, "", "", id="confirmed"),
        pytest.param(
            state(consent_step(), Outcome.SKIPPED, by_person=True), {}, "", "check", id="skipped"
        ),
        pytest.param(state(PERMITTED), KNOWN_APP, "open", "attest", id="spends, not permitted"),
        pytest.param(
            state(PERMITTED),
            {**KNOWN_APP, "values": {"install": True}},
            *("check", "attest"),
            id="spends, permitted",
        ),
        pytest.param(
            state(spending(CHECKED)), KNOWN_APP, "check", "attest", id="spends, needs no permit"
        ),
    ],
)
def test_what_a_person_does_next_is_one_action_and_one_beside_it(
    given: StepState, more: dict[str, Any], primary: str, other: str
) -> None:
    """The first is what the person must do, whatever a check can do by itself; none is twice."""
    actions = view(given, **more)["actions"]

    assert (actions["primary"], actions["other"]) == (primary, other)
    assert not {primary, other, actions["again"]}.intersection(actions["menu"])
    named = {form["name"] for form in view(given, **more)["forms"]}
    assert {*actions["menu"], primary, other} <= {*named, "check", "consent", "link", "open", ""}


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.ATTESTED])
@pytest.mark.parametrize(
    "step",
    [step for name in connector_names() for step in find_procedure(name).steps if step.checks],
    ids=lambda step: step.id,
)
def test_a_check_is_in_sight_wherever_there_is_one(step: Step, outcome: Outcome) -> None:
    """Texts ask to check again: the button is never in the menu, whatever else comes first."""
    actions = view(state(step, outcome))["actions"]

    assert [actions[name] for name in ("primary", "other", "again")].count("check") == 1
    assert "check" not in actions["menu"]


def test_the_rest_of_the_actions_is_in_the_menu() -> None:
    """What can be done at all can be done from the menu, if not by one of the two buttons."""

    def menu(given: StepState, **more: Any) -> list[str]:
        shown: list[str] = view(given, **more)["actions"]["menu"]
        return shown

    notes = ["comment", "assign", "skip"]
    assert menu(state(make_step("a"))) == notes
    assert menu(state(make_step("a")), has_confirm_page=True) == notes
    assert menu(state(app_step())) == notes
    assert menu(state(app_step(), Outcome.VERIFIED)) == ["attest", *notes]
    assert menu(state(REVIEW, Outcome.WAITING)) == notes
    assert menu(state(consent_step())) == ["attest", *notes]
    assert menu(state(consent_step(), Outcome.VERIFIED)) == ["consent", "attest", *notes]
    saved = make_step("a", inputs=(inputs.APP_ID,))
    assert menu(state(saved)) == notes
    assert menu(state(make_step("a"), word=attested("a"))) == [*notes, "withdraw"]


def test_the_next_step_is_known_to_every_panel() -> None:
    """Each panel says whether its step is next, and which one is."""
    first, second = make_step("a"), make_step("b")
    shown = view(state(first), following=first)
    other = view(state(second), following=first)

    assert (shown["is_next"], other["is_next"]) == (True, False)
    assert shown["next"] == other["next"] == {"id": "a", "title": "Do a"}
    assert view(state(first))["next"] is None


def test_the_unfinished_steps_of_a_sitting_are_open_together() -> None:
    """Of the steps that are done in one sitting with the next one, those not done are open."""
    current = frozenset({"a", "b"})

    def is_open(given: StepState) -> bool:
        return bool(view(given, current=current)["is_current"])

    assert is_open(state(make_step("a")))
    assert is_open(state(make_step("b"), Outcome.FAILED))
    assert not is_open(state(make_step("b"), Outcome.VERIFIED))
    assert not is_open(state(make_step("c")))


def test_a_sitting_has_the_steps_beside_it() -> None:
    """Steps are one sitting as long as they follow one another; without one each stands alone."""
    steps = [
        make_step(name, sitting=sitting)
        for name, sitting in (("a", ""), ("b", "S"), ("c", "S"), ("d", ""), ("e", "S"))
    ]
    section = Section(id="one", title="One", intro="", steps=tuple(steps))
    procedure = Procedure(id="p", version="1", title="P", sections=(section,), inputs=())

    found = [sorted(sitting_of(procedure, step)) for step in steps]
    assert found == [["a"], ["b", "c"], ["b", "c"], ["d"], ["e"]]


@pytest.mark.parametrize(
    ("given", "lacks", "can_look"),
    [
        (state(app_step()), (), True),
        (state(app_step(), Outcome.FAILED), (), True),
        (state(waiting_step(), Outcome.WAITING), (), True),
        (state(replace(app_step(), checks=SECRET_CHECK)), (inputs.APP_SECRET,), False),
        (state(make_step("a")), (), False),
        (state(app_step(), Outcome.VERIFIED), (), False),
        (half(CHECKED, needs_person=True), (), False),
        (state(spending(app_step())), (), False),
    ],
)
def test_only_an_open_step_that_can_be_checked_without_spending_is_looked_at(
    given: StepState, lacks: Any, can_look: bool
) -> None:
    """What is done, in a person's hands, spends or lacks a value is not looked at unasked."""
    assert view(given, lacks=lacks)["can_look"] is can_look


def test_an_input_says_whether_a_check_needs_it() -> None:
    """A value that a check lacks is marked: with it, the check can run by itself."""
    shown = view(state(app_step()), lacks=(inputs.APP_SECRET,))["inputs"]

    assert [part["name"] for part in shown if part["is_needed"]] == ["app_secret"]


def test_a_list_has_the_names_that_it_may_have() -> None:
    """Permissions can be chosen; each comes with those that it depends on. Others cannot."""
    shown = {part["name"]: part["choices"] for part in view(state(app_step()))["inputs"]}

    choices = {choice["name"]: choice["needs"] for choice in shown["permissions"]}
    assert {"public_profile", "leads_retrieval", "ads_read"} <= set(choices)
    assert choices["leads_retrieval"]
    assert set(choices["leads_retrieval"]) <= set(choices)
    assert shown["app_id"] == []


def test_a_folded_step_says_who_and_when() -> None:
    """The line of a step says who settled it and when, or whom it waits for."""
    said = attested("a", at=AT)
    done = replace(state(make_step("a"), Outcome.ATTESTED, by_person=True), word=said)

    assert view(done)["since"] == "Operator, 24 Nov, 12:00"
    assert view(state(waiting_step(), Outcome.WAITING))["since"] == "waits for Facebook"
    assert view(state(make_step("a")))["since"] == ""


def test_the_side_has_a_line_for_each_sitting() -> None:
    """
    It says how much of what was begun is done, and leads to what failed, else to what is open.
    """

    def part(name: str, outcome: Outcome, sitting: str = "") -> StepState:
        return state(make_step(name, sitting=sitting), outcome)

    shown = header(
        part("a", Outcome.VERIFIED),
        part("b", Outcome.VERIFIED, "Keys"),
        part("c", Outcome.NOT_RUN, "Keys"),
        part("d", Outcome.FAILED, "Keys"),
        part("e", Outcome.NOT_RUN),
    )["sittings"]

    assert [(line["title"], line["ids"], line["label"]) for line in shown] == [
        ("a", ["a"], "done"),
        ("Keys", ["b", "c", "d"], "1/3"),
        ("e", ["e"], ""),
    ]
    assert [line["step"]["id"] for line in shown] == ["a", "d", "e"]
    assert [line["outcome"] for line in shown] == ["verified", "failed", "not_run"]


def test_a_list_is_chosen_in_one_step_and_shown_in_the_others() -> None:
    """Permissions are asked for once; other steps show them, and where they are chosen."""
    step, other = app_step(), replace(app_step(), id="other")
    asked = {"permissions": step}
    values = {"permissions": ("ads_read", "leads_retrieval")}

    def names(shown: dict[str, Any]) -> list[str]:
        return [each["name"] for each in shown["inputs"]]

    first = view(state(step), values=values, chosen_in=asked)
    second = view(state(other), values=values, chosen_in=asked)
    assert "permissions" in names(first)
    assert first["chosen"] == []
    assert "permissions" not in names(second)
    assert second["chosen"] == [
        {
            "label": "Permissions",
            "value": "ads_read, leads_retrieval",
            "id": "app",
            "title": "Do app",
        }
    ]


def test_a_step_says_whom_it_is_for_and_what_is_overdue() -> None:
    """Who does a step by when, and a wait that takes longer than usual, are said."""
    step = replace(waiting_step(), usual_days=22)
    said = Assignment(step="wait", by="A", at=AT, to="A colleague", due="2026-12-01")
    waits = state(step, Outcome.WAITING, waiting_since="2026-11-01T09:00:00Z")

    theirs = replace(waits, assignment=said)

    for day, overdue in ((23, ""), (24, "1 day overdue: usually at most 22 days")):
        today = date(2026, 11, day)
        assert view(waits, today=today)["overdue"] == overdue
        (line,) = header(waits, today=today)["steps"]
        assert line["who"].startswith("waits for Facebook since 1 Nov")
        assert line["who"].endswith(overdue)
    for today, late in ((date(2026, 12, 1), ""), (date(2026, 12, 3), "2 days overdue")):
        shown = view(theirs, today=today)
        assert (shown["assigned"], shown["overdue"]) == ("for A colleague by 2026-12-01", late)


def test_what_is_asked_for_says_by_when() -> None:
    """A step with several answers leads to *done*; asked for, it shows until when, says who."""
    answers = (
        Confirmation(name="asked", label="Asked for", sentence="It is asked for.", due_days=60),
    )
    gate = replace(waiting_step(), checks=(), answers=answers)
    asked = Word(kind=WordKind.ATTESTED, step="wait", by="A", at=AT, due="2026-12-01")
    waits = state(gate, Outcome.WAITING, word=asked)

    assert view(waits)["actions"]["primary"] == "answer"
    assert view(waits, today=date(2026, 12, 3))["overdue"] == "2 days overdue"
    (line,) = header(waits, today=date(2026, 12, 1))["steps"]
    assert line["who"] == "due 2026-12-01, says A"


def test_what_is_proven_in_part_does_not_look_finished() -> None:
    """A verified step that a person must look at says so in its mark, and to confirm it is next."""
    found = Finding(outcome=Outcome.VERIFIED, reason="So.", limits=("That it is saved.",))
    asks = make_step("a", verified, kind=StepKind.WAIT, attest_label="I compared it")
    given = state(asks, Outcome.VERIFIED, findings=(found,))
    in_part = replace(given, conclusion=replace(given.conclusion, needs_person=True))

    shown = view(in_part)
    assert (shown["in_part"], shown["label"]) == (True, IN_PART)
    assert shown["forms"][0]["options"][1]["label"] == "I compared it"
    assert shown["actions"]["primary"] == "answer"
    assert header(in_part)["counts"][0]["label"] == header(in_part)["steps"][0]["label"] == IN_PART
    assert (view(given)["in_part"], view(given)["label"]) == (False, "verified")


def test_the_header_has_the_gates_in_one_table() -> None:
    """How each stands, since when, how long it takes, and what is still to do before it."""
    road = Road(
        ready=(),
        gates=(
            Gate(step="a", source="read"),
            Gate(step="b", source="read"),
        ),
        meanwhile=(),
        afterwards=(),
        whole="6 weeks",
        source="read",
    )
    waiting = StepState(
        make_step("a", usual_days=5),
        Conclusion(outcome=Outcome.WAITING, reason="So."),
        number="1",
        waiting_since="2026-11-20T09:00:00Z",
    )
    done = Conclusion(outcome=Outcome.ATTESTED, reason="So.")
    steps = (
        waiting,
        StepState(
            make_step("b", after=("a", "c")),
            Conclusion(outcome=Outcome.NOT_RUN, reason="So."),
            number="2",
        ),
        StepState(make_step("c"), done, number="3"),
    )

    first, second = header(*steps, road=road)["gates"]

    assert (first["since"], first["usual"], first["after"]) == ("20 Nov", "up to 5 days", "")
    assert (second["since"], second["usual"], second["after"]) == ("", "", "1")
