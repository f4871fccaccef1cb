"""The three renderings of a step agree, load nothing, and escape everything."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec import convert, structs

from runbook_lib.core.model import AttestationKind, Exchange, Finding, Outcome, Table
from runbook_lib.core.outcome import ICONS, IN_PART, LABELS
from runbook_lib.core.procedure import Link, Paste, Source, Step, StepKind
from runbook_lib.evidence.reports.step_table import step_table
from runbook_lib.notebook import rendering
from runbook_lib.run.events import EarlierResult, KnownErrorText
from runbook_lib.run.state import StepState
from tests.support.attestations import attestation
from tests.support.run_states import run_state, step_state
from tests.support.wording import wording

HOSTILE = "<script>alert('x')</script>\"><img src=https://evil.example/x onerror=1> & {braces}"

STEP = Step(
    id="fb-08-redirect-uri",
    title="Set the redirect URI",
    kind=StepKind.ASK,
    source=Source(1, 8),
    instructions="",
    own_sentence="It stands there.",
    subject=("app_id",),
    links=(Link("Login settings", "https://d.example/apps/{app_id}/", "App ID"),),
    pastes=(Paste("Redirect URI", "https://{service_domain}/cb"), Paste("Other", "{unknown}")),
)
EXCHANGE = Exchange(
    method="GET",
    url="https://graph.example/v26.0/me",
    sent_on="2026-11-24T12:00:00.000Z",
    elapsed=0.0425,
    status=200,
    request={"fields": "id"},
    headers={"x-fb-trace-id": "DPsOqE2Ubys"},
    response={"id": "1"},
)
FINDING = Finding(
    outcome=Outcome.VERIFIED,
    code="a-code",
    reason="It is accepted.",
    check="redirect_uri_is_accepted",
    limits=("The exact path.",),
    warnings=("It ends soon.",),
    changes=("Installed it.",),
    tables=(Table(caption="Pages", columns=("ID", "Name"), rows=(("1", "Acme"), ("2", "B"))),),
    exchanges=(7,),
)
STATE = step_state(
    STEP,
    number="8",
    reason="It is accepted.",
    needs_person=True,
    findings=(FINDING,),
    checked_on="2026-11-24T12:00:00.000Z",
)
VALUES = {"app_id": "77", "service_domain": "acme-h.cyclr.com"}


def bundle(
    state: StepState = STATE,
    values: Any = VALUES,
    *,
    step: Step = STEP,
    exchange: Exchange = EXCHANGE,
    is_sandbox: bool = False,
) -> dict[str, Any]:
    run = run_state(state, exchanges={7: exchange})
    return rendering.step_bundle(run, step, values, is_sandbox=is_sandbox)


def end(state: StepState = STATE, *, is_sandbox: bool = False) -> dict[str, Any]:
    return rendering.end_bundle(run_state(state), is_sandbox=is_sandbox)


def table(
    state: StepState = STATE, *, is_sandbox: bool = False, heading: str = ""
) -> dict[str, Any]:
    """Return the renderings of a table of one step, headed as `run.steps` heads it."""
    heading = f"{'SANDBOX ' if is_sandbox else ''}{heading}"
    steps = step_table(run_state(state), heading)
    return {"text/html": steps._repr_html_(), "text/plain": repr(steps)}


def header(title: str = "Title", *, is_sandbox: bool = False, **more: str) -> dict[str, Any]:
    known = {"tenant": "acme", "run_id": "0a1b2c3d", "mode": "headless", **more}
    return rendering.header_bundle(title, **known, is_sandbox=is_sandbox)


class Page(HTMLParser):
    """The tags and attributes of a page, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the tag."""
        self.tags.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Assert that it closes the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record the text."""
        self.text += data


def test_a_step_has_three_renderings() -> None:
    """A step has HTML, plain text and JSON renderings, all with the same outcome."""
    shown = bundle()

    assert set(shown) == {"text/html", "text/plain", rendering.STEP_MIME}
    assert rendering.STEP_MIME == "application/vnd.runbook.step+json"
    assert "verified" in Page(shown["text/html"]).text
    assert shown["text/plain"].startswith(f"✔ {IN_PART}: {FINDING.reason}")
    assert shown[rendering.STEP_MIME]["outcome"] == "verified"


def test_the_json_rendering_is_the_steps_state() -> None:
    """A program reads the whole state of the step from the JSON rendering, as from a record."""
    said = attestation(AttestationKind.ATTESTED)
    state = structs.replace(STATE, attestation=said)
    document = json.loads(json.dumps(bundle(state)[rendering.STEP_MIME]))

    assert convert(document, StepState) == state
    assert (document["outcome"], document["attestation"]["by"]) == ("verified", "Operator")


def test_an_earlier_result_names_its_line() -> None:
    """A step that rests on a check of an earlier run says in which line of the journal it is."""
    earlier = {FINDING.check: EarlierResult(line=12, until="2026-12-24")}
    shown = bundle(structs.replace(STATE, earlier=earlier))

    assert "line 12 " in shown["text/plain"]
    assert "line 12 " in Page(shown["text/html"]).text


@pytest.mark.parametrize("mime", ["text/html", "text/plain"])
@pytest.mark.parametrize("said", ["The exact path.", "It ends soon.", "Installed it."])
def test_limits_warnings_and_changes_are_shown_to_people(mime: str, said: str) -> None:
    """HTML and plain text show limits, warnings and changes."""
    text = bundle()[mime]

    assert said in (Page(text).text if mime == "text/html" else text)


def test_the_exchange_behind_a_finding_can_be_unfolded() -> None:
    """The HTML has the exchange of a finding in a `details` element, without a script."""
    page = Page(bundle()["text/html"])

    assert f"GET {EXCHANGE.url} → 200, 42 ms" in page.text
    assert "DPsOqE2Ubys" in page.text
    assert [tag for tag, _ in page.tags].count("details") == 1


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (structs.replace(EXCHANGE, status=None, error="no connection"), "no connection"),
        (structs.replace(EXCHANGE, status=None, method="DNS"), "→ done"),
    ],
)
def test_an_exchange_without_a_status_shows_its_error(exchange: Exchange, said: str) -> None:
    """An exchange without a status shows its error, or that it is done."""
    assert said in Page(bundle(exchange=exchange)["text/html"]).text


def test_a_table_of_a_finding_is_accessible() -> None:
    """Column and row headers of a finding's table have a scope, for screen readers."""
    shown = bundle()
    page = Page(shown["text/html"])

    scopes = [given["scope"] for tag, given in page.tags if tag == "th"]
    assert scopes == ["col", "col", "row", "row"]
    assert [tag for tag, _ in page.tags].count("caption") == 1
    assert "PagesIDName1Acme2B" in page.text.replace("\n", "")
    assert "  Pages:\n    1 · Acme\n    2 · B" in shown["text/plain"]


def test_links_open_in_a_new_tab_and_unknown_pastes_are_hidden() -> None:
    """A link opens in a new tab, and waits for its values as a text to paste does."""
    known = Page(bundle()["text/html"])
    unknown = Page(bundle(values={})["text/html"])

    (link,) = [attributes for tag, attributes in known.tags if tag == "a"]
    assert link["href"] == "https://d.example/apps/77/"
    assert (link["target"], link["rel"]) == ("_blank", "noopener")
    assert not [tag for tag, _ in unknown.tags if tag == "a"]
    waits = wording("notebook.link-needs-value", value="App ID")
    assert f"Login settings {waits}" in unknown.text
    assert "Redirect URI: https://acme-h.cyclr.com/cb" in known.text
    assert "Redirect URI" not in unknown.text
    assert "Other" not in known.text


def test_practice_has_no_link_to_its_sandbox() -> None:
    """The sandbox stops with the run, so the executed notebook names its pages without a link."""
    systems = (Link("App dashboard", "{dashboard_url}/apps/{app_id}/", "App ID"),)
    step = replace(STEP, links=systems)
    values = {**VALUES, "dashboard_url": "http://127.0.0.1:1234"}
    practice = Page(bundle(values=values, step=step, is_sandbox=True)["text/html"])
    real = Page(bundle(values=values, step=step)["text/html"])

    assert not [tag for tag, _ in practice.tags if tag == "a"]
    unlinked = wording("status.no-page-to-open")
    assert f"App dashboard {unlinked}" in practice.text
    assert [tag for tag, _ in real.tags if tag == "a"] == ["a"]


HOSTILE_STEP = replace(
    STEP,
    id=HOSTILE,
    title=HOSTILE,
    links=(Link(HOSTILE, "https://x.example/{app_id}", "App ID"),),
    pastes=(Paste(HOSTILE, "{app_id}"),),
)
HOSTILE_STATE = step_state(
    HOSTILE_STEP,
    Outcome.FAILED,
    reason=HOSTILE,
    findings=(
        structs.replace(
            FINDING,
            limits=(HOSTILE,),
            warnings=(HOSTILE,),
            changes=(HOSTILE,),
            tables=(Table(caption=HOSTILE, columns=(HOSTILE,), rows=((HOSTILE, HOSTILE),)),),
        ),
    ),
    known_errors=(
        KnownErrorText(
            shown=HOSTILE,
            meaning=HOSTILE,
            causes=(HOSTILE,),
            advice=HOSTILE,
            source=HOSTILE,
            seen="reason",
        ),
    ),
)
HOSTILE_EXCHANGE = structs.replace(
    EXCHANGE,
    url=HOSTILE,
    request=HOSTILE,
    response={HOSTILE: HOSTILE},
    headers={"location": HOSTILE},
)


def hostile(exchange: Exchange) -> str:
    """Return a cell's HTML with this exchange and hostile texts everywhere."""
    values = {"app_id": HOSTILE}
    shown: str = bundle(HOSTILE_STATE, values, step=HOSTILE_STEP, exchange=exchange)["text/html"]
    return shown


HOSTILE_PAGES = {
    "step": hostile(HOSTILE_EXCHANGE),
    "unanswered": hostile(structs.replace(EXCHANGE, status=None, error=HOSTILE)),
    "end": end(HOSTILE_STATE)["text/html"],
    "table": table(HOSTILE_STATE, heading=HOSTILE)["text/html"],
    "header": header(HOSTILE, tenant=HOSTILE, run_id=HOSTILE)["text/html"],
}


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_hostile_text_stays_text(name: str) -> None:
    """Text from Facebook, Cyclr or a person never becomes a tag or an attribute."""
    page = Page(HOSTILE_PAGES[name])

    allowed = {
        "div",
        "span",
        "ul",
        "li",
        "em",
        "a",
        "code",
        "details",
        "summary",
        "pre",
        "br",
        "small",
        "bdi",
    }
    of_tables = {"table", "caption", "thead", "tbody", "tr", "th", "td", "strong", "style", "p"}
    assert {tag for tag, _ in page.tags} <= allowed | of_tables
    attributes = {name for _, given in page.tags for name in given}
    of_scrolling = {"tabindex", "role", "aria-label"}
    assert attributes <= of_scrolling | {"class", "style", "href", "target", "rel", "scope", "open"}
    assert name == "end" or "<script>alert('x')</script>" in page.text
    assert page.open == []


@pytest.mark.parametrize("is_sandbox", [True, False])
@pytest.mark.parametrize("make", [bundle, end, table, header])
def test_html_runs_no_script_and_loads_nothing(make: Any, is_sandbox: bool) -> None:
    """The HTML runs no script and loads nothing, so it can be read offline; styles come once."""
    html = make(is_sandbox=is_sandbox)["text/html"]

    assert not re.search(r"<(script|img|link|iframe|object|embed)\b|url\(|@import", html)
    assert html.count("<style>") == (make is header)
    assert not re.search(r"\b(src|srcset|on[a-z]+)\s*=|url\(|@import|javascript:", html)


@pytest.mark.parametrize("mime", ["text/html", "text/plain"])
@pytest.mark.parametrize("make", [bundle, end, table, header])
def test_practice_is_marked_wherever_a_person_reads(make: Any, mime: str) -> None:
    """Each HTML and text rendering of a practice run says SANDBOX; those of a real run do not."""

    def read(text: str) -> str:
        return Page(text).text if mime == "text/html" else text

    assert "SANDBOX" in read(make(is_sandbox=True)[mime])
    assert "SANDBOX" not in read(make()[mime])


KNOWN_ERROR = KnownErrorText(
    shown="URL <Blocked>",
    meaning="It does not lead back.",
    causes=("Somebody left it out. (Tested by a-check.)",),
    advice="List it.",
    source="https://example.com",
    seen="reason",
)


def test_a_failed_step_explains_the_errors_that_it_met() -> None:
    """The known error stands open in the cell, with what to do and where that is from."""
    failed = step_state(STEP, Outcome.FAILED, known_errors=(KNOWN_ERROR,))
    shown = bundle(failed)
    page = Page(shown["text/html"])

    known = (KNOWN_ERROR.shown, KNOWN_ERROR.meaning, KNOWN_ERROR.advice, KNOWN_ERROR.source)
    for text in (*known, *KNOWN_ERROR.causes):
        assert text in page.text
    assert shown["text/html"].count("<details open>") == 1
    assert f"{KNOWN_ERROR.shown}: {KNOWN_ERROR.meaning}" in shown["text/plain"]
    assert KNOWN_ERROR.advice in shown["text/plain"]
    assert "<details" not in bundle(step_state(STEP, Outcome.FAILED))["text/html"]


def test_the_step_of_the_submission_has_the_texts_for_app_review() -> None:
    """Only that step shows the kit, collapsed, for the values of the run."""
    values = {**VALUES, "permissions": ("leads_retrieval",), "app_display_name": "<b>Acme</b>"}
    step = replace(STEP, review_kit="facebook_marketing")
    shown = bundle(values=values, step=step)["text/html"]
    page = Page(shown)

    assert wording("notebook.review-kit") in page.text
    assert "<b>Acme</b> reads" in page.text
    assert "GET /{form-id}/leads" in page.text
    assert "grant screen" in page.text
    assert shown.count("<details") == 1 + len(STATE.exchange_numbers)
    assert "<details open" not in shown
    assert "App Review" not in bundle()["text/html"]


def test_the_end_counts_the_steps_and_the_table_has_a_row_for_each() -> None:
    """People read the numbers of steps, programs every step; the table has the reasons."""
    shown = end(is_sandbox=True)

    assert set(shown) == {"text/html", "text/plain", rendering.END_MIME}
    document = shown[rendering.END_MIME]
    assert (document["run"], document["sandbox"]) == ("0a1b2c3d", True)
    assert convert(document["steps"], list[StepState]) == [STATE]
    for text in (Page(shown["text/html"]).text, shown["text/plain"]):
        assert f"1 {IN_PART}" in text
    steps = table()
    for text in (Page(steps["text/html"]).text, steps["text/plain"]):
        assert STEP.title in text
        assert FINDING.reason in text


def test_a_header_says_whose_run_it_is() -> None:
    """The header shows tenant, run and who was there; a real run says LIVE."""
    about = "Title\nLIVE · tenant acme · run 0a1b2c3d"

    headless = wording("notebook.headless")
    assert header()["text/plain"] == f"{about} · {headless}"
    sealed = header(mode="walkthrough")
    for text in (sealed["text/plain"], sealed["text/html"]):
        assert wording("report.sealed-by-person") in text
        assert "headless" not in text


def contrast(colour: str, ground: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, 1.4.3)."""

    def luminance(text: str) -> float:
        shares = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_own_look(outcome: Outcome) -> None:
    """Each outcome has its own icon and word, in white with a contrast of at least 4.5 to 1."""
    page = Page(bundle(step_state(STEP, outcome))["text/html"])
    assert f"{ICONS[outcome]} {LABELS[outcome]}" in page.text
    assert len(set(ICONS.values())) == len(Outcome)

    badge = next(
        str(given["style"])
        for tag, given in page.tags
        if tag == "span" and "border-radius:10px" in str(given.get("style"))
    )

    (ground,) = re.findall(r"background:(#[0-9a-f]{6})", badge)
    assert "color:#fff" in badge
    assert contrast("#ffffff", ground) >= 4.5


WHOLE = structs.replace(STATE, needs_person=False)
CONFIRMED = structs.replace(WHOLE, attestation=attestation(AttestationKind.ATTESTED))


@pytest.mark.parametrize(
    ("state", "label", "line"),
    [
        (STATE, f"✔ {IN_PART}", "dashed"),
        (CONFIRMED, "✔ verified", "solid"),
    ],
)
def test_verified_in_part_does_not_look_finished(state: StepState, label: str, line: str) -> None:
    """A step that is not confirmed in full has another badge and border, also when it is saved."""
    shown = bundle(state)
    page = Page(shown["text/html"])
    badge = next(given for tag, given in page.tags if tag == "span")
    assert str(page.tags[0][1]["style"]).startswith(f"border-left:4px {line}")
    assert ("dashed" in str(badge["style"])) == (line == "dashed")
    assert page.text.startswith(f"{label} {FINDING.reason}")
    assert shown[rendering.STEP_MIME]["outcome"] == "verified"

    saved = rendering.saved_bundle(run_state(state), tenant="acme", part=STEP.id)
    (saved_badge,) = re.findall("<span style=.*?</span>", saved["text/html"])
    assert saved_badge.endswith(f"{label}</span>")
    assert saved_badge in shown["text/html"]
    assert ("border:2px dashed" in saved_badge) == (line == "dashed")
    assert ("dashed" in saved["text/html"]) == (line == "dashed")
    for text in (shown["text/plain"], saved["text/plain"]):
        assert text.startswith(f"{label}: {FINDING.reason}")


def test_the_table_names_what_is_not_proven() -> None:
    """The table shows what is not proven beside a step that is verified in part."""
    limit = f"Not proven: {FINDING.limits[0]}"
    assert limit in Page(table()["text/html"]).text
    assert table()["text/plain"].endswith(f"{IN_PART}. {FINDING.reason} {limit}")
    unconfirmed = wording("notebook.not-confirmed", sentence=STEP.sentence)
    assert unconfirmed in Page(bundle()["text/html"]).text
    assert "Not proven" not in Page(table(WHOLE)["text/html"]).text


def test_plain_text_cannot_move_the_cursor() -> None:
    """Remote text in `text/plain` is one line without control characters."""
    hostile = "a\x1b[2J\x9b\u202e\x7f\r\nb"
    finding = Finding(
        outcome=Outcome.FAILED,
        code="a-code",
        reason=hostile,
        warnings=(hostile,),
        limits=(hostile,),
        changes=(hostile,),
        tables=(Table(caption=hostile, columns=(hostile,), rows=((hostile,),)),),
    )
    state = step_state(STEP, Outcome.FAILED, reason=hostile, findings=(finding,))

    for shown in (
        bundle(state, {}, is_sandbox=True),
        table(state, is_sandbox=True),
        header(hostile, tenant=hostile, run_id=hostile),
    ):
        assert all(line.isprintable() for line in shown["text/plain"].split("\n"))
        assert "[U+001B][2J" in shown["text/plain"]
