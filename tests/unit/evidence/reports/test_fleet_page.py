"""`fleet.html`: the whole result of a fleet on one page, whatever is in the record."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import HostCalls, Outcome
from runbook_lib.core.outcome import ICONS, LABELS
from runbook_lib.evidence.fleet_record import FleetRecord, Status, TenantResult
from tests.unit.evidence.reports.report_page import Element, ReportPage
from tests.unit.evidence.reports.sample_fleets import (
    LOGIN,
    REDIRECT,
    REVIEW,
    fleet,
    large_fleet,
    page_text,
    result,
    step,
    unsealed,
    waiting,
)
from tests.unit.evidence.reports.test_report_safety import ATTRIBUTES, HARMLESS, HOSTILE

MESSENGER = "facebook_messenger"
CONTROLS = {"form", "label", "input", "select", "optgroup", "option", "button", "output", "i", "b"}
OF_CONTROLS = {
    *("hidden", "name", "type", "autocomplete", "placeholder", "value", "label", "aria-live"),
    *("data-sort", "data-is", "data-open", "data-whom", "data-failed", "data-wait"),
    *("data-seconds", "data-connector"),
}
# What a tenant may cost the browser, in elements; see `tools.bench --only fleet-page`.
MOST_ELEMENTS = 30


def page_of(*results: TenantResult, **more: Any) -> ReportPage:
    """Return the page of a fleet with these results."""
    return ReportPage(page_text(fleet(*results, **more)))


def tenants(page: ReportPage) -> list[Element]:
    """Return the rows of the tenants."""
    return [each for each in page.all("tr") if "data-is" in each.attributes]


def named(page: ReportPage, tenant: str) -> Element:
    """Return the row of a tenant."""
    (row,) = (each for each in tenants(page) if each.text.startswith(tenant))
    return row


def cells(page: ReportPage, tenant: str) -> list[str]:
    """Return the texts of a tenant's cells, without empty ones."""
    row = named(page, tenant)
    return [each.text for each in page.elements if each.parents[-1:] == (row,) and each.text]


def hostile(text: str) -> FleetRecord:
    """Return a record with `text` wherever others can write."""
    described = {"title": text, "steps": [{"id": text, "number": text, "title": text}]}
    steps = (
        step(text, "waiting", text, for_=text, since=text, assigned_to=text, due=text),
        step(f"{text}2", "failed", text),
    )
    return fleet(
        result(text, *steps, connector=text, bundle=text, reason=text, next_step=text),
        unsealed("acme", reason=text, next_step=text, connector=text),
        file=text,
        fleet_id=text,
        started_on=text,
        finished_on=text,
        connectors={text: described},
    )


@pytest.mark.parametrize("kind", HOSTILE)
def test_other_peoples_text_is_only_text(kind: str) -> None:
    """Text in a record adds no element, attribute, style, script or link that leads elsewhere."""

    text = page_text(hostile(HOSTILE[kind]))
    page, plain = ReportPage(text), page_of(result("acme"), fleet_id="")
    text.encode("utf-8")

    assert {each.tag for each in page.elements} <= HARMLESS | CONTROLS | {"script"}
    for each in page.elements:
        assert set(each.attributes) <= ATTRIBUTES | OF_CONTROLS, each
    for tag in ("style", "script"):
        assert page.one(tag).pieces == plain.one(tag).pieces
    assert all(each.attributes["href"].startswith(("#", "../../")) for each in page.all("a"))
    assert "49" not in page.one("h1").text
    assert not set("\u202e\u2066\x00\x1b") & set(text)
    assert len(text) < 100_000


def test_the_policy_permits_one_script_by_its_digest() -> None:
    """The page loads nothing, and its policy permits the one script in it alone."""

    page = page_of(result("acme"))
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    script = "".join(page.one("script").pieces)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert policy.attributes["content"].split("; ") == [
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in page.one("style").text


@pytest.mark.parametrize("tenants", [0, 1, 12])
def test_a_page_is_accessible(tenants: int) -> None:
    """A page has one h1, no skipped level, a table with caption and scopes, labelled controls."""

    page = ReportPage(page_text(large_fleet(tenants)))

    levels = [int(each.tag[1]) for each in page.elements if each.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.within(page.one("table"), "caption")
    assert all(each.attributes["scope"] in ("row", "col") for each in page.all("th"))
    for tag in ("input", "select"):
        assert all(any(up.tag == "label" for up in each.parents) for each in page.all(tag))
    names = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    links = [each.attributes["href"] for each in page.all("a")]
    assert {link for link in links if link.startswith("#")} <= {f"#{name}" for name in names}


def test_the_rows_are_worst_first_with_their_words() -> None:
    """Each tenant has a row with its outcome, its steps and what is open, the worst first."""

    page = page_of(
        result("acme", step(LOGIN)),
        waiting("bloom", 30),
        result("clover", step(REDIRECT, "failed", "Wrong."), outcome="failed", exit_code=1),
    )

    assert [row.text[:5] for row in tenants(page)] == ["clove", "bloom", "acmec"]
    assert cells(page, "acme") == ["acme", "complete", "2.5 s"]
    assert cells(page, "bloom")[:3] == ["bloom", "incomplete", "30 days 8 days overdue"]
    waits = "Waits for an outside party since 25 Oct (30 days), 8 days overdue."
    assert f"12 Submit for review, and wait: waiting. {waits}" in named(page, "bloom").text
    assert cells(page, "clover")[:3] == ["clover", "failed", "1 failed"]
    assert "8 Set the Valid OAuth Redirect URI: failed. Wrong." in named(page, "clover").text


def test_what_is_verified_in_part_is_open() -> None:
    """A step that a person must look at is named with its reason, and drawn as what it is."""

    in_part = step(REDIRECT, reason="The domain is accepted.", for_="anybody", since=None)
    page = page_of(result("acme", {**in_part, "needs_person": True}, outcome="incomplete"))

    assert "URI: verified in part: The domain is accepted." in page.text
    assert "8 Set the Valid OAuth Redirect URI1 verified in part" in page.section("steps")
    marks = [mark for mark in page.all("i") if mark.attributes.get("class") == "in-part"]
    assert {mark.attributes["data-outcome"] for mark in marks} == {"verified"}
    assert len(marks) == 2


def test_a_row_leads_to_its_report() -> None:
    """A tenant's name is the link to the report in its bundle; without a bundle there is none."""

    page = page_of(result("acme"), unsealed("bloom"))

    (link,) = page.within(page.one("tbody"), "a")
    assert link.text == "acme"
    assert link.attributes["href"].startswith("../../acme/facebook_marketing/2026")
    assert link.attributes["href"].endswith("/report.html")


def test_a_tenant_without_evidence_says_why_and_what_to_do() -> None:
    """Where nothing was sealed, the row has the reason and the next step, as plain text."""

    page = page_of(unsealed("acme", reason="No secret.", next_step="Set it, then run `--resume`."))

    assert "✘ 1 not sealed" in page.one("header").text
    assert named(page, "acme").text.endswith("No secret.Next: Set it, then run --resume.")


def test_the_answers_of_each_host_are_summed() -> None:
    """A host's answers to all tenants are one row, with the largest share of any app."""

    asked = [
        (HostCalls(host="graph.facebook.com", calls=21, share=12.5),),
        (
            HostCalls(host="graph.facebook.com", calls=1_400, share=63.0),
            HostCalls(host="api.cyclr.com", calls=8, share=None),
        ),
    ]
    results = [replace(result(f"t{n}"), calls=calls) for n, calls in enumerate(asked)]

    page = page_of(*results)

    rows = [each for each in page.all("tr") if "graph." in each.text or "api." in each.text]
    texts = [[each.text for each in page.elements if each.parents[-1:] == (row,)] for row in rows]
    assert texts == [["graph.facebook.com", "1,421", "63 %"], ["api.cyclr.com", "8", "–"]]
    assert "Calls" not in [each.text for each in page_of(result("t")).all("h2")]


def test_practice_is_marked() -> None:
    """SANDBOX stands on the page, in its title, and at each practice tenant alone."""

    page = page_of(result("acme", sandbox=True), result("bloom"))

    assert page.title.startswith("SANDBOX · ")
    assert "1 of these 2 tenants is practice" in page.one("aside").text
    assert "SANDBOX" in named(page, "acme").text
    assert "SANDBOX" not in named(page, "bloom").text
    assert "SANDBOX" not in page_of(result("bloom")).text


def test_what_did_not_run_says_so() -> None:
    """A tenant that was left for later is named."""

    page = page_of(unsealed("acme", status=Status.PENDING, exit_code=None, seconds=None))

    assert cells(page, "acme") == ["acme", "not started"]


def test_an_empty_fleet_is_a_page() -> None:
    """A fleet without a tenant, or with a step that nothing is known of, is a page too."""

    assert "There is no tenant in this run." in page_of().one("main").text
    assert "no result yet" in page_of(unsealed("acme", status=Status.PENDING)).text
    assert page_of(unsealed("acme", connector=MESSENGER), connectors={}).all("tr")


def test_outcomes_have_their_words_and_glyphs() -> None:
    """Outcomes are in the words that people read; each has its glyph beside its colour."""

    page = page_of(result("acme", step(LOGIN, "not_run"), step(REDIRECT, "inconclusive")))

    style = page.one("style").text
    for outcome in Outcome:
        glyph = f'"{ICONS[outcome]}"'
        rule = f'::before {{ content: {glyph}; content: {glyph} / ""; }}'
        assert f'[data-outcome="{outcome}"]{rule}' in style
    (strip,) = page.all("span", role="img")
    assert strip.attributes["aria-label"] == "1 could not be checked and 1 to do"
    assert not {"inconclusive", "not_run", "not run"} & set(page.text.split())
    assert LABELS[Outcome.NOT_RUN] in named(page, "acme").text


def test_the_steps_that_need_a_look_are_not_folded() -> None:
    """Steps that failed or wait for a tenant come first with their numbers; others are folded."""

    also = result("clover", step(REVIEW), step("fb-12a-publish", "waiting"))
    page = page_of(waiting("acme", 2), waiting("bloom", 3), also)

    first, _, second = page.all("li", class_="row")[:3]
    assert [each.text for each in page.within(first, "span")] == [
        "12 Submit for review, and wait",
        "2",
        "1 verified and 2 waiting",
    ]
    assert second.text.startswith("1 Log in to Facebook")
    assert any(each.tag == "details" for each in second.parents)
    assert f"The other {len(PROCEDURE.steps) - 2} steps" in page.one("main").text
    assert "Waits most often: 12 Submit for review, and wait, for 2 tenants." in page.text


def test_each_connector_has_its_steps() -> None:
    """Several connectors have their own steps, by title, and each row names its own."""

    page = page_of(
        result("acme", step(LOGIN)),
        result("bloom", step("fb-10d-app-review", "waiting"), connector=MESSENGER),
    )

    assert [each.text for each in page.all("h3")] == [
        "Facebook Marketing API connector",
        "Facebook Messenger API connector",
    ]
    assert [each.attributes["label"] for each in page.all("optgroup")] == [
        "Facebook Marketing API connector",
        "Facebook Messenger API connector",
    ]
    row = named(page, "bloom")
    assert MESSENGER in row.text
    (wanted,) = (each for each in page.all("option") if each.text.startswith("10d "))
    assert row.attributes["data-open"] == wanted.attributes["value"]
    assert row.attributes["data-connector"] == "1"


def test_a_row_has_the_values_that_filters_offer() -> None:
    """What a filter offers is what the rows have: outcome, overdue, and whom it waits for."""

    person = {"for_": "person", "assigned_to": "A colleague"}
    page = page_of(
        waiting("acme", 30), result("bloom", step(LOGIN, "not_run", **person)), result("clover")
    )

    values = {each.text: each.attributes["value"] for each in page.all("option")}
    acme, bloom = named(page, "acme").attributes, named(page, "bloom").attributes
    assert acme["data-is"].split() == [values["incomplete (1)"], values["overdue (1)"]]
    assert acme["data-whom"].split() == [values["an outside party (1)"]]
    assert bloom["data-whom"].split() == [values["A colleague (1)"]]
    assert acme["data-wait"] == "30"
    assert page.one("form").attributes["hidden"] == ""


def test_the_picture_has_a_text() -> None:
    """The picture of waiting times has a row for each step that waits, with its text."""

    page = page_of(waiting("acme", 2), waiting("bloom", 30))

    (picture,) = page.all("svg", role="img")
    assert picture.attributes["aria-label"] == (
        "12 Submit for review, and wait: 2 tenants, 2 to 30 days; 1 overdue"
    )
    assert not page_of(result("acme")).all("svg", role="img")


def test_a_tenant_costs_few_elements() -> None:
    """A tenant more is a few elements more, so that thousands can be opened."""

    few, many = (ReportPage(page_text(large_fleet(number))) for number in (100, 200))

    assert len(many.elements) - len(few.elements) < 100 * MOST_ELEMENTS


def sample() -> str:
    """Return a page with something of everything."""
    return page_text(large_fleet(30))


def test_the_same_record_gives_the_same_page() -> None:
    """A page is the same to the byte in another process, time zone and hash seed."""

    code = f"from {__name__} import sample; print(sample())"
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[4],
        ).stdout
        for seed, zone in (("1", "Pacific/Auckland"), ("2", "America/Lima"))
    ]

    assert printed == [sample() + "\n"] * 2
