"""The reports in Chromium: accessible, narrow, dark, printed, and without a network."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import convert, structs
from playwright.sync_api import Browser, Page, expect
from pypdf import PageObject, PdfReader

from runbook_lib.core.model import Attachment, Outcome
from runbook_lib.core.outcome import MEANINGS
from runbook_lib.evidence.record import parse_record, read_record
from runbook_lib.evidence.reports.report import run_report
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState
from tests.browser.axe import violations
from tests.browser.jupyter import keep_picture
from tests.browser.report_reader import Reader
from tests.support.hostile_records import HOSTILE, everywhere, lines_with
from tests.support.practice_runs import PracticeRun, PractiseOnce
from tests.support.wording import wording
from tests.unit.evidence.reports.sample_runs import (
    EVERY_OUTCOME,
    attachment,
    lines_of,
    record,
    step,
)

# The largest size of a report of a complete run, in bytes.
LARGEST = 185_000
SCENARIOS = ("approved", "review-pending", "wrong-secret")
REPORTS = (*SCENARIOS, "production", "hostile")

every_report = pytest.mark.parametrize("name", REPORTS)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
schemes = pytest.mark.parametrize("scheme", SCHEMES)
_TWICE_DRAWN = """() => new Promise(
    (done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"""


@pytest.fixture(scope="module")
def runs(practice_run: PractiseOnce) -> dict[str, PracticeRun]:
    """Return a practice run of each scenario."""
    return {scenario: practice_run(scenario) for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def picture(browser: Browser) -> bytes:
    """Return a screenshot, as a person attaches it."""
    page = browser.new_page(viewport={"width": 300, "height": 200})
    page.set_content("<h1>A screen</h1>")
    content = page.screenshot()
    page.close()
    return content


@pytest.fixture(scope="module")
def reports(
    runs: dict[str, PracticeRun], picture: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with every report."""
    folder = tmp_path_factory.mktemp("reports")
    kept = folder / "attachments"
    kept.mkdir()
    digest = hashlib.sha256(picture).hexdigest()
    (kept / f"{digest}.png").write_bytes(picture)
    given = attachment(sha256=digest, size=len(picture), name="what I saw.png")
    production = record(*EVERY_OUTCOME, step("fb-99-shown", "attested", attachments=[given]))
    hostile = _with_attachment(everywhere(" ".join(HOSTILE.values())), given)
    texts = {
        **{name: run_report(_record(run), run.lines) for name, run in runs.items()},
        "production": run_report(production, lines_of(production), attachments=kept),
        "hostile": run_report(hostile, lines_with(" ".join(HOSTILE.values())), attachments=kept),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def desktop(browser: Browser, reports: Path) -> Iterator[Reader]:
    """Yield a reader whose window and colour scheme each test sets."""
    context = browser.new_context()
    yield Reader(context, reports)
    context.close()


@pytest.fixture
def reader(browser: Browser, reports: Path) -> Any:
    """Return a function that opens a reader with these options of a browser."""
    readers: list[Reader] = []

    def make(**options: Any) -> Reader:
        readers.append(Reader(browser.new_context(**options), reports))
        return readers[-1]

    yield make
    for each in readers:
        each.context.close()


def _record(run: PracticeRun) -> RunState:
    return parse_record(read_record(run.bundle))


def _with_attachment(run: RunState, given: dict[str, Any]) -> RunState:
    """Return the run with this file attached to the attestation of its second step."""
    first, second, *others = run.steps
    assert second.attestation is not None
    attached = (convert(given, Attachment),)
    attestation = structs.replace(second.attestation, attachments=attached)
    second = structs.replace(second, attestation=attestation)
    return structs.replace(run, steps=(first, second, *others))


def _repeated(lines: list[Line], times: int) -> list[Line]:
    """Return the lines `times` times, numbered on."""
    last = lines[-1].head.seq
    return [
        Line(structs.replace(line.head, seq=line.head.seq + round_ * last), line.data)
        for round_ in range(times)
        for line in lines
    ]


Make = Callable[..., Reader]


def unfold(page: Page, *, is_open: bool = True) -> None:
    page.evaluate(
        "is => document.querySelectorAll('details').forEach(each => each.open = is)", is_open
    )


def printed(page: Page) -> list[str]:
    """Return the text of each page of this page's PDF, with slanted text last."""
    return [_text(each) for each in PdfReader(io.BytesIO(page.pdf())).pages]


def _printed_in(page: Page, scheme: Literal["light", "dark"]) -> bytes:
    page.emulate_media(color_scheme=scheme)
    return page.pdf()


def _undated(pdf: bytes) -> bytes:
    """Return a PDF without its dates."""
    return re.sub(rb"/(?:Creation|Mod)Date \([^)]*\)", b"", pdf)


def _text(page: PageObject) -> str:
    aslant: list[str] = []

    def note(text: str, matrix: list[float], *_more: Any) -> None:
        if matrix[1]:
            aslant.append(text.strip())

    return f"{page.extract_text(visitor_text=note)}\naslant: {''.join(aslant)}"


@pytest.mark.matrix(2)
@every_report
def test_a_report_is_accessible(desktop: Reader, axe: str, name: str) -> None:
    """
    A report has no serious violation in either colour scheme, with any text in the evidence.

    It fits the window at both widths, folded and unfolded.
    """
    page = desktop.open(name)
    for is_folded in (True, False):
        if not is_folded:
            unfold(page)
        for width in (400, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for scheme in SCHEMES if name == "review-pending" and is_folded else ():
                page.emulate_media(color_scheme=scheme)
                keep_picture(page, f"report-{scheme}-{width}")
    for scheme, back in zip(SCHEMES, ("rgb(255, 255, 255)", "rgb(13, 17, 23)"), strict=True):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("body")).to_have_css("background-color", back)
        assert violations(page, axe) == []
    page.close()


@every_report
def test_a_report_sends_no_request(reader: Make, name: str) -> None:
    """A report sends no request, and its Content Security Policy blocks nothing in it."""
    one = reader()
    page = one.open(name)
    unfold(page)
    page.evaluate(_TWICE_DRAWN)  # the unfolded part loads its content when it is drawn

    assert one.asked == [page.url]
    assert one.complaints == []


@every_report
def test_a_report_works_without_scripts(reader: Make, name: str) -> None:
    """Without scripts, a report is complete and can be unfolded."""
    page = reader(java_script_enabled=False).open(name)
    page.locator("summary").first.click()

    expect(page.locator("details").first).to_have_attribute("open", "")
    assert page.locator("h2").count() >= 3


def test_the_policy_blocks_an_injected_script_and_request(reader: Make, reports: Path) -> None:
    """An injected script does not run, and an injected image is not loaded."""
    text = (reports / "approved.html").read_text(encoding="utf-8")
    smuggled = '<script>document.title = "run"</script><img src="https://elsewhere.example/a.png">'
    (reports / "smuggled.html").write_text(text.replace("<main>", f"<main>{smuggled}"), "utf-8")
    one = reader()
    page = one.open("smuggled")
    page.evaluate(_TWICE_DRAWN)

    expect(page).not_to_have_title("run")
    assert len(one.complaints) == 2
    assert all("Content Security Policy" in text for text in one.complaints)


def test_an_attached_picture_is_shown(reader: Make) -> None:
    """An attached image is embedded in the file and shown."""
    page = reader().open("production")

    expect(page.locator("img")).to_have_js_property("complete", value=True)
    expect(page.locator("img")).to_have_js_property("naturalWidth", 300)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_sandbox_banner_stays_visible(reader: Make, name: str) -> None:
    """The sandbox banner stays at the top of the window when the page is scrolled."""
    page = reader(viewport={"width": 400, "height": 700}).open(name)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.evaluate(_TWICE_DRAWN)

    banner = page.get_by_role("complementary", name="Sandbox").bounding_box()
    assert banner is not None
    assert banner["y"] == 0


@pytest.mark.matrix(1)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_printed_page_says_sandbox(desktop: Reader, name: str) -> None:
    """
    Each printed page says SANDBOX at its top and across it, and has its page number.

    It is the same in both colour schemes.
    """
    page = desktop.open(name)
    light, dark = (_printed_in(page, scheme) for scheme in ("light", "dark"))
    pages = [_text(each) for each in PdfReader(io.BytesIO(light)).pages]
    page.close()

    assert _undated(light) == _undated(dark)
    assert len(pages) >= 3
    for number, text in enumerate(pages, start=1):
        assert wording("report.printed-practice") in text
        assert text.endswith("aslant: SANDBOX")
        assert f"Page {number} of {len(pages)}" in text


def test_a_printed_run_of_production_says_so(reader: Make) -> None:
    """Each printed page says LIVE and the run, and none says SANDBOX."""
    pages = printed(reader().open("production"))

    assert len(pages) > 1
    assert all("LIVE" in text for text in pages)
    assert all("Run 0a1b2c3d" in text for text in pages)
    assert not any("SANDBOX" in text for text in pages)


def test_print_shows_folded_content_but_the_annex(reader: Make) -> None:
    """
    Folded content is printed; of exchanges only the number.

    The first three pages have verdict, words, what is open and what is not proven.
    """
    page = reader().open("approved")
    assert page.locator("details[open]").count() == 0

    pages = [text.replace("\n", "") for text in printed(page)]
    first = "".join(pages[:3])
    text = "".join(pages)
    heads = ("settled:", "Statements", wording("report.not-proven-head"))
    assert [first.index(head) for head in heads] == sorted(first.index(head) for head in heads)
    assert wording("report.prints-leave-out") in text
    assert "/oauth/access_token?" not in text
    assert "service_domain" in text
    assert MEANINGS[Outcome.INCONCLUSIVE].partition(";")[0] in text


@schemes
def test_print_is_dark_on_white(reader: Make, scheme: str) -> None:
    """Print is dark on white in both colour schemes, and no row is split between pages."""
    page = reader(color_scheme=scheme).open("approved")
    page.emulate_media(media="print")

    style = "getComputedStyle(document.body)"
    assert page.evaluate(f"{style}.color") == "rgb(31, 35, 40)"
    assert page.evaluate(f"{style}.backgroundColor") == "rgba(0, 0, 0, 0)"
    breaks = "rows => rows.map(row => getComputedStyle(row).breakInside)"
    assert set(page.locator("tr, .log li").evaluate_all(breaks)) == {"avoid"}
    badge = "badge => getComputedStyle(badge).backgroundColor"
    assert page.locator(".badge").first.evaluate(badge) == "rgba(0, 0, 0, 0)"


def test_a_link_to_a_step_shows_the_step(reader: Make) -> None:
    """A link to a step shows its evidence below the banner."""
    page = reader(viewport={"width": 1280, "height": 700}).open("approved")
    page.get_by_role("link", name="Set the Valid OAuth Redirect URI").first.click()
    expect(page).to_have_url(re.compile("#step-fb-08-redirect-uri$"))
    page.evaluate(_TWICE_DRAWN)

    box = page.locator("#step-fb-08-redirect-uri").bounding_box()
    banner = page.get_by_role("complementary", name="Sandbox").bounding_box()
    assert box is not None
    assert banner is not None
    assert banner["height"] <= box["y"] < 200


def test_a_table_heading_does_not_wrap(reader: Make) -> None:
    """In a narrow window, table headings stay on one line."""
    page = reader(viewport={"width": 400, "height": 900}).open("approved")

    heights = "cells => cells.map(cell => cell.getBoundingClientRect().height)"
    assert max(page.locator(".data thead th").evaluate_all(heights)) < 45


def test_a_report_stays_small(runs: dict[str, PracticeRun], reports: Path) -> None:
    """
    A report is less than 185 kB, and less than 370 kB with a journal of a hundred times the lines.
    """
    assert (reports / "approved.html").stat().st_size < LARGEST
    run = runs["approved"]
    many = run_report(_record(run), _repeated(run.lines, 100))
    assert len(many.encode()) < 2 * LARGEST
