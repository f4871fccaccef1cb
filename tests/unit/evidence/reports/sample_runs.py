"""Records and journal lines of sample runs for the reports."""

from __future__ import annotations

import copy
from typing import Any

from msgspec import convert

from runbook_lib.core.model import FORMAT_VERSION, JournalEntry, Outcome
from runbook_lib.core.procedure import sentence_digest
from runbook_lib.evidence.record import SCHEMA, Record
from tests.support import journals

Document = dict[str, Any]

SHA = "ab" * 32
STARTED = "2026-11-24T12:00:00.000Z"
FINISHED = "2026-11-24T12:00:04.500Z"
CHECKED = "2026-11-24T12:00:01.250Z"
SAID = "2026-11-20T09:00:00Z"


def attestation_json(step: str, by: str = "Operator", at: str = SAID, **more: Any) -> Document:
    """Return an attestation."""
    return {
        "kind": "attested",
        "step": step,
        "by": by,
        "at": at,
        "note": "",
        "seen": "",
        "attachments": [],
        "origin": "",
        "entry": "",
        "login": "",
        "link": "",
        "sentence": f"I did {step}.",
        "second_person_sentence": "",
        "due": "",
        "until": "",
        "app_name": "Acme Lead Sync",
        "app_id": "4711",
        "service_domain": "acme-h.cyclr.com",
        "binding": {
            "connector": "p",
            "sentence_digest": sentence_digest(f"I did {step}."),
            "checks": ["it-is-so"],
            "text_digest": SHA,
            "subject": {},
        },
        **more,
    }


def skip(step: str, note: str = "Not needed.", **more: Any) -> Document:
    """Return a skip."""
    return attestation_json(step, **{"kind": "skipped", "note": note, **more})


def exchange(**more: Any) -> Document:
    """Return one exchange of a check."""
    return {
        "number": 1,
        "method": "GET",
        "url": "https://graph.facebook.com/v26.0/4711?fields=id",
        "sent_on": CHECKED,
        "elapsed": 0.123,
        "status": 200,
        "request": None,
        "headers": {},
        "response": {"id": "4711"},
        "error": "",
        "shape": {"body": '{"id":"s8"}', "error": "", "header_names": ["x-fb-debug"]},
        **more,
    }


def check(outcome: str = "verified", reason: str = "Seen.", **more: Any) -> Document:
    """Return the finding of one check."""
    return {
        "check": "it_is_so",
        "code": "a-code",
        "outcome": outcome,
        "reason": reason,
        "accepts": [],
        "refuses": [],
        "quotes": [],
        "limits": [],
        "warnings": [],
        "changes": [],
        "facts": {},
        "tables": [],
        "exchanges": [],
        **more,
    }


def attachment(**more: Any) -> Document:
    """Return a record's entry for an attached file."""
    return {"name": "screen.png", "sha256": SHA, "size": 10, "media_type": "image/png", **more}


def step(identifier: str = "fb-01-log-in", outcome: str = "verified", **more: Any) -> Document:
    """Return a step of a record; a verified one has its check and exchange."""
    is_seen = outcome == "verified"
    return {
        "id": identifier,
        "number": identifier.partition("-")[2].partition("-")[0].lstrip("0") or "0",
        "title": f"Do {identifier}",
        "kind": "call",
        "code": "",
        "outcome": outcome,
        "reason": "Seen." if is_seen else f"It is {outcome}.",
        "needs_person": False,
        "verified_on": "",
        "due_on": "",
        "answers": [],
        "sentence": f"I did {identifier}.",
        "checked_on": CHECKED,
        "attested_by": "Operator" if outcome == "attested" else None,
        "attestation": attestation_json(identifier) if outcome == "attested" else None,
        "confirmed_by": [],
        "void_attestations": [],
        "remarks": [],
        "comments": [],
        "assigned": None,
        "checks": [check()] if is_seen else [],
        "exchanges": [exchange()] if is_seen else [],
        "carried": [],
        "attachments": [],
        "known_errors": [],
        **more,
    }


def record(*steps: Document, **more: Any) -> Record:
    """Return the record of a production run with these steps."""
    return convert(document(*steps, **more), Record)


def document(*steps: Document, **more: Any) -> Document:
    """Return the content of its `record.json`."""
    return {
        "schema": SCHEMA,
        "run_id": "0a1b2c3d",
        "tenant": "acme",
        "procedure": {"id": "facebook_marketing", "version": "1", "digest": SHA, "package": None},
        "mode": "headless",
        "sandbox": False,
        "started_on": STARTED,
        "finished_on": FINISHED,
        "resumes": None,
        "outcome": "complete",
        "steps": copy.deepcopy(list(steps)) or [step()],
        "parameters": {
            "app_display_name": "Acme Lead Sync",
            "app_id": "4711",
            "service_domain": "acme-h.cyclr.com",
        },
        "credentials": ["app_secret"],
        "environment": {"python": "3.11.7"},
        "calls": [{"host": "graph.facebook.com", "calls": 7, "share": 12.5}],
        "journal": {"first": 1, "lines": 1_000, "previous": "0" * 64, "head": SHA},
        "carried": [],
        "waits": {},
        "fleet_run": None,
        "not_run": None,
        "unverifiable": [],
        "app_id_label": "App ID",
        "forecast": None,
        **more,
    }


def entry(
    kind: str, data: Document | None = None, *, at: str = STARTED, step: str = "", run: str = ""
) -> JournalEntry:
    """Return a journal line; `run` names another run than that of `record`."""
    typical: dict[str, Document] = {
        "run.started": {
            **{name: document()[name] for name in ("tenant", "procedure", "mode", "sandbox")},
            **{name: document()[name] for name in ("parameters", "credentials", "environment")},
            "format_version": FORMAT_VERSION,
            "fingerprints": {},
            "resumes": "",
        },
        "bundle.sealed": {
            "bundle": "b",
            "sequence": 1,
            "statement": SHA,
            "journal": {"lines": 1, "head": SHA, "end": 1},
        },
    }
    data = {**typical.get(kind, {}), **(data or {})}
    return journals.entry(1, kind, data, at=at, run_id=run or "0a1b2c3d", step=step)


def attested(step: str, *, written_on: str = STARTED, run: str = "", **said: Any) -> JournalEntry:
    """Return the line of an attestation."""
    data = attestation_json(step, **said)
    del data["step"]
    return entry(f"step.{data.pop('kind')}", data, at=written_on, step=step, run=run)


def skipped(step: str, *, written_on: str = STARTED, **said: Any) -> JournalEntry:
    """Return the line of a skip."""
    said = skip(step, **said)
    del said["step"]
    return attested(step, written_on=written_on, **said)


def checked(step: str, outcome: str, *, at: str = CHECKED, run: str = "") -> JournalEntry:
    """Return the line of a check's finding, without findings if `outcome` is empty."""
    findings = [check(outcome)] if outcome else []
    data = {"findings": findings, "binding": attestation_json(step)["binding"]}
    return entry("step.checked", data, at=at, step=step, run=run)


EVERY_OUTCOME = tuple(
    step(
        f"fb-{number:02}-step",
        outcome,
        **({"attestation": skip("x", "Not here.")} if outcome is Outcome.SKIPPED else {}),
    )
    for number, outcome in enumerate(Outcome)
)
