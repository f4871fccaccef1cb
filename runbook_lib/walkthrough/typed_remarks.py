"""
Makes attestations, comments and assignments from a panel's typed fields.
"""

from __future__ import annotations

from typing import Any

from runbook_lib.config.attestations import doubtful_days, due_day, read_answer
from runbook_lib.config.settings import visible_text
from runbook_lib.core.attachments import store_attachment
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Attestation, AttestationKind, Note, NoteKind
from runbook_lib.core.procedure import Step
from runbook_lib.engine.run_view import RunView
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.reports.phrases import date

_ORIGIN = "walkthrough"
_LONGEST_NAME = 200
_LONGEST_NOTE = 2_000
_FIELDS = {
    "by": "Your name",
    "note": "The note",
    "seen": "Differences",
    "to": "Person",
    "due": "The day",
    "until": "The last day",
    "answer": "The answer",
    "on": "The day",
}
# Fields whose day a person may mistype.
_DAYS = ("on", "due")
# Lists that a panel sends beside the names that a person chose.
_NO_NAMES = ("files", "inputs", "sure")


class TypedRemarks:
    """
    Makes the remarks of one walkthrough.

    Each raises `SettingsError` where a field lacks what it needs, or cannot be shown.
    """

    def __init__(self, run: RunView) -> None:
        self._run = run

    def attestation(
        self, step: Step, kind: AttestationKind, typed: dict[str, Any], files: list[dict[str, Any]]
    ) -> Attestation:
        """Return a named person's attestation of the step; its attachments are stored."""
        fields = self._fields(typed)
        if kind in (AttestationKind.SKIPPED, AttestationKind.WITHDRAWN) and not fields["note"]:
            raise SettingsError("Give a reason.", next_step="It is kept in the record.")
        given = {name: _text(typed, name) for name in ("answer", "due", "until")}
        is_done = kind is AttestationKind.ATTESTED
        details: dict[str, Any] = {}
        if is_done:
            details = self._run.state.step(step.id).second_attestation(fields["by"])
            details = details or read_answer(step, given, step.title, at=fields["at"])
        folder = self._run.journal.path.parent / "attachments"
        return Attestation(
            kind=kind,
            seen=_text(typed, "seen"),
            attachments=tuple(store_attachment(folder, **file) for file in files),
            **details,
            **fields,
        )

    def doubts(self, typed: dict[str, Any]) -> dict[str, str]:
        """Return why a typed day is probably a slip, by its field, unless a person is sure."""
        given = {
            name: due_day(_text(typed, name), _FIELDS[name], since="", key=name) for name in _DAYS
        }
        doubts = doubtful_days(given, today=self._run.clock().date())
        return {name: why for name, why in doubts.items() if name not in typed.get("sure", ())}

    def note(self, kind: NoteKind, typed: dict[str, Any]) -> Note:
        """Return a comment, or an assignment."""
        fields = self._fields(typed)
        if kind is NoteKind.ASSIGNED:
            to = _text(typed, "to", longest=_LONGEST_NAME)
            due = _text(typed, "due")
            return Note(to=to, due=due_day(due, "By", since=fields["at"]), **fields)
        if not fields["note"]:
            raise SettingsError(
                "Write the comment.", next_step="It is kept with the step's history."
            )
        return Note(**fields)

    def _fields(self, typed: dict[str, Any]) -> dict[str, Any]:
        by = _text(typed, "by", longest=_LONGEST_NAME)
        if not by:
            raise SettingsError(
                "Enter your name: the record says who confirmed this.",
                next_step="This page keeps it until you close it.",
            )
        return {
            "by": by,
            "at": timestamp(self._run.clock()),
            "note": _with_event(typed),
            "origin": _ORIGIN,
        }


def _with_event(typed: dict[str, Any]) -> str:
    """Return the note, after the day and the names of the event outside the runbook."""
    on = due_day(_text(typed, "on"), _FIELDS["on"], since="", key="on")
    event = [f"on {date(on)}"] if on else []
    event += [
        f"{name}: {', '.join(map(str, chosen))}"
        for name, chosen in typed.items()
        if isinstance(chosen, list) and name not in _NO_NAMES and chosen
    ]
    parts = (f"({'; '.join(event)})" if event else "", str(typed.get("note", "")).strip())
    return _text({"note": " ".join(filter(None, parts))}, "note")


def _text(typed: dict[str, Any], name: str, *, longest: int = _LONGEST_NOTE) -> str:
    """Return typed text; raises `SettingsError` if it contains an invisible character."""
    return visible_text(
        _FIELDS.get(name, name),
        str(typed.get(name, "")),
        longest=longest,
        may_have_lines=name in ("note", "seen"),
        next_step="Correct it, then press the button again.",
    )
