"""`inbox` and `confirm`: who does what, and a person's word from the terminal."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import utc_now
from runbook_lib.core.model import Attestation, AttestationKind, Finding, Mode, Outcome
from runbook_lib.engine.check_runner import CheckResult
from runbook_lib.engine.tenant_run import Run, open_known, open_run
from runbook_lib.errors import ExitCode
from tests.support.attestations import assigned, attested, commented, submitted
from tests.support.commands import runbook
from tests.support.wording import wording

STEP = "fb-12a-publish"
NO_SUCH_STEP = wording("step-unknown.no-such-step", step="fb-12a-publsh")
PUBLISH = next(step for step in PROCEDURE.steps if step.id == STEP)
HOSTILE = "a\x1b[2J\u202e\nb"


def begun(tenant: str = "acme", connector: str = PROCEDURE.id, **given: object) -> Run:
    """Return a run of this tenant that was started."""
    values = {"app_id": "1234567891011121", **given}
    run = open_run(find_procedure(connector), values, mode=Mode.INTERACTIVE, tenant=tenant)
    run.start()
    return run


def lines() -> int:
    return len(Path("evidence/acme/facebook_marketing/journal.jsonl").read_bytes().splitlines())


def attestations(step: str) -> list[Attestation]:
    """Return the attestations of a step in the journal of the tenant acme, oldest first."""
    lines = open_known(PROCEDURE, tenant="acme").journal.read_all()
    events = [line.event for line in lines if line.head.step == step]
    return [event for event in events if isinstance(event, Attestation)]


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command believe that a person is there: `CliRunner` replaces stdin."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _self: True)


def confirm(*more: str, typed: str = "") -> Result:
    return runbook("confirm", STEP, "--tenant", "acme", "--by", "Ann", *more, typed=typed)


def test_the_inbox_has_the_days_on_which_items_are_due() -> None:
    """`inbox --json` has the days of all tenants, or of one; an unknown tenant is a mistake."""
    for tenant in ("acme", "umbrella"):
        begun(tenant).say([assigned(STEP, "Ben", due="2026-12-01")])
    both = json.loads(runbook("inbox", "--json").stdout)
    mine = runbook("inbox", "--tenant", "acme")
    wrong = runbook("inbox", "--tenant", "acm")

    assert [
        [item["due"] for item in each["open"] if item["waits_for"] == "Ben"] for each in both
    ] == [["2026-12-01"], ["2026-12-01"]]
    assert "umbrella" not in mine.stdout
    assert (
        wrong.exit_code,
        wording("setting-invalid.did-you-mean", name="acme") in wrong.stderr,
    ) == (ExitCode.USAGE, True)


def test_a_contradicted_step_is_not_confirmed() -> None:
    """The command names the reason and what to do, and writes nothing."""
    reason = "The connector is not installed in this account."
    install = PROCEDURE.step("test-01-install")
    finding = Finding(
        outcome=Outcome.NOT_RUN,
        code="connector-not-installed",
        reason=reason,
        check="connector-is-installed",
    )
    run = begun(account_api_id="acct-1")
    run.record_results(install, [CheckResult(finding)], run.known_subject)
    before = lines()

    for step in ("17", "18"):
        refused = runbook("confirm", step, "--tenant", "acme", "--by", "Ann", "--yes")
        assert refused.exit_code == ExitCode.USAGE
        assert reason in refused.stderr
        assert "skip the step with a reason" in refused.stderr
    assert lines() == before


def test_a_confirmation_is_recorded_as_the_walkthrough_does() -> None:
    """`--yes` records the attestation, with name, note and what it is bound to, and says so."""
    begun()
    result = confirm("--note", "Seen.", "--yes")

    assert result.exit_code == 0
    assert wording("confirm.recorded", step=STEP, number="12a", name="Ann") in result.stdout
    (attestation,) = attestations(STEP)
    assert (attestation.kind, attestation.by, attestation.note) == (
        AttestationKind.ATTESTED,
        "Ann",
        "Seen.",
    )
    assert attestation.origin == "runbook confirm"
    assert (attestation.sentence, attestation.app_id) == (
        PUBLISH.sentence,
        attestation.binding.subject["app_id"],
    )
    assert attestation.binding.subject["app_id"] == "1234567891011121"


def test_the_sentence_is_shown_before_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person reads tenant, step, sentence and subject; only yes records anything."""
    begun()
    at_a_terminal(monkeypatch)
    before = lines()
    for typed in ("n\n", "\n", ""):
        refused = confirm(typed=typed)
        assert refused.exit_code == ExitCode.INCOMPLETE
        assert wording("confirm.not-confirmed") in refused.stderr
    assert lines() == before

    agreed = confirm(typed="y\n")

    assert agreed.exit_code == 0
    assert f"acme · {PROCEDURE.title}" in agreed.stderr
    assert wording("confirm.sentence", sentence=PUBLISH.own_sentence, name="Ann") in agreed.stderr
    assert wording("confirm.subject", value="1234567891011121", label="App ID") in agreed.stderr
    assert "○ to do" in agreed.stderr
    assert lines() == before + 1


RENEWAL = "fb-11b-data-access-renewal"
NOT_ASKED, ASKED = PROCEDURE.step(RENEWAL).answers


def test_another_answer_is_confirmed_with_its_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--answer` confirms another sentence, which is shown with its days; it may change later."""
    begun()
    at_a_terminal(monkeypatch)
    answer = ("confirm", RENEWAL, "--tenant", "acme", "--by", "Ann")
    today = utc_now().date()
    due = f"{today + timedelta(days=60)}"
    last = f"{today + timedelta(days=90)}"
    automatic = runbook(*answer, "--answer", "not-asked", typed="y\n")
    asked = runbook(*answer, "--answer", "asked", "--due", due, typed="y\n")
    done = runbook(*answer, "--until", last, "--yes")

    shown = " ".join(automatic.stderr.split())
    assert wording("confirm.sentence", sentence=NOT_ASKED.sentence, name="Ann") in shown
    assert f"Counts until {last}" in shown
    attested_by_ann = wording("confirm.outcome-answered", answer=NOT_ASKED.label, name="Ann")
    assert attested_by_ann in automatic.stdout
    assert f"Due {due}" in asked.stderr
    assert wording("confirm.outcome-asked", answer=ASKED.label, name="Ann") in asked.stdout
    assert wording("confirm.counts-until", last=last) in " ".join(done.stdout.split())
    assert [(said.sentence, said.due, said.until) for said in attestations(RENEWAL)] == [
        (NOT_ASKED.sentence, "", last),
        (ASKED.sentence, due, ""),
        (PROCEDURE.step(RENEWAL).sentence, "", last),
    ]


def test_a_day_that_has_passed_is_asked_about_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A due day in the past is recorded by who says yes, or `--yes`; nobody there is a refusal."""
    begun()
    yesterday = f"{utc_now().date() - timedelta(days=1)}"
    asked = ("--tenant", "acme", "--by", "Ann", "--answer", "asked", "--due", yesterday)
    before = lines()
    warning = wording("confirm.due-has-passed", yesterday=yesterday)
    automatic = runbook("confirm", RENEWAL, *asked)
    assert (automatic.exit_code, lines()) == (ExitCode.USAGE, before)
    assert wording("confirm.needs-yes") in automatic.stderr

    at_a_terminal(monkeypatch)
    refused = runbook("confirm", RENEWAL, *asked, typed="n\n")
    assert (refused.exit_code, lines()) == (ExitCode.INCOMPLETE, before)
    agreed = runbook("confirm", RENEWAL, *asked, typed="y\n")
    sure = runbook("confirm", RENEWAL, *asked, "--yes")
    assert (agreed.exit_code, sure.exit_code, lines()) == (0, 0, before + 2)
    for result in (automatic, refused, agreed, sure):
        assert warning in result.stderr


def test_a_second_person_confirms_what_the_first_did() -> None:
    """If two people must attest, the second attestation has the first one's answer and end."""
    begun(four_eyes=("all",))
    first = ("--tenant", "acme", "--by", "Ann", "--answer", "not-asked", "--until", "2999-01-01")
    late = runbook("confirm", RENEWAL, *first, "--yes")
    half = runbook("confirm", RENEWAL, *first[:-2], "--yes")
    both = runbook("confirm", RENEWAL, "--tenant", "acme", "--by", "Bob", "--yes")

    assert (late.exit_code, half.exit_code, both.exit_code) == (2, 0, 0)
    assert wording("confirm.more-than-days-after", days=90) in " ".join(late.stderr.split())
    one, two = attestations(RENEWAL)
    assert (two.sentence, two.until) == (one.sentence, one.until)
    assert wording("confirm.outcome-answered", answer=NOT_ASKED.label, name="Bob") in both.stdout


def test_a_program_is_not_told_how_to_confirm() -> None:
    """Without a terminal nothing is confirmed, and the advice names the person who looked."""
    begun()
    before = lines()
    result = confirm(typed="y\n")

    assert result.exit_code == ExitCode.USAGE
    assert wording("confirm.needs-yes") in result.stderr
    assert "--yes" not in result.output
    assert lines() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("fb-12a-publsh", "--by", "Ann"),
            f"{NO_SUCH_STEP}. {wording('setting-invalid.did-you-mean', name=STEP)}",
        ),
        (("99", "--by", "Ann"), wording("step-unknown.no-such-step", step="99. ")),
        ((STEP,), "--by"),
        ((STEP, "--by", "  "), wording("confirm.name-missing")),
        ((STEP, "--by", "A\u200bnn"), wording("confirm.name-invisible", character="U+200B")),
        ((STEP, "--by", "A" * 201), wording("confirm.name-too-long", length=201)),
        ((STEP, "--by", "Ann", "--note", "\u202e"), wording("confirm.note-invisible")),
        (
            (STEP, "--by", "Ann", "--tenant", "acm"),
            "a tenant called acm. " + wording("setting-invalid.did-you-mean", name="acme"),
        ),
        ((STEP, "--by", "Ann", "--tenant", "../x"), wording("setting-invalid.not-a-tenant-name")),
        (
            (RENEWAL, "--by", "Ann", "--answer", "no"),
            wording("confirm.known-answers", answers="not-asked, asked"),
        ),
        (
            (RENEWAL, "--by", "Ann", "--answer", "asked"),
            wording("confirmation-invalid.missing", name="due"),
        ),
        (
            (RENEWAL, "--by", "Ann", "--due", "2027-01-01"),
            wording("confirmation-invalid.does-not-apply", name="due"),
        ),
        (
            (RENEWAL, "--by", "Ann", "--until", "soon"),
            wording("setting-invalid.takes-a-day", example="2026-12-01"),
        ),
        (
            ("2", "--by", "Ann", "--until", "2027-01-01"),
            wording("confirmation-invalid.does-not-apply", name="until"),
        ),
        (
            ("fb-01-log-in", "--by", "Ann"),
            wording("confirm.is-attested", step="fb-01-log-in", name="Operator", number=1),
        ),
    ],
)
def test_a_confirmation_that_makes_no_sense_is_refused(words: tuple[str, ...], said: str) -> None:
    """A mistake is named, the nearest step or tenant is offered, and nothing is written."""
    begun().say([attested("fb-01-log-in")])
    before = lines()
    result = runbook("confirm", "--yes", "--tenant", "acme", *words)

    assert result.exit_code == ExitCode.USAGE
    assert said in " ".join(result.stderr.split()) + " "
    assert lines() == before
    assert [path.name for path in Path("evidence").iterdir()] == ["acme"]


def test_four_eyes_need_two_people() -> None:
    """The first word waits for a second person; the same one again is refused, another counts."""
    begun(four_eyes=STEP)
    first = confirm("--yes")
    before = lines()
    again = runbook("confirm", "12a", "--tenant", "acme", "--by", " aNN ", "--yes")
    second = runbook("confirm", "12a", "--tenant", "acme", "--by", "Ben", "--yes")

    assert wording("confirm.another-person-must") in first.stdout
    assert again.exit_code == ExitCode.USAGE
    assert (
        wording("setting-invalid.already-confirmed", step=STEP, name="Ann", number="12a")
        in again.stderr
    )
    assert wording("confirm.second-person-must") in again.stderr
    assert wording("confirm.outcome-attested", name="Ben") in second.stdout
    assert "confirming Ann" in second.stdout
    assert lines() == before + 1


def test_a_second_person_can_say_no() -> None:
    """It withdraws the first word with the reason; both are in the record, and neither counts."""
    begun(four_eyes=STEP)
    alone = confirm("--yes", "--no", "--note", "Why.")
    confirm("--yes")
    silent = runbook("confirm", STEP, "--tenant", "acme", "--by", "Ben", "--no", "--yes")
    mine = confirm("--yes", "--no", "--note", "Mine.")
    no = ("--by", "Ben", "--no", "--note", "It is not live.")
    said = runbook("confirm", STEP, "--tenant", "acme", *no, "--yes", "--json")

    assert [each.exit_code for each in (alone, silent, mine, said)] == [2, 2, 2, 0]
    assert wording("confirm.waits-for-no-second-person") in " ".join(alone.stderr.split())
    assert wording("setting-invalid.give-a-reason") in silent.stderr
    record = json.loads(said.stdout)["step"]
    assert record["outcome"] == "not_run"
    both = [
        (lapse["attestation"]["kind"], lapse["attestation"]["by"])
        for lapse in record["void_attestations"]
    ]
    assert both == [("attested", "Ann"), ("withdrawn", "Ben")]
    assert wording("confirm.withdrawn", name="Ben") in record["reason"]
    assert "(It is not live)" in record["reason"]


def test_a_second_persons_sentence_is_recorded() -> None:
    """It is their own, beside the first one's, to which both words are bound."""
    begun(four_eyes="fb-01-log-in")
    for name in ("Ann", "Ben"):
        runbook("confirm", "1", "--tenant", "acme", "--by", name, "--yes")

    first, second = attestations("fb-01-log-in")
    own = second.second_person_sentence
    assert (first.second_person_sentence, own.split()[0]) == ("", "Ann")
    assert own != first.sentence
    assert first.sentence == second.sentence == PROCEDURE.step("fb-01-log-in").sentence
    assert first.binding == second.binding


def test_a_step_that_waits_for_facebook_can_be_confirmed_as_approved() -> None:
    """A submitted step waits; that Facebook approved it is a confirmation like another."""
    begun().say([submitted("fb-12-submit-review")])
    result = runbook("confirm", "fb-12-submit-review", "--tenant", "acme", "--by", "Ann", "--yes")

    assert wording("confirm.outcome-attested", name="Ann") in result.stdout


def test_a_confirmation_as_json() -> None:
    """`--json` gives the step's state after the word, in the record's words."""
    begun()
    document = json.loads(confirm("--yes", "--json").stdout)

    assert [*document] == ["tenant", "connector", "step"]
    assert (document["tenant"], document["step"]["id"]) == ("acme", STEP)
    assert document["step"]["outcome"] == Outcome.ATTESTED
    assert document["step"]["attestation"]["by"] == "Ann"


def test_a_practice_tenant_can_be_confirmed_without_its_sandbox(folder: Path) -> None:
    """Settings of a real tenant, in `.env`, are not what a practice tenant's word is bound to."""
    begun(graph_url="http://127.0.0.1:9")
    (folder / ".env").write_text("RUNBOOK_FACEBOOK_APP_ID=999999999999999\n", encoding="utf-8")

    assert confirm("--yes").exit_code == 0
    state = open_known(PROCEDURE, tenant="acme").whole_state.step(STEP)
    assert state.outcome is Outcome.ATTESTED
    assert state.attestation is not None
    assert state.attestation.binding.subject["app_id"] == "1234567891011121"


def test_the_inbox_is_what_waits_in_every_tenant() -> None:
    """A row for each cause, with whose it is and who must act; `--for` shows one person's."""
    begun().say([assigned(STEP, "Ann", due="2026-01-31")])
    begun("umbrella", "facebook_messenger")
    begun("practice", graph_url="http://127.0.0.1:9").say(
        [submitted("fb-12-submit-review", at="2026-01-01T00:00:00Z")]
    )
    result = runbook("inbox")
    shown = [line for line in result.stdout.splitlines() if line[:1] not in ("", " ")]

    practice = "SANDBOX practice (facebook_marketing)"
    review = PROCEDURE.step("fb-12-submit-review").title
    assert result.exit_code == 0
    assert shown == [
        wording("inbox.tenants-need-you", tenants=2, tenant=f"acme: {PUBLISH.title}."),
        "DUE NOW",
        f"○ acme (facebook_marketing): {PUBLISH.title}",
        "○ acme (facebook_marketing): Log in to Facebook",
        "○ umbrella (facebook_messenger): Log in to Facebook",
        f"○ {practice}: {wording('inbox.overdue', title=review)}",
        f"○ {practice}: Log in to Facebook",
    ]
    said = " ".join(result.stdout.split())
    assert wording("inbox.person-and-due", name="Ann", day="31 Jan") in said
    assert wording("inbox.days-overdue") in said
    assert wording("inbox.you-since", day="1 Jan") in said
    assert wording("inbox.usually", days=22) in said
    mine = json.loads(runbook("inbox", "--for", " ann ", "--json").stdout)
    assert [
        (each["tenant"], [(item["places"][0]["id"], item["due"]) for item in each["open"]])
        for each in mine
    ] == [("acme", [(STEP, "2026-01-31")])]


def test_a_second_persons_attestation_is_in_the_inbox() -> None:
    """A half-said step names who said it first."""
    begun(four_eyes=STEP).say([attested(STEP)])

    said = " ".join(runbook("inbox").stdout.split())
    assert wording("inbox.second-person-after", name="Operator") in said
    assert wording("inbox.second-person-since", day="24 Nov") in said


def test_an_empty_inbox_says_so() -> None:
    """Without tenants, and for a person who has nothing, there is a sentence and an empty list."""
    assert runbook("inbox").stdout.startswith(wording("inbox.no-tenant"))
    begun()
    assert runbook("inbox", "--for", f"Ann{HOSTILE}").stdout.startswith(
        wording("inbox.nothing-for", name="Ann")
    )
    assert "\x1b" not in runbook("inbox", "--for", HOSTILE).stdout
    assert json.loads(runbook("inbox", "--for", "Ann", "--json").stdout) == []


def test_a_name_in_the_inbox_cannot_move_the_cursor() -> None:
    """A typed text is shown as one line of printable characters."""
    begun().say([assigned(STEP, HOSTILE)])

    for words in (("inbox",), ("inbox", "--json"), ("status", "--tenant", "acme")):
        text = runbook(*words).stdout
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_comments_are_shown_in_full() -> None:
    """`status --verbose` has each comment, with name and time, below the reason of its step."""
    begun().say([commented("fb-01-log-in", note="Ask again.")])

    full = runbook("status", "--tenant", "acme", "--verbose").stdout
    (line,) = [line for line in full.splitlines() if line.endswith("Ask again.")]
    assert line.split() == ["Operator,", "24", "Nov,", "09:30:", "Ask", "again."]


def test_status_shows_whose_step_it_is() -> None:
    """The assigned person and the due day stand before the step's reason."""
    begun().say([assigned("fb-01-log-in", "Ann", due="2026-12-01")])

    shown = runbook("status", "--tenant", "acme").stdout
    assert wording("inbox.person-and-due", name="Ann", day="1 Dec") in shown
