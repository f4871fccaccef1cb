"""
The record of a fleet as JUnit XML: a test suite for each tenant, a test case for each step.

What waits, could not be checked or is to do is skipped, never passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import IN_PART, SETTLED
from runbook_lib.evidence.fleet_record import Status, TenantResult

# What XML 1.0 cannot contain, not even escaped (§2.2).
_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The test case of a run without evidence.
_SEALING = "sealed-evidence"


def junit_xml(results: Iterable[TenantResult], *, name: str) -> bytes:
    """Return the results of the fleet `name` as JUnit XML."""
    root = ET.Element("testsuites", name=_text(name))
    for result in results:
        root.append(_suite(result))
    for what in ("tests", "failures", "errors", "skipped"):
        root.set(what, str(sum(int(suite.get(what, "0")) for suite in root)))
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(result: TenantResult) -> ET.Element:
    mark = "SANDBOX." if result.sandbox else ""
    name = _text(f"{mark}{result.tenant}.{result.connector}")
    suite = ET.Element("testsuite", name=name, time=f"{result.seconds or 0:.3f}")
    for step in result.steps:
        case = ET.SubElement(suite, "testcase", classname=name, name=_text(step["id"]))
        outcome = step["outcome"]
        message = _text(f"{IN_PART if step['needs_person'] else outcome}: {step['reason']}")
        if outcome == Outcome.FAILED:
            ET.SubElement(case, "failure", message=message).text = message
        elif outcome not in SETTLED or step["needs_person"]:
            ET.SubElement(case, "skipped", message=message)
    if result.status is not Status.SEALED:
        case = ET.SubElement(suite, "testcase", classname=name, name=_SEALING)
        message = _text(f"{result.status}: {result.reason}")
        what = "error" if result.status is Status.UNSEALED else "skipped"
        ET.SubElement(case, what, message=message)
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(suite)))
    for what, tag in counts.items():
        suite.set(what, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _text(text: str) -> str:
    """Return `text` without characters that XML cannot contain; each is named instead."""
    return _IMPOSSIBLE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)
