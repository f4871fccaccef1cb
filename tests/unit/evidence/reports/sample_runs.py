"""Records and journal lines of sample runs for the reports."""

from __future__ import annotations

from itertools import count
from typing import Any

from msgspec import convert

from runbook_lib.core.model import Attestation, AttestationKind, ModelStruct, Outcome
from runbook_lib.core.outcome import SETTLED
from runbook_lib.run.events import FORMAT, StepChecked
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState
from tests.support.line_writer import LineWriter

Document = dict[str, Any]

SHA = "ab" * 32
STARTED = "2026-11-24T12:00:00.000Z"
FINISHED = "2026-11-24T12:00:04.500Z"
CHECKED = "2026-11-24T12:00:01.250Z"
SAID = "2026-11-20T09:00:00Z"


def attestation_json(step: str, by: str = "Operator", at: str = SAID, **more: Any) -> Document:
    """Return an attestation of `step`."""
    return {
        "kind": AttestationKind.ATTESTED,
        "by": by,
        "at": at,
        "sentence": f"I did {step}.",
        "app_name": "Acme Lead Sync",
        "app_id": "4711",
        "service_domain": "acme-h.cyclr.com",
        "binding": {"connector": "p", "checks": ["it-is-so"], "subject": {}},
        **more,
    }


def skip(step: str, note: str = "Not needed.", **more: Any) -> Document:
    """Return a skip."""
    return attestation_json(step, **{"kind": AttestationKind.SKIPPED, "note": note, **more})


def exchange(**more: Any) -> Document:
    """Return one exchange of a check; its `number` is the next free one unless it is given."""
    return {
        "method": "GET",
        "url": "https://graph.facebook.com/v26.0/4711?fields=id",
        "sent_on": CHECKED,
        "elapsed": 0.123,
        "status": 200,
        "response": {"id": "4711"},
        **more,
    }


def check(outcome: str = "verified", reason: str = "Seen.", **more: Any) -> Document:
    """Return the finding of one check."""
    return {
        "check": "it_is_so",
        "code": "a-code",
        "outcome": outcome,
        "reason": reason,
        **more,
    }


def attachment(**more: Any) -> Document:
    """Return an attached file."""
    return {"name": "screen.png", "sha256": SHA, "size": 10, "media_type": "image/png", **more}


def step(identifier: str = "fb-01-log-in", outcome: str = "verified", **more: Any) -> Document:
    """
    Return a step of a record; a verified one has its check and exchange.

    `checks` are its findings, and `exchanges` are what the first of them rests on.
    """
    is_seen = outcome == "verified"
    is_attested = outcome == "attested"
    usual = {
        "id": identifier,
        "number": identifier.partition("-")[2].partition("-")[0].lstrip("0") or "0",
        "title": f"Do {identifier}",
        "off_page": False,
        "kind": "call",
        "outcome": outcome,
        "reason": "Seen." if is_seen else f"It is {outcome}.",
        "sentence": f"I did {identifier}.",
        "answers": [],
        "checked_on": CHECKED,
        "attestation": attestation_json(identifier) if is_attested else None,
        "findings": more.pop("checks", [check()] if is_seen else []),
        "exchanges": [exchange()] if is_seen else [],
    }
    made: Document = {**usual, **more}
    made["by_person"] = is_attested or (outcome == "skipped" and made["attestation"] is not None)
    in_part = made.get("needs_person", False)
    is_done = Outcome(outcome) in SETTLED and not in_part
    made["is_settled"] = is_done or (outcome == "skipped" and made["by_person"])
    return made


def record(*steps: Document, **more: Any) -> RunState:
    """Return the record of a production run with these steps."""
    exchanges: dict[int, Document] = {}
    numbers = count(1)
    states = [_with_numbers(each, exchanges, numbers) for each in steps or (step(),)]
    document = {
        "format": FORMAT,
        "run": "0a1b2c3d",
        "tenant": "acme",
        "procedure": {"id": "facebook_marketing", "version": "1", "digest": SHA},
        "mode": "headless",
        "sandbox": False,
        "started_on": STARTED,
        "finished_on": FINISHED,
        "resumes": "",
        "outcome": "complete",
        "broken": "",
        "steps": states,
        "exchanges": exchanges,
        "values": {
            "app_display_name": "Acme Lead Sync",
            "app_id": "4711",
            "service_domain": "acme-h.cyclr.com",
        },
        "credentials": ["app_secret"],
        "environment": {"python": "3.11.7"},
        "calls": {"graph.facebook.com": 7},
        "fleet_run": None,
        "not_run": None,
        "unverifiable": [],
        "app_id_label": "App ID",
        **more,
    }
    return convert(document, RunState)


def _with_numbers(given: Document, exchanges: dict[int, Document], numbers: Any) -> Document:
    """Return a step whose findings name its exchanges, which are added to `exchanges`."""
    made = dict(given)
    own: list[int] = []
    for each in made.pop("exchanges"):
        fields = dict(each)
        number = fields.pop("number", 0) or next(n for n in numbers if n not in exchanges)
        exchanges[number] = fields
        own.append(number)
    if own:
        is_check = made["outcome"] not in (Outcome.ATTESTED, Outcome.SKIPPED)
        usual = check(made["outcome"] if is_check else "inconclusive", made["reason"])
        first, *others = made["findings"] or [usual]
        made["findings"] = [{**first, "exchanges": own}, *others]
    if files := made.pop("attachments", []):
        made["attestation"] = {**made["attestation"], "attachments": files}
    return made


def line(event: ModelStruct, *, at: str = STARTED, step: str = "", run: str = "") -> Line:
    """Return a journal line; `run` names another run than that of `record`."""
    writer = LineWriter()
    writer.write(event, at, run or "0a1b2c3d", step)
    return writer.lines[0]


def attested(step: str, *, written_on: str = STARTED, run: str = "", **said: Any) -> Line:
    """Return the line of an attestation."""
    event = convert(attestation_json(step, **said), Attestation)
    return line(event, at=written_on, step=step, run=run)


def skipped(step: str, *, written_on: str = STARTED, **said: Any) -> Line:
    """Return the line of a skip."""
    return attested(step, written_on=written_on, **skip(step, **said))


def lines_of(run: RunState) -> list[Line]:
    """Return the lines of a run's start and of the attestations in its record."""
    writer = LineWriter()
    for state in run.steps:
        for said in state.counted_attestations:
            writer.write(said, STARTED, run.run, state.id)
    return writer.lines


def checked(step: str, outcome: str, *, at: str = CHECKED, run: str = "") -> Line:
    """Return the line of a check's finding."""
    event = convert({"findings": [check(outcome)], "binding": {}}, StepChecked)
    return line(event, at=at, step=step, run=run)


EVERY_OUTCOME = tuple(
    step(
        f"fb-{number:02}-step",
        outcome,
        **({"attestation": skip("x", "Not here.")} if outcome is Outcome.SKIPPED else {}),
    )
    for number, outcome in enumerate(Outcome)
)
