"""A fleet's result as JUnit XML: well-formed, and nothing passes that was not seen."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, strategies

from runbook_lib.core.model import Outcome
from runbook_lib.evidence.fleet_result import Status, TenantResult
from runbook_lib.evidence.junit import junit_xml
from runbook_lib.evidence.reports.tenant_rows import fleet_rows
from tests.unit.evidence.reports.sample_fleets import fleet


def result(*steps: tuple[str, str, str], **more: object) -> TenantResult:
    """Return the result of a tenant with these steps: id, outcome and reason."""
    named = tuple(
        dict(zip(("id", "outcome", "reason"), step, strict=True)) | {"needs_person": False}
        for step in steps
    )
    default = {
        "tenant": "acme",
        "connector": "x",
        "entry_digest": "0" * 64,
        "status": Status.SEALED,
    }
    return TenantResult(**{**default, "sandbox": False, "steps": named, **more})  # type: ignore[arg-type]


def suite(one: TenantResult) -> ET.Element:
    """Return the suite of a tenant, read again."""
    (found,) = ET.fromstring(junit_xml(fleet_rows(fleet(one, connectors={})), name="tenants.toml"))
    return found


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
    (case,) = suite(result(("fb-01-log-in", outcome, "Why.")))

    assert (case.get("classname"), case.get("name")) == ("acme.x", "fb-01-log-in")
    assert [each.tag for each in case] == [tag] * bool(tag)
    assert not tag or case[0].get("message") == f"{outcome}: Why."


@pytest.mark.parametrize(
    ("status", "tag"),
    [(Status.UNSEALED, "error"), (Status.PENDING, "skipped")],
)
def test_a_tenant_without_evidence_is_a_test_case(status: Status, tag: str) -> None:
    """What could not be sealed is an error with its reason; what did not run is skipped."""
    found = suite(result(status=status, reason="No.", seconds=1.5))

    (case,) = found
    assert (case[0].tag, case[0].get("message")) == (tag, f"{status}: No.")
    assert found.get("time") == "1.500"


def test_what_an_earlier_run_verified_passes_and_says_so() -> None:
    """A step that rests on an earlier run passes, with the day on which it was verified."""
    given = result(("a", "verified", "Verified on 2026-11-24 in run 3627f3c0."))
    carried = replace(given, steps=({**given.steps[0], "verified_on": "2026-11-24"},))

    (case,) = suite(carried).findall("testcase")

    assert [each.tag for each in case] == ["system-out"]
    assert case[0].text == "Verified on 2026-11-24 in run 3627f3c0."


def test_what_is_verified_in_part_is_skipped() -> None:
    """A verified step that nobody has confirmed does not pass."""
    given = result(("a", "verified", "Seen."))
    in_part = replace(given, steps=({**given.steps[0], "needs_person": True},))

    (case,) = suite(in_part).findall("testcase")

    (skipped,) = case
    assert (skipped.tag, skipped.get("message")) == ("skipped", "verified in part: Seen.")


def test_practice_is_marked() -> None:
    """The suite of a practice tenant says SANDBOX."""
    found = suite(result(("a", "verified", ""), sandbox=True))

    assert found.get("name") == found[0].get("classname") == "SANDBOX.acme.x"


def test_the_sums_are_those_of_the_cases() -> None:
    """Suites and the whole count tests, failures, errors and skipped."""
    steps = [("a", "verified", ""), ("b", "failed", ""), ("c", "waiting", "")]
    record = fleet(result(*steps), result(status=Status.UNSEALED, tenant="b"), connectors={})
    root = ET.fromstring(junit_xml(fleet_rows(record), name="tenants.toml"))

    names = ("tests", "failures", "errors", "skipped")
    assert [root.get(name) for name in names] == ["4", "1", "1", "1"]
    assert [root[0].get(name) for name in names] == ["3", "1", "0", "1"]


@pytest.mark.parametrize(
    ("status", "tag"),
    [
        (Status.SEALED, None),
        (Status.NOT_RUN, "error"),
        (Status.UNSEALED, "error"),
        (Status.PENDING, "skipped"),
    ],
)
def test_only_what_ran_has_no_case_for_its_evidence(status: Status, tag: str | None) -> None:
    """A tenant that did not run is an error with the reason, also where a bundle says so."""
    found = suite(result(status=status, reason="No secret."))

    cases = [(each.get("name"), [part.tag for part in each]) for each in found]
    assert cases == ([("sealed-evidence", [tag])] if tag else [])
    assert not tag or found[0][0].get("message") == f"{status}: No secret."


@given(strategies.text(strategies.characters(exclude_categories=())))
def test_it_is_well_formed_whatever_a_reason_contains(reason: str) -> None:
    """No text of a remote system makes the XML malformed, and what is printable stays."""
    found = suite(result(("a", "failed", f"{reason}<ü>]]>"), status=Status.UNSEALED, reason=reason))

    assert "<ü>]]>" in found[0][0].get("message", "")
    assert len(found) == 2
