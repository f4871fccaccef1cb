"""Records whose texts try to break out of the report."""

from __future__ import annotations

import re
from typing import Any

from runbook_lib.run.events import ChangeIntended
from runbook_lib.run.state import RunState
from tests.unit.evidence.reports.sample_runs import (
    SHA,
    Document,
    attachment,
    attestation_json,
    attested,
    check,
    exchange,
    line,
    record,
    skip,
    skipped,
    step,
)

# All elements of a report: none of them can run, load, send or embed anything.
HARMLESS = set(
    re.findall(
        "[a-z0-9]+",
        "html head meta link title style body aside div p span header main footer nav h1 h2 h3 "
        "ul ol li dl dt dd table caption thead tbody tr th td a code pre strong em br time bdi "
        "blockquote section details summary figure figcaption img",
    )
)


ATTRIBUTES = set(
    re.findall(
        "[a-z][a-z0-9-]*",
        "lang charset http-equiv content name rel href class aria-label aria-hidden "
        "aria-labelledby id data-outcome style scope datetime dir src alt title tabindex role",
    )
)


HOSTILE = {
    "markup": '</style></title></script><script>alert(1)</script><img src=x onerror="alert(1)">',
    "attribute": '" onmouseover="alert(1)" x=\'',
    "template": "{{ 7 * 7 }}{% include 'x' %}{# #}",
    "long word": "W" * 10_000,
    "long note": "words and " * 1_000,
    "turned": "\u202eoT delif\u2066",
    "right to left": "תיעוד של הבדיקה مرحبا",
    "control": "\x00\x08\x1b[31m\x7f",
    "half": "\ud83d",
    "script link": "javascript:alert(1)",
    "stylesheet": "*/ } body { display: none } /* </style",
}


def everywhere(text: str) -> RunState:
    """Return a record with `text` in every field that others can fill."""
    return record(*steps_with(text), **fields_with(text))


def steps_with(text: str) -> list[Document]:
    """Return steps with `text` in every field that others can fill."""
    seen = check(
        "inconclusive",
        text,
        check=text,
        limits=[text],
        warnings=[text],
        changes=[text],
        facts={text: text},
        tables=[{"caption": text, "columns": [text], "rows": [[text]]}],
    )
    asked = exchange(
        method=text,
        url=text,
        request={text: text},
        response={"error": {"fbtrace_id": text, "message": text}},
        headers={f"trace-{text}": text},
        error=text,
    )
    said = attestation_json(text, by=text, note=text, seen=text, origin=text)
    return [
        step("fb-01-x", "inconclusive", title=text, reason=text, checks=[seen], exchanges=[asked]),
        step(
            "fb-02-x",
            "attested",
            title=text,
            reason=text,
            attestation=said,
            attachments=[attachment(name=text, media_type=text)],
        ),
        step("fb-03-x", "skipped", title=text, attestation=skip(text, note=text, by=text)),
        step("fb-04-x", "waiting", title=text, reason=text, attestation=said),
    ]


def fields_with(text: str) -> Document:
    """Return the other fields of a record with `text` in each that others can fill."""
    return {
        "tenant": text,
        "resumes": text,
        "procedure": {"id": text, "version": text, "digest": SHA},
        "values": {text: text},
        "credentials": [text],
        "environment": {text: text},
    }


def lines_with(text: str) -> list[Any]:
    """Return journal lines with `text` in every field that others can fill."""
    return [
        line(ChangeIntended(change=text), run=text, step="fb-01-x"),
        attested("fb-02-x", by=text, note=text, seen=text, origin=text),
        skipped("fb-03-x", by=text, note=text),
    ]
