"""`index.html` in Chromium: searched, filtered, sorted, by keyboard, on paper, without a script."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from pypdf import PdfReader

from runbook_lib.core.model import Outcome
from runbook_lib.operations.customer_letters import LINK_LINE
from tests.browser.axe import violations
from tests.browser.jupyter import keep_picture
from tests.browser.report_reader import Reader
from tests.support.hostile_index import hostile
from tests.support.hostile_records import HOSTILE
from tests.support.wording import wording
from tests.unit.evidence.reports.sample_statuses import (
    RENEWAL,
    SECRET,
    UNPUBLISHED,
    UNREADABLE,
    customer,
    customers,
    full_page,
    in_review,
    many,
    many_customers,
    status,
    tenants,
)
from tests.unit.evidence.reports.sample_statuses import (
    page as index_text,
)

PAGES = ("small", "full", "practice", "large", "empty", "hostile")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
every_page = pytest.mark.parametrize("name", PAGES)


def small_page() -> str:
    """Return a page in which each order of the tenants differs from the others."""
    earlier = {"polled_on": "2026-11-30T05:00:00.000Z", "sealed_on": "2026-11-02T02:15:00Z"}
    return index_text(
        [
            status("tenant-10", done=9),
            status("tenant-2", in_review(), **earlier),
            status("tenant-1", SECRET, UNPUBLISHED, polled_on=None, done=31),
            status("bakery", UNPUBLISHED, RENEWAL, sealed_on="", bundle="", outcome=None),
            status("clinic", UNREADABLE, sealed_on="2026-11-30T02:15:00Z"),
        ],
        [customer("First"), customer("Second", "bakery", "signed out", outcome=Outcome.FAILED)],
    )


def practice_page() -> str:
    """Return a page of practice only."""
    return index_text(
        [replace(tenant, is_practice=True) for tenant in tenants()],
        [replace(account, is_practice=True) for account in customers()],
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every page."""
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "small": small_page(),
        "full": full_page(),
        "practice": practice_page(),
        "large": index_text(many(400), many_customers(400)),
        "empty": index_text(),
        "hostile": hostile(" ".join(HOSTILE.values())),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
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
    """Return the small page."""
    return visit.open("small")


def table(page: Page, kind: str) -> Locator:
    """Return the list of a kind; of the causes, that of the first group."""
    return page.locator(f"table.{kind}").first


def expect_tenants(page: Page, names: list[str]) -> None:
    """Expect these tenants to be listed, in this order."""
    expect(page.locator(".tenants tbody th > bdi")).to_have_text(names)


BY_NAME = ["bakery", "clinic", "tenant-1", "tenant-2", "tenant-10"]
URGENT_FIRST = ["clinic", "tenant-1", "bakery", "tenant-2", "tenant-10"]


@pytest.mark.parametrize(
    ("column", "first", "again"),
    [
        ("Tenant", BY_NAME, BY_NAME[::-1]),
        (
            "First",
            ["tenant-2", "clinic", "tenant-1", "bakery", "tenant-10"],
            ["bakery", "tenant-1", "clinic", "tenant-2", "tenant-10"],
        ),
        (
            "Steps done",
            ["tenant-10", "tenant-1", "bakery", "clinic", "tenant-2"],
            ["clinic", "tenant-2", "bakery", "tenant-1", "tenant-10"],
        ),
        (
            "Last run",
            ["tenant-2", "clinic", "tenant-1", "tenant-10", "bakery"],
            ["bakery", "tenant-1", "tenant-10", "clinic", "tenant-2"],
        ),
    ],
)
def test_a_column_sorts_and_turns(
    page: Page, column: str, first: list[str], again: list[str]
) -> None:
    """
    A click on a column sorts by it; another one turns that.

    Empty cells are last, and of equal rows the most urgent is first, in both directions.
    """
    expect_tenants(page, URGENT_FIRST)
    found = table(page, "tenants")
    head = found.get_by_role("columnheader", name=column)
    expect(found.get_by_role("columnheader", name="State")).to_have_attribute(
        "aria-sort", "ascending"
    )

    head.get_by_role("button").click()

    expect_tenants(page, first)
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert found.locator("[aria-sort]").count() == 1
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect_tenants(page, again)


def test_the_first_order_comes_back(page: Page) -> None:
    """The state sorts from the most urgent on, as the page was written; *Show all* does, too."""
    found = table(page, "tenants")
    found.get_by_role("button", name="Tenant").click()
    found.get_by_role("button", name="State").click()
    expect_tenants(page, URGENT_FIRST)
    found.get_by_role("button", name="State").click()
    expect_tenants(page, URGENT_FIRST[::-1])

    page.get_by_role("button", name="Show all").click()
    expect_tenants(page, URGENT_FIRST)


def test_each_list_sorts_by_itself(page: Page) -> None:
    """Causes and customers sort by any column; the other lists stay as they are."""
    names = page.locator(".customers tbody th")
    expect(names).to_have_text(["Second", "First"])
    table(page, "customers").get_by_role("button", name="Customer").click()
    expect(names).to_have_text(["First", "Second"])
    due = table(page, "causes")
    due.get_by_role("button", name="Where").click()
    expect(due.locator("tbody td:nth-of-type(1)")).to_have_text(
        ["clinic", "tenant-1", "tenant-1, bakery"]
    )
    expect_tenants(page, URGENT_FIRST)


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (f"{wording('status.needs-you-failing')} (2)", ["clinic", "tenant-1"]),
        ("overdue (2)", ["tenant-1", "bakery"]),
        ("waiting (1)", ["tenant-2"]),
    ],
)
def test_a_filter_leaves_what_fits(page: Page, choice: str, left: list[str]) -> None:
    """A filter leaves the rows that fit, in order, and says how many; a reset undoes it."""
    page.locator("select[name=tenants]").select_option(choice)

    expect_tenants(page, left)
    expect(page.locator("#tenants")).to_have_text(f"Tenants {len(left)} of 5")
    expect(page.locator("#customers")).to_have_text("Customers who need something")
    expect(page.locator("output")).to_have_text(
        wording("index-page.rows-match", rows=7 + len(left))
    )
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("output")).to_have_text("")
    expect(page.locator("#tenants")).to_have_text("Tenants")
    expect_tenants(page, URGENT_FIRST)


def test_causes_are_filtered_by_who_must_act(page: Page) -> None:
    """A filter leaves one person's causes in each group; a group without one says so."""
    page.get_by_label("Waits for").select_option("Anna (1)")

    expect(page.locator(".causes tbody tr")).to_have_count(1)
    expect(page.locator(".causes tbody tr")).to_contain_text(UNPUBLISHED.title)
    expect(page.locator("#due-now")).to_have_text("Due now 1 of 3")
    expect(page.get_by_text(wording("index-page.no-cause")).filter(visible=True)).to_have_count(2)
    expect_tenants(page, URGENT_FIRST)


def test_a_search_looks_at_all_lists(page: Page) -> None:
    """A search ignores case, and looks at whole rows of each list; with a filter both must fit."""
    search = page.get_by_label("Search")

    search.fill("SETTINGS/kite")
    expect(page.locator(".causes tbody tr")).to_have_count(1)
    expect_tenants(page, [])
    search.fill("Bakery")
    expect_tenants(page, ["bakery"])
    expect(page.locator(".customers tbody th")).to_have_text(["Second"])
    expect(page.locator(".causes tbody tr")).to_have_count(2)
    expect(page.locator("output")).to_have_text(wording("index-page.rows-match", rows=4))
    search.fill("nothing has this")
    expect(page.get_by_text(wording("index-page.no-tenant-matches")).first).to_be_visible()
    expect(page.locator("output")).to_have_text(wording("index-page.rows-match", rows=0))
    search.fill("tenant-")
    table(page, "tenants").get_by_role("button", name="Tenant").click()
    expect_tenants(page, ["tenant-1", "tenant-2", "tenant-10"])
    page.locator("select[name=tenants]").select_option("in order (1)")
    expect_tenants(page, ["tenant-10"])


def test_the_page_can_be_used_by_keyboard(page: Page) -> None:
    """Tab reaches each control with a visible outline; Enter sorts and opens a fold."""
    page.get_by_label("Search").focus()
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "[document.activeElement.localName, getComputedStyle(document.activeElement)"
                ".outlineStyle]"
            )
        )

    assert [name for name, _ in reached] == ["select", *["button"] * 7, "a", "button"]
    assert {outline for _, outline in reached} == {"solid"}
    button = table(page, "tenants").get_by_role("button", name="Tenant")
    button.press("Enter")
    expect_tenants(page, BY_NAME)
    expect(button).to_be_focused()
    second = page.locator(".tenants li", has_text=UNPUBLISHED.title)
    expect(second).to_be_hidden()
    fold = page.locator(".tenants details", has_text=UNPUBLISHED.title)
    fold.locator("summary").press("Enter")
    expect(second).to_be_visible()


def test_a_command_is_selected_and_copied_whole(visit: Reader) -> None:
    """A click on a command selects all of it, and nothing else, as it is typed."""
    page = visit.open("full")
    page.locator(".command", has_text="kite").first.click()

    assert page.evaluate("getSelection().toString()") == SECRET.command


def open_letter(page: Page, customer: str) -> Locator:
    """Open the letter to a customer, and return its dialog."""
    row = page.locator(".customers tbody tr", has_text=customer)
    row.get_by_role("button", name="Copy a letter").click()
    return page.get_by_role("dialog", name=f"Letter to {customer}")


def test_the_page_has_the_letters_of_the_command(visit: Reader) -> None:
    """Each letter is that of `connections --letters`; only one with a link says how to make it."""
    page = visit.open("full")
    for row in customers():
        if row.letter:
            dialog = open_letter(page, row.name)
            expect(dialog.get_by_label("Letter", exact=True)).to_have_value(row.letter)
            expect(dialog.get_by_text("Generate Setup Token")).to_be_visible(
                visible=LINK_LINE in row.letter
            )
            page.keyboard.press("Escape")
            expect(dialog).to_be_hidden()


def test_a_letter_is_copied(visit: Reader) -> None:
    """*Copy* puts the whole letter into the clipboard."""
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.open("full")
    dialog = open_letter(page, "First Customer")
    dialog.get_by_role("button", name="Copy").click()

    expect(dialog.get_by_role("status")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == dialog.get_by_label("Letter", exact=True).input_value()
    assert LINK_LINE in copied
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    following = open_letter(page, "Tenth Customer")
    expect(following.get_by_role("status")).to_have_text("")
    expect(following.get_by_label("Letter", exact=True)).to_have_value(re.compile("Hello Tenth"))


@pytest.mark.parametrize(
    "broken",
    [
        "() => Object.defineProperty(navigator, 'clipboard', {value: undefined})",
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('denied')); }",
    ],
)
def test_a_letter_is_selected_where_the_clipboard_cannot_be_used(
    visit: Reader, broken: str
) -> None:
    """Without a clipboard, or without the right to use it, the text is selected to be copied."""
    page = visit.open("full")
    page.evaluate(broken)
    dialog = open_letter(page, "First Customer")
    dialog.get_by_role("button", name="Copy").click()

    text = dialog.get_by_label("Letter", exact=True)
    expect(dialog.get_by_role("status")).to_contain_text("The text is selected")
    expect(text).to_be_focused()
    selected = text.evaluate("each => each.value.slice(each.selectionStart, each.selectionEnd)")
    assert selected == text.input_value() != ""


def test_a_hostile_name_is_only_text_in_a_letter(visit: Reader) -> None:
    """A name with markup, placeholders and line breaks stands in one line of the letter."""
    page = visit.open("hostile")
    page.get_by_role("button", name="Copy a letter").click()
    lines = page.get_by_label("Letter", exact=True).input_value().split("\n")

    assert lines[0] == "Your Facebook connection needs your help"
    assert lines[2].startswith("Hello ")
    assert "<script" in lines[2]
    assert lines[4].startswith("Our connection")


def test_a_letter_is_readable_on_each_screen(visit: Reader, axe: str) -> None:
    """The dialog has no serious violation, light or dark, and fits each width."""
    page = visit.open("full")
    open_letter(page, "First Customer")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            box = page.locator("dialog").bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            keep_picture(page, f"index-letter-{scheme}-{width}")
            assert violations(page, axe) == []


def test_the_heads_stay_in_sight(visit: Reader) -> None:
    """Whoever scrolls down a list still sees its heads, below the mark of practice."""
    for name in ("full", "practice"):
        page = visit.open(name)
        page.locator(".tenants tbody tr").nth(14).scroll_into_view_if_needed()
        page.evaluate("scrollBy(0, 300)")
        head = page.locator(".tenants thead").bounding_box()
        banner = page.locator(".banner").bounding_box()
        assert head
        assert banner
        assert abs(head["y"] - max(banner["y"] + banner["height"], 0)) <= 1


# A page of 400 tenants has the same rows as a small one.
@pytest.mark.parametrize("name", [name for name in PAGES if name != "large"])
def test_the_page_is_accessible(visit: Reader, axe: str, name: str) -> None:
    """It has no serious violation, light, dark or in forced colours, and fits each width."""
    page = visit.open(name)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        keep_picture(page, f"index-{name}-{scheme}")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    for width in (1280, 800, 400, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep_picture(page, f"index-{name}-{width}")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert violations(page, axe) == []
    page.emulate_media(forced_colors="active")
    assert violations(page, axe) == []


@every_page
def test_the_page_is_whole_without_scripts(browser: Browser, pages: Path, name: str) -> None:
    """Without scripts each row is there, the most urgent first, and no control without use."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((pages / f"{name}.html").as_uri())

        rows = {"small": 5, "full": 20, "practice": 20, "large": 400, "hostile": 2}
        assert page.locator(".tenants tbody tr").count() == rows.get(name, 0)
        expect(page.locator("form")).to_be_hidden()
        assert page.get_by_role("button").count() == 0
        assert page.locator("select").filter(visible=True).count() == 0
        if name == "small":
            expect_tenants(page, URGENT_FIRST)
            second = page.locator(".tenants li", has_text=UNPUBLISHED.title)
            fold = page.locator(".tenants details", has_text=UNPUBLISHED.title)
            fold.locator("summary").click()
            expect(second).to_be_visible()


def test_the_last_of_many_tenants_is_reached(visit: Reader) -> None:
    """Rows that were not drawn yet are drawn when they are scrolled to, and after each filter."""
    page = visit.open("large")
    page.get_by_label("Search").fill("nothing has this")
    expect(page.locator("#tenants")).to_have_text("Tenants 0 of 400")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#tenants")).to_have_text("Tenants")

    last = page.locator(".tenants tbody tr").last
    last.scroll_into_view_if_needed()

    expect(last).to_be_in_viewport()
    expect(last).to_contain_text("tenant-0395")


def test_a_filtered_page_is_printed_as_it_is_seen(page: Page) -> None:
    """On paper are the rows that the filters left, with folds and addresses, and no control."""
    page.get_by_label("Search").fill("tenant-1")
    text = "\n".join(each.extract_text() for each in PdfReader(io.BytesIO(page.pdf())).pages)

    assert " ".join(text.split()).count(UNPUBLISHED.title) == 2
    assert "https://developers.facebook.com/apps/4711/go_live/" in "".join(text.split())
    assert "clinic" not in text.partition("Due now")[2]
    assert "Show all" not in text


def test_practice_is_marked_on_paper(visit: Reader) -> None:
    """Each printed page of practice says so; one with real rows says it at the rows alone."""
    for name, mark in (("practice", "SANDBOX · practice"), ("full", "LIVE")):
        page = visit.open(name)
        sheets = PdfReader(io.BytesIO(page.pdf())).pages
        assert len(sheets) > 2
        assert all(mark in sheet.extract_text() for sheet in sheets)


@pytest.mark.costly("the browser of this file ends with it")
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
