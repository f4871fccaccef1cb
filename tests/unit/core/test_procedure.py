"""The conclusion of a step, from its findings and from people's statements."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from msgspec import structs

from runbook_lib.core.model import Finding, Outcome, Word
from runbook_lib.core.procedure import (
    Cause,
    Check,
    Conclusion,
    Confirmation,
    Input,
    Link,
    Paste,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
    Trouble,
    combine,
    conclude,
)
from tests.support.words import AT, attested, declined, skipped, submitted

WORD = attested("fb-01-a")
SUBMITTED = submitted("fb-01-a")
DECLINED = declined("fb-01-a")
SKIP = skipped("fb-01-a", note="no lead forms here")
CHECKED = (
    Outcome.FAILED,
    Outcome.NOT_RUN,
    Outcome.WAITING,
    Outcome.INCONCLUSIVE,
    Outcome.VERIFIED,
)


def finding(outcome: Outcome, reason: str = "") -> Finding:
    return Finding(outcome=outcome, reason=reason or f"seen as {outcome}.")


def test_nothing_checked_is_no_conclusion() -> None:
    """Without findings, `combine` returns nothing."""

    assert combine(()) is None


def test_every_step_outcome_has_its_documented_name() -> None:
    """The outcomes have their documented names, which are a contract."""

    assert [outcome.value for outcome in Outcome] == [
        "verified",
        "attested",
        "waiting",
        "inconclusive",
        "failed",
        "skipped",
        "not_run",
    ]


@pytest.mark.parametrize("worse", range(len(CHECKED)))
@pytest.mark.parametrize("better", range(len(CHECKED)))
def test_the_worst_finding_decides(worse: int, better: int) -> None:
    """A step is never better than its worst finding, whatever their order."""

    bad, good = CHECKED[min(worse, better)], CHECKED[max(worse, better)]

    for pair in ((finding(bad), finding(good)), (finding(good), finding(bad))):
        combined = combine(pair)
        assert combined is not None
        assert combined.outcome is bad
        assert finding(bad).reason in combined.reason
        assert bad is good or finding(good).reason not in combined.reason


def test_equal_findings_give_all_their_reasons() -> None:
    """Findings with the same outcome all give their reasons."""

    pair = (finding(Outcome.VERIFIED, "One."), finding(Outcome.VERIFIED, "Two."))

    assert combine(pair) == Conclusion(outcome=Outcome.VERIFIED, reason="One. Two.")


@pytest.mark.parametrize("word", [None, WORD, SUBMITTED, DECLINED, SKIP])
@pytest.mark.parametrize("obstacle", ["", "Blocked: complete fb-13 first."])
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.VERIFIED])
def test_failed_and_verified_override_people(
    outcome: Outcome, word: Word | None, obstacle: str
) -> None:
    """`failed` and `verified` take precedence over every statement of a person."""

    said = conclude((finding(outcome),), word=word, obstacle=obstacle)

    assert said == Conclusion(outcome=outcome, reason=finding(outcome).reason)
    assert not said.by_person


@pytest.mark.parametrize(
    ("word", "others", "needs_person", "needs_another"),
    [
        (None, None, True, False),
        (SUBMITTED, None, True, False),
        (SKIP, None, True, False),
        (DECLINED, None, True, False),
        (WORD, None, False, False),
        (WORD, (), True, True),
        (WORD, ("Second",), False, False),
        (None, (), True, False),
    ],
)
def test_a_verified_step_with_an_unseen_part_needs_a_person(
    word: Word | None,
    others: tuple[str, ...] | None,
    needs_person: bool,
    needs_another: bool,
) -> None:
    """The outcome stays `verified`; only an attestation, by as many as must, completes it."""

    seen = conclude((finding(Outcome.VERIFIED),), word=word, others=others, unseen=("It is so.",))

    assert seen == Conclusion(
        outcome=Outcome.VERIFIED,
        reason=finding(Outcome.VERIFIED).reason,
        needs_person=needs_person,
        needs_another=needs_another,
    )


@pytest.mark.parametrize("outcome", [each for each in CHECKED if each is not Outcome.VERIFIED])
def test_only_a_verified_step_has_an_unseen_part(outcome: Outcome) -> None:
    """Whatever else a check found says already what is left to do."""

    assert not conclude((finding(outcome),), unseen=("It is so.",)).needs_person


def test_what_is_unseen_belongs_to_a_finding_with_limits() -> None:
    """A check asks for a person only where its own finding names a limit."""

    checks = (
        Check("a", seen, person_confirms="A is so."),
        Check("b", seen, person_confirms="B is so."),
        Check("c", seen),
    )
    step = replace(STEP, confirms="Done.", checks=checks)
    limited = tuple(
        Finding(outcome=Outcome.VERIFIED, reason="", check=name, limits=limits)
        for name, limits in (("a", ()), ("b", ("That B is so.",)), ("c", ("That C is so.",)))
    )

    assert step.unseen(limited) == ("B is so.",)
    assert step.sentence == "Done. A is so. B is so."
    assert replace(step, confirms="A is so.").sentence == "A is so. B is so."


@pytest.mark.parametrize("word", [WORD, SUBMITTED])
def test_an_attestation_that_a_check_contradicts_fails(word: Word) -> None:
    """An attestation that a check contradicts is `failed`, with author and time in the reason."""

    said = conclude((finding(Outcome.NOT_RUN, "It is not installed."),), word=word)

    assert said.outcome is Outcome.FAILED
    assert "Operator" in said.reason
    assert AT in said.reason
    assert "It is not installed." in said.reason
    assert not said.by_person


def test_not_run_without_an_attestation_is_no_failure() -> None:
    """Without an attestation, a step that is not done is `not_run`."""

    said = conclude((finding(Outcome.NOT_RUN, "It is not installed."),))

    assert said == Conclusion(outcome=Outcome.NOT_RUN, reason="It is not installed.")


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.WAITING, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("obstacle", ["", "Blocked: complete fb-13 first."])
def test_a_person_may_skip_what_no_check_decides(outcome: Outcome, obstacle: str) -> None:
    """A skip by a person has its reason, and takes precedence over an obstacle."""

    said = conclude((finding(outcome),), word=SKIP, obstacle=obstacle)

    assert said.outcome is Outcome.SKIPPED
    assert said.by_person
    assert said.reason == "Operator: no lead forms here"


def test_a_skip_needs_no_check() -> None:
    """A step without a check can be skipped."""

    assert conclude((), word=SKIP).by_person


def test_a_declined_step_fails_with_a_next_step() -> None:
    """A decline fails the step if no check decides, and the reason says what to do."""

    for findings in ((), (finding(Outcome.INCONCLUSIVE, "Hidden."),)):
        said = conclude(findings, word=structs.replace(DECLINED, note="No screencast."))

        assert said.outcome is Outcome.FAILED
        begin = f"Declined, says Operator on {AT}: No screencast. Correct"
        assert said.reason.startswith(begin)
        assert "submit it again" in said.reason


@pytest.mark.parametrize("word", [None, WORD, SUBMITTED])
def test_an_obstacle_skips_the_step_without_a_person(word: Word | None) -> None:
    """A step that an earlier failure blocks is skipped, but not by a person."""

    said = conclude((), word=word, obstacle="Blocked: complete fb-13 first.")

    assert said == Conclusion(outcome=Outcome.SKIPPED, reason="Blocked: complete fb-13 first.")


@pytest.mark.parametrize("word", [None, WORD, SUBMITTED])
def test_a_waiting_step_stays_waiting(word: Word | None) -> None:
    """No statement of a person ends a wait that a check sees."""

    said = conclude((finding(Outcome.WAITING),), word=word)

    assert said == Conclusion(outcome=Outcome.WAITING, reason=finding(Outcome.WAITING).reason)


def test_inconclusive_stays_without_an_attestation() -> None:
    """Without an attestation, an inconclusive check leaves the step inconclusive."""

    said = conclude((finding(Outcome.INCONCLUSIVE, "Hidden."),))

    assert said == Conclusion(outcome=Outcome.INCONCLUSIVE, reason="Hidden.")


@pytest.mark.parametrize(
    ("word", "outcome"), [(WORD, Outcome.ATTESTED), (SUBMITTED, Outcome.WAITING)]
)
@pytest.mark.parametrize("findings", [(), (finding(Outcome.INCONCLUSIVE, "Hidden."),)])
def test_a_persons_statement_counts_if_no_check_decides(
    findings: tuple[Finding, ...], word: Word, outcome: Outcome
) -> None:
    """If no check decides, an attestation settles the step, and a submission makes it wait."""

    said = conclude(findings, word=structs.replace(word, note="As agreed."))

    assert said.outcome is outcome
    assert said.by_person
    assert "Operator" in said.reason
    assert AT in said.reason
    assert "As agreed." in said.reason
    assert ("Hidden." in said.reason) is bool(findings)


def test_an_attestation_never_reads_as_verified() -> None:
    """An attestation has the outcome `attested`, with the person's name."""

    said = conclude((), word=WORD)

    assert said.outcome is Outcome.ATTESTED
    assert said.reason == f"Operator on {AT}"


def test_an_unchecked_step_says_why_no_check_ran() -> None:
    """If inputs are missing, the reason names them, also beside an attestation."""

    why = "Not checked: App ID not given."

    assert conclude((), unchecked=why) == Conclusion(outcome=Outcome.NOT_RUN, reason=why)
    assert why in conclude((), word=WORD, unchecked=why).reason


def test_a_step_without_anything_is_not_run() -> None:
    """Without findings and statements, a step is `not_run` with a reason."""

    said = conclude(())

    assert said.outcome is Outcome.NOT_RUN
    assert said.reason


def test_a_link_says_what_it_waits_for_instead_of_opening_another_page() -> None:
    """A link has no address until the App ID is known, and says so."""

    link = Link("Settings", "{dashboard_url}/apps/{app_id}/settings", "App ID")
    known = {"dashboard_url": "https://d"}

    assert link.shown(known) == {"label": "Settings (needs the App ID)", "url": ""}
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


def test_findings_are_frozen() -> None:
    """A finding cannot be changed."""

    with pytest.raises(AttributeError):
        finding(Outcome.FAILED).outcome = Outcome.VERIFIED  # type: ignore[misc]


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
    confirms="I did it.",
    subject=("a",),
    today="Today.",
    links=(Link("L", "https://l"),),
    pastes=(Paste("P", "p"),),
    inputs=(ASKED,),
    checks=(Check("seen", seen, ("a",)),),
    requires=("fb-00",),
)


TROUBLE = Trouble(
    shown=("It broke",),
    means="It is broken.",
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
    "confirms": {"confirms": "I did it all."},
    "subject": {"subject": ()},
    "today": {"today": ""},
    "sitting": {"sitting": "Create the app"},
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
    "check's sentence": {"checks": (Check("seen", seen, ("a",), person_confirms="I saw it."),)},
    "check's needs": {"checks": (Check("seen", seen),)},
    "requires": {"requires": ()},
    "after": {"after": ("fb-01-b",)},
    "hands over": {"hands_over": ASKED},
    "consent": {"consent_gives": Input(name="token", label="T", help="H")},
    "review kit": {"review_kit": "p"},
    "developer tools": {"developer_tools": "published"},
    "troubles": {"troubles": (TROUBLE,)},
    "least days": {"least_days": 2},
    "usual days": {"usual_days": 5},
    "label": {"attest_label": "I compared it"},
    "end of a word": {"counts_days": 90},
    "answers": {"answers": (Confirmation(name="b", label="B", sentence="It is not asked for."),)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_changes_with_all_that_an_operator_reads(name: str) -> None:
    """The procedure's digest changes with any change of a step's content."""

    altered = replace(STEP, **CHANGES[name])  # type: ignore[arg-type]

    assert procedure(altered).digest != procedure().digest


def test_every_field_of_a_step_is_changed_above() -> None:
    """The test above covers every field of a step, but for the one that is a function."""

    changed = {name for change in CHANGES.values() for name in change}

    assert changed | {"order_troubles"} == {each.name for each in dataclasses.fields(Step)}


def test_a_renamed_function_changes_no_digest() -> None:
    """A function's name is not part of any digest; the id of its check is."""

    renamed = replace(
        STEP, checks=(Check("seen", seen_otherwise, ("a",)),), order_troubles=lambda *_: []
    )

    assert procedure(renamed).digest == procedure().digest
    assert (renamed.sentence, renamed.check_ids) == (STEP.sentence, STEP.check_ids)
    assert renamed.text_digest == STEP.text_digest


@pytest.mark.parametrize("name", CHANGES)
def test_a_word_is_bound_to_sentence_and_checks_only(name: str) -> None:
    """
    Only the confirmed sentence and the checks change what a word is bound to; the rest changes
    the text's digest, but for the error texts and others that alter nothing that was confirmed.
    """

    altered = replace(STEP, **CHANGES[name])  # type: ignore[arg-type]

    is_bound = name in ("confirms", "check's id", "check's sentence")
    bound = (altered.sentence, altered.check_ids)
    assert (bound != (STEP.sentence, STEP.check_ids)) is is_bound
    assert (altered.text_digest != STEP.text_digest) is (
        name
        not in (
            *("troubles", "least days", "usual days", "label", "end of a word"),
            *("sitting", "question", "after"),
        )
    )


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

    assert link.shown({"app_id": "7"}) == {"label": "Settings (while the sandbox runs)", "url": ""}
