"""A report is safe and reproducible, whatever the record contains."""

from __future__ import annotations

import base64
import hashlib
import re
from copy import deepcopy
from pathlib import Path

import pytest

from runbook_lib.evidence.reports.report import run_report
from tests.support.hostile_records import (
    ATTRIBUTES,
    HARMLESS,
    HOSTILE,
    everywhere,
    lines_with,
    steps_with,
)
from tests.support.wording import wording
from tests.unit.evidence.reports.report_page import (
    ReportPage,
    assert_accessible,
    printed_elsewhere,
    report_of,
)
from tests.unit.evidence.reports.sample_runs import (
    EVERY_OUTCOME,
    SHA,
    Document,
    attachment,
    attestation_json,
    attested,
    check,
    checked,
    record,
    step,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture"
REVIEW = "fb-12-submit-review"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a folder with one picture, named by its digest."""
    (tmp_path / f"{digest(PNG)}.png").write_bytes(PNG)
    return tmp_path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def with_files(*given: Document, folder: Path | None) -> ReportPage:
    said = step("fb-01-said", "attested", attachments=list(given))
    return report_of(said, attachments=folder)


def test_a_picture_is_shown_and_linked_with_its_digest(kept: Path) -> None:
    """A picture is embedded and linked with its digest, or listed without the folder of files."""
    page = with_files(attachment(sha256=digest(PNG), size=len(PNG)), folder=kept)

    (figure,) = page.all("figure")
    source = page.one("img").attributes["src"]
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == PNG
    assert "screen.png" in page.one("img").attributes["alt"]
    assert page.within(figure, "a")[0].attributes["href"] == f"attachments/{digest(PNG)}.png"
    assert digest(PNG) in figure.text
    assert "17 bytes" in figure.text

    page = with_files(attachment(), folder=None)
    assert page.all("img") == []
    assert page.one("figure").text.split(" · ")[:2] == ["screen.png", "image/png, 10 bytes"]


@pytest.mark.parametrize("content", [b"", PNG + b"!"])
def test_a_changed_or_missing_attachment_is_not_shown(kept: Path, content: bytes) -> None:
    """A missing or changed file is neither shown nor linked, and the report says so."""
    path = kept / f"{digest(PNG)}.png"
    path.write_bytes(content) if content else path.unlink()
    page = with_files(attachment(sha256=digest(PNG), size=len(PNG)), folder=kept)

    assert page.all("img") == []
    assert page.within(page.one("figure"), "a") == []
    assert "was changed" in page.one("figure").text
    assert digest(PNG) in page.one("figure").text


@pytest.mark.parametrize(
    ("given", "suffix"),
    [
        # A PDF and a text that was submitted are linked.
        ({"name": "letter.pdf", "media_type": "application/pdf"}, ".pdf"),
        ({"name": "kit.md", "media_type": "text/markdown"}, ".md"),
        # Another type of file is not.
        ({"media_type": "text/html"}, ""),
        ({"media_type": "image/svg+xml"}, ""),
    ],
)
def test_another_file_is_not_shown(kept: Path, given: Document, suffix: str) -> None:
    """A file that is no picture is not shown, and linked only if it can do no harm."""
    page = with_files(attachment(**given), folder=kept)

    links = [link.attributes["href"] for link in page.within(page.one("figure"), "a")]
    assert links == ([f"attachments/{SHA}{suffix}"] if suffix else [])
    assert page.all("img") == []
    assert (wording("report.not-linked") in page.one("figure").text) is not bool(suffix)


def picture(kept: Path, *, kibibytes: int, content: bytes, more: int = 0) -> Document:
    """Keep a picture of this size, and return its attachment."""
    size = kibibytes * 1024 + more
    whole = PNG + content.ljust(size - len(PNG), b".")
    (kept / f"{digest(whole)}.png").write_bytes(whole)
    return attachment(sha256=digest(whole), size=size)


def test_large_pictures_are_only_linked(kept: Path) -> None:
    """A picture above 300 KiB, or above 1 MiB together with those before it, is only linked."""
    full = [picture(kept, kibibytes=300, content=name) for name in (b"1", b"2", b"3")]
    rest = picture(kept, kibibytes=124, content=b"rest")

    # A picture that is shown at two steps counts once.
    first = step("fb-01-said", "attested", attachments=full)
    second = step("fb-02-said", "attested", attachments=[full[0], rest])
    assert len(report_of(first, second, attachments=kept).all("img")) == 5
    page = with_files(*full, picture(kept, kibibytes=124, content=b"", more=1), folder=kept)
    assert len(page.all("img")) == 3
    assert wording("report.too-large") in page.all("figure")[3].text
    page = with_files(picture(kept, kibibytes=300, content=b"", more=1), rest, folder=kept)
    assert len(page.all("img")) == 1
    assert page.within(page.all("figure")[0], "a")


@pytest.mark.parametrize("kind", HOSTILE)
def test_other_peoples_text_is_only_text(kind: str) -> None:
    """Text in a record adds no element, attribute, link or style."""
    text = HOSTILE[kind]
    plain_page = ReportPage(run_report(record(), []))
    page_text = run_report(everywhere(text), lines_with(text))
    page = ReportPage(page_text)
    page_text.encode("utf-8")
    assert {element.tag for element in page.elements} <= HARMLESS
    for element in page.elements:
        assert set(element.attributes) <= ATTRIBUTES, element
    assert page.one("style").pieces == plain_page.one("style").pieces
    names = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in names)
    assert {link.attributes["href"][0] for link in page.all("a")} <= {"#"}
    assert "49" not in page.one("h1").text
    assert not set("\u202e\u2066\x00\x1b") & set(page_text)
    assert len(page_text) < 400_000


def test_right_to_left_text_is_isolated() -> None:
    """Right-to-left text is shown unchanged and does not affect the text around it."""
    text = HOSTILE["right to left"]
    page = ReportPage(run_report(everywhere(text), lines_with(text)))

    assert text in page.one("h1").text
    assert page.one("h1").text in {f"{each.text} COMPLETE" for each in page.all("bdi")}
    assert page.all("blockquote", dir="auto")


def test_a_long_note_is_cut_and_its_rest_counted() -> None:
    """A long note is cut, with the number of the remaining characters."""
    page = report_of(
        step("fb-01-said", "attested", attestation=attestation_json("x", note="n" * 10_000))
    )

    note = page.one("blockquote").text
    assert note.endswith("… (6,000 more characters)")
    assert len(note) < 4_100


def test_only_a_secure_address_becomes_a_link() -> None:
    """Only an https address becomes a link."""
    good = "https://www.facebook.com/apps/4711?a=b&c=d"
    bad = "javascript:alert(1)"
    page = report_of(
        step(checks=[check(facts={"good": good, "bad": bad, "plain": "http://a.example/"})]),
        values={"good": good, "bad": bad},
    )

    outside = [each for each in page.all("a") if not each.attributes["href"].startswith("#")]
    assert [(each.attributes["href"], each.text) for each in outside] == [(good, good)] * 2
    assert all(each.attributes["rel"] == "noopener noreferrer" for each in outside)


def full() -> str:
    """Return the report of a run with everything in it."""
    lines = [attested(REVIEW, kind="submitted"), checked(REVIEW, "waiting")]
    return run_report(
        record(*EVERY_OUTCOME, step(REVIEW, "waiting"), steps_with("some text")[0]), lines
    )


def test_a_report_is_one_file_that_loads_and_runs_nothing() -> None:
    """A report has no script and loads nothing, and its policy forbids both."""
    text = full()
    page = ReportPage(text)

    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    assert policy.attributes["content"].split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert {each.tag for each in page.elements} <= HARMLESS
    assert {name for each in page.elements for name in each.attributes} <= ATTRIBUTES
    assert [each.attributes["href"] for each in page.all("link")] == ["data:,"]
    assert "url(" not in page.one("style").text
    assert "@import" not in text


def test_a_report_is_accessible() -> None:
    """A report has a language, one h1, no skipped level, captions, and valid internal links."""
    page = ReportPage(full())

    assert_accessible(page)
    assert page.one("html").attributes["lang"] == "en"
    assert all(link.attributes["href"].startswith("#") for link in page.all("a"))
    parts = ["header", "main", "footer"]
    assert [each.tag for each in page.elements if each.tag in parts] == parts


def test_the_same_run_gives_the_same_report() -> None:
    """A report is the same to the byte in another process, time zone and hash seed."""
    printed = printed_elsewhere(f"from {__name__} import full; print(full())")

    assert printed == [full() + "\n"] * 2


def test_the_record_is_not_changed() -> None:
    """Building a report does not change the record."""
    given = record(*EVERY_OUTCOME)
    before = deepcopy(given)
    run_report(given, [])

    assert given == before
