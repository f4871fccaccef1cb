"""`fleet.html` and `watch.html`: all tenants on one page, whatever strangers have named."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from runbook_lib.core.model import HostCalls, Outcome
from runbook_lib.core.outcome import ICONS, LABELS
from runbook_lib.evidence.fleet_result import FleetResult, Status, TenantResult
from runbook_lib.evidence.reports.tenant_rows import StepRow, TenantRow
from runbook_lib.evidence.reports.tenants_page import watch_page
from tests.unit.evidence.reports.report_page import (
    Element,
    ReportPage,
    assert_accessible,
    printed_elsewhere,
)
from tests.unit.evidence.reports.sample_fleets import (
    LOGIN,
    REDIRECT,
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
CONTROLS = {"form", "label", "input", "select", "option", "button", "output", "b"}
OF_CONTROLS = {
    *("hidden", "name", "type", "autocomplete", "placeholder", "value", "aria-live"),
    *("data-is", "data-of"),
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


def hostile(text: str) -> FleetResult:
    """Return a record with `text` wherever others can write."""
    described = {"title": text, "steps": [{"id": text, "number": text, "title": text}]}
    steps = (
        step(text, "waiting", text, waits_for=text, since=text, assigned_to=text, due=text),
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

    assert_accessible(page)
    assert page.within(page.one("table"), "caption")
    assert all(each.attributes["scope"] in ("row", "col") for each in page.all("th"))
    for tag in ("input", "select"):
        assert all(any(up.tag == "label" for up in each.parents) for each in page.all(tag))


def test_the_rows_are_worst_first_with_their_words() -> None:
    """Each tenant has a row with its outcome, its steps and what is open, the worst first."""
    page = page_of(
        result("acme", step(LOGIN)),
        waiting("bloom", 30),
        result("clover", step(REDIRECT, "failed", "Wrong."), outcome="failed", exit_code=1),
    )

    assert [row.text[:5] for row in tenants(page)] == ["clove", "bloom", "acmec"]
    seal = "24 Nov, 11:59"
    waits = "Waits for an outside party since 25 Oct (30 days), 8 days overdue."
    assert cells(page, "acme") == ["acme", "complete", seal, seal]
    assert cells(page, "bloom") == [
        *("bloom", "incomplete", f"12 Submit for review, and wait: {waits} Facebook reviews it."),
        *("an outside party 8 days overdue", "25 Oct, 12:00", seal, seal),
    ]
    assert cells(page, "clover") == [
        *("clover", "failed", "8 Set the Valid OAuth Redirect URI: Wrong.", seal, seal)
    ]
    assert "2 tenants need you. Start with clover (failed): 8 Set" in page.one("header").text


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
    assert "No secret.Next: Set it, then run --resume." in named(page, "acme").text


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

    assert cells(page, "acme") == ["acme", "not started", "never"]


def test_an_empty_fleet_is_a_page() -> None:
    """A fleet without a tenant, or with a step that nothing is known of, is a page too."""
    assert "There is no tenant." in page_of().one("main").text
    assert page_of(unsealed("acme", connector=MESSENGER), connectors={}).all("tr")


def test_outcomes_have_their_words_and_glyphs() -> None:
    """Outcomes are in the words that people read; each has its glyph beside its colour."""
    page = page_of(result("acme", step(LOGIN, "not_run"), step(REDIRECT, "inconclusive")))

    style = page.one("style").text
    for outcome in Outcome:
        glyph = f'"{ICONS[outcome]}"'
        rule = f'::before {{ content: {glyph}; content: {glyph} / ""; }}'
        assert f'[data-outcome="{outcome}"]{rule}' in style
    assert not {"inconclusive", "not_run", "not run"} & set(page.text.split())
    assert LABELS[Outcome.INCONCLUSIVE] in named(page, "acme").text


@pytest.mark.parametrize(
    ("reason", "shown", "folded"),
    [
        ("", "8 Set the Valid OAuth Redirect URI: Wrong.", ["1 Log in to Facebook: waiting."]),
        ("Not kept.", "Not kept.", ["8 Set the Valid OAuth Redirect", "1 Log in to Facebook: wai"]),
    ],
)
def test_the_steps_are_folded(reason: str, shown: str, folded: list[str]) -> None:
    """A row shows what is wrong with it, or its worst step; the other steps are folded."""
    wrong, waits = step(REDIRECT, "failed", "Wrong."), step(LOGIN, "waiting", waits_for="anybody")
    row = named(page := page_of(result("acme", wrong, waits, reason=reason)), "acme")

    assert [each.text for each in page.within(row, "summary")] == [shown]
    lines = [each.text for each in page.within(row, "li")]
    assert [line[: len(begin)] for line, begin in zip(lines, folded, strict=True)] == folded


def test_each_row_names_its_connector_where_there_are_several() -> None:
    """Of several connectors each row names its own."""
    page = page_of(result("acme", step(LOGIN)), result("bloom", connector=MESSENGER))

    assert MESSENGER in named(page, "bloom").text


def test_a_row_has_the_values_that_filters_offer() -> None:
    """What a filter offers is what the rows have: outcome and overdue."""
    page = page_of(waiting("acme", 30), result("clover"))

    values = {each.text: each.attributes["value"] for each in page.all("option")}
    is_so = named(page, "acme").attributes["data-is"].split("/")
    assert is_so == [values["incomplete (1)"], values["overdue (1)"]]
    assert page.one("form").attributes["hidden"] == ""


def test_the_picture_has_a_text() -> None:
    """The picture of waiting times has a row for each step that waits, with its text."""
    page = page_of(waiting("acme", 2), waiting("bloom", 30))

    (picture,) = page.all("svg", role="img")
    assert picture.attributes["aria-label"] == (
        "12 Submit for review, and wait: 2 tenants, 2 to 30 days, 1 overdue"
    )
    assert not page_of(result("acme")).all("svg", role="img")


def test_a_tenant_costs_few_elements() -> None:
    """A tenant more is a few elements more, so that thousands can be opened."""
    few, many = (ReportPage(page_text(large_fleet(number))) for number in (100, 200))

    assert len(many.elements) - len(few.elements) < 100 * MOST_ELEMENTS


ON = "2026-11-24T12:00:00.000Z"
FAILING = StepRow(
    id="s",
    outcome=Outcome.FAILED,
    title="Copy it",
    since=ON,
    reason="It is refused.",
)
CALM = TenantRow(
    tenant="acme", connector="A connector", word="in order", outcome=Outcome.VERIFIED, looked_on=ON
)
UNSEEN = replace(CALM, word="not looked at", outcome=Outcome.INCONCLUSIVE, problem="Busy.")
BROKEN = replace(CALM, word="failing", outcome=Outcome.FAILED, steps=(FAILING,))
CHANGE = {
    "kind": "failed", "label": "failed", "on": ON, "title": "13 Copy the secret",
    "was": "verified", "now": "failed", "since": ON, "reason": "It is denied.",
    "breaks": "Nobody can sign in.", "also": ["8 Check"], "do": "Copy it again.",
    "tenants": ["acme"], "sandbox": False, "is_new": False,
}  # fmt: skip


def watch(*rows: TenantRow, changes: tuple[dict[str, object], ...] = ()) -> str:
    return "".join(watch_page(rows, changes, ON))


def test_the_watch_has_the_worst_first_and_then_what_changed() -> None:
    """Who fails, who was not looked at, who is in order; below them the changes, names folded."""
    names = [f"t{number}" for number in range(13)]
    changes = (CHANGE, {**CHANGE, "tenants": names, "is_new": True})
    rows = (CALM, replace(UNSEEN, tenant="zeta", looked_on=""), replace(BROKEN, tenant="yota"))
    text = watch(*rows, changes=changes)

    names_shown = [row.text[:4] for row in tenants(ReportPage(text))]
    assert names_shown == ["yota", "zeta", "acme"]
    assert "2 tenants need you. Start with yota (failing): Copy it." in text
    assert text.index("<table") < text.index("It is denied.")
    assert "<summary>13 tenants</summary>" in text
    assert text.count('<strong class="new">') == 1
    assert ">never</td>" in text


@pytest.mark.parametrize("is_sandbox", [False, True])
def test_practice_is_marked_in_a_watch(is_sandbox: bool) -> None:
    """One practice tenant among others marks the page, its row, and what changed for it."""
    change = {**CHANGE, "sandbox": is_sandbox}
    text = watch(CALM, replace(CALM, tenant="beta", sandbox=is_sandbox), changes=(change,))

    assert text.count('<strong class="practice">SANDBOX</strong>') == 2 * is_sandbox
    assert ("1 of these 2 tenants is practice" in text) is is_sandbox
    assert ("PRODUCTION:" in text) is not is_sandbox


def test_what_strangers_name_is_text_in_a_watch() -> None:
    """No name becomes an element, an attribute or a rule, and the page runs no script."""
    bad = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e'
    change = {**CHANGE, "tenants": [bad], "also": [bad], "is_new": True}
    change |= dict.fromkeys(("title", "was", "now", "reason", "breaks", "do"), bad)
    step_row = replace(FAILING, title=bad, reason=bad)
    named_bad = {"tenant": bad, "connector": bad, "word": bad, "problem": bad, "next_step": bad}
    text = watch(CALM, replace(BROKEN, **named_bad, steps=(step_row,)), changes=(change,))
    elements = {element.tag for element in ReportPage(text).elements}

    assert "\u202e" not in text
    assert elements <= {*HARMLESS, "b"}
    assert "default-src 'none'; style-src" in text


@pytest.mark.matrix(0)
def test_a_page_is_never_whole_in_memory() -> None:
    """It is written in parts: of thousands of tenants only their order is held meanwhile."""
    step_row = replace(FAILING, reason="It is refused. " * 10)
    rows = [replace(BROKEN, tenant=f"t{number}", steps=(step_row,)) for number in range(3_000)]
    watch(CALM)
    tracemalloc.start()
    length = sum(len(part) for part in watch_page(rows, (), ON))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < length / 3


def sample() -> str:
    """Return a page with something of everything."""
    return page_text(large_fleet(30))


def test_the_same_record_gives_the_same_page() -> None:
    """A page is the same to the byte in another process, time zone and hash seed."""
    printed = printed_elsewhere(f"from {__name__} import sample; print(sample())")

    assert printed == [sample() + "\n"] * 2
