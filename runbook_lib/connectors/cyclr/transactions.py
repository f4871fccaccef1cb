"""
Read the payloads of Cyclr's two webhooks: failed transactions and paused cycles.

Pure. The JSON is a stranger's: it is bounded, and unknown fields are left out. `Detail` has a
status line, the remote system's refusal, and the request without its Authorization. Only the
refusal's own words are kept, without credentials. Sources: Cyclr, Transaction Errors and
Notifications.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from msgspec import Struct

from runbook_lib.connectors.error_text import ErrorText, read_error
from runbook_lib.connectors.fault_domain import ADVICE, FaultDomain
from runbook_lib.connectors.known_errors import (
    Explanation,
    KnownErrors,
)
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.clock import timestamp
from runbook_lib.core.json_text import parse_first, parse_json
from runbook_lib.core.procedure import KnownError, Procedure
from runbook_lib.core.redaction import MASK, Redactor, without_headers
from runbook_lib.remote.quoting import shorten
from runbook_lib.remote.registrable_domains import is_same_registrable_domain

# Bytes that are read of a file or of stdin.
LARGEST = 16 * 1024 * 1024
_MOST_FAILURES = 50_000
_LONGEST_LINE = 1024 * 1024
_LONGEST_DETAIL = 65_536
_LONGEST_TEXT = 300
_LONGEST_NAME = 120
_MOST_IDS = 3
_MOST_NAMED = 5
# Texts with fewer characters are no credential.
_SHORTEST_SECRET = 8
_STATUS = re.compile(r"\s*(?:HTTP/[0-9.]+ +)?([1-5][0-9]{2})\b")
_REQUEST = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE|HEAD) +\S", re.M)
_HOST = re.compile(r"https?://([A-Za-z0-9.-]{1,253})|^host: *([A-Za-z0-9.-]{1,253})", re.I | re.M)
_NAMED_SECRET = re.compile(
    r"((?:token|secret|proof|password|signature|authorization|api_?key|code)"
    r"(?:=|\\*[\"']\s*:\s*\\*[\"'])|\bbearer\s+)[^\s&\"',;}]{4,}",
    re.IGNORECASE,
)
_TOO_MANY_REQUESTS = 429
# Beginning of a notification's title, before the cycle's name.
_CYCLE_ERROR = "Cycle Error: "
_OUT_OF_RETRIES = "out of retries"
# The known error of a notification about a paused cycle.
_PAUSED = "paused"
# Ids and numbers: they differ between failures of the same cause.
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\w*[0-9]\w*", re.IGNORECASE)
_WORD = re.compile(r"\w+")
# Number of entries between two calls of `on_progress`.
_PART = 500
# The documented fields that are kept unchanged.
_FIELDS = {
    "account": "AccountId",
    "account_name": "AccountName",
    "cycle": "CycleId",
    "cycle_name": "CycleName",
    "step_name": "StepName",
    "transaction": "TransactionId",
    "level": "IncidentLevel",
}
# Fixed messages of Cyclr's (of 22) that we have read, and that name the fault domain themselves.
_MESSAGES = {
    "failed to authenticate the connector": FaultDomain.CUSTOMER,
    _OUT_OF_RETRIES: FaultDomain.CYCLR,
    "transaction stopped": FaultDomain.CYCLR,
}


class CycleStop(StrEnum):
    """A state in which Cyclr leaves a failed cycle, until a person starts it again."""

    PAUSED = "paused"
    OUT_OF_RETRIES = "out_of_retries"


# A sentence for each, with the name of the cycle and the time of the failure.
STOPPED_CYCLES: Mapping[CycleStop, str] = {
    CycleStop.PAUSED: "Cyclr paused the cycle {name}{at}: start it again, unless somebody has",
    CycleStop.OUT_OF_RETRIES: "Cyclr retried the cycle {name} and gave up{at}: start it again",
}


class Failure(Struct, frozen=True, kw_only=True):
    """One failed transaction, or a paused cycle; a text is empty if the payload lacks it."""

    at: str
    """Time of the failure, in UTC."""

    account: str
    """Id of the Cyclr account."""

    account_name: str
    """Name of the Cyclr account."""

    cycle: str
    """Id of the cycle."""

    cycle_name: str
    """Name of the cycle."""

    step_name: str
    """Name of the step that failed."""

    transaction: str
    """Id of the transaction."""

    level: str
    """Cyclr's `IncidentLevel`."""

    message: str
    """Cyclr's own message."""

    remote_message: str
    """The remote system's refusal, without credentials."""

    codes: tuple[int, ...]
    """The codes in the refusal, at most three."""

    trace: str
    """The remote system's id of its response."""

    cause: FaultDomain
    """The fault domain."""

    meaning: str
    """The meaning of a known error, or else the best text that there is."""

    advice: str
    """The next action."""

    error: str
    """The id of the known error that explains the text; empty without one."""

    stop: str
    """The state in which Cyclr left the cycle (`CycleStop`); empty if the payload does not say."""

    @property
    def is_known(self) -> bool:
        """Whether a known error explains the text."""
        return bool(self.error)


@dataclass(frozen=True, slots=True)
class Failures:
    """
    The failures in a file, oldest first.

    `unread` entries could not be read, `others` are of other connectors. `is_cut`: the file has
    more than the limits allow.
    """

    items: tuple[Failure, ...]
    unread: int = 0
    others: int = 0
    is_cut: bool = False

    @property
    def last(self) -> dict[str, Failure]:
        """The last failure of each account, by its id."""
        return {failure.account: failure for failure in self.items if failure.account}

    @property
    def stopped_cycles(self) -> dict[str, list[Failure]]:
        """The last failure of each cycle that a person must start again, by the account's id."""
        stopped: dict[str, dict[str, Failure]] = {}
        for failure in self.items:
            if failure.stop and failure.account:
                of_account = stopped.setdefault(failure.account, {})
                of_account[failure.cycle_name or failure.cycle] = failure
        return {account: [*cycles.values()] for account, cycles in stopped.items()}

    def document(self) -> dict[str, Any]:
        """Return the failures for programs, grouped by cause."""
        return {
            "failures": len(self.items),
            "unread": self.unread,
            "other_connectors": self.others,
            "cut": self.is_cut,
            "causes": list(self.causes()),
        }

    def causes(self) -> Iterator[dict[str, Any]]:
        """Yield each cause once, with the number of accounts and the advice; the widest first."""
        groups: dict[tuple[object, ...], list[Failure]] = {}
        for failure in self.items:
            is_named = failure.is_known or not failure.codes
            group_by: object = _without_ids(failure.meaning) if is_named else failure.codes
            groups.setdefault((failure.cause, group_by), []).append(failure)
        for group in sorted(groups.values(), key=_order_of_cause):
            last = group[-1]
            traces = dict.fromkeys(item.trace for item in reversed(group))
            names = {item.account: item.account_name or item.account for item in group}
            yield {
                "cause": last.cause.value,
                "known": last.cause is not FaultDomain.UNKNOWN,
                "meaning": last.meaning,
                "remote_message": last.remote_message,
                "accounts": len(names),
                "failures": len(group),
                "names": list(names.values())[:_MOST_NAMED],
                "first": group[0].at or None,
                "last": last.at or None,
                "codes": list(last.codes),
                "traces": [trace for trace in traces if trace][:_MOST_IDS],
                "advice": last.advice,
            }


def read_failures(
    content: bytes,
    procedure: Procedure,
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> Failures:
    """
    Return the failures of `procedure`'s connector in a payload, a list of them, or lines of a log.

    Unreadable entries are counted. A failure whose request names no host counts for this
    connector. For long files, `on_progress` gets the numbers of entries read and in total.
    """
    reader = _ErrorReader(procedure)
    items: list[Failure] = []
    unread = 0
    others = 0
    is_cut = len(content) > LARGEST
    total, payloads = _split_payloads(content[:LARGEST].decode("utf-8-sig", "replace"))
    for number, payload in enumerate(payloads):
        if total > _PART and number % _PART == 0:
            on_progress(number, total)
        if len(items) >= _MOST_FAILURES:
            is_cut = True
            break
        fields = _as_transaction(payload) if isinstance(payload, dict) else {}
        if not reader.text(fields, "AccountId") or not (fields.keys() & {"Message", "Detail"}):
            unread += 1
            continue
        failure, is_other = reader.failure(fields)
        if is_other:
            others += 1
        else:
            items.append(failure)
    # Sorting keeps the order of those without a time.
    return Failures(tuple(sorted(items, key=lambda item: item.at)), unread, others, is_cut)


def explain_refusal(refusal: str, procedure: Procedure, *, account: str, at: str) -> Failure:
    """Explain the refusal of an account's call, as if a webhook had posted it."""
    # NOTE: the first line of `Detail` is the status.
    fields = {"AccountId": account, "Timestamp": at, "Detail": f"\n{refusal}"}
    return _ErrorReader(procedure).failure(fields)[0]


def _split_payloads(text: str) -> tuple[int, Iterator[object]]:
    """Return the number of entries, and each payload; `None` for an entry without one."""
    try:
        document = parse_json(text.strip())
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        return len(lines), map(_payload_in_line, lines)
    entries = document if isinstance(document, list) else [document]
    return len(entries), iter(entries)


def _payload_in_line(line: str) -> object:
    begins = line.find("{")
    ends = line.rfind("}")
    if begins < 0 or len(line) > _LONGEST_LINE:
        return None
    try:
        return parse_json(line[begins : ends + 1])
    except ValueError:
        return None


def _as_transaction(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a notification's payload under the field names of a transaction error."""
    title = payload.get("title")
    if not payload.keys() >= {"accountId", "message"} or "AccountId" in payload:
        return payload
    cycle = title.partition(_CYCLE_ERROR)[2] if isinstance(title, str) else ""
    names = {"AccountId": payload["accountId"], "Message": payload["message"]}
    return {**names, "CycleName": cycle}


class _ErrorReader:
    """Explains one connector's errors; equal texts are recognised and masked once."""

    def __init__(self, procedure: Procedure) -> None:
        self._vendor = vendor = vendor_of(procedure)
        self._known = KnownErrors(procedure.known_errors, vendor.search_words)
        defaults = {item.name: item.default for item in vendor.settings if item.default is not None}
        shown = " ".join(text for error in procedure.known_errors for text in error.shown)
        self._words = {*_WORD.findall(shown.casefold())}
        self._homes = {host for url in vendor.hosts(defaults) for host in _hosts_in(url)}
        self._redactor = Redactor()
        self._recognised = lru_cache(maxsize=1_000)(self._recognise)
        self._clean = lru_cache(maxsize=10_000)(self._mask)
        self._is_ours = lru_cache(maxsize=1_000)(
            lambda host: any(is_same_registrable_domain(host, home) for home in self._homes)
        )

    def failure(self, fields: Mapping[str, Any]) -> tuple[Failure, bool]:
        """Return a payload's failure, and whether its request went to another company's host."""
        message = self.text(fields, "Message", _LONGEST_TEXT)
        detail = fields.get("Detail")
        detail = detail[:_LONGEST_DETAIL] if isinstance(detail, str) else ""
        head, refusal, request = _split_detail(detail)
        error = read_error(refusal)
        messages = tuple(map(self._without_unknown_ids, error.messages))
        plain = ErrorText(" ".join(messages), messages, error.codes)
        known, cause = self._recognised(
            plain, self._without_unknown_ids(message), _status_of(detail)
        )
        is_json = refusal.startswith("{")
        text = error.messages[0] if is_json and error.messages != (error.text,) else ""
        text = text if is_json else refusal or head
        answer = self._clean(text, _LONGEST_TEXT)
        fields = {name: self.text(fields, key) for name, key in _FIELDS.items()} | {
            "at": _read_moment(fields.get("Timestamp")), "message": message,
        }  # fmt: skip
        failure = Failure(
            **fields,
            remote_message=answer,
            codes=error.codes[:_MOST_IDS],
            trace=self._trace_of(refusal),
            cause=cause,
            meaning=known.meaning if known else answer or message or "no text",
            advice=known.advice if known else ADVICE[cause],
            error=known.id if known else "",
            stop=_stop_of(known, message),
        )
        host = next(iter(_hosts_in(request)), "")
        return failure, bool(host) and not self._is_ours(host)

    def text(self, fields: Mapping[str, Any], name: str, longest: int = _LONGEST_NAME) -> str:
        """Return a field that is a text or a whole number, on one line, without credentials."""
        value = fields.get(name)
        is_plain = isinstance(value, str | int) and not isinstance(value, bool)
        return self._clean(str(value), longest) if is_plain else ""

    def _without_unknown_ids(self, text: str) -> str:
        """Return `text` without ids that are in no known text, so that equal texts are alike."""

        def plain(match: re.Match[str]) -> str:
            words = _WORD.findall(match[0].casefold())
            return match[0] if self._words.intersection(words) else "-".join(["id0"] * len(words))

        return _ID.sub(plain, text)

    def _recognise(
        self, refusal: ErrorText, message: str, status: int
    ) -> tuple[KnownError | None, FaultDomain]:
        """
        Return the known error in a refusal or else in Cyclr's own message, and its fault domain.

        A code alone names the domain, and no cause.
        """
        explanation = self._known.decide(refusal)
        if explanation.is_certain or explanation.names_cause:
            return explanation.errors[0] if explanation.names_cause else None, _fault_domain_of(
                explanation
            )
        if status == _TOO_MANY_REQUESTS:
            return None, FaultDomain.LIMIT
        if explanation.codes:
            return None, FaultDomain.UNKNOWN
        cause = _MESSAGES.get(message.lower().rstrip("."))
        own = self._known.decide(read_error(message))
        if cause is not None:
            is_its = own.names_cause and _fault_domain_of(own) is cause
            return own.errors[0] if is_its else None, cause
        if not own.names_cause or own.errors[0].is_generic:
            return None, FaultDomain.UNKNOWN
        return own.errors[0], _fault_domain_of(own)

    def _trace_of(self, refusal: str) -> str:
        """Return the vendor's id of its response, if the refusal has it."""
        try:
            document = parse_first(refusal)[0]
        except ValueError:
            return ""
        error = document.get("error") if isinstance(document, dict) else None
        return self.text(error, self._vendor.trace_field) if isinstance(error, dict) else ""

    def _mask(self, text: str, longest: int) -> str:
        text = text[: 8 * longest]
        if len(text) >= _SHORTEST_SECRET:
            masked = _NAMED_SECRET.sub(lambda match: f"{match[1]}{MASK}", without_headers(text))
            text = self._redactor.redact(masked)
        return shorten(text, longest)


def _fault_domain_of(explanation: Explanation) -> FaultDomain:
    """Return the fault domain of a certain explanation."""
    return FaultDomain(explanation.errors[0].fault_domain or FaultDomain.UNKNOWN)


def _stop_of(known: KnownError | None, message: str) -> str:
    """Return the state of the cycle by Cyclr's own message; empty if that names none."""
    if known and known.id == _PAUSED:
        return CycleStop.PAUSED
    is_over = message.lower().rstrip(".") == _OUT_OF_RETRIES
    return CycleStop.OUT_OF_RETRIES if is_over else ""


def _split_detail(detail: str) -> tuple[str, str, str]:
    """Return status line, refusal and request of a `Detail`."""
    begins = _REQUEST.search(detail)
    answer = detail[: begins.start()] if begins else detail
    head, _, rest = answer.partition("\n")
    place = answer.find("{")
    try:
        ends = parse_first(answer, place)[1] if place >= 0 else 0
    except ValueError:
        ends = 0
    refusal = answer[place:ends] if ends else rest.strip()
    return head.strip(), refusal, detail[begins.start() if begins else ends :]


def _without_ids(text: str) -> str:
    """Return `text` with each id and number alike; a status at its beginning stays."""
    status = _STATUS.match(text)
    begin = status.end() if status else 0
    return text[:begin] + _ID.sub("0", text[begin:])


def _status_of(detail: str) -> int:
    match = _STATUS.match(detail)
    return int(match[1]) if match else 0


def _hosts_in(text: str) -> list[str]:
    return [first or second for first, second in _HOST.findall(text)]


def _read_moment(value: object) -> str:
    """Return a payload's time in UTC, empty if it has none; one without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        moment = moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None
        return timestamp(moment.astimezone(UTC)) if moment else ""
    except (ValueError, OverflowError):
        return ""


def _order_of_cause(group: Sequence[Failure]) -> tuple[int, int, str]:
    accounts = {failure.account for failure in group}
    return -len(accounts), list(FaultDomain).index(group[0].cause), group[0].meaning
