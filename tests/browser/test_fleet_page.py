"""`fleet.html` and `watch.html` in Chromium: sorted, filtered, by keyboard, without a script."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from runbook_lib.evidence.fleet_result import FleetResult
from tests.browser.test_practice_accessibility import violations
from tests.browser.test_report import Reader
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
from tests.unit.evidence.reports.test_report_safety import HOSTILE
from tests.unit.evidence.reports.test_tenants_page import (
    BROKEN,
    CALM,
    CHANGE,
    MESSENGER,
    UNSEEN,
    hostile,
    watch,
)

PAGES = ("small", "large", "empty", "hostile", "watch")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
every_page = pytest.mark.parametrize("name", PAGES)


def small_fleet() -> FleetResult:
    """Return a fleet in which each order of the tenants differs from the others."""
    wrong = step(REDIRECT, "failed", "The URI is another one.", waits_for="anybody", since=None)
    person = {
        "waits_for": "person",
        "assigned_to": "A colleague",
        "since": None,
        "due": "2026-12-01",
    }
    return fleet(
        result("tenant-10", step(LOGIN), seconds=9.0),
        replace(waiting("tenant-2", 30), sandbox=True),
        result("tenant-1", wrong, outcome="failed", exit_code=1, seconds=4.0),
        result(
            "bakery",
            step("fb-10d-app-review", "not_run", "Nothing happened yet.", **person),
            connector=MESSENGER,
            outcome="incomplete",
            exit_code=3,
            seconds=1.0,
        ),
        unsealed("clinic", reason="No secret.", next_step="Set it.", seconds=0.5),
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every page."""
    folder = tmp_path_factory.mktemp("fleets")
    records = {
        "small": small_fleet(),
        "large": large_fleet(400),
        "empty": fleet(),
        "hostile": hostile(" ".join(HOSTILE.values())),
    }
    for name, record in records.items():
        (folder / f"{name}.html").write_text(page_text(record), encoding="utf-8")
    text = watch(UNSEEN, BROKEN, replace(CALM, sandbox=True), changes=(CHANGE,))
    (folder / "watch.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def visit(browser: Browser, pages: Path) -> Iterator[Reader]:
    """Yield a window in which nothing may be asked for, and nothing may be complained about."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Reader(context, pages)
    yield visit
    context.close()
    assert visit.complaints == []
    assert all(url.startswith("file:") and url.endswith(".html") for url in visit.asked)


@pytest.fixture
def page(visit: Reader) -> Page:
    """Return the page of the small fleet."""
    return visit.open("small")


def expect_tenants(page: Page, names: list[str]) -> None:
    """Expect these tenants to be shown, in this order."""
    expect(page.locator("tbody th :is(a, bdi)")).to_have_text(names)


def heading(page: Page, name: str) -> str:
    """Return how the table is sorted by this column."""
    found = page.get_by_role("columnheader", name=name)
    return found.get_attribute("aria-sort") or ""


BY_NAME = ["bakery", "clinic", "tenant-1", "tenant-2", "tenant-10"]
WORST_FIRST = ["tenant-1", "clinic", "tenant-2", "bakery", "tenant-10"]


@pytest.mark.parametrize(
    ("column", "first", "again"),
    [
        ("Tenant", BY_NAME, BY_NAME[::-1]),
        (
            "Waits for",
            ["bakery", "tenant-2", "tenant-1", "clinic", "tenant-10"],
            ["tenant-1", "tenant-2", "bakery", "clinic", "tenant-10"],
        ),
        ("Since", ["tenant-2", *WORST_FIRST[:2], *WORST_FIRST[3:]], None),
        ("Last seal", ["tenant-1", "tenant-2", "bakery", "tenant-10", "clinic"], None),
    ],
)
def test_a_column_sorts_and_turns(
    page: Page, column: str, first: list[str], again: list[str] | None
) -> None:
    """
    A click on a column sorts by it; another one turns that.

    Empty cells are last, and of equal tenants the worst is first, in both directions.
    """
    expect_tenants(page, WORST_FIRST)
    assert heading(page, "Outcome") == "ascending"
    button = page.get_by_role("button", name=column)

    button.click()

    expect_tenants(page, first)
    assert heading(page, column) == "ascending"
    assert page.locator("[aria-sort]").count() == 1
    button.click()
    assert heading(page, column) == "descending"
    expect_tenants(page, again or first)


def test_the_first_order_comes_back(page: Page) -> None:
    """The outcome sorts from the worst to the best, as the page was written."""
    page.get_by_role("button", name="Tenant").click()
    page.get_by_role("button", name="Outcome").click()
    expect_tenants(page, WORST_FIRST)
    page.get_by_role("button", name="Outcome").click()
    expect_tenants(page, WORST_FIRST[::-1])


@pytest.mark.parametrize(
    ("label", "choice", "left"),
    [
        ("Outcome", "incomplete (2)", ["tenant-2", "bakery"]),
        ("Outcome", "overdue (1)", ["tenant-2"]),
        ("Outcome", "not sealed (1)", ["clinic"]),
    ],
)
def test_a_filter_leaves_what_fits(page: Page, label: str, choice: str, left: list[str]) -> None:
    """A filter leaves the tenants that fit, in order, and says how many; a reset undoes it."""
    page.get_by_label(label).select_option(choice)

    expect_tenants(page, left)
    expect(page.locator("output")).to_have_text(f"{len(left)} of 5 tenants")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("output")).to_have_text("5 tenants")
    expect_tenants(page, WORST_FIRST)


def test_a_search_finds_names_steps_and_reasons(page: Page) -> None:
    """A search ignores case, and looks at the whole row; with a filter both must fit."""
    search = page.get_by_label("Search")

    search.fill("the uri IS another")
    expect_tenants(page, ["tenant-1"])
    search.fill("10d submit for review")
    expect_tenants(page, ["bakery"])
    search.fill("nothing has this")
    expect(page.get_by_text("No tenant matches.")).to_be_visible()
    search.fill("tenant-")
    page.get_by_role("button", name="Tenant").click()
    expect_tenants(page, ["tenant-1", "tenant-2", "tenant-10"])
    page.get_by_label("Outcome").select_option("complete (1)")
    expect_tenants(page, ["tenant-10"])


def test_the_page_can_be_used_by_keyboard(page: Page) -> None:
    """Tab reaches each control with a visible outline; Enter sorts and opens the details."""
    page.get_by_label("Search").focus()
    reached = []
    for _ in range(13):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "[document.activeElement.localName, getComputedStyle(document.activeElement)"
                ".outlineStyle]"
            )
        )

    assert [name for name, _ in reached] == [
        *("select", "button"),
        *("button",) * 7,
        *("a", "summary", "a", "a"),
    ]
    assert {outline for _, outline in reached} == {"solid"}
    page.get_by_role("button", name="Tenant").press("Enter")
    expect_tenants(page, BY_NAME)
    expect(page.get_by_role("button", name="Tenant")).to_be_focused()
    page.locator("summary", has_text="No secret.").press("Enter")
    expect(page.get_by_text("Next: Set it.")).to_be_visible()


# A page of 400 tenants has the same rows as a small one.
@pytest.mark.parametrize("name", [name for name in PAGES if name != "large"])
def test_a_page_is_accessible(visit: Reader, axe: str, name: str) -> None:
    """A page has no serious violation in either scheme, and fits the window at each width."""
    page = visit.open(name)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    for width in (1280, 800, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert violations(page, axe) == []


@every_page
def test_a_page_is_whole_without_scripts(browser: Browser, pages: Path, name: str) -> None:
    """Without scripts each tenant is there, the worst first, and no control without use."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((pages / f"{name}.html").as_uri())

        rows = {"small": 5, "large": 400, "hostile": 2, "watch": 3}
        assert page.locator("tbody tr").count() == rows.get(name, 0)
        expect(page.locator("form")).to_be_hidden()
        assert page.get_by_role("button").count() == 0
        if name == "small":
            expect_tenants(page, WORST_FIRST)
            page.locator("summary", has_text="No secret.").click()
            expect(page.get_by_text("Next: Set it.")).to_be_visible()


def test_the_last_of_many_tenants_is_reached(visit: Reader) -> None:
    """Rows that were not drawn yet are drawn when they are scrolled to, and after each filter."""
    page = visit.open("large")
    page.get_by_label("Search").fill("nothing has this")
    expect(page.locator("output")).to_have_text("0 of 400 tenants")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("output")).to_have_text("400 tenants")

    last = page.locator("tbody tr").last
    last.scroll_into_view_if_needed()

    expect(last).to_be_in_viewport()
    expect(last).to_contain_text("tenant-0393")


def test_a_filtered_page_is_printed_as_it_is_seen(page: Page) -> None:
    """On paper there are the tenants that the filters left, with their details, and no control."""
    page.get_by_label("Outcome").select_option("not sealed (1)")
    text = "\n".join(each.extract_text() for each in PdfReader(io.BytesIO(page.pdf())).pages)

    assert "clinic" in text
    assert "Next: Set it." in text
    assert "tenant-10" not in text
    assert "Show all" not in text


def test_the_policy_blocks_an_injected_script(browser: Browser, pages: Path) -> None:
    """A script other than the page's own does not run."""
    text = (pages / "small.html").read_text(encoding="utf-8")
    smuggled = text.replace("<main>", '<main><script>document.title = "run"</script>')
    (pages / "smuggled.html").write_text(smuggled, encoding="utf-8")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((pages / "smuggled.html").as_uri())

        expect(page.get_by_label("Search")).to_be_visible()
        expect(page).not_to_have_title("run")
