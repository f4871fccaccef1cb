"""
Events: the fields of each kind of journal line, and which of them are free text.

One table (`FORMS`) defines both: a line without a field that its readers need
is rejected when it is read, and redaction changes free text, never structure.
A field that the table does not name is accepted as free text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn, Protocol

from runbook_lib.core.json_text import is_json, rebuild
from runbook_lib.core.procedure import Outcome
from runbook_lib.core.redaction import MASK, Redactor


class EventType:
    """The kinds of journal lines, `type` in the file."""

    RUN_STARTED = "run.started"
    RUN_JOINED = "run.joined"
    RUN_FINISHED = "run.finished"
    RUN_INTERRUPTED = "run.interrupted"
    NOTEBOOK_FINISHED = "notebook.finished"
    STEP_STARTED = "step.started"
    STEP_CHECKED = "step.checked"
    # A check that a bundle withholds: readers of the journal see it as an inconclusive one.
    STEP_WITHHELD = "step.withheld"
    STEP_ATTESTED = "step.attested"
    STEP_SUBMITTED = "step.submitted"
    STEP_DECLINED = "step.declined"
    STEP_SKIPPED = "step.skipped"
    STEP_WITHDRAWN = "step.withdrawn"
    STEP_COMMENTED = "step.commented"
    STEP_ASSIGNED = "step.assigned"
    INPUT_GIVEN = "input.given"
    CREDENTIAL_GIVEN = "credential.given"
    CREDENTIAL_REMEMBERED = "credential.remembered"
    CHANGE_INTENDED = "change.intended"
    JOURNAL_MENDED = "journal.mended"
    BUNDLE_SEALED = "bundle.sealed"


class _MaskAll(Redactor):
    """Masks every text."""

    def redact_values(self, document: Any, *, structure: Collection[str] = ()) -> Any:  # noqa: ARG002
        return rebuild(document, lambda value: MASK if isinstance(value, str) else value)

    def redact_document(self, document: Any) -> Any:  # noqa: ARG002
        return MASK

    def is_spread_over(self, document: Any) -> bool:  # noqa: ARG002
        return False


class Part(Protocol):
    """A part of a line's `data`."""

    def check(self, value: Any, path: str) -> None:
        """Raise `ValueError` if `value`, found at `path`, does not have this form."""

    def redacted(self, value: Any, masks: Redactor) -> Any:
        """Return `value` with secrets masked in its free text."""


def check_line(fields: Mapping[str, Any]) -> None:
    """
    Raise `ValueError` if a whole line is invalid.

    The message says what is wrong and where, without quoting a value.
    """
    _LINE.check(fields, "")
    check_event(fields["type"], fields["data"])


def check_event(kind: str, data: Any) -> None:
    """Raise `ValueError` if `data` is invalid for a line of this kind."""
    if kind not in FORMS:
        _refuse("the runbook writes no lines of its type")
    FORMS[kind].check(data, "data")


def redact_event(kind: str, data: Mapping[str, Any], masks: Redactor) -> Any:
    """Return the `data` of a line of this kind with secrets masked in its free text."""
    return FORMS[kind].redacted(data, masks)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A single value: `matches` recognises it, `mask` redacts it (`None` for structure)."""

    what: str
    matches: Callable[[Any], bool]
    mask: Callable[[Redactor, Any], Any] | None = None

    def check(self, value: Any, path: str) -> None:
        if not self.matches(value):
            _refuse(f"{path} is not {self.what}")

    def redacted(self, value: Any, masks: Redactor) -> Any:
        return self.mask(masks, value) if self.mask else value


@dataclass(frozen=True, slots=True)
class _Optional:
    """A part that may be `null`."""

    part: Part

    def check(self, value: Any, path: str) -> None:
        if value is not None:
            self.part.check(value, path)

    def redacted(self, value: Any, masks: Redactor) -> Any:
        return None if value is None else self.part.redacted(value, masks)


@dataclass(frozen=True, slots=True)
class _List:
    part: Part

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, list | tuple):
            _refuse(f"{path} is not a list")
        for number, item in enumerate(value):
            self.part.check(item, f"{path}[{number}]")

    def redacted(self, value: Any, masks: Redactor) -> Any:
        return [self.part.redacted(item, masks) for item in value]


@dataclass(frozen=True, slots=True)
class _Map:
    """Values by name; the names are structure."""

    part: Part

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            _refuse(f"{path} is not an object")
        for name, item in value.items():
            self.part.check(item, _below(path, name))

    def redacted(self, value: Any, masks: Redactor) -> Any:
        return {name: self.part.redacted(item, masks) for name, item in value.items()}


@dataclass(frozen=True, slots=True)
class _Object:
    """Fields by name, required (`needed`) and optional (`more`)."""

    needed: Mapping[str, Part] = field(default_factory=dict)
    more: Mapping[str, Part] = field(default_factory=dict)

    def check(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            _refuse(f"{path} is not an object")
        for name in self.needed:
            if name not in value:
                _refuse(f"{_below(path, name)} is missing")
        known = self._known
        for name, item in value.items():
            if name in known:
                known[name].check(item, _below(path, name))
            elif not is_json(item):
                _refuse(f"{_below(path, name)} is not JSON")

    def redacted(self, value: Any, masks: Redactor) -> Any:
        known = self._known
        return {
            name: known[name].redacted(item, masks) if name in known else masks.redact_values(item)
            for name, item in value.items()
        }

    @property
    def _known(self) -> dict[str, Part]:
        return {**self.needed, **self.more}


@dataclass(frozen=True, slots=True)
class _RemoteObject(_Object):
    """An object whose `texts` come from a remote system: a secret split over them masks all."""

    texts: tuple[str, ...] = ()

    def redacted(self, value: Any, masks: Redactor) -> Any:
        redacted = _Object.redacted(self, value, masks)
        # NOTE: the names of headers and facts are structure.
        texts = [
            [*redacted[name].values()] if isinstance(self._known[name], _Map) else redacted[name]
            for name in self.texts
            if name in redacted
        ]
        if masks.is_spread_over(texts):
            hidden = _Object.redacted(self, value, _MaskAll())
            redacted |= {name: hidden[name] for name in self.texts if name in hidden}
        return redacted


def _refuse(why: str) -> NoReturn:
    raise ValueError(why) from None


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_time(value: Any) -> bool:
    """Return whether `value` is a time (RFC 3339)."""
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_day(value: Any) -> bool:
    return isinstance(value, str) and (not value or _DATE.fullmatch(value) is not None)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and is_json(value)


def _is_value(value: Any) -> bool:
    is_list = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return is_list or isinstance(value, str | int)


def _mask_values(masks: Redactor, value: Any) -> Any:
    return masks.redact_values(value)


def _mask_remote(masks: Redactor, value: Any) -> Any:
    return masks.redact_document(value)


def _mask_unless_fingerprint(masks: Redactor, value: Any) -> Any:
    is_fingerprint = isinstance(value, str) and _FINGERPRINT.fullmatch(value)
    return value if is_fingerprint else masks.redact_values(value)


def _one_of(words: Collection[str], description: str) -> _Leaf:
    return _Leaf(description, lambda value: isinstance(value, str) and value in words)


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEX = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9a-f]{8}:[0-9a-f]{64}")

# Structure: names, ids, digests, fingerprints.
_NAME = _Leaf("a text", _is_text)
_COUNT = _Leaf("a whole number", _is_count)
_NUMBER = _Leaf("a number", _is_number)
_SHA256 = _Leaf("a SHA-256", lambda value: _HEX.fullmatch(str(value)) is not None)
_FLAG = _Leaf("true or false", lambda value: isinstance(value, bool))
_TIME = _Leaf("a time", _is_time)
_DAY = _Leaf("a day", _is_day)
# Free text: what people typed.
_TEXT = _Leaf("a text", _is_text, _mask_values)
_VALUE = _Leaf("a value", _is_value, _mask_values)
_SUBJECT_VALUE = _Leaf("a value", _is_value, _mask_unless_fingerprint)
# What was sent to a remote system, what it answered, and what checks say of that.
_REMOTE = _Leaf("a document of JSON", is_json, _mask_remote)
_REMOTE_TEXT = _Leaf("a text", _is_text, _mask_remote)
_REMOTE_VALUE = _Leaf("a value", _is_value, _mask_remote)

_SEEN = frozenset(Outcome) - {Outcome.ATTESTED, Outcome.SKIPPED}

_BINDING = _Object(
    more={
        "connector": _NAME,
        "confirms": _NAME,
        "checks": _List(_NAME),
        "text": _NAME,
        "subject": _Map(_Optional(_SUBJECT_VALUE)),
    }
)
_ATTACHMENT = _Object({"name": _TEXT, "sha256": _NAME, "size": _COUNT, "media_type": _NAME})
# The sentence is the step's own text: a digest binds the word to it.
_WORD = _Object(
    {
        "by": _TEXT,
        "at": _TIME,
        "sentence": _NAME,
        "app_name": _TEXT,
        "app_id": _TEXT,
        "service_domain": _TEXT,
        "binding": _BINDING,
    },
    {
        "note": _TEXT,
        "seen": _TEXT,
        "attachments": _List(_ATTACHMENT),
        "origin": _TEXT,
        "entry": _NAME,
        "login": _TEXT,
        "link": _NAME,
    },
)
_NOTE = {"origin": _TEXT, "entry": _NAME, "login": _TEXT}
_EXCHANGE = _RemoteObject(
    {"method": _NAME, "url": _REMOTE_TEXT, "sent_on": _TIME, "elapsed": _NUMBER},
    {
        "status": _Optional(_COUNT),
        "request": _REMOTE,
        "headers": _Map(_REMOTE_TEXT),
        "response": _REMOTE,
        "error": _REMOTE_TEXT,
    },
    texts=("headers", "response", "error"),
)
_TABLE = _Object(
    {"caption": _REMOTE_TEXT, "columns": _List(_REMOTE_TEXT), "rows": _List(_List(_REMOTE_TEXT))}
)
_FINDING = _RemoteObject(
    {
        "outcome": _one_of(_SEEN, "an outcome of a check"),
        "reason": _REMOTE_TEXT,
        "check": _NAME,
        "accepts": _List(_NAME),
        "refuses": _List(_NAME),
        "limits": _List(_REMOTE_TEXT),
        "warnings": _List(_REMOTE_TEXT),
        "changes": _List(_REMOTE_TEXT),
        "facts": _Map(_REMOTE_VALUE),
        "tables": _List(_TABLE),
        "exchanges": _List(_EXCHANGE),
    },
    texts=("reason", "limits", "warnings", "changes", "facts", "tables"),
)
_RUN = _Object(
    {
        "form": _COUNT,
        "tenant": _NAME,
        "procedure": _Object({"id": _NAME, "version": _NAME, "digest": _NAME}),
        "mode": _one_of(("interactive", "headless"), "a mode"),
        "sandbox": _FLAG,
        "parameters": _Map(_VALUE),
        "credentials": _List(_NAME),
        "fingerprints": _Map(_NAME),
        "resumes": _NAME,
        "environment": _Map(_NAME),
    }
)

# The fields beside `data`; the journal checks the links between lines.
_LINE = _Object({"at": _TIME, "type": _NAME, "run_id": _NAME, "step": _NAME})

# The `data` of each kind of line.
FORMS: Mapping[str, _Object] = {
    EventType.RUN_STARTED: _RUN,
    EventType.RUN_JOINED: _Object({"parameters": _Map(_VALUE), "fingerprints": _Map(_NAME)}),
    EventType.RUN_FINISHED: _Object(
        {"outcome": _one_of(("complete", "failed", "incomplete"), "an outcome of a run")},
        {"environment": _Map(_TEXT)},
    ),
    EventType.RUN_INTERRUPTED: _Object({"reason": _TEXT}),
    EventType.NOTEBOOK_FINISHED: _Object({}),
    EventType.STEP_STARTED: _Object(),
    EventType.STEP_CHECKED: _Object(
        {"findings": _List(_FINDING)}, {"unchecked": _TEXT, "binding": _BINDING}
    ),
    EventType.STEP_WITHHELD: _Object(
        {"sha256": _SHA256, "checks": _List(_NAME)}, {"binding": _BINDING}
    ),
    EventType.STEP_ATTESTED: _WORD,
    EventType.STEP_SUBMITTED: _WORD,
    EventType.STEP_DECLINED: _WORD,
    EventType.STEP_SKIPPED: _WORD,
    EventType.STEP_WITHDRAWN: _WORD,
    EventType.STEP_COMMENTED: _Object({"by": _TEXT, "at": _TIME, "note": _TEXT}, _NOTE),
    EventType.STEP_ASSIGNED: _Object(
        {"by": _TEXT, "at": _TIME, "to": _TEXT}, {"due": _DAY, "note": _TEXT, **_NOTE}
    ),
    EventType.INPUT_GIVEN: _Object({"name": _NAME, "value": _VALUE}),
    EventType.CREDENTIAL_GIVEN: _Object({"name": _NAME, "fingerprint": _NAME}),
    EventType.CREDENTIAL_REMEMBERED: _Object({"name": _NAME, "reference": _NAME}),
    EventType.CHANGE_INTENDED: _Object({"change": _TEXT}),
    EventType.JOURNAL_MENDED: _Object({"bytes": _COUNT, "text": _TEXT}),
    EventType.BUNDLE_SEALED: _Object(
        {
            "bundle": _NAME,
            "sequence": _COUNT,
            "statement": _NAME,
            "journal": _Object({"lines": _COUNT, "head": _NAME, "end": _COUNT}),
        }
    ),
}
