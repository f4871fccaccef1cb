"""`watch.html`: how each tenant of a fleet stands, whatever strangers have named."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from runbook_lib.core.model import Outcome
from runbook_lib.evidence.reports.watch_page import Failing, TenantLook, watch_page
from tests.unit.evidence.reports.report_page import ReportPage
from tests.unit.evidence.reports.test_report_safety import HARMLESS

ON = "2026-11-24T12:00:00.000Z"
FAILING = Failing("13 Copy the secret", ON, "It is refused.")
CALM = TenantLook("acme", "A connector", ON)
CHANGE = {
    "kind": "failed", "label": "failed", "on": ON, "title": "13 Copy the secret",
    "was": "verified", "now": "failed",
    "since": ON, "reason": "It is refused.", "breaks": "Nobody can sign in.", "also": ["8 Check"],
    "do": "Copy it again.", "tenants": ["acme"], "sandbox": False,
}  # fmt: skip


def page(*rows: TenantLook, changes: tuple[dict[str, object], ...] = ()) -> str:
    return "".join(watch_page(rows, changes, ON))


@pytest.mark.parametrize(
    ("row", "standing", "outcome"),
    [
        (CALM, "in order", Outcome.VERIFIED),
        (replace(CALM, failing=(FAILING,), problem="Busy."), "failing", Outcome.FAILED),
        (replace(CALM, problem="Busy."), "not looked at", Outcome.INCONCLUSIVE),
        (replace(CALM, unanswered_since=ON), "not answered", Outcome.INCONCLUSIVE),
    ],
)
def test_each_standing_has_its_words(row: TenantLook, standing: str, outcome: Outcome) -> None:
    """What fails comes before what is not known; the rows and the counts say the same."""

    assert (row.standing, row.outcome) == (standing, outcome)
    assert f"1 {standing}" in page(row)


def test_the_worst_come_first() -> None:
    """Who fails is above who was not looked at, and both above who is in order."""

    text = page(CALM, TenantLook("zeta", problem="Busy."), TenantLook("yota", failing=(FAILING,)))

    places = [text.index(f"<bdi>{name}</bdi>") for name in ("yota", "zeta", "acme")]
    assert places == sorted(places)
    assert "Busy." in text
    assert "<td>never</td>" in text


def test_many_tenants_and_steps_are_folded() -> None:
    """Beyond a dozen tenants their names are folded; of a tenant's steps five are shown."""

    names = [f"t{number}" for number in range(13)]
    text = page(
        replace(CALM, failing=(FAILING,) * 7),
        changes=(
            CHANGE | {"is_new": False},
            {**CHANGE, "tenants": names, "is_new": True},
        ),
    )

    assert "<summary>13 tenants</summary>" in text
    assert text.count("It is refused.") == 5 + 2
    assert "And 2 more steps." in text


@pytest.mark.parametrize("is_sandbox", [False, True])
def test_practice_is_marked(is_sandbox: bool) -> None:
    """One practice tenant among others marks the page, its row, and what changed for it."""

    change = {**CHANGE, "sandbox": is_sandbox, "is_new": False}
    text = page(CALM, replace(CALM, tenant="beta", sandbox=is_sandbox), changes=(change,))

    assert text.count('<strong class="practice">SANDBOX</strong>') == 2 * is_sandbox
    assert ("1 of these 2 tenants is practice" in text) is is_sandbox
    assert ("PRODUCTION:" in text) is not is_sandbox


def test_what_strangers_name_is_text() -> None:
    """No name becomes an element, an attribute or a rule, and the page runs no script."""

    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e'
    change = {**CHANGE, "tenants": [hostile], "also": [hostile]}
    change |= dict.fromkeys(("title", "was", "now", "reason", "breaks", "do"), hostile)
    text = page(
        TenantLook(hostile, hostile, ON, False, (Failing(hostile, ON, hostile),), "", hostile),
        TenantLook("acme", "other"),
        changes=(change | {"is_new": True},),
    )
    elements = {element.tag for element in ReportPage(text).elements}

    assert "\u202e" not in text
    assert "script" not in elements
    assert elements <= {*HARMLESS, "b", "em"}
    assert "default-src 'none'" in text


def test_the_page_is_never_whole_in_memory() -> None:
    """It is written in parts: of thousands of tenants only their order is held meanwhile."""

    failing = replace(FAILING, reason="It is refused. " * 10)
    rows = [replace(CALM, tenant=f"t{number}", failing=(failing,)) for number in range(3_000)]
    page(CALM)
    tracemalloc.start()
    length = sum(len(part) for part in watch_page(rows, (), ON))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < length / 3
