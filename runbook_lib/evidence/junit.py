"""
The rows of tenants as JUnit XML: a test suite for each tenant, a test case for each step.

What waits, could not be checked or is to do is skipped, never passed. What an earlier run verified
says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import IN_PART, SETTLED
from runbook_lib.evidence.fleet_result import Status
from runbook_lib.evidence.reports.tenant_rows import TenantRow

# What XML 1.0 cannot contain, not even escaped (§2.2).
_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The test case of a run without evidence.
_SEALING = "sealed-evidence"


def junit_xml(rows: Iterable[TenantRow], *, name: str) -> bytes:
    """Return the rows of the run `name` as JUnit XML."""
    root = ET.Element("testsuites", name=_text(name))
    for row in rows:
        root.append(_suite(row))
    for what in ("tests", "failures", "errors", "skipped"):
        root.set(what, str(sum(int(suite.get(what, "0")) for suite in root)))
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(row: TenantRow) -> ET.Element:
    mark = "SANDBOX." if row.sandbox else ""
    name = _text(f"{mark}{row.tenant}.{row.connector}")
    suite = ET.Element("testsuite", name=name, time=f"{row.seconds or 0:.3f}")
    for step in row.steps:
        case = ET.SubElement(suite, "testcase", classname=name, name=_text(step.id))
        message = _text(f"{IN_PART if step.needs_person else step.outcome}: {step.reason}")
        if step.outcome is Outcome.FAILED:
            ET.SubElement(case, "failure", message=message).text = message
        elif step.outcome not in SETTLED or step.needs_person:
            ET.SubElement(case, "skipped", message=message)
        elif step.verified_on:
            ET.SubElement(case, "system-out").text = _text(step.reason)
    if row.status is not Status.SEALED:
        case = ET.SubElement(suite, "testcase", classname=name, name=_SEALING)
        message = _text(f"{row.status}: {row.problem}")
        what = "skipped" if row.status is Status.PENDING else "error"
        ET.SubElement(case, what, message=message)
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(suite)))
    for what, tag in counts.items():
        suite.set(what, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _text(text: str) -> str:
    """Return `text` without characters that XML cannot contain; each is named instead."""
    return _IMPOSSIBLE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)
