"""`index.html`: all tenants and customers on one page, whatever strangers have named."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from runbook_lib.evidence.reports.index_page import index_page
from runbook_lib.evidence.reports.tenant_status import (
    GROUP_LABELS,
    OpenItem,
    sorted_statuses,
    what_now,
)
from tests.support.hostile_index import hostile
from tests.support.hostile_records import ATTRIBUTES, HARMLESS, HOSTILE
from tests.support.wording import wording
from tests.unit.evidence.reports.report_page import (
    Element,
    ReportPage,
    assert_accessible,
    printed_elsewhere,
)
from tests.unit.evidence.reports.sample_statuses import (
    CALLS_FAIL,
    CYCLR,
    MESSENGER,
    NEVER_RUN,
    ON,
    RENEWAL,
    SECRET,
    SILENT,
    TITLES,
    TOKEN,
    UNDELIVERED,
    UNPUBLISHED,
    customer,
    customers,
    deactivated,
    full_page,
    in_review,
    item,
    many,
    many_customers,
    page,
    signed_out,
    status,
    tenants,
)

CONTROLS = {
    "form",
    "label",
    "input",
    "select",
    "option",
    "button",
    "output",
    "b",
    "script",
    "dialog",
    "textarea",
}
OF_CONTROLS = {
    "hidden",
    "name",
    "type",
    "autocomplete",
    "placeholder",
    "value",
    "form",
    "aria-live",
    "data-is",
    "data-of",
    "data-icon",
    "data-filter",
    "data-written",
    "data-letter",
    "data-texts",
    "rows",
    "readonly",
    "aria-labelledby",
}
# The elements that a tenant may cost the browser.
MOST_ELEMENTS = 30
NEEDS_YOU_FAILING = wording("status.needs-you-failing")
NEEDS_YOU_DUE = wording("status.needs-you-due")
COPY = "Copy a letter"
NAMES = [f"tenant-{number:02}" for number in range(13)]


def rows(found: ReportPage, kind: str) -> list[Element]:
    """Return the rows of a list: `causes`, `tenants` or `customers`."""
    tables = found.all("table", class_=f"list {kind}")
    bodies = [body for table in tables for body in found.within(table, "tbody")]
    return [row for body in bodies for row in found.within(body, "tr")]


def cells(found: ReportPage, row: Element) -> list[str]:
    """Return the texts of a row's cells."""
    return [each.text for each in found.elements if each.parents[-1:] == (row,)]


def heads(found: ReportPage, kind: str) -> list[str]:
    """Return the heads of the first list of a kind."""
    table = found.all("table", class_=f"list {kind}")[0]
    return [each.text for each in found.within(found.within(table, "thead")[0], "th")]


@pytest.mark.parametrize("kind", HOSTILE)
def test_other_peoples_text_is_only_text(kind: str) -> None:
    """Text of others adds no element, attribute, style, script or link that leads elsewhere."""
    text = hostile(HOSTILE[kind])
    found = ReportPage(text)
    plain = ReportPage(page())
    text.encode("utf-8")

    assert {each.tag for each in found.elements} <= HARMLESS | CONTROLS
    for each in found.elements:
        assert set(each.attributes) <= ATTRIBUTES | OF_CONTROLS, each
    assert found.one("style").pieces == [
        piece.replace("0 tenants", "2 tenants") for piece in plain.one("style").pieces
    ]
    assert found.one("script").pieces == plain.one("script").pieces
    (button,) = found.all("button", class_="letter")
    assert all(map(str.isprintable, button.attributes["data-letter"].split("\n")))
    for link in found.all("a"):
        parts = urlsplit(link.attributes["href"])
        assert (parts.scheme, parts.netloc) in {("", ""), ("https", "developers.facebook.com")}
    assert not set("\u202e\u2066\x00\x1b") & set(text)
    assert len(text) < 300_000


def test_the_policy_permits_one_script_by_its_digest() -> None:
    """The page loads nothing, and its policy permits the one script in it alone."""
    found = ReportPage(full_page())
    (policy,) = found.all("meta", http_equiv="Content-Security-Policy")
    script = "".join(found.one("script").pieces)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert policy.attributes["content"].split("; ") == [
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in found.one("style").text


@pytest.mark.parametrize("text", [page(), page([status("acme")]), full_page()])
def test_the_page_is_accessible(text: str) -> None:
    """It has one h1, no skipped level, tables with caption and scopes, labelled controls."""
    found = ReportPage(text)

    assert_accessible(found)
    assert all(each.attributes["scope"] in ("row", "col") for each in found.all("th"))
    for tag in ("input", "select"):
        assert all(any(up.tag == "label" for up in each.parents) for each in found.all(tag))
    links = [each for each in found.all("a") if not each.text.startswith("Open ")]
    names = [each.attributes.get("aria-label", each.text) for each in links]
    assert len(set(names)) == len(names)


def test_the_page_begins_with_what_to_do_now() -> None:
    """Notices come first, then the sentence that every list begins with, then the causes."""
    text = page(tenants(), notices=["tenants.toml cannot be read: line 12."])
    found = ReportPage(text)
    body = found.text

    now = what_now(tenants())
    assert now in found.section("today")
    places = [
        body.index(part)
        for part in ("line 12", now, *(f"{label} " for label in GROUP_LABELS.values()))
    ]
    assert places == sorted(places)


def test_sections_without_anything_are_left_out() -> None:
    """No customers: no section, and no link to one."""
    found = ReportPage(page([status("acme")]))

    assert [each.text for each in found.all("h2")] == ["Today", "Tenants"]
    assert found.all("h3") == []
    assert [each.attributes["href"] for each in found.within(found.one("nav"), "a")] == [
        "#today",
        "#tenants",
    ]
    assert wording("inbox.nothing-to-do") in found.section("today")
    assert wording("index-page.no-tenant") in ReportPage(page()).section("today")
    assert [each.text for each in ReportPage(full_page()).all("h2")] == [
        "Today",
        "Tenants",
        "Customers who need something",
    ]


def test_a_cause_is_one_row_with_twelve_names() -> None:
    """Tenants with one cause are one row; of more than twelve it names three."""
    twelve = [status(name, deactivated(name)) for name in NAMES[:12]]
    found = ReportPage(page(twelve))
    (row,) = rows(found, "causes")
    assert cells(found, row)[1] == ", ".join(NAMES[:12])

    found = ReportPage(page([*twelve, status(NAMES[12], deactivated(NAMES[12]))]))
    (row,) = rows(found, "causes")
    assert cells(found, row)[1] == f"{', '.join(NAMES[:3])} and 10 more"


def test_a_cause_says_what_it_stops_and_what_to_do_first() -> None:
    """A row has cause, steps, tenant, what to do, who, since and due, and who knows of it."""
    found = ReportPage(page([status("kite", SECRET), status("quail", UNPUBLISHED)]))
    failing, due = rows(found, "causes")

    assert len(heads(found, "causes")) == len(cells(found, failing))
    assert heads(found, "causes")[4:] == ["Since", "Due"]
    overdue = wording("index-page.overdue", days=3)
    steps = f"Steps: {UNPUBLISHED.places[0].name}"
    assert cells(found, failing) == [
        f"failing {SECRET.title}{SECRET.stops}Steps: {SECRET.places[0].name}",
        "kite",
        f"{SECRET.advice}{SECRET.command}",
        "you",
        "28 Nov3 days",
        "",
    ]
    assert cells(found, due) == [
        f"{UNPUBLISHED.title}{UNPUBLISHED.stops}Known to {UNPUBLISHED.known_to}{steps}",
        "quail",
        f"{UNPUBLISHED.advice}Open developers.facebook.com",
        "Anna",
        "",
        f"28 Nov{overdue}",
    ]
    assert found.within(due, "a")[0].attributes["href"] == UNPUBLISHED.link


@pytest.mark.parametrize("unchecked", [SILENT, replace(SECRET, stops_checks=True)])
def test_a_cause_that_hides_others_says_why(unchecked: OpenItem) -> None:
    """The reason stands at what nobody can check; what fails names only its cause."""
    found = ReportPage(page([status("jay", unchecked), status("newt", TOKEN)]))
    texts = {row.text for row in rows(found, "causes") if unchecked.reason in row.text}

    assert len(texts) == 1
    assert TOKEN.reason not in found.text


def test_a_command_can_be_copied_as_it_is() -> None:
    """Its blanks and its characters stay as they are, however long it is."""
    command = f"runbook run  --env-file 'my settings/kite.env' --set note={'x' * 900}"
    found = ReportPage(page([status("kite", replace(SECRET, command=command))]))

    (row,) = rows(found, "causes")
    (code,) = found.within(row, "code")
    assert "".join(code.pieces) == command


def test_the_groups_have_their_own_columns() -> None:
    """Four groups, those without an item left out; so is a column in which nothing is."""
    listed = [status("reed", RENEWAL, CYCLR), status("mole", NEVER_RUN), status("jay", SILENT)]
    found = ReportPage(page(listed))

    assert [each.text for each in found.all("h3")] == [
        f"{label} 1" for label in GROUP_LABELS.values()
    ]
    few = ReportPage(page([status("jay", SILENT)]))
    assert [each.text for each in few.all("h3")] == ["Cannot be checked 1"]
    tables = found.all("table", class_="list causes")
    heads_of = [
        [each.text for each in found.within(found.within(table, "thead")[0], "th")][3:]
        for table in tables
    ]
    assert heads_of == [[], ["Due"], ["Since"], ["Waits for", "Since"]]
    _, later, unchecked, waiting = rows(found, "causes")
    assert cells(found, later)[3] == "8 Decin 7 days"
    assert cells(found, unchecked)[3] == "29 Nov2 days"
    assert cells(found, waiting)[3:] == ["Cyclr", "20 Nov11 days"]


@pytest.mark.parametrize(
    ("since", "due", "texts"),
    [
        ("2026-12-01T00:00:00Z", "2026-12-01", ["1 Dectoday", "1 Dectoday"]),
        ("2026-11-30T23:59:59Z", "2026-12-02", ["30 Nov1 day", "2 Decin 1 day"]),
        ("2025-11-30T23:59:59Z", "2027-01-01", ["30 Nov 2025366 days", "1 Jan 2027in 31 days"]),
        ("soon", "soon", ["soon", "soon"]),
    ],
)
def test_days_are_those_of_the_calendar(since: str, due: str, texts: list[str]) -> None:
    """A day is over at midnight in UTC, for the past and for what is to come."""
    found = ReportPage(page([status("acme", item("It is so", since=since, due=due))]))

    (row,) = rows(found, "causes")
    assert cells(found, row)[3:] == texts


def test_a_row_has_the_first_day_and_the_first_command_of_its_tenants() -> None:
    """Since the earliest of them, with the most overdue days, and every customer by name."""
    late = in_review(since="2026-11-03T09:00:00.000Z", overdue_days=6)
    found = ReportPage(page([status("otter", in_review()), status("pine", late)]))
    (row,) = rows(found, "causes")
    usual = wording("inbox.usually", days=22)
    overdue = wording("index-page.overdue", days=6)
    assert cells(found, row)[4:] == [f"3 Nov28 days; {usual}", overdue]

    one = signed_out("harbor", "Customer of harbor")
    two = signed_out("island", "Customer of island")
    found = ReportPage(page([status("harbor", one), status("island", two)]))
    (row,) = rows(found, "causes")
    assert cells(found, row)[0].startswith("failing 2 customers are signed out")
    assert cells(found, row)[1] == "harbor, islandCustomer of harbor, Customer of island"
    assert cells(found, row)[2] == f"{one.advice}{one.command}"


def test_a_person_who_knows_a_part_of_a_cause_does_not_know_the_row() -> None:
    """A row names who knows only if that is so of all its tenants."""
    known = replace(SECRET, known_to="Anna: ready on 5 Dec")
    text = page([status("kite", known), status("lark", SECRET)])

    assert "Anna" not in text
    assert "Known to Anna: ready on 5 Dec" in page([status("kite", known), status("lark", known)])


def test_tenants_are_in_the_order_of_all_lists() -> None:
    """Each tenant has one row, in the order that every list has, with all that is known."""
    found = ReportPage(page(tenants()))
    listed = [cells(found, row) for row in rows(found, "tenants")]

    assert [row[0].split()[0] for row in listed] == [s.tenant for s in sorted_statuses(tenants())]
    by_name = {row[0]: row[1:] for row in listed}
    seal = "1 Dec, 02:15"
    assert by_name["heath"] == [
        NEEDS_YOU_FAILING,
        f"{deactivated('heath').title}1 more{RENEWAL.title} (8 Dec)",
        "32 of 34",
        "1 Dec, 05:00",
        f"failed {seal}",
        "Dashboard",
    ]
    overdue = wording("index-page.overdue", days=3)
    assert by_name["quail"][:2] == [NEEDS_YOU_DUE, f"{UNPUBLISHED.title} {overdue}"]
    assert by_name["jay"][:2] == ["not checked since 29 Nov", SILENT.title]
    assert by_name["mole"][2:] == ["0 of 34", "never", "never", ""]
    assert by_name["lark"][3] == "unknown"
    assert by_name["acme"] == [
        "in order",
        "",
        "34 of 34",
        "1 Dec, 05:00",
        f"complete {seal}",
        "Dashboard",
    ]


def test_a_row_leads_to_report_and_dashboard() -> None:
    """The outcome of the last run links its report, from the evidence folder; so is the app's."""
    found = ReportPage(page([status("acme"), status("sandbox", bundle="", dashboard="")]))
    with_links, without = rows(found, "tenants")

    report, dashboard = found.within(with_links, "a")
    bundle = status("acme").bundle
    assert report.attributes["href"] == f"{bundle}/report.html"
    assert dashboard.attributes["href"] == status("acme").dashboard
    assert found.within(without, "a") == []
    assert "Dashboard" not in heads(ReportPage(page([status("a", dashboard="")])), "tenants")


@pytest.mark.parametrize(
    "bundle", ["/etc", "../../elsewhere", "//example.com/a", "a/../../b", "javascript:alert(1)"]
)
def test_a_report_is_linked_in_the_evidence_folder_only(bundle: str) -> None:
    """A bundle that is elsewhere is no link, and no name becomes a scheme or a host."""
    found = ReportPage(page([status("acme", bundle=bundle, dashboard="")]))

    for link in found.within(rows(found, "tenants")[0], "a"):
        assert urlsplit(link.attributes["href"])[:2] == ("", "")
        assert ".." not in link.attributes["href"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000/apps", "javascript:alert(1)"])
def test_only_a_secure_address_becomes_a_link(address: str) -> None:
    """Another address is shown as text at the cause, and not at all at the tenant."""
    own = replace(UNPUBLISHED, link=address)
    found = ReportPage(page([status("acme", own, bundle="", dashboard=address)]))

    assert found.within(found.one("main"), "a") == []
    assert address in rows(found, "causes")[0].text


def test_each_row_names_its_connector_where_there_are_several() -> None:
    """With several connectors each row names its own; with one, none does."""
    found = ReportPage(page([status("acme", SECRET), status("acme", SECRET, connector=MESSENGER)]))
    titles = [*TITLES.values()]

    assert sorted(cells(found, row)[0] for row in rows(found, "tenants")) == [
        f"acme{title}" for title in titles
    ]
    assert cells(found, rows(found, "causes")[0])[1] == f"acme{', '.join(titles)}"
    assert titles[0] not in page([status("acme", SECRET)])


def test_customers_have_the_worst_first() -> None:
    """A customer has its state, since when, and what to do; those who need nothing are a number."""
    found = ReportPage(page([status("acme")], customers(), well=11))
    listed = [cells(found, row) for row in rows(found, "customers")]

    assert "11 customers need nothing." in found.section("customers")
    assert found.one("h1").text == "1 tenant, 18 customers"
    assert [row[0] for row in listed] == [
        "First Customer",
        "Eleventh Customer",
        "Tenth Customer",
        "Fifth Customer",
        "Sixth Customer",
        "Customer 20",
        "Practice 1 SANDBOX",
    ]
    first = customers()[0]
    assert listed[0][1:] == [
        "harbor",
        "signed out",
        "29 Nov",
        "28 Nov, 22:00",
        f"{first.advice}{first.command}{first.facts[0]} {COPY}",
    ]
    assert listed[3][2:] == [
        "calls fail",
        "30 Nov",
        "1 Dec, 04:40",
        f"{CALLS_FAIL.advice}{CALLS_FAIL.command}{CALLS_FAIL.places[0].reason} {COPY}",
    ]
    assert listed[5][1:] == ["acme", "not signed in", "", "1 Dec, 04:40", ""]


def test_each_customer_who_is_cut_off_has_a_letter() -> None:
    """Its row has the whole letter."""
    accounts = customers()
    found = ReportPage(page([status("acme")], accounts))
    rows_with_letter = {
        cells(found, row)[0]: button.attributes["data-letter"]
        for row in rows(found, "customers")
        for button in found.within(row, "button")
    }

    assert rows_with_letter == {row.name: row.letter for row in accounts if row.letter}
    assert len(rows_with_letter) == 4
    assert found.one("dialog")
    assert all("hidden" in each.attributes for each in found.all("button", class_="letter"))


def test_a_page_without_cut_off_customers_has_no_letters() -> None:
    """No dialog, and no texts for one."""
    found = ReportPage(page([status("acme")], [customer("First")]))

    assert found.all("dialog") == found.all("button", class_="letter") == []


def test_a_message_that_was_not_accepted_is_named() -> None:
    """The page begins with its tenants, and the reason."""
    text = ReportPage(page([status("acme")], undelivered=UNDELIVERED)).text

    assert wording("index-page.undelivered", reason=UNDELIVERED[0]["reason"]) in text
    assert text.index("Tenant: kite") < text.index("Today")


def test_practice_is_marked_once_or_on_each_row() -> None:
    """If all is practice the banner says so; else each row of practice does, and no other."""
    real = status("acme", SECRET)
    practice = status("try-it", SECRET, is_practice=True)
    account = customer("First", "try-it", is_practice=True)
    mark = '<strong class="practice">SANDBOX</strong>'

    every = page([practice], [account])
    assert ReportPage(every).title.startswith("SANDBOX · ")
    assert wording("index-page.banner-practice") in ReportPage(every).one("aside").text
    assert mark not in every

    mixed = page([real, practice], [account, customer("Second")])
    found = ReportPage(mixed)
    assert not found.title.startswith("SANDBOX")
    assert "LIVE:" in found.one("aside").text
    assert wording("index-page.banner-mixed") in found.one("aside").text
    marked = [
        row.text
        for kind in ("causes", "tenants", "customers")
        for row in rows(found, kind)
        if "SANDBOX" in row.text
    ]
    assert mixed.count(mark) == len(marked) == 3
    assert all("try-it" in text for text in marked)

    assert "SANDBOX" not in ReportPage(page([real])).text
    assert "SANDBOX" not in ReportPage(page()).text


def test_rows_have_the_values_that_filters_offer() -> None:
    """Each value of a filter is that of so many rows as it says, and each row has one."""
    found = ReportPage(full_page())

    lists = [each for each in found.all("select") if "form" in each.attributes]
    selects = {each.attributes["name"]: each for each in lists}
    assert set(selects) == {"today", "tenants", "customers"}
    assert all(each.attributes["form"] == "filters" for each in selects.values())
    for name, select in selects.items():
        listed = [
            row.attributes["data-is"].split("\n")
            for table in found.all("table", data_filter=name)
            for row in found.within(table, "tr")
            if "data-is" in row.attributes
        ]
        words = {word for row in listed for word in row}
        first, *options = found.within(select, "option")
        assert first.attributes["value"] == ""
        assert {each.attributes["value"] for each in options} == words
        for each in options:
            value = each.attributes["value"]
            assert each.text == f"{value} ({sum(value in row for row in listed)})"
    tenant_words = [each.text for each in found.within(selects["tenants"], "option")]
    assert "overdue (2)" in tenant_words
    assert "practice (2)" in tenant_words
    assert all("hidden" in label.attributes for label in found.all("label", class_="filter"))
    assert found.one("form").attributes["hidden"] == ""


def test_a_filter_that_could_leave_nothing_out_is_not_offered() -> None:
    """A state that all rows have is no filter."""
    assert (
        ReportPage(page([status("acme"), status("bloom")], [customer("First")])).all("select") == []
    )


def test_a_state_has_a_glyph_and_is_neutral_until_something_is_wrong() -> None:
    """A state is told by word and glyph; only what fails, is due or unknown has a colour."""
    found = ReportPage(page(tenants()))

    looks = {
        (each.text, each.attributes["data-icon"], each.attributes["data-outcome"])
        for each in found.all("b")
        if "data-icon" in each.attributes
    }
    assert looks == {
        ("failing", "✘", "failed"),
        (NEEDS_YOU_FAILING, "✘", "failed"),
        (NEEDS_YOU_DUE, "!", "waiting"),
        ("not checked since 29 Nov", "?", "inconclusive"),
        (wording("index-page.waiting-for", party="Facebook"), "◔", "waiting"),
        (wording("index-page.waiting-for", party="Cyclr"), "◔", "waiting"),
        ("in order", "✔", "verified"),
    }
    kinds = {
        "calm": (), "waits": (CYCLR,), "silent": (SILENT,), "due": (UNPUBLISHED,),
        "fails": (SECRET,),
    }  # fmt: skip
    verdicts = {
        name: ReportPage(page([status("acme", *items)])).one("div", class_="verdict now")
        for name, items in kinds.items()
    }
    assert {name: each.attributes["data-outcome"] for name, each in verdicts.items()} == {
        "calm": "not_run",
        "waits": "not_run",
        "silent": "waiting",
        "due": "waiting",
        "fails": "failed",
    }


def test_a_tenant_costs_few_elements() -> None:
    """A tenant more is a few elements more, so that thousands can be opened."""
    few, more = (ReportPage(page(many(number))) for number in (108, 216))

    assert len(more.elements) - len(few.elements) < 108 * MOST_ELEMENTS


@pytest.mark.matrix(0)
def test_a_page_is_never_whole_in_memory() -> None:
    """It is written in parts: of thousands of tenants only their order is held meanwhile."""
    statuses = many(3_000)
    page(many(18))
    tracemalloc.start()
    length = sum(len(part) for part in index_page(statuses, [], ON))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < length / 2


def test_two_thousand_customers_fit_into_half_a_megabyte() -> None:
    """The worst are rows; the others are a number, with the command that lists them."""
    text = page(many(2), many_customers(2_000))

    assert len(text.encode()) < 500_000
    assert "2,000 customers" in text
    assert "1,700 more customers" in text


def test_the_same_state_gives_the_same_page() -> None:
    """A page is the same to the byte in another process, time zone and hash seed."""
    code = f"from {full_page.__module__} import full_page; print(full_page())"

    assert printed_elsewhere(code) == [full_page() + "\n"] * 2
