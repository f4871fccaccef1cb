"""JUnit XML: well-formed, and nothing passes that was not seen."""

from __future__ import annotations

from datetime import date
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, strategies
from msgspec import structs

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import IN_PART
from runbook_lib.evidence.fleet_result import TenantResult, TenantRunStatus
from runbook_lib.evidence.junit import (
    JUnitSuite,
    junit_xml,
    sealing_case,
    step_case,
    tenant_suite,
)
from runbook_lib.evidence.reports.tenant_status import TenantStatus
from tests.support.waiting_steps import known, status, step
from tests.support.wording import wording

TODAY = date(2026, 11, 24)


def run_suite(*cases: tuple[str, Outcome, str], is_practice: bool = False) -> ET.Element:
    """Return the suite of a run with these steps: id, outcome and reason; read again."""
    made = [step_case(*case, needs_person=False) for case in cases]
    return read(JUnitSuite("acme", "x", made, is_practice=is_practice))


def read(*suites: JUnitSuite) -> ET.Element:
    """Return the first suite of a document, read again."""
    return ET.fromstring(junit_xml(suites, name="tenants.toml"))[0]


def result(**more: object) -> TenantResult:
    """Return the result of a tenant's run."""
    default = {"tenant": "acme", "connector": "facebook_marketing", "entry_digest": "0" * 64}
    return TenantResult(**{**default, "sandbox": False, "status": TenantRunStatus.SEALED, **more})  # type: ignore[arg-type]


def tenant(*steps: tuple[str, str]) -> TenantStatus:
    """Return the state of a tenant with these steps: id and outcome."""
    return status(known("acme", *(step(*each) for each in steps)), TODAY)


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        (Outcome.VERIFIED, None),
        (Outcome.ATTESTED, None),
        (Outcome.FAILED, "failure"),
        (Outcome.WAITING, "skipped"),
        (Outcome.INCONCLUSIVE, "skipped"),
        (Outcome.NOT_RUN, "skipped"),
        (Outcome.SKIPPED, "skipped"),
    ],
)
def test_each_outcome_is_a_test_case(outcome: Outcome, tag: str | None) -> None:
    """A failed step is a failure; only what was verified or attested passes."""
    (case,) = run_suite(("fb-01-log-in", outcome, "Why."))

    assert (case.get("classname"), case.get("name")) == ("acme.x", "fb-01-log-in")
    assert [each.tag for each in case] == ([tag] if tag else [])
    assert not tag or case[0].get("message") == f"{outcome}: Why."


def test_a_step_verified_in_part_is_skipped() -> None:
    """A verified step that nobody has confirmed does not pass."""
    made = step_case("a", Outcome.VERIFIED, "Seen.", needs_person=True)
    (case,) = read(JUnitSuite("acme", "x", [made]))

    (skipped,) = case
    assert skipped.tag == "skipped"
    assert skipped.get("message") == f"{IN_PART}: Seen."


def test_a_step_verified_by_an_earlier_run_passes_and_says_so() -> None:
    """A step that rests on an earlier run passes, with the day on which it was verified."""
    reason = "Verified on 2026-11-24 in run 3627f3c0."
    made = step_case("a", Outcome.VERIFIED, reason, needs_person=False, is_earlier=True)
    (case,) = read(JUnitSuite("acme", "x", [made]))

    assert [each.tag for each in case] == ["system-out"]
    assert case[0].text == reason


def test_practice_is_marked() -> None:
    """The suite of a practice tenant says SANDBOX."""
    found = run_suite(("a", Outcome.VERIFIED, ""), is_practice=True)

    assert found.get("name") == found[0].get("classname") == "SANDBOX.acme.x"


def test_a_tenant_that_is_in_order_has_one_case() -> None:
    """However many steps it has, one case passes."""
    (case,) = read(tenant_suite(tenant(("a", "verified"), ("b", "attested")), result()))

    assert (case.get("name"), len(case)) == ("in-order", 0)


def test_each_open_item_is_a_case() -> None:
    """A failed step is a failure with advice; a waiting or open step is skipped."""
    found = tenant(("a", "failed"), ("b", "verified"), ("c", "waiting"))
    suite = read(tenant_suite(found, result(seconds=1.5)))

    cases = [(case.get("name"), case[0].tag) for case in suite]
    assert cases == [
        (wording("status.contradicted", title="Do a"), "failure"),
        ("Do c", "skipped"),
    ]
    assert wording("advice.fix-problem") in suite[0][0].get("message", "")
    assert suite.get("time") == "1.500"


def test_an_item_due_later_fails_nobody() -> None:
    """A tenant that is in order with something due in weeks passes."""
    settled = structs.replace(step("a", "attested"), ends_on="2026-12-20")
    (case,) = read(tenant_suite(status(known("acme", settled), TODAY), result()))

    assert (case.get("name"), len(case)) == ("in-order", 0)


def test_the_sums_are_those_of_the_cases() -> None:
    """Suites and the whole count tests, failures, errors and skipped."""
    suites = [
        tenant_suite(tenant(("a", "failed"), ("c", "waiting")), result()),
        tenant_suite(
            tenant(("a", "verified")), result(status=TenantRunStatus.UNSEALED, reason="No.")
        ),
    ]
    root = ET.fromstring(junit_xml(suites, name="tenants.toml"))

    names = ("tests", "failures", "errors", "skipped")
    assert [root.get(name) for name in names] == ["3", "1", "1", "1"]
    assert [root[0].get(name) for name in names] == ["2", "1", "0", "1"]


@pytest.mark.parametrize(
    ("ended", "tag"),
    [
        (TenantRunStatus.SEALED, None),
        (TenantRunStatus.NOT_RUN, "error"),
        (TenantRunStatus.UNSEALED, "error"),
        (TenantRunStatus.PENDING, "skipped"),
    ],
)
def test_only_what_ran_has_no_case_for_its_evidence(
    ended: TenantRunStatus, tag: str | None
) -> None:
    """A tenant that did not run is an error with the reason, also where a bundle says so."""
    done = tenant(("a", "verified"))
    suite = read(tenant_suite(done, result(status=ended, reason="No secret.")))

    cases = [(each.get("name"), [part.tag for part in each]) for each in suite]
    assert cases == [("sealed-evidence", [tag]) if tag else ("in-order", [])]
    assert not tag or suite[0][0].get("message") == f"{ended}: No secret."


@given(strategies.text(strategies.characters(exclude_categories=())))
def test_it_is_well_formed_whatever_a_reason_contains(reason: str) -> None:
    """No text of a remote system makes the XML malformed, and what is printable stays."""
    cases = [
        step_case("a", Outcome.FAILED, f"{reason}<ü>]]>", needs_person=False),
        sealing_case(TenantRunStatus.UNSEALED, reason),
    ]
    found = read(JUnitSuite("acme", "x", cases))

    assert "<ü>]]>" in found[0][0].get("message", "")
    assert len(found) == 2
