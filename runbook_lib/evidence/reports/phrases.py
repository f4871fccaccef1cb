"""
Format times, durations and untrusted text for the reports.

They use no locale: the same input gives the same text everywhere. Only the year varies: a page
leaves out the year in which it is read (`read_in`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.core.clock import utc_now
from runbook_lib.core.model import Exchange
from runbook_lib.core.procedure import Source
from runbook_lib.text import pluralize

# The longest text in a report; the record has all of it.
_LONGEST = 4_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
# NOTE: control characters, halves of surrogate pairs, and characters that change the writing
# direction (UAX #9 §2.2–2.4): all can make a page show something else than it contains.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_TIME = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z")
# The year that the reader of a page has in mind; 0 is the current one.
_YEAR = ContextVar("_YEAR", default=0)
_NO_LINK = re.compile(r"[\s<>\"'`\\^{|}]")


def parse_time(text: str) -> datetime | None:
    """Return the time in `text` (RFC 3339) in UTC, or `None`."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@contextmanager
def read_in(text: str) -> Iterator[None]:
    """Leave out the year of the time in `text` within; elsewhere it is the current one."""
    moment = parse_time(text)
    token = _YEAR.set(moment.year if moment else 0)
    try:
        yield
    finally:
        _YEAR.reset(token)


def date(text: str) -> str:
    """Return the day of a time, with its year: `5 Jan 2026`."""
    moment = parse_time(text)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}" if moment else text


def day(text: str) -> str:
    """Return the day of a time: `5 Jan`, with its year only where that is not the reader's."""
    moment = parse_time(text)
    is_known = moment is not None and moment.year == (_YEAR.get() or utc_now().year)
    return date(text).rpartition(" ")[0] if is_known else date(text)


def sealed_on(bundle: str) -> str:
    """Return when the run of a bundle began, from its folder's name; empty for another name."""
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)-.*", PurePosixPath(bundle).name)
    return "{}-{}-{}:{}:{}".format(*match.groups()) if match else ""


def clock(text: str) -> str:
    """Return the time of day in UTC: `09:40`."""
    moment = parse_time(text)
    return f"{moment:%H:%M}" if moment else text


def when(text: str) -> str:
    """Return day and minute in UTC, which a page says once: `5 Jan, 09:40`."""
    return f"{day(text)}, {clock(text)}" if parse_time(text) else text


def with_times(text: str) -> str:
    """Return `text` with each time in it (RFC 3339, UTC) formatted by `when`."""
    return _TIME.sub(lambda match: when(match.group()), text)


def lasting(since: str, until: str) -> str:
    """Return the duration between two times, in its two largest units."""
    first = parse_time(since)
    last = parse_time(until)
    if first is None or last is None or last < first:
        return "an unknown time"
    rest = last - first
    if rest < timedelta(seconds=10):
        return f"{rest.total_seconds():.1f} seconds"
    seconds = int(rest.total_seconds())
    parts = []
    for name, length in _UNITS:
        if seconds >= length:
            parts.append(pluralize(seconds // length, name))
            seconds %= length
    return " ".join(parts[:2])


def listed(parts: list[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def size(count: int) -> str:
    """Return a number of bytes, in KiB if large."""
    return f"{count / 1024:,.0f} KiB" if count >= 1024 else pluralize(count, "byte")


def readable(text: str) -> str:
    """Return `text` with invisible characters made visible, cut at a maximum length."""
    shown = _UNSEEN.sub(lambda match: f"[U+{ord(match.group()):04X}]", text.replace("\r\n", "\n"))
    return bounded(shown, _LONGEST)


def bounded(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`, and say how many more there are."""
    more = len(text) - limit
    return text if more <= 0 else f"{text[:limit]}… ({pluralize(more, 'more character')})"


def as_json(document: Any, limit: int) -> str:
    """Return a JSON document, or a text, cut at `limit` characters."""
    if isinstance(document, str):
        if document.lstrip().lower().startswith(("<!doctype", "<html")):
            return f"(a web page, {pluralize(len(document), 'character')})"
        return bounded(document, limit)
    try:
        return bounded(json.dumps(document, ensure_ascii=False), limit)
    except RecursionError:
        return "(too deeply nested to be shown)"


def exchange_detail(exchange: Exchange) -> str:
    """Return the request and the response of one exchange as indented JSON."""
    shown = {"sent": exchange.request, "headers": exchange.headers, "response": exchange.response}
    shown = {name: value for name, value in shown.items() if value}
    return json.dumps(shown, ensure_ascii=False, indent=2)


def plain(value: Any) -> str:
    """Return a parameter or a fact as text."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def is_web_link(text: object) -> bool:
    """Return whether `text` is a complete `https` address that is safe to link."""
    if not isinstance(text, str) or _NO_LINK.search(text) or _UNSEEN.search(text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def prose_title(source: Source) -> str:
    """Return the title of a step's documented text, or of the reason for a step of ours."""
    if source.off_page:
        return "Why Cyclr's guide lacks it"
    return f"Documented step {source.step}" if source.step else "Documented text"
