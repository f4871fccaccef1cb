"""The parts of a procedure: links, pastes, inputs, and what a digest covers."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import (
    AnswerOption,
    Cause,
    Check,
    Input,
    KnownError,
    Link,
    Paste,
    Procedure,
    Screen,
    Section,
    Source,
    Step,
    StepKind,
)
from tests.support.wording import wording


def test_a_link_says_what_it_waits_for_instead_of_opening_another_page() -> None:
    """A link has no address until the App ID is known, and says so."""
    link = Link("Settings", "{dashboard_url}/apps/{app_id}/settings", "App ID")
    known = {"dashboard_url": "https://d"}

    waits = wording("notebook.link-needs-value", value="App ID")
    assert link.shown(known) == {"label": f"Settings {waits}", "url": ""}
    assert link.shown({**known, "app_id": "7"}) == {
        "label": "Settings",
        "url": "https://d/apps/7/settings",
    }


def test_paste_is_empty_while_a_value_is_unknown() -> None:
    """A text to paste is empty until all its values are known."""
    paste = Paste("Redirect URI", "https://{service_domain}/connector/callback")

    assert paste.value({}) == ""
    assert paste.value({"service_domain": "acme-h.cyclr.com"}) == (
        "https://acme-h.cyclr.com/connector/callback"
    )


def test_an_inputs_variable_follows_from_its_name_and_a_checks_id_does_not() -> None:
    """An input's variable is derived from its name; a check has the given id."""

    def app_is_there(context: object) -> None:
        """Do nothing."""

    def variable(name: str, provider: str) -> str:
        return Input(name=name, label="", help="", provider=provider).variable

    assert variable("archive", "") == "RUNBOOK_ARCHIVE"
    assert variable("app_id", "facebook") == "RUNBOOK_FACEBOOK_APP_ID"
    assert variable("cyclr_client_id", "cyclr") == "RUNBOOK_CYCLR_CLIENT_ID"
    assert variable("cyclrs_id", "cyclr") == "RUNBOOK_CYCLR_CYCLRS_ID"
    assert Check("app-is-there", app_is_there).id == "app-is-there"


def seen(context: object) -> None:
    """Do nothing."""


def seen_otherwise(context: object) -> None:
    """Do nothing."""


ASKED = Input(name="a", label="A", help="Help.", default="x", example="y")
STEP = Step(
    id="fb-01-a",
    title="Title",
    kind=StepKind.MANUAL,
    source=Source(1, 1),
    prose="Prose.",
    own_sentence="I did it.",
    subject=("a",),
    instructions="Today.",
    links=(Link("L", "https://l"),),
    pastes=(Paste("P", "p"),),
    inputs=(ASKED,),
    checks=(Check("seen", seen, ("a",)),),
    requires=("fb-00",),
)


KNOWN_ERROR = KnownError(
    id="broken",
    shown=("It broke",),
    meaning="It is broken.",
    causes=(Cause(text="It fell."),),
    advice="Glue it.",
    source="https://example.com",
)


def procedure(step: Step = STEP, **more: object) -> Procedure:
    section = Section(id="01", title="One", intro="Intro.", steps=(step,))
    fields = {"id": "p", "version": "1", "title": "T", "sections": (section,), "inputs": ()}
    return Procedure(**{**fields, **more})  # type: ignore[arg-type]


CHANGES: dict[str, dict[str, object]] = {
    "id": {"id": "fb-01-b"},
    "title": {"title": "Other"},
    "kind": {"kind": StepKind.CALL},
    "source": {"source": Source(1, 2)},
    "prose": {"prose": "Prose!"},
    "own sentence": {"own_sentence": "I did it all."},
    "subject": {"subject": ()},
    "instructions": {"instructions": ""},
    "group": {"group": "Create the app"},
    "question": {"question": "What does it say?"},
    "link": {"links": (Link("L", "https://m"),)},
    "paste": {"pastes": (Paste("P", "q"),)},
    "input": {"inputs": ()},
    "input's label": {"inputs": (replace(ASKED, label="B"),)},
    "input's help": {"inputs": (replace(ASKED, help="Other."),)},
    "input's default": {"inputs": (replace(ASKED, default="z"),)},
    "input's example": {"inputs": (replace(ASKED, example="z"),)},
    "input's secrecy": {"inputs": (replace(ASKED, secret=True),)},
    "input's choices": {"inputs": (replace(ASKED, choices=(("z", ("y",)),)),)},
    "input's need": {"inputs": (replace(ASKED, required=True),)},
    "check's id": {"checks": (Check("seen-otherwise", seen, ("a",)),)},
    "check's sentence": {"checks": (Check("seen", seen, ("a",), needs_confirmation="I saw it."),)},
    "check's needs": {"checks": (Check("seen", seen),)},
    "requires": {"requires": ()},
    "after": {"after": ("fb-01-b",)},
    "checkable after": {"checkable_after": ("fb-01-b",)},
    "hands over": {"copies_secret": ASKED},
    "consent": {"consent_gives": Input(name="token", label="T", help="H")},
    "review kit": {"review_kit": "p"},
    "developer tools": {"developer_tools": "published"},
    "known errors": {"known_errors": (KNOWN_ERROR,)},
    "least days": {"least_days": 2},
    "usual days": {"usual_days": 5},
    "overdue": {"overdue": "Ask them."},
    "comparison": {"compares": True},
    "label": {"attest_label": "I compared it"},
    "end of a word": {"valid_days": 90},
    "recheck": {"recheck_days": 7},
    "answers": {"answers": (AnswerOption(name="b", label="B", sentence="It is not asked for."),)},
    "screen": {"screen": Screen(page="Settings", source="https://example.com")},
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_changes_with_all_that_an_operator_reads(name: str) -> None:
    """The procedure's digest changes with any change of a step's content."""
    altered = replace(STEP, **CHANGES[name])  # type: ignore[arg-type]

    assert procedure(altered).digest != procedure().digest


def test_every_field_of_a_step_is_changed_above() -> None:
    """The test above covers every field of a step, but for the one that is a function."""
    changed = {name for change in CHANGES.values() for name in change}

    assert changed | {"rank_seen"} == {each.name for each in dataclasses.fields(Step)}


def test_a_renamed_function_changes_no_digest() -> None:
    """A function's name is not part of any digest; the id of its check is."""
    renamed = replace(
        STEP, checks=(Check("seen", seen_otherwise, ("a",)),), rank_seen=lambda *_: []
    )

    assert procedure(renamed).digest == procedure().digest
    assert (renamed.sentence, renamed.check_ids) == (STEP.sentence, STEP.check_ids)


@pytest.mark.parametrize("name", CHANGES)
def test_an_attestation_is_bound_to_sentence_and_checks_only(name: str) -> None:
    """Only the confirmed sentence and the checks change what a word is bound to."""
    altered = replace(STEP, **CHANGES[name])  # type: ignore[arg-type]

    is_bound = name in ("own sentence", "check's id", "check's sentence")
    bound = (altered.sentence, altered.check_ids)
    assert (bound != (STEP.sentence, STEP.check_ids)) is is_bound


@pytest.mark.parametrize("change", [{"id": "q"}, {"version": "2"}, {"title": "U"}])
def test_the_digest_changes_with_the_procedures_own_name(change: dict[str, str]) -> None:
    """Id, version and title are part of the digest."""
    assert procedure(**change).digest != procedure().digest


def test_the_digest_is_a_sha256_and_stays() -> None:
    """The same procedure has the same SHA-256 digest."""
    assert procedure().digest == procedure().digest
    assert len(procedure().digest) == 64
    assert procedure().steps == (STEP,)


def test_a_link_without_its_system_waits_for_the_sandbox() -> None:
    """A page of a system that has no address, a practice tenant's, is no link to the real one."""
    link = Link("Settings", "{dashboard_url}/apps/{app_id}/settings/")

    unlinked = wording("status.no-page-to-open")
    assert link.shown({"app_id": "7"}) == {"label": f"Settings {unlinked}", "url": ""}


def test_unverifiable_sentences_need_a_finding_with_limits() -> None:
    """A check asks for a person only where its own finding names a limit."""
    checks = (
        Check("a", seen, needs_confirmation="A is so."),
        Check("b", seen, needs_confirmation="B is so."),
        Check("c", seen),
    )
    step = replace(STEP, own_sentence="Done.", checks=checks)
    limited = tuple(
        Finding(outcome=Outcome.VERIFIED, code="a-code", reason="", check=name, limits=limits)
        for name, limits in (("a", ()), ("b", ("That B is so.",)), ("c", ("That C is so.",)))
    )

    assert step.unverifiable(limited) == ("B is so.",)
    assert step.sentence == "Done. A is so. B is so."
    assert replace(step, own_sentence="A is so.").sentence == "A is so. B is so."
