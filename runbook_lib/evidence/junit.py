"""
JUnit XML: a test suite for each tenant.

A run's suite has a test case for each step, a fleet's for each open item. A tenant that is in order
has one case, which passes. A step that waits, could not be checked or is to do is skipped, never
passed. A step that an earlier run verified passes with a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import IN_PART, SETTLED
from runbook_lib.evidence.fleet_result import TenantResult, TenantRunStatus
from runbook_lib.evidence.reports.tenant_status import ItemGroup, OpenItem, TenantStatus

# The characters that XML 1.0 cannot contain, not even escaped (§2.2).
_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The test cases of a run without evidence, and of a tenant that is in order.
_SEALING = "sealed-evidence"
_IN_ORDER = "in-order"


@dataclass(frozen=True, slots=True)
class JUnitCase:
    """
    A test case; `tag` is `failure`, `error`, `skipped`, or `system-out` with a note.

    It passes if the tag is empty or `system-out`.
    """

    name: str
    tag: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class JUnitSuite:
    """The test cases of one tenant."""

    tenant: str
    """The tenant's name."""

    connector: str
    """The id of its procedure."""

    cases: Sequence[JUnitCase]
    """The test cases, in the order of the procedure."""

    is_practice: bool = False
    """Whether it is practice: then its name begins with `SANDBOX`."""

    seconds: float = 0.0
    """The time that the run took."""


def step_case(
    step: str, outcome: Outcome, reason: str, *, needs_person: bool, is_earlier: bool = False
) -> JUnitCase:
    """Return the case of a step; `is_earlier` says that it rests on an earlier run's check."""
    message = f"{IN_PART if needs_person else outcome}: {reason}"
    if outcome is Outcome.FAILED:
        return JUnitCase(step, "failure", message)
    if outcome in SETTLED and not needs_person:
        return JUnitCase(step, "system-out", reason) if is_earlier else JUnitCase(step)
    return JUnitCase(step, "skipped", message)


def sealing_case(status: TenantRunStatus, reason: str) -> JUnitCase:
    """Return the case of a tenant without evidence of its run."""
    tag = "skipped" if status is TenantRunStatus.PENDING else "error"
    return JUnitCase(_SEALING, tag, f"{status}: {reason}")


def tenant_suite(status: TenantStatus, result: TenantResult) -> JUnitSuite:
    """Return the suite of a fleet's tenant: its state, and whether its run was sealed."""
    is_sealed = result.status is TenantRunStatus.SEALED
    # NOTE: why a run was not sealed is a case of its own.
    cases = [
        _item_case(item)
        for item in status.items
        if item.group is not ItemGroup.DUE_LATER and (is_sealed or item.reason != result.reason)
    ]
    if not is_sealed:
        cases.append(sealing_case(result.status, result.reason))
    return JUnitSuite(
        tenant=status.tenant,
        connector=status.connector,
        cases=cases or [JUnitCase(_IN_ORDER)],
        is_practice=status.is_practice,
        seconds=result.seconds or 0.0,
    )


def junit_xml(suites: Iterable[JUnitSuite], *, name: str) -> bytes:
    """Return the suites of the run `name` as JUnit XML."""
    root = ET.Element("testsuites", name=_text(name))
    for suite in suites:
        root.append(_element(suite))
    for what in ("tests", "failures", "errors", "skipped"):
        root.set(what, str(sum(int(suite.get(what, "0")) for suite in root)))
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _item_case(item: OpenItem) -> JUnitCase:
    parts = (f"{item.title}.", item.stops, item.advice, item.reason)
    message = " ".join(filter(None, parts))
    return JUnitCase(item.title, "failure" if item.is_failing else "skipped", message)


def _element(suite: JUnitSuite) -> ET.Element:
    mark = "SANDBOX." if suite.is_practice else ""
    name = _text(f"{mark}{suite.tenant}.{suite.connector}")
    element = ET.Element("testsuite", name=name, time=f"{suite.seconds:.3f}")
    for case in suite.cases:
        shown = ET.SubElement(element, "testcase", classname=name, name=_text(case.name))
        if case.tag:
            message = _text(case.message)
            is_note = case.tag == "system-out"
            found = ET.SubElement(shown, case.tag, {} if is_note else {"message": message})
            found.text = message if is_note or case.tag == "failure" else None
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    element.set("tests", str(len(element)))
    for what, tag in counts.items():
        element.set(what, str(len(element.findall(f"testcase/{tag}"))))
    return element


def _text(text: str) -> str:
    """Return `text` without characters that XML cannot contain; each is named instead."""
    return _IMPOSSIBLE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)
