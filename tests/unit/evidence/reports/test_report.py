"""A report of a run shows the record's content to people."""

from __future__ import annotations

import json

import jsonschema
import pytest

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import ICONS, IN_PART, IN_PART_MEANING, LABELS, MEANINGS
from runbook_lib.engine.tenant_run import Run
from runbook_lib.evidence.record import record_bytes, record_schema
from runbook_lib.evidence.reports.report import run_report
from tests.support.wording import wording
from tests.unit.evidence.reports.report_page import ReportPage, report_of
from tests.unit.evidence.reports.sample_runs import (
    CHECKED,
    EVERY_OUTCOME,
    SAID,
    Document,
    attachment,
    attestation_json,
    attested,
    check,
    exchange,
    record,
    skip,
    skipped,
    step,
)

REVIEW = "fb-12-submit-review"
WRONG = "Another Client ID."
PATH = "The exact path."


def statement(number: int, step_id: str) -> str:
    """Return how the report quotes the operator's attestation of a step."""
    return f"{number} Do {step_id}: “I did {step_id}.” Operator, 20 Nov, 09:00"


def test_the_sample_records_are_valid() -> None:
    """The records of these tests are valid by the schema, which an outsider reads."""
    given = record(
        *EVERY_OUTCOME,
        step("fb-01-said", "attested", attachments=[attachment()]),
        outcome="failed",
    )

    jsonschema.validate(json.loads(record_bytes(given)), record_schema())


def test_a_time_in_a_reason_is_readable() -> None:
    """An ISO time in a reason is shown as date and time in minutes, UTC."""
    waits = step(REVIEW, "waiting", reason="Not live yet; submitted on 2026-01-05T09:40:00Z.")
    page = report_of(waits, outcome="incomplete")

    assert "on 5 Jan, 09:40" in page.text
    assert "2026-01-05T09:40:00Z" not in page.text


def test_a_sealed_report_leaves_out_its_own_year() -> None:
    """The head names the year and UTC once; below, only times of another year have theirs."""
    page = report_of(
        step(checked_on="2025-12-30T23:59:00Z"),
        step("fb-02-said", "attested", attestation=attestation_json("fb-02-said")),
        started_on="2025-12-30T12:00:00Z",
        finished_on="2025-12-31T12:00:00Z",
    )

    assert wording("report.run-span", start="30 Dec 2025, 12:00", span="1 day") in page.text
    assert ", 30 Dec, 23:59" in page.text
    assert page.text.count("UTC") == 1
    assert "20 Nov 2026, 09:00" in page.text


@pytest.mark.parametrize(
    ("outcome", "steps", "words"),
    [
        (
            "complete",
            (step(), step("fb-02-said", "attested")),
            wording("report.verdict-complete"),
        ),
        (
            "complete",
            (step("fb-02-out", "skipped", attestation=skip("x")),),
            wording("report.verdict-one-step-skipped"),
        ),
        (
            "failed",
            (step(), step("fb-02-wrong", "failed")),
            wording("report.verdict-failed"),
        ),
        (
            "incomplete",
            (step(), step("fb-02-slow", "waiting"), step("fb-03-later", "not_run")),
            wording("report.verdict-open"),
        ),
    ],
)
def test_the_outcome_is_at_the_top(outcome: str, steps: tuple[Document, ...], words: str) -> None:
    """Title, first heading and first sentence say the outcome and what it means."""
    page = report_of(*steps, outcome=outcome)

    assert page.title == f"{outcome.upper()} · acme · run 0a1b2c3d"
    assert page.one("h1").text == f"acme {outcome.upper()}"
    assert words in page.one("div", class_="verdict").text
    assert page.one("div", class_="verdict").attributes["data-outcome"] == outcome


@pytest.mark.parametrize(("number", "outcome"), list(enumerate(Outcome)))
def test_every_outcome_has_its_icon_and_label(number: int, outcome: Outcome) -> None:
    """Evidence, table and counts have each outcome's icon and label; the legend has its meaning."""
    page = report_of(*EVERY_OUTCOME)
    badge = f"{ICONS[outcome]} {LABELS[outcome]}"

    part = page.step(f"fb-{number:02}-step")
    assert part.attributes["data-outcome"] == outcome
    assert page.within(part, "h3")[0].text == f"{number} Do fb-{number:02}-step {badge}"
    assert f"Do fb-{number:02}-step" in page.section("steps")
    assert badge in page.section("steps")
    assert f"{ICONS[outcome]} 1 {LABELS[outcome]}" in page.one("ul", class_="counts").text
    assert f"{badge}{MEANINGS[outcome]}" in page.one("dl", class_="facts legend").text


def test_a_real_run_is_reported_step_by_step(run: Run) -> None:
    """The report of a real run has each step with its outcome."""
    page = ReportPage(run_report(run.state, run.journal.read_all()))

    for state in run.state.steps:
        part = page.step(state.id)
        assert part.attributes["data-outcome"] == state.outcome
        assert state.title in part.text


def test_open_steps_are_listed_failures_first() -> None:
    """Open steps are listed with reason and link, failed ones first; settled ones are not."""
    blocked = step("fb-01-blocked", "skipped", reason="Blocked: complete step 3 first.")
    page = report_of(
        blocked,
        step("fb-02-slow", "waiting"),
        step("fb-03-wrong", "failed", reason=WRONG),
        step("fb-04-said", "attested"),
        step("fb-05-out", "skipped", attestation=skip("x")),
        step("fb-06-seen"),
        outcome="failed",
    )

    links = [each.attributes["href"] for each in page.within(page.one("ul", class_="open"), "a")]
    assert links == ["#step-fb-03-wrong", "#step-fb-02-slow", "#step-fb-01-blocked"]
    assert WRONG in page.section("open")


def test_unproven_facts_are_listed() -> None:
    """Attested and skipped steps and the limits of checks are listed, with people and reasons."""
    page = report_of(
        step("fb-01-said", "attested"),
        step("fb-02-out", "skipped", attestation=skip("x", note="The test is enough.", by="Boss")),
        step("fb-03-seen", checks=[check(limits=["The access level.", "The exact path."])]),
        step("fb-04-seen", checks=[check(limits=["The access level."])] * 2),
    )

    assert page.section("not-proven").rstrip() == wording(
        "report.not-proven",
        skipped="2 Do fb-02-out: The test is enough. (Boss, 20 Nov, 09:00)",
        limits=(
            "The access level. (3 Do fb-03-seen; 4 Do fb-04-seen) The exact path. (3 Do fb-03-seen)"
        ),
    )
    assert statement(1, "fb-01-said") in page.section("said")


def test_unverifiable_facts_are_listed() -> None:
    """Each report lists the facts that no API shows; a record without them has no such list."""
    fact = "When tokens end."
    part = report_of(step(), unverifiable=[fact]).section("not-proven")

    assert wording("report.not-visible") in part
    assert fact in part
    assert wording("report.not-visible") not in report_of(step()).section("not-proven")


def test_without_anything_unproven_the_report_says_so() -> None:
    """If every step is verified, a sentence says so in place of empty lists."""
    page = report_of(step())

    assert wording("report.all-verified") in page.section("not-proven")
    assert page.all("h2", id="open") == []


def test_a_step_shows_the_evidence_of_its_checks() -> None:
    """A step shows each check's name, reason, warnings, changes, limits, facts and tables."""
    rows = [[f"Account {number}", "active"] for number in range(103)]
    table = {"caption": "Ad accounts", "columns": ["Name", "Status"], "rows": rows}
    reason = "It is there."
    seen = check(
        reason=reason,
        check="it_is_installed",
        warnings=["It ends soon."],
        changes=["Installed it."],
        limits=["Who did it."],
        facts={"account_id": "4711", "open": False, "names": ["a", "b"]},
        tables=[table],
    )
    page = report_of(step(reason=reason, checks=[seen]))

    text = page.step("fb-01-log-in").text
    assert wording("report.checked-by", time="24 Nov, 12:00", check="it_is_installed") in text
    assert text.count(reason) == 1
    notes = "Warning: It ends soon.Changed: Installed it.Not proven: Who did it. "
    facts = "account_id4711opennonamesa, b "
    rows_shown = "Ad accounts NameStatus Account 0active"
    assert notes + facts + rows_shown in text
    shown = page.table("Ad accounts")
    assert len(page.within(shown, "tr")) == 101
    assert shown.parents[-1].attributes["aria-label"] == "Ad accounts"
    assert "Account 99active" in shown.text
    assert wording("report.rows-left-out", count=3) in text


def test_the_reason_of_a_step_is_shown_once() -> None:
    """A step's reason is shown unless its checks or statements already show it."""
    done = attestation_json("x", note="Done.")
    missing = "Not checked: app_secret not given."
    unchecked = f"Operator on {SAID}: Done. ({missing})"
    page = report_of(
        step("fb-01-two", reason="A. B.", checks=[check(reason="A."), check(reason="B.")]),
        step("fb-02-other", reason="Weighed.", checks=[check(reason="Seen.")]),
        step("fb-03-said", "attested", reason=f"Operator on {SAID}: Done.", attestation=done),
        step("fb-04-half", "attested", reason=unchecked, attestation=done),
        step("fb-05-out", "skipped", reason="Operator: No.", attestation=skip("x", note="No.")),
        step("fb-06-bare", "attested", reason=f"Operator on {SAID}"),
    )

    assert "A. B." not in page.step("fb-01-two").text
    assert "Weighed." in page.step("fb-02-other").text
    for name in ("fb-03-said", "fb-05-out", "fb-06-bare"):
        assert SAID not in page.step(name).text
        assert "Operator:" not in page.step(name).text
    assert missing in page.step("fb-04-half").text


def test_exchanges_are_collapsed_with_their_details() -> None:
    """The annex has each exchange once, collapsed, with its details; it names the steps with it."""
    silence = "no connection within 5 s"
    page = report_of(
        step(
            exchanges=[
                exchange(
                    number=4,
                    method="POST",
                    status=400,
                    request={"client_secret": "**********"},
                    headers={"x-fb-trace-id": "HEADER", "X-Request-Id": "TRACE", "date": "today"},
                    response={"error": {"message": "No.", "fbtrace_id": "TRACE"}},
                ),
                exchange(number=5),
                exchange(number=6, status=None, error=silence, response=None),
                exchange(number=7, method="DNS", url="connect.example", status=None),
            ]
        ),
        step("fb-02-app", exchanges=[exchange(number=5)]),
    )

    said = wording("report.exchanges-of-step")
    assert page.step("fb-01-log-in").text.endswith(said)
    assert page.step("fb-02-app").text.endswith(wording("report.exchange-of-step"))
    annex = page.within(page.one("div", class_="annex"), "details")
    assert [folded.attributes for folded in annex] == [{}] * 4
    shown = page.within(annex[1], "summary")[0].text
    assert shown == "5 · GET https://graph.facebook.com/v26.0/4711 200"
    assert wording("report.exchange-count", count=4) in page.section("exchanges")
    first, second, third, fourth = page.all("div", class_="exchange")
    asked = "https://graph.facebook.com/v26.0/4711?fields=id"
    then = "123 ms · 24 Nov, 12:00"
    traces = "fbtrace_id TRACE · x-fb-trace-id HEADER"
    sent = 'Sent: → {"client_secret": "**********"}'
    answered = 'Answered: ← {"error": {"message": "No.", "fbtrace_id": "TRACE"}}'
    assert first.text == f"POST {asked} 400 · {then} · {traces} {sent}{answered}For step 1"
    assert second.text == f'GET {asked} 200 · {then} Answered: ← {{"id": "4711"}}For steps 1, 2'
    assert second.attributes["id"] == "exchange-5"
    assert third.text == f"GET {asked} {silence} · {then} For step 1"
    assert fourth.text.startswith(f"DNS connect.example done · {then}")


KNOWN_ERROR: Document = {
    "shown": "URL <Blocked>",
    "meaning": "It does not lead back.",
    "causes": ["Somebody left it out. (Tested by a-check.)"],
    "advice": "List it.",
    "source": "https://example.com",
    "seen": "reason",
}


def test_an_open_step_has_the_errors_that_were_met() -> None:
    """An error that was seen is explained, with the place where it was seen."""
    seen = [KNOWN_ERROR, {**KNOWN_ERROR, "shown": "Answered", "seen": "response"}]
    page = report_of(step(outcome="failed", known_errors=seen), outcome="failed")
    shown = page.step("fb-01-log-in").text

    assert wording("report.error-explained") in shown
    assert "Answered (in a response)" in shown
    assert shown.count(KNOWN_ERROR["causes"][0]) == 2


def test_many_exchanges_are_counted() -> None:
    """The first of many exchanges are shown, and the others counted."""
    page = report_of(step(exchanges=[exchange(number=number) for number in range(1, 44)]))

    assert len(page.all("div", class_="exchange")) == 40
    assert "43 exchanges: 43 × 200" in page.step("fb-01-log-in").text
    left_out = wording("report.exchanges-left-out", count=3)
    assert f"39, 40; {left_out}" in page.step("fb-01-log-in").text


def test_an_attestation_is_shown_with_its_details() -> None:
    """An attestation has author, time, note, screens, file, and since when the journal has it."""
    page = report_of(
        step("fb-01-said", "attested"),
        lines=[
            skipped("fb-01-said", note="Later.", by="First"),
            attested("fb-01-said", note="Done.", seen="the new page", origin="attestations.toml"),
        ],
    )

    text = page.step("fb-01-said").text
    assert "Operator on 20 Nov, 09:00;" in text
    assert "“the new page”" in text
    origin = wording("report.origin", file="attestations.toml", time="24 Nov, 12:00")
    assert f"Done.{origin}" in text
    (earlier,) = page.within(page.step("fb-01-said"), "details")
    assert earlier.text.startswith("1 earlier statement")
    assert "by First" in earlier.text
    assert "Later." in earlier.text


def test_statements_are_listed_by_time() -> None:
    """A line for each statement says when, who and what, in the order of the named times."""
    page = report_of(
        step("fb-01-said", "attested"),
        step("fb-02-said", "attested"),
        step(REVIEW, "waiting"),
        step("fb-04-out", "skipped", attestation=skip("x")),
        lines=[
            attested("fb-02-said", by="Second", at="2026-11-22T09:00:00Z"),
            attested("fb-01-said", by="First", at="2026-11-20T09:00:00Z"),
            attested(REVIEW, by="First", at="2026-11-21T09:00:00Z", kind="submitted"),
            skipped("fb-04-out", by="First", at="2026-11-23T09:00:00Z"),
        ],
    )

    rows = [
        ("20 Nov, 09:00", "First attested", "1 Do fb-01-said"),
        ("21 Nov, 09:00", "First submitted", f"12 Do {REVIEW}"),
        ("22 Nov, 09:00", "Second attested", "2 Do fb-02-said"),
        ("23 Nov, 09:00", "First skipped", "4 Do fb-04-out"),
    ]
    lines = page.within(page.one("ol", class_="log"), "li")
    assert [line.text for line in lines] == [" ".join(row) for row in rows]
    assert page.all("h2", id="log") != []
    assert report_of().all("h2", id="log") == []


def test_a_long_list_of_statements_keeps_its_newest_part() -> None:
    """A long list shows its 300 newest statements and counts the others."""
    lines = [attested("fb-01-said", note=f"N{n}.") for n in range(303)]
    page = report_of(step("fb-01-said"), lines=lines)

    assert wording("report.statements-left-out", count=3) in page.section("log")
    shown = page.within(page.one("ol", class_="log"), "li")
    assert len(shown) == 300
    page = report_of(step("fb-01-said"), lines=lines[3:])
    assert len(page.within(page.one("ol", class_="log"), "li")) == 300
    assert wording("report.statements-left-out", count=0) not in page.section("log")


def test_a_requested_step_has_its_own_due_day() -> None:
    """A step that waits for a person here shows the day that was named."""
    waits = step(
        REVIEW, "waiting", kind="wait", attestation=attestation_json(REVIEW, due="2026-12-24")
    )
    page = report_of(waits, finished_on="2026-12-20T09:00:00Z")

    assert page.one("div", class_="part").attributes["data-outcome"] == "waiting"
    assert "Due 2026-12-24." in page.one("section", id=f"step-{REVIEW}").text
    attested = report_of(
        step(REVIEW, "attested", attestation=attestation_json(REVIEW, until="2027-11-24"))
    )
    assert "Counts until 2027-11-24." in attested.one("section", id=f"step-{REVIEW}").text


def test_a_run_without_an_end_says_so() -> None:
    """A run without an end is reported as not ended."""
    page = report_of(finished_on="", resumes="ffffffff")

    assert wording("report.not-ended") in page.one("div", class_="verdict").text
    assert wording("report.resumes", run="ffffffff") in page.text
    assert "Endednot recorded" in page.section("about")
    assert wording("report.not-ended") not in report_of().text


def test_a_requested_time_stamp_is_explained() -> None:
    """A requested time-stamp is listed, with what its absence means; another is not mentioned."""
    part = report_of(values={"tsa": "http://tsa.example/<b>"}).section("verify")

    requested = wording("report.time-stamp-requested", url="http://tsa.example/<b>")
    assert f"statement.tsr{requested}" in part
    assert "statement.tsr" not in report_of().section("verify")


def test_the_report_says_how_to_verify() -> None:
    """The report names the command, the instructions and the files for verification."""
    part = report_of(lines=[attested("fb-01-log-in")]).section("verify")

    for name in ("runbook verify", "VERIFY.md", "SHA256SUMS", "statement.dsse.json"):
        assert name in part
    assert "lines 1 to 1" in part


def test_the_circumstances_of_the_run_are_shown() -> None:
    """Parameters, names of credentials, procedure and environment are shown."""
    given = {"nobody": [], "flag": True, "names": ["a", "b"], "link": "https://a.example/"}
    text = report_of(mode="interactive", values=given).text

    for words_ in (
        wording("report.mode-interactive"),
        "facebook_marketing, version 1",
        wording("report.values-not-recorded", name="app_secret"),
        "python3.11.7",
        "4 parameters",
        "nobody—",
        "flagyes",
        "namesa, b",
    ):
        assert words_ in text


def test_the_run_of_a_fleet_is_named() -> None:
    """The report of a fleet's tenant names the run and how many tenants it selected."""
    fleet_run = {
        "id": "7f3a90c1",
        "selected": 60,
        "selected_digest": "0" * 64,
        "entry_digest": "0" * 64,
    }

    assert (
        wording("report.fleet-run", run="7f3a90c1", count=60) in report_of(fleet_run=fleet_run).text
    )
    assert "Fleet run" not in report_of().text


def test_a_run_that_could_not_start_says_why_first() -> None:
    """The report says first why the run could not start, and speaks of no notebook."""
    page = report_of(not_run={"reason": "No secret.", "next_step": "Store one."})

    assert wording("report.not-run") in page.text
    assert wording("report.status-of-papermill") not in page.text
    assert wording("report.status-of-papermill") in report_of().text


def test_a_run_that_a_person_sealed_is_not_called_headless() -> None:
    """The report says that a person sealed it, and that nobody was at its cells."""
    text = report_of(mode="walkthrough").text

    assert wording("report.sealed-by-person") in text
    assert "headless" not in text


def test_practice_cannot_be_mistaken() -> None:
    """Practice is marked in title, banner and print; a real run never mentions SANDBOX."""
    text = run_report(record(sandbox=True), [])
    page = ReportPage(text)

    assert page.title.startswith("SANDBOX · ")
    assert page.one("aside").text.startswith("SANDBOX: practice")
    assert page.one("div", class_="watermark").text == "SANDBOX"
    assert '@top-left { content: "SANDBOX' in text
    assert "a SANDBOX run" in page.section("verify")
    assert "LIVE" not in page.text

    text = run_report(record(), [])
    page = ReportPage(text)
    assert page.one("aside").text.startswith("LIVE: ")
    assert '@top-left { content: "LIVE"' in text
    assert "SANDBOX" not in page.text + page.title
    assert page.all("div", class_="watermark") == []


FACEBOOK = "https://graph.facebook.com/v26.0/4711"
CYCLR = "https://api.cyclr.com/v1.0/connectors"
REFUSED = {"status": None, "response": None, "error": "connection refused"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            [{"url": FACEBOOK, "status": 400}, {"url": CYCLR}, {"url": FACEBOOK, **REFUSED}],
            wording("report.all-answered"),
        ),
        (
            [{"url": FACEBOOK}, {"url": CYCLR, **REFUSED}],
            wording("report.some-answered"),
        ),
        (
            [{"url": FACEBOOK, **REFUSED}, {"url": CYCLR, **REFUSED}],
            wording("report.none-answered"),
        ),
        (
            [{"url": ""}, {"url": "https://[broken"}],
            wording("report.none-answered"),
        ),
        (
            [{"url": f"https://{name}.example/"} for name in "abcde"],
            wording("report.many-answered"),
        ),
        ([], wording("report.none-answered")),
    ],
)
def test_the_report_says_who_answered(asked: list[Document], said: str) -> None:
    """The banner names the hosts that answered, and those that did not; a refusal is no answer."""
    page = report_of(step(outcome="waiting", exchanges=[exchange(**each) for each in asked]))

    assert page.one("aside").text == f"LIVE: {said}"


def test_an_open_step_says_what_to_do() -> None:
    """Beside an open step stands what to do about the error that its reason names."""
    page = report_of(
        step("fb-08-x", "failed", known_errors=[KNOWN_ERROR]), step("fb-09-x", "failed")
    )

    assert page.section("open").count("What to do:") == 1
    assert wording("report.what-to-do", advice="List it.") in page.section("open")


def test_comments_and_whose_step_it_is_stand_at_the_step() -> None:
    """A step's comments, and who has it to do by when, are in the report, as text."""
    said = {"by": "A", "at": CHECKED, "origin": "", "login": "", "note": "Ask <them>."}
    assigned = {**said, "note": "", "to": "A colleague", "due": "2026-12-01"}
    given = step("fb-01-x", "not_run", comments=[said], assigned=assigned)
    shown = report_of(given).step("fb-01-x").text

    assert "A colleague, due 2026-12-01" in shown
    assert "by A on" in shown
    assert "Ask <them>." in shown


def test_verified_in_part_does_not_look_finished() -> None:
    """A step of which a part is not confirmed has a look of its own, with that part beside it."""
    limited = {"kind": "ask", "checks": [check(limits=[PATH])]}
    page = report_of(
        step("fb-01-part", needs_person=True, **limited),
        step("fb-02-said", attestation=attestation_json("fb-02-said"), **limited),
        step("fb-03-whole"),
        outcome="incomplete",
    )

    verdict = wording("report.verdict-in-part")
    counts = "✔ 2 verified ✔ 1 verified in part"
    assert page.one("div", class_="verdict").text == f"{verdict}{counts}"
    assert wording("report.not-confirmed", sentence="I did fb-01-part.") in page.section("open")
    (confirmed,) = page.within(page.one("ul", class_="said"), "li")
    assert confirmed.text == statement(2, "fb-02-said")
    row, said, whole = page.within(page.table("Each step in"), "tr")[1:]
    in_part = f"✔ {IN_PART}"
    assert row.text.endswith(f"Not proven: {PATH}{in_part}")
    assert said.text.endswith("24 Nov, 12:00✔ verified")
    assert whole.text.endswith("24 Nov, 12:00✔ verified")
    assert page.step("fb-01-part").attributes["class"] == "step in-part"
    assert page.step("fb-02-said").attributes["class"] == "step"
    badges = page.all("span", class_="badge in-part")
    (badge,) = (each for each in badges if each.is_within(page.step("fb-01-part")))
    assert badge.text == in_part
    assert f"{badge.text}{IN_PART_MEANING}" in page.one("dl", class_="facts legend").text
    part = page.section("not-proven")
    assert IN_PART.capitalize() in part
    assert f"Do fb-01-part Not proven: {PATH}" in part
    assert f"{PATH} (2 Do fb-02-said)" in part


def test_a_lapsed_attestation_is_named_once() -> None:
    """A lapsed attestation is named with author and subject, unless the reason already does."""
    why = "for App ID 111, not 222"
    lapsed = [{"attestation": attestation_json("x", by="Ann"), "why": why}]
    page = report_of(
        step("fb-01-said", "inconclusive", reason="Hidden.", void_attestations=lapsed),
        step(
            "fb-02-named", "not_run", reason=f"Ann confirmed this {why}.", void_attestations=lapsed
        ),
    )

    said = wording("report.no-longer-counts", why=why)
    assert said in page.step("fb-01-said").text
    assert page.step("fb-02-named").text.count(why) == 1
