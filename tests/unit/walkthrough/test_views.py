"""What a panel shows: all that is known of a step, and never a credential."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from runbook_lib.connectors.facebook import inputs
from runbook_lib.connectors.known_errors import rank_seen
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.model import (
    Attachment,
    AttestationKind,
    Binding,
    Exchange,
    Finding,
    ModelStruct,
    Outcome,
    Table,
)
from runbook_lib.core.outcome import ICONS, IN_PART
from runbook_lib.core.procedure import (
    AnswerOption,
    Cause,
    Check,
    Gate,
    KnownError,
    Link,
    Paste,
    Plan,
    Source,
    Step,
    StepKind,
)
from runbook_lib.core.redaction import MASK
from runbook_lib.run.advice import NextStep, blockers_by_step, next_step
from runbook_lib.run.events import ChangeIntended, StepChecked
from runbook_lib.run.state import StepState, VoidAttestation
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.views import (
    ATTESTATION_ACTIONS,
    NOTE_ACTIONS,
    finish_view,
    header_view,
    line_view,
    step_view,
)
from tests.support.attestations import assigned, attestation, attested, commented
from tests.support.line_writer import LineWriter
from tests.support.plans import make_plan
from tests.support.run_states import run_state, step_state
from tests.support.wording import wording
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.conftest import MakeHarness, spending
from tests.unit.walkthrough.sample_run import (
    CANARIES,
    HAND_STEP,
    PERMISSIONS,
    app_step,
    consent_step,
    make_context,
    make_procedure,
    make_step,
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


class Drawn(NamedTuple):
    """A step and its state, as a page draws them."""

    step: Step
    state: StepState


def state(step: Step, outcome: Outcome = Outcome.NOT_RUN, **more: Any) -> Drawn:
    """Return the step with this state."""
    return Drawn(step, step_state(step, outcome, **{"number": f"number {step.id}", **more}))


def known_error(text: str) -> KnownError:
    return KnownError(
        id=text,
        shown=(text,),
        meaning="It means this.",
        causes=(Cause(text="By hand."), Cause(text="By machine.", tested_by=("verified",))),
        advice="Undo it.",
        source="https://example.com",
    )


def view(given: Drawn, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"recent": (), "exchanges": {}, "status": PanelStatus(), "lacks": ()}
    own = {name: more.pop(name) for name in known if name in more}
    return dict(step_view(given.state, make_context(given.step, **more), **{**known, **own}))


def test_a_line_is_part_of_its_step() -> None:
    """A closed step's panel shows what its card shows at its top: nothing changes as it opens."""
    states = (state(app_step(verified), outcome) for outcome in Outcome)
    for given in states:
        context = make_context(given.step)
        line = line_view(given.state, context, status=PanelStatus(message="Checked."), lacks=())
        card = view(given, status=PanelStatus(message="Checked."))
        assert line == {name: card[name] for name in line} | {"has_card": False}
        assert card["has_card"]


def header(*given: Drawn, plan: Plan | None = None, **more: Any) -> dict[str, Any]:
    procedure = make_procedure(*(each.step for each in given), plan=plan)
    state = run_state(*(each.state for each in given))
    context = make_context(
        procedure=procedure,
        later=blockers_by_step(state, procedure),
        following=next_step(state, procedure),
        **more,
    )
    facts: dict[str, Any] = {"title": "One", "tenant": "acme", "sandbox": False}
    return dict(header_view(state, context, status=PanelStatus(), plan=plan, **facts))


def finish(*given: Drawn, **more: Any) -> dict[str, Any]:
    procedure = make_procedure(*(each.step for each in given))
    state = run_state(*(each.state for each in given))
    context = make_context(procedure=procedure, following=next_step(state, procedure))
    known: dict[str, Any] = {"status": PanelStatus(), "bundle": "", "sealed": ""}
    known = {**known, "ended_on": "", "doubts": (), "plan": None}
    return dict(finish_view(state, context, **{**known, **more}))


SECRET_CHECK = make_step("b", verified, needs=("app_secret",)).checks
PAGE = Link("My Apps", "https://d.example/apps/{app_id}", "App ID")
FAILED = Finding(outcome=Outcome.FAILED, code="a-code", reason="No.")
REFUSED = Finding(
    outcome=Outcome.INCONCLUSIVE, code="a-code", reason="Refused.", refuses=("app_secret",)
)
UNCLEAR = Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="Hidden.")
PROVEN = Finding(
    outcome=Outcome.VERIFIED, code="a-code", reason="So.", limits=("That it is saved.",)
)
CHECKED = app_step(links=(PAGE,))
PERMITTED = replace(
    CHECKED, checks=(replace(CHECKED.checks[0], side_effect="It uses 1.", allowed_by=("install",)),)
)
REVIEW = replace(waiting_step(), links=(PAGE,))
ASKED_FOR = AnswerOption(name="asked", label="Asked for", sentence="It is asked for.", due_days=60)
DUE = attestation(AttestationKind.ATTESTED, by="A", at=AT, due="2026-12-01")
KNOWN_APP = {"link_values": {"app_id": "7"}}
HERE = {"lacks": (inputs.APP_SECRET,)}
ELSEWHERE = {"lacks": (inputs.USER_ACCESS_TOKEN,)}
TO_DO = state(app_step())
PLAIN = state(make_step("a"))
TRIED = state(CHECKED, Outcome.INCONCLUSIVE, findings=(UNCLEAR,))
REJECTED = state(CHECKED, Outcome.INCONCLUSIVE, findings=(REFUSED,))
FAILING = state(CHECKED, Outcome.FAILED, findings=(FAILED,))
WAITING = state(waiting_step(), Outcome.WAITING)
REVIEWED = state(REVIEW, Outcome.FAILED, findings=(FAILED,))


def half(step: Step, **more: Any) -> Drawn:
    """Return a step that somebody, or a check, has settled in part."""
    outcome = Outcome.VERIFIED if more.get("needs_person") else Outcome.WAITING
    findings = (PROVEN,) if step.checks else ()
    return state(step, outcome, **{"findings": findings, **more})


NEEDS = (
    *make_step("a", verified, needs=("app_id",)).checks,
    *make_step("b", waits, needs=("app_id", "app_secret")).checks,
)
TWO_CHECKS = state(replace(waiting_step(), checks=NEEDS), Outcome.WAITING)
IN_PART_DONE = half(CHECKED, needs_person=True)
SECOND = half(make_step("a"), needs_another=True)
CONFIRMED = attestation(AttestationKind.ATTESTED, at=AT)
LAPSED = (VoidAttestation(attestation=CONFIRMED, why="for App ID 1, not 2"),)
WARNED = Finding(
    outcome=Outcome.VERIFIED, code="a-code", reason="", limits=("l1",), warnings=("w1", "w2")
)
CHANGED = structs.replace(WARNED, limits=(), warnings=("w3",), changes=("c1",))
ACCOUNTS = Table(caption="Ad accounts", columns=("ID",), rows=(("act_1",),))
LISTED_ACCOUNTS = {"caption": "Ad accounts", "columns": ["ID"], "rows": [["act_1"]]}
LISTED_PAGES = {
    "caption": "Pages",
    "columns": ["ID", "Name"],
    "rows": [["1", "Acme"], ["2", "Umbrella"]],
}
LISTED = structs.replace(WARNED, tables=(ACCOUNTS, PAGES), exchanges=(1,))
LINKED = make_step(
    "a",
    links=(Link("App", "https://d.example/apps/{app_id}", "App ID"),),
    pastes=(Paste("Redirect URI", "https://{service_domain}/cb"),),
)
HANDED = {"name": "app_secret", "label": "App Secret"}
UNKNOWN = {**HANDED, "unknown": wording("walkthrough.enter-it-there")}
BUSY: dict[str, Any] = {"busy_since": 1.5, "finished": 2, "message": "m", "advice": "a"}
BUSY |= {"is_error": True}
NEXT = {"following": NextStep(PLAIN.state, "")}
NEXT_VIEW = {"id": "a", "number": "number a", "title": "Do a", "advice": ""}
SAID = state(make_step("a"), Outcome.ATTESTED, by_person=True, attestation=CONFIRMED)
AGAIN = (
    "Operator confirmed this on 24 Nov, 12:00 for App ID 1, not 2, so it no longer counts: "
    "confirm it again."
)


def row(given: Drawn, more: Any = None, **expected: Any) -> tuple[Any, ...]:
    return given, more or {}, expected


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        # A step has its outcome, icon, reason and time of check.
        *(
            row(
                state(make_step("a"), outcome, checked_on=AT),
                id="a",
                title="Do a",
                reason="So.",
                outcome=outcome,
                icon=ICONS[outcome],
                checked_on=AT,
            )
            for outcome in Outcome
        ),
        # An ISO time in a reason is shown as date and time in minutes, UTC.
        row(
            state(
                make_step("a"),
                Outcome.ATTESTED,
                reason=f"Operator on {AT}: done; submitted on 2026-11-24T09:05:00Z.",
            ),
            reason="Operator on 24 Nov, 12:00: done; submitted on 24 Nov, 09:05.",
        ),
        # Nobody has acted yet: what the page found by itself warns of nothing.
        row(state(make_step("a"), findings=(WARNED,)), warnings=[]),
        # Warnings, limits and changes of all findings are shown, in order.
        row(
            state(
                make_step("a"),
                Outcome.VERIFIED,
                findings=(WARNED, CHANGED),
            ),
            warnings=["w1", "w2", "w3"],
            limits=["l1"],
            changes=["c1"],
        ),
        # So are the tables of all findings.
        row(
            state(make_step("a"), findings=(LISTED, LISTED)),
            {"exchanges": {1: EXCHANGE}},
            tables=[LISTED_ACCOUNTS, LISTED_PAGES, LISTED_ACCOUNTS, LISTED_PAGES],
        ),
        # A link without its values says what it needs; a paste is shown only with its values.
        row(state(LINKED), links=[{"label": "App (needs the App ID)", "url": ""}], pastes=[]),
        row(
            state(LINKED),
            {"values": {"app_id": "7", "service_domain": "acme.example"}},
            links=[{"label": "App", "url": "https://d.example/apps/7"}],
            pastes=[
                {"label": "Redirect URI", "value": "https://acme.example/cb", "is_compared": False}
            ],
        ),
        # Only the step that hands over a credential shows it, or where to enter it.
        row(
            state(HAND_STEP),
            {"credentials": {"app_secret": "this session"}},
            copied_secret={**HANDED, "unknown": ""},
        ),
        row(state(HAND_STEP), copied_secret=UNKNOWN),
        row(
            state(HAND_STEP), {"credentials": {"user_access_token": ".env"}}, copied_secret=UNKNOWN
        ),
        row(TO_DO, {"credentials": {"app_secret": ".env"}}, copied_secret=None),
        # Check and consent are offered only by steps that have them.
        row(PLAIN, can_check=False, needs_consent=False),
        row(state(waiting_step()), can_check=True, needs_consent=False),
        row(state(consent_step()), can_check=True, needs_consent=True),
        # A step is checked again only if it waits and a check can look and spends nothing.
        row(WAITING, next_refresh="12:15"),
        row(state(waiting_step(), Outcome.VERIFIED), next_refresh=""),
        row(state(make_step("a", kind=StepKind.WAIT), Outcome.WAITING), next_refresh=""),
        row(state(spending(waiting_step()), Outcome.WAITING), next_refresh=""),
        row(TWO_CHECKS, HERE, next_refresh="12:15"),
        row(TWO_CHECKS, {"lacks": (inputs.APP_SECRET, inputs.APP_ID)}, next_refresh=""),
        # A lapsed attestation is shown with author, time and the reason to repeat it.
        row(state(make_step("a"), void_attestations=LAPSED), remarks=[AGAIN]),
        # The current activity and its result are part of the view.
        row(
            PLAIN,
            {"status": PanelStatus(**BUSY)},
            **BUSY,
        ),
        # A step that needs a second person is not one that waits for an outside party.
        row(SECOND, needs_another=True),
        row(WAITING, needs_another=False),
        # Each panel says whether its step is next, and which one is.
        row(PLAIN, NEXT, is_next=True, next=NEXT_VIEW),
        row(state(make_step("b")), NEXT, is_next=False, next=NEXT_VIEW),
        row(PLAIN, next=None),
        # The step that is next is open, and none beside it.
        row(PLAIN, NEXT, is_current=True),
        row(state(make_step("b"), Outcome.FAILED), NEXT, is_current=False),
        # What a person does is a list of acts; the documented text is a part of the card.
        row(
            state(make_step("a", instructions="Press it.\n\nCopy it.", group="Keys")),
            acts=["Press it.", "Copy it."],
            part="Keys",
            prose=None,
        ),
        row(
            state(make_step("a", prose="One.\n\nTwo.", source=Source(1, 6))),
            prose={"title": "Documented step 6", "paragraphs": ["One.", "Two."], "source": ""},
        ),
        row(
            state(make_step("a", source=Source(1, off_page="a page"))),
            prose={
                "title": "Why Cyclr's guide lacks it",
                "paragraphs": [],
                "source": "Source: a page.",
            },
        ),
        # A step says what it needs first.
        row(PLAIN, {"later": {"a": "later: after 1"}}, since="later: after 1"),
        # What is done, in a person's hands, spends or lacks a value is not looked at unasked.
        row(TO_DO, can_refresh=True),
        row(state(app_step(), Outcome.FAILED), can_refresh=True),
        row(WAITING, can_refresh=True),
        row(state(replace(app_step(), checks=SECRET_CHECK)), HERE, can_refresh=False),
        row(PLAIN, can_refresh=False),
        row(state(app_step(), Outcome.VERIFIED), can_refresh=False),
        row(IN_PART_DONE, can_refresh=False),
        row(state(spending(app_step())), can_refresh=False),
        # The line of a step says who settled it and when, or whom it waits for.
        row(SAID, since="Operator, 24 Nov, 12:00"),
        row(WAITING, since="waits for Facebook"),
        row(PLAIN, since=""),
        # Only the step of the submission has a kit, only a known error is explained.
        row(PLAIN, kit=None, known_errors=[]),
    ],
)
def test_a_panel_shows(given: Drawn, more: dict[str, Any], expected: dict[str, Any]) -> None:
    """All that is known of a step is in its panel, as plain JSON."""
    shown = json.loads(json.dumps(view(given, **more)))

    assert {name: shown[name] for name in expected} == expected
    assert json.loads(json.dumps(shown)) == shown


def test_an_input_has_its_kind_and_value() -> None:
    """An input is text, a checkbox or a password, with its value, help and example."""
    values = {"app_id": "77", "permissions": ("public_profile", "ads_read")}
    shown = view(state(app_step()), values=values)["inputs"]

    assert [(field["name"], field["kind"], field["value"]) for field in shown] == [
        ("app_id", "text", "77"),
        ("app_secret", "password", ""),
        ("permissions", "text", "public_profile, ads_read"),
        ("install_connector", "checkbox", ""),
    ]
    assert (shown[0]["help"], shown[0]["example"]) == (inputs.APP_ID.help, inputs.APP_ID.example)


def test_only_the_place_of_a_credential_is_shown() -> None:
    """The view of a credential has only the place where it is stored."""
    given = {"values": {"app_secret": APP_SECRET}, "credentials": {"app_secret": "keyring"}}
    shown = view(TO_DO, **given)

    secret = next(each for each in shown["inputs"] if each["name"] == "app_secret")
    assert (secret["value"], secret["saved_in"]) == ("", "keyring")
    assert APP_SECRET not in json.dumps(shown)


ASKED_ONCE = state(make_step("a"), findings=(structs.replace(UNCLEAR, exchanges=(1,)),))
ASKED_TWICE = state(make_step("a"), findings=(structs.replace(UNCLEAR, exchanges=(1, 2)),))


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
    (shown,) = view(ASKED_ONCE, exchanges={1: exchange})["exchanges"]

    assert shown["line"] == "GET https://graph.example/me"
    assert (shown["status"], shown["milliseconds"]) == (status, 42)
    assert (shown["trace"], shown["sent_on"]) == ("DPsOqE2Ubys", AT)
    detail = json.loads(shown["detail"])
    assert (detail["sent"], detail["response"]) == ({"fields": "id"}, {"id": "ü"})


def test_an_exchange_omits_empty_parts_and_cuts_long_ones() -> None:
    """Empty parts of an exchange are left out, and a long answer is cut."""
    bare = structs.replace(EXCHANGE, request=None, headers={}, response=None)
    long = structs.replace(EXCHANGE, response="x" * 100_000)
    shown = view(ASKED_TWICE, exchanges={1: bare, 2: long})["exchanges"]

    assert (shown[0]["detail"], shown[0]["trace"]) == ("{}", "")
    assert 1_000 < len(shown[1]["detail"]) < 10_000


CHECKED_TWO = (
    Finding(check="one", outcome=Outcome.VERIFIED, code="a-code", reason="Yes."),
    Finding(check="two", outcome=Outcome.FAILED, code="a-code", reason="No."),
)
SHOT = Attachment(name="a.png", sha256="0" * 64, size=1, media_type="image/png")
BY_OPERATOR = wording("walkthrough.confirmed-by", name="Operator")


def checked(*findings: Finding, unchecked: str = "") -> StepChecked:
    return StepChecked(findings=findings, binding=Binding(), unchecked=unchecked)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (checked(*CHECKED_TWO), "checked (one: verified, two: failed)"),
        (checked(unchecked="Not checked: X."), "checked (Not checked: X.)"),
        (checked(), "checked (nothing to check)"),
        (CONFIRMED, BY_OPERATOR),
        (
            structs.replace(CONFIRMED, note="Seen", attachments=(SHOT,)),
            f"{BY_OPERATOR}: Seen [a.png]",
        ),
        (
            attestation(AttestationKind.SUBMITTED),
            wording("walkthrough.submitted-by", name="Operator"),
        ),
        (
            attestation(AttestationKind.DECLINED, note="Why"),
            wording("walkthrough.declined-by", name="Operator", note="Why"),
        ),
        (
            attestation(AttestationKind.WITHDRAWN, note="A mistake"),
            wording("walkthrough.withdrawn-by", note="A mistake", name="Operator"),
        ),
        (
            attestation(AttestationKind.SKIPPED, note="Not now"),
            wording("walkthrough.skipped-by", name="Operator", note="Not now"),
        ),
        (
            commented("a", note="Ask again.").statement,
            wording("walkthrough.commented-by", note="Ask again.", name="Operator"),
        ),
        (
            assigned("a", "Ann", due="2026-12-01").statement,
            wording("walkthrough.assigned-until", day="2026-12-01", by="Operator", name="Ann"),
        ),
        (
            assigned("a", "", note="Ann is away.").statement,
            wording("walkthrough.assigned-to-nobody", note="Ann is away.", by="Operator"),
        ),
        (
            ChangeIntended(change="Install it."),
            wording("walkthrough.about-to-change", change="Install it."),
        ),
    ],
)
def test_history_is_in_plain_words(event: ModelStruct, said: str) -> None:
    """Each journal line about a person becomes one sentence, the newest first."""
    journal = LineWriter()
    for part in (structs.replace(CONFIRMED, note="first"), event):
        journal.write(part, AT, "0a1b2c3d", "a")
    shown = view(PLAIN, recent=journal.lines)

    assert shown["history"] == [
        {"at": "24 Nov, 12:00", "event": said},
        {"at": "24 Nov, 12:00", "event": f"{BY_OPERATOR}: first"},
    ]


def test_known_errors_are_shown_those_seen_first() -> None:
    """A panel has the step's error texts, first those in its reason, and what tests each cause."""
    step = make_step(
        "a",
        verified,
        known_errors=(known_error("It fell"), known_error("It broke")),
        rank_seen=rank_seen,
    )
    given = state(step, Outcome.FAILED, reason="Facebook: It broke.")
    first, second = view(given)["known_errors"]

    assert (first["title"], first["seen"]) == ("It broke", True)
    assert (second["title"], second["seen"]) == ("It fell", False)
    assert first["causes"] == ["By hand.", "By machine. (Tested by verified.)"]
    assert view(state(make_step("b", verified)))["known_errors"] == []


def test_the_first_sentence_of_the_advice_stands_beside_the_finding() -> None:
    """One sentence of a known error's advice follows the reason; the details have the rest."""
    error = replace(known_error("It broke"), advice="Undo it. Then wait a day. Ask again.")
    step = make_step("a", verified, known_errors=(error,), rank_seen=rank_seen)
    shown = view(state(step, Outcome.FAILED, reason="Facebook: It broke."))

    assert (shown["to_do"], shown["more_to_do"]) == ("Undo it.", "Then wait a day. Ask again.")


def test_the_texts_for_app_review_are_at_their_step() -> None:
    """The step of the submission has the kit for the values so far; others have none."""
    values = {"permissions": ("pages_show_list", "email"), "app_display_name": "Acme Sync"}
    kit = view(state(make_step("a", review_kit="facebook_marketing")), values=values)["kit"]

    permissions = kit["permissions"]
    names = [permission["name"] for permission in permissions]
    assert names == ["public_profile", "pages_show_list", "email"]
    assert "Acme Sync" in permissions[1]["usage"]
    assert [call["request"] for call in permissions[1]["calls"]] == ["GET /me/accounts"]
    assert any("email" in warning for warning in kit["warnings"])
    assert view(PLAIN, values=values)["kit"] is None


def test_a_step_offers_the_forms_that_apply() -> None:
    """Each has its forms; where more than one thing may be true, that is one question."""
    plain = view(PLAIN)
    waits = view(state(waiting_step()))

    others = ["no", "skip", "withdraw", "comment", "assign"]
    assert [form["name"] for form in plain["forms"]] == ["attest", *others]
    assert [form["name"] for form in waits["forms"]] == ["answer", *others]
    asked = waits["forms"][0]["options"]
    assert [option["name"] for option in asked] == ["submit", "attest", "decline"]
    sent = {option["action"] for form in waits["forms"] for option in form["options"]}
    assert {*ATTESTATION_ACTIONS, *NOTE_ACTIONS} == sent
    assert plain["forms"][0]["options"][0]["sentence"] == "I did a."
    needs_note = {form["name"]: form["needs_note"] for form in waits["forms"]}
    assert [name for name in needs_note if needs_note[name]] == others[:-1]
    assert all(bool(form["note_missing"]) is form["needs_note"] for form in waits["forms"])
    assert [form["name"] for form in waits["forms"] if form["has_files"]] == ["answer"]


def test_approved_is_chosen_and_declined_ticks_no_permission() -> None:
    """If a check saw the approval, *Approved* is chosen; in *Declined* no permission is ticked."""
    seen = Check("seen", lambda _: None, needs_confirmation="It is Advanced.")
    step = replace(waiting_step(), inputs=(PERMISSIONS,), checks=(seen,))
    found = Finding(
        outcome=Outcome.VERIFIED, code="a-code", reason="So.", check="seen", limits=("The level.",)
    )
    in_part = half(step, needs_person=True, findings=(found,))

    before, after = (view(given)["forms"][0] for given in (state(step, Outcome.WAITING), in_part))
    assert (before["chosen"], after["chosen"]) == ("", "attest")
    assert view(in_part)["actions"]["primary"] == "answer"
    ticks = {
        option["name"]: (field["ticked"], field["choices"])
        for option in after["options"]
        for field in option["fields"]
        if field["type"] == "choices"
    }
    chosen = ["public_profile", "leads_retrieval"]
    assert ticks["submit"] == (True, chosen)
    assert ticks["decline"][0] is False
    assert ticks["decline"][1][:2] == chosen
    assert {"ads_read", "pages_show_list"} < set(ticks["decline"][1])


def test_only_after_a_fault_a_person_may_go_on() -> None:
    """*Check again* and *Continue* stand at what is next; a check in vain has no *Continue*."""
    vain = state(app_step(), Outcome.INCONCLUSIVE)
    fault = state(app_step(), Outcome.INCONCLUSIVE, has_fault=True)
    shown = [view(given, following=NextStep(given.state, ""))["actions"] for given in (vain, fault)]
    elsewhere = view(fault)["actions"]

    assert (shown[0]["primary"], shown[0]["other"]) == ("check", "attest")
    assert (shown[1]["primary"], shown[1]["other"]) == ("check", "continue")
    assert elsewhere["other"] == "attest"


def test_a_step_whose_check_cannot_tell_yet_is_confirmed_first() -> None:
    """No blue *Check* stands at a step before the values or steps exist that it needs."""
    given = state(app_step())
    early = view(given, too_early=frozenset({given.step.id}))["actions"]
    late = view(given)["actions"]

    assert (early["primary"], early["other"]) == ("attest", "check")
    assert (late["primary"], late["other"]) == ("check", "attest")


def test_a_list_says_what_the_connector_was_seen_to_ask_for() -> None:
    """Once a check has read it, with the day; before, the help stands alone."""
    asked = replace(PERMISSIONS, asked_fact="connector_scope")
    given = state(replace(make_step("a"), inputs=(asked,)))
    facts = {"connector_scope": (("ads_read", "email"), AT)}
    before = view(given)["inputs"][0]["help"]
    after = view(given, facts=facts)["inputs"][0]["help"]

    assert before == asked.help
    read = wording("walkthrough.read-and-asks-for", names="ads_read, email", day="24 Nov")
    assert after == f"{asked.help} {read}"


@pytest.mark.parametrize(
    "answers", [(), (AnswerOption(name="no", label="No", sentence="It is not."),)]
)
def test_a_second_person_says_yes_or_no(answers: Any) -> None:
    """The second person has a sentence of their own, and can say no with a reason."""
    said = attestation(AttestationKind.ATTESTED, by="Ann", sentence="I am logged in.")
    step = make_step("a", answers=answers)
    shown = view(half(step, by_person=True, needs_another=True, attestation=said))
    yes, no = shown["forms"][:2]

    (option,) = yes["options"]
    assert (option["action"], option["sentence"]) == ("attest", "Ann is logged in. I have seen it.")
    assert (no["options"][0]["action"], no["needs_note"]) == ("withdraw", True)
    assert (
        wording("walkthrough.withdraws-confirmation-of", name="Ann") in no["options"][0]["sentence"]
    )
    assert "no" in shown["actions"]["menu"]
    assert "no" not in view(state(step))["actions"]["menu"]


def test_a_question_is_the_steps_own() -> None:
    """A step says what it asks; without that it asks what the provider says."""
    own = replace(waiting_step(), question="What does App Review say?")

    assert view(state(own))["forms"][0]["label"] == "What does App Review say?"
    assert view(state(waiting_step()))["forms"][0]["label"] == wording(
        "walkthrough.what-does-it-say", whom="Facebook"
    )


def test_a_step_with_answers_asks_which_is_true() -> None:
    """A step that no outside party decides has only its answers: nothing to submit or decline."""
    shown = view(state(make_step("a", answers=(ASKED_FOR,))))

    assert shown["actions"]["primary"] == shown["forms"][0]["name"] == "answer"
    options = [option["name"] for option in shown["forms"][0]["options"]]
    assert options == ["attest-asked", "attest"]


def test_an_answer_about_a_review_has_its_day_and_the_permissions() -> None:
    """A submission or decline has its day and a name; a decline asks for its reason."""
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
    assert [option["note_label"] for option in options] == [
        "",
        "",
        wording("walkthrough.reason-given"),
    ]
    offered = options[0]["fields"][1]
    assert (offered["type"], offered["choices"]) == ("choices", ["public_profile", "ads_read"])


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
        ((Outcome.INCONCLUSIVE, Outcome.NOT_RUN), "a"),
        ((Outcome.NOT_RUN, Outcome.INCONCLUSIVE), "a"),
        ((Outcome.WAITING, Outcome.INCONCLUSIVE), "b"),
        ((Outcome.VERIFIED, Outcome.WAITING), "b"),
        ((Outcome.NOT_RUN, Outcome.NOT_RUN), "a"),
        ((Outcome.VERIFIED, Outcome.ATTESTED), None),
    ],
)
def test_next_is_what_needs_a_person_most(outcomes: Any, following: str | None) -> None:
    """Next is what failed, is to do, to look at, or to wait for."""
    states = [state(make_step(n), o) for n, o in zip("ab", outcomes, strict=True)]
    procedure = make_procedure(*(each.step for each in states))
    found = next_step(run_state(*(each.state for each in states)), procedure)

    assert (found.step.id if found else None) == following
    shown = header(*states)["next"]
    assert (shown and shown["id"]) == following
    assert (shown and shown["number"]) == (following and f"number {following}")


def test_a_step_that_needs_a_second_person_says_so() -> None:
    """A step that needs a second person is told apart from one that waits for an outside party."""
    assert header(SECOND)["next"]["advice"] == wording("walkthrough.second-person-must")
    assert header(WAITING)["next"]["advice"] == wording("walkthrough.nothing-but-wait")


def test_the_end_counts_all_steps_and_names_what_is_open() -> None:
    """The last panel counts all steps and lists the open ones with number, title and icon."""
    shown = finish(
        state(make_step("a"), Outcome.VERIFIED),
        state(make_step("b"), Outcome.FAILED),
        state(make_step("c"), Outcome.NOT_RUN),
        status=PanelStatus(message="m"),
        bundle="/e/acme/x-1",
    )

    assert (shown["done"], shown["total"], shown["message"]) == (1, 3, "m")
    listed = [(each["id"], each["number"]) for each in shown["open"]]
    assert listed == [("b", "number b"), ("c", "number c")]
    assert (shown["open"][0]["title"], shown["open"][0]["icon"]) == ("Do b", "✘")
    assert (shown["bundle"], shown["bundle_name"]) == ("/e/acme/x-1", "x-1")


def test_the_end_is_reached_once_everything_is_done_and_sealed() -> None:
    """Then it says when it was sealed, and what to watch from now on; before, neither."""
    done = state(make_step("a"), Outcome.VERIFIED)
    going = (done, state(make_step("b")))
    sealed = {"bundle": "/e/acme/x-1", "sealed": "Sealed today: complete."}
    plan = make_plan(afterwards=("the certificate",))

    assert finish(done, **sealed, plan=plan)["end"] == {
        "verdict": wording("walkthrough.customers-can-connect"),
        "warnings": [],
        "sealed": "Sealed today: complete.",
        "took": "",
        "watch": ["the certificate"],
    }
    assert finish(done, **sealed)["end"]["watch"] == []
    assert finish(done, plan=plan)["end"] is None
    assert finish(*going, **sealed, plan=plan)["end"] is None


@pytest.mark.parametrize(
    ("begun", "ended", "took"),
    [
        (
            "2026-11-24T09:00:00Z",
            "2026-11-24T12:00:00Z",
            wording("walkthrough.it-took", days="1 day"),
        ),
        (
            "2026-11-13T23:00:00Z",
            "2026-11-24T01:00:00Z",
            wording("walkthrough.it-took", days="12 days"),
        ),
        ("2026-11-24T09:00:00Z", "", ""),
        ("2026-11-25T09:00:00Z", "2026-11-24T12:00:00Z", ""),
    ],
)
def test_the_end_says_how_many_days_it_took(begun: str, ended: str, took: str) -> None:
    """Days count from the first thing on record to the sealed end, with both."""
    said = structs.replace(CONFIRMED, at=begun)
    done = state(make_step("a"), Outcome.VERIFIED, attestation=said)
    end = finish(done, bundle="/e/acme/x-1", sealed="Sealed.", ended_on=ended)["end"]
    assert end["took"] == took


@pytest.mark.parametrize(
    ("warnings", "verdict"),
    [
        (("It ends soon.",), wording("walkthrough.connect-with-warnings", warnings="one warning")),
        (
            ("It ends soon.", "Ask Cyclr."),
            wording("walkthrough.connect-with-warnings", warnings="2 warnings"),
        ),
    ],
)
def test_the_end_shows_every_warning_that_is_left(warnings: tuple[str, ...], verdict: str) -> None:
    """Each with its step; nobody takes the end for a clean one."""
    found = Finding(outcome=Outcome.VERIFIED, code="a-code", reason="So.", warnings=warnings)
    done = state(make_step("a"), Outcome.VERIFIED, findings=(found,))
    end = finish(done, bundle="/e/acme/x-1", sealed="Sealed today: complete.")["end"]

    assert end["verdict"] == verdict
    assert end["warnings"] == [f"number a · Do a: {text}" for text in warnings]


def test_no_view_holds_a_credential(make_harness: MakeHarness) -> None:
    """Neither panel, header nor end contains a credential, whatever findings and people say."""

    def tells(context: Any) -> Finding:
        context.session.note(
            structs.replace(EXCHANGE, request=dict(CANARIES), response=str(CANARIES))
        )
        words = " ".join(secret.reveal() for secret in context.secrets.values())
        return Finding(
            outcome=Outcome.FAILED,
            code="a-code",
            reason=words,
            warnings=(words,),
            limits=(words,),
            facts={"x": words},
            tables=(Table(caption=words, columns=(words,), rows=((words,),)),),
        )

    harness = make_harness(app_step(tells), consent_step(verified), HAND_STEP, secrets=CANARIES)
    harness.open_cards("app", "consent", "hand")
    harness.run.perform("app")
    shot = Attachment(name=APP_SECRET, sha256="0" * 64, size=1, media_type="image/png")
    harness.run.say([attested("hand", at=AT, note=f"typed {APP_SECRET}", attachments=(shot,))])
    harness.walkthrough.panels.draw()

    screens = (*harness.panels.values(), harness.header, harness.finish)
    text = json.dumps([screen.views for screen in screens])
    assert not [name for name, value in CANARIES.items() if value in text]
    assert MASK in text
    assert harness.panels["hand"].view["copied_secret"]["name"] == "app_secret"


@pytest.mark.parametrize(
    ("given", "who"),
    [(PLAIN, ""), (state(make_step("a"), Outcome.WAITING), "waits for Facebook")],
)
def test_the_overview_says_what_waits_for_whom(given: Drawn, who: str) -> None:
    """Each line of the overview names the step and who it waits for."""
    (line,) = header(given)["steps"]

    assert (line["id"], line["title"], line["who"]) == ("a", "Do a", who)


OPENED = {"opened": frozenset({"a", "app"})}
NEXT_ACTIONS: dict[str, tuple[Drawn, dict[str, Any], str, str]] = {
    "no check": (PLAIN, {}, "attest", ""),
    "to do": (TO_DO, {}, "check", "attest"),
    "asks here": (TO_DO, HERE, "check", "attest"),
    "asks here, tried": (TRIED, {**KNOWN_APP, **HERE}, "check", "attest"),
    "asked elsewhere": (TO_DO, ELSEWHERE, "check", "attest"),
    "asked elsewhere, tried": (TRIED, {**KNOWN_APP, **ELSEWHERE}, "open", "attest"),
    "to do, with a page": (state(CHECKED), KNOWN_APP, "open", "check"),
    "to do, its page opened": (state(CHECKED), {**KNOWN_APP, **OPENED}, "check", "open"),
    "to do, with a page alone": (state(LINKED), KNOWN_APP, "open", "attest"),
    "to do, its page alone opened": (state(LINKED), {**KNOWN_APP, **OPENED}, "attest", "open"),
    "inconclusive, its page opened": (TRIED, {**KNOWN_APP, **OPENED}, "attest", "open"),
    "inconclusive": (TRIED, KNOWN_APP, "open", "attest"),
    "inconclusive, its page not known": (TRIED, {}, "check", "attest"),
    "what is given here is refused": (REJECTED, KNOWN_APP, "check", "attest"),
    "failed": (FAILING, KNOWN_APP, "open", "check"),
    "failed, without a page": (
        state(app_step(), Outcome.FAILED, findings=(FAILED,)),
        {},
        "check",
        "attest",
    ),
    "to submit": (state(REVIEW), KNOWN_APP, "open", "answer"),
    "to submit, its page not known": (state(REVIEW), {}, "answer", ""),
    "declined": (state(REVIEW, Outcome.FAILED, by_person=True), KNOWN_APP, "answer", "open"),
    "a review that a check calls failed": (REVIEWED, KNOWN_APP, "open", "answer"),
    "waiting": (state(REVIEW, Outcome.WAITING), KNOWN_APP, "", "answer"),
    "asked for by a day": (
        state(replace(REVIEW, answers=(ASKED_FOR,)), Outcome.WAITING, attestation=DUE),
        KNOWN_APP,
        "answer",
        "",
    ),
    "in part": (IN_PART_DONE, KNOWN_APP, "attest", "check"),
    "second person": (SECOND, {}, "attest", ""),
    "second person, by a link": (SECOND, {"has_confirm_page": True}, "attest", "link"),
    "no token": (state(consent_step()), {}, "consent", "check"),
    "a token": (
        state(consent_step()),
        {"credentials": {"user_access_token": ".env"}},
        "check",
        "attest",
    ),
    "verified": (state(app_step(), Outcome.VERIFIED), {}, "", "check"),
    "confirmed": (state(make_step("a"), Outcome.ATTESTED), {}, "", ""),
    "skipped": (state(consent_step(), Outcome.SKIPPED, by_person=True), {}, "", "check"),
    "spends, not permitted": (state(PERMITTED), KNOWN_APP, "open", "attest"),
    "spends, permitted": (
        state(PERMITTED),
        {**KNOWN_APP, "values": {"install": True}},
        "check",
        "attest",
    ),
    "spends, needs no permit": (state(spending(CHECKED)), KNOWN_APP, "check", "attest"),
}


@pytest.mark.parametrize(
    ("given", "more", "primary", "other"), NEXT_ACTIONS.values(), ids=NEXT_ACTIONS
)
def test_a_panel_offers_one_action_and_one_beside_it(
    given: Drawn, more: dict[str, Any], primary: str, other: str
) -> None:
    """The first is what the person must do, whatever a check can do by itself; none is twice."""
    actions = view(given, **more)["actions"]

    assert (actions["primary"], actions["other"]) == (primary, other)
    assert not {primary, other, actions["again"]}.intersection(actions["menu"])
    named = {form["name"] for form in view(given, **more)["forms"]}
    assert {*actions["menu"], primary, other} <= {*named, "check", "consent", "link", "open", ""}


@pytest.mark.parametrize(
    "step",
    [step for name in connector_names() for step in find_procedure(name).steps if step.checks],
    ids=lambda step: step.id,
)
def test_a_check_is_in_sight_wherever_there_is_one(step: Step) -> None:
    """Texts ask to check again: the button is never in the menu, whatever else comes first."""
    for outcome in set(Outcome) - {Outcome.ATTESTED}:
        actions = view(state(step, outcome))["actions"]
        assert [actions[name] for name in ("primary", "other", "again")].count("check") == 1
        assert "check" not in actions["menu"]


@pytest.mark.parametrize("name", connector_names())
def test_a_step_to_do_is_read_in_eighty_words(name: str) -> None:
    """Title, text, links, texts to copy, buttons and sentence of a step have at most 80 words."""
    procedure = find_procedure(name)
    examples = {item.name: item.default or item.example for item in procedure.inputs}
    values = {**examples, "dashboard_url": "https://a", "cyclr_console_url": "https://b"}
    lists = [
        (step, item)
        for step in reversed(procedure.steps)
        for item in step.inputs
        if isinstance(item.default, tuple)
    ]
    known = {"values": values, "chosen_in": {item.name: step for step, item in lists}}

    counts = {step.id: len(_read(view(state(step), **known), step)) for step in procedure.steps}

    assert {step: count for step, count in counts.items() if not 20 < count <= 80} == {}


def _read(shown: dict[str, Any], step: Step) -> list[str]:
    """Return the words of an open step, without fields to fill in and what is folded."""
    word = shown["forms"][0]
    actions = shown["actions"]
    is_open = word["name"] == actions["primary"] or actions["other"] == word["name"] == "attest"
    options = word["options"] if is_open else ()
    texts = [
        step.title,
        step.instructions,
        shown["side_effect"],
        word["label"],
        *(link["label"] for link in shown["links"]),
        *(f"{paste['label']} {paste['value']} Copy" for paste in shown["pastes"]),
        *(f"{item['label']} Change it in: {item['title']}" for item in shown["chosen"]),
        *(option["label" if len(options) > 1 else "sentence"] for option in options),
        "Copied to the clipboard only." if shown["copied_secret"] else "",
        *actions.values(),
    ]
    return [word for text in texts if isinstance(text, str) for word in text.split() if word != ">"]


def test_the_rest_of_the_actions_is_in_the_menu() -> None:
    """The menu has each possible action that neither of the two buttons has."""

    def menu(given: Drawn, **more: Any) -> list[str]:
        shown: list[str] = view(given, **more)["actions"]["menu"]
        return shown

    notes = ["comment", "assign", "skip"]
    assert menu(PLAIN) == notes
    assert menu(PLAIN, has_confirm_page=True) == notes
    assert menu(TO_DO) == notes
    assert menu(state(app_step(), Outcome.VERIFIED)) == ["attest", *notes]
    assert menu(state(REVIEW, Outcome.WAITING)) == notes
    assert menu(state(consent_step())) == ["attest", *notes]
    assert menu(state(consent_step(), Outcome.VERIFIED)) == ["consent", "attest", *notes]
    saved = make_step("a", inputs=(inputs.APP_ID,))
    assert menu(state(saved)) == notes
    # Only a word that counts can be withdrawn.
    assert menu(state(make_step("a"), void_attestations=LAPSED)) == notes
    assert menu(state(make_step("a"), attestation=CONFIRMED)) == [*notes, "withdraw"]


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


def test_a_forgotten_credential_is_asked_for_where_it_was_entered() -> None:
    """A settled step's credential that an open step needs is named once it is not known."""
    settled = state(app_step(), Outcome.VERIFIED, findings=(FAILED,))
    needs = state(make_step("b", verified, needs=("app_secret",)))

    (shown,) = header(settled, needs)["forgotten"]
    kept = header(settled, needs, credentials={"app_secret": ".env"})["forgotten"]

    assert (shown["id"], shown["credential"]) == ("app", inputs.APP_SECRET.label)
    assert kept == header(settled)["forgotten"] == []


def test_the_sentence_shows_the_value_that_it_is_about() -> None:
    """A value in brackets is filled in once it is known."""
    step = app_step(own_sentence="https://(App ID)/callback is saved.")

    known = view(state(step), values={"app_id": "7"})["forms"][0]["options"][0]["sentence"]
    unknown = view(state(step))["forms"][0]["options"][0]["sentence"]

    assert known.startswith("https://7/callback is saved.")
    assert unknown.startswith("https://(App ID)/callback is saved.")


def test_a_list_is_chosen_in_one_step_and_shown_in_the_others() -> None:
    """Permissions are asked for once; other steps show them, and where they are chosen."""
    step = app_step()
    other = replace(app_step(), id="other")
    asked = {"permissions": step}
    values = {"permissions": ("ads_read", "leads_retrieval")}

    def names(shown: dict[str, Any]) -> list[str]:
        return [each["name"] for each in shown["inputs"]]

    first = view(state(step), values=values, chosen_in=asked)
    second = view(state(other), values=values, chosen_in=asked)
    assert "permissions" in names(first)
    assert first["chosen"] == []
    assert "permissions" not in names(second)
    chosen = {"label": "Permissions", "value": "ads_read, leads_retrieval"}
    assert second["chosen"] == [{**chosen, "id": "app", "title": "Do app"}]


def test_a_step_says_how_late_an_outside_party_is() -> None:
    """The view names a wait that is longer than usual, with what to do, and since when it lasts."""
    act = "Look at Requests, then ask support."
    step = replace(waiting_step(), usual_days=22, overdue=act)
    since = {"waiting_since": "2026-11-01T09:00:00Z"}
    usually = wording("walkthrough.usually-at-most", days=22)
    late = f"{wording('walkthrough.days-overdue', days='1 day')}{usually}"

    for days, overdue in ((0, ""), (1, late)):
        waits = state(step, Outcome.WAITING, overdue_days=days, **since)
        assert view(waits)["overdue"] == overdue
        assert view(waits)["overdue_act"] == (act if overdue else "")
        (line,) = header(waits)["steps"]
        assert line["who"].startswith(
            wording("walkthrough.waits-for-since", whom="Facebook", day="1 Nov")
        )
        assert line["who"].endswith(overdue)


@pytest.mark.parametrize(
    ("days", "late"), [(0, ""), (2, wording("walkthrough.days-overdue", days="2 days"))]
)
def test_a_step_says_whom_it_is_for(days: int, late: str) -> None:
    """The view names a step's assignee with the due day, and by how much that has passed."""
    _, said = assigned("wait", "A colleague", due="2026-12-01")
    step = replace(waiting_step(), usual_days=22)
    shown = view(state(step, Outcome.WAITING, assigned=said, due="2026-12-01", overdue_days=days))

    assert (shown["assigned"], shown["overdue"]) == (
        wording("walkthrough.assigned-by", name="A colleague", day="2026-12-01"),
        late,
    )


def test_a_requested_step_names_its_due_day() -> None:
    """A step with several answers leads to *done*; asked for, it shows until when, says who."""
    gate = replace(waiting_step(), checks=(), answers=(ASKED_FOR,))
    waits = state(gate, Outcome.WAITING, attestation=DUE, due=DUE.due)
    late = state(gate, Outcome.WAITING, attestation=DUE, due=DUE.due, overdue_days=2)

    assert view(waits)["actions"]["primary"] == "answer"
    assert view(late)["overdue"] == wording("walkthrough.days-overdue", days="2 days")
    (line,) = header(waits)["steps"]
    assert line["who"] == "due 2026-12-01 (A)"


def test_a_step_proven_in_part_does_not_look_finished() -> None:
    """A verified step that a person must look at says so in its mark, and to confirm it is next."""
    asks = make_step("a", verified, kind=StepKind.WAIT, attest_label="I compared it")
    given = state(asks, Outcome.VERIFIED, findings=(PROVEN,))
    in_part = half(asks, needs_person=True)

    shown = view(in_part)
    assert (shown["in_part"], shown["label"]) == (True, IN_PART)
    assert shown["forms"][0]["options"][1]["label"] == "I compared it"
    assert shown["actions"]["primary"] == "answer"
    assert header(in_part)["counts"][0]["label"] == header(in_part)["steps"][0]["label"] == IN_PART
    assert (view(given)["in_part"], view(given)["label"]) == (False, "verified")


def test_the_header_has_the_gates_in_one_table() -> None:
    """How each stands, since when, how long it takes, and what is still to do before it."""
    plan = make_plan(gates=(Gate(step="a", source="read"), Gate(step="b", source="read")))
    since = "2026-11-20T09:00:00Z"
    steps = (
        state(make_step("a", usual_days=5), Outcome.WAITING, waiting_since=since),
        state(make_step("b", after=("a", "c"))),
        state(make_step("c"), Outcome.ATTESTED),
    )

    first, second = header(*steps, plan=plan)["gates"]

    assert (first["since"], first["usual"], first["after"]) == ("20 Nov", "up to 5 days", "")
    assert (second["since"], second["usual"], second["after"]) == ("", "", "number a")
