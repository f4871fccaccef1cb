"""
The Graph API: one pinned version, tokens in a header, errors by their codes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from runbook_lib.connectors.facebook.graph_errors import (
    THROTTLED,
    GraphAPIError,
    error_in_words,
)
from runbook_lib.connectors.facebook.refusal_table import APP_DEACTIVATED, is_refused
from runbook_lib.connectors.facebook.usage import access_tier
from runbook_lib.core.model import Value
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import RemoteError, ThrottledError, UnexpectedResponseError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.http_messages import Request, Response, unexpected_response
from runbook_lib.remote.json_fields import JSONObject
from runbook_lib.remote.quoting import shorten

_ENDS_SOON = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class SunsetDates:
    """
    The first day on which a version of an API is no longer served; `None`: not announced.

    `source` names the page and the month of reading. The dates only warn: Facebook's response
    decides.
    """

    api: str
    source: str
    ends: Mapping[str, date | None]
    fact: str


VERSION_ENDS: Mapping[str, date | None] = {
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
    "v26.0": None,
    "v27.0": None,
}
GRAPH_CALENDAR = SunsetDates(
    "Graph", "Graph API changelog, read in November 2026", VERSION_ENDS, "graph_version_ends_on"
)
# For calls to ad accounts, ads, insights and leads of ads.
MARKETING_CALENDAR = SunsetDates(
    "Marketing API",
    "Marketing API changelog, versions, read in November 2026",
    {
        "v22.0": date(2026, 2, 19),
        "v23.0": date(2026, 6, 9),
        "v24.0": date(2026, 11, 10),
        "v25.0": date(2027, 2, 23),
        "v26.0": None,
        "v27.0": None,
    },
    "marketing_api_version_ends_on",
)

# Facebook responds in the caller's presumed language. It can translate names, too, so requests that
# read a name do not send this (Graph API: Localization).
IN_ENGLISH: Mapping[str, str] = {"locale": "en_US"}

_FIELD = re.compile(r"[a-z_]+")
# A cursor becomes part of a URL or of a field expression.
_CURSOR = re.compile(r"[0-9A-Za-z_=-]{1,500}")
# Fields that are read beside the rows of a page.
_PAGING = ("paging", "cursors", "after", "next")
# Facebook's refusal of a list that is too much work (HTTP 500, code 1).
_LESS_DATA = "reduce the amount of data"
# Rows of a page after that refusal.
_SMALL_PAGE = "5"
# No edge that a check reads has so many pages.
_MOST_PAGES = 50


@dataclass(frozen=True, slots=True)
class PagedList:
    """The rows of an edge."""

    rows: list[JSONObject]
    """The rows of all pages that were read, in their order."""

    gap: str = ""
    """Reason why this may be a part of the list, as the end of a sentence; empty if it is whole."""


class Graph:
    """
    The Graph API at `base_url` in `version`, called through `session`.

    Calls count towards the limits of `app_id`; `app_secret` signs calls with a user's token
    (`appsecret_proof`).
    """

    def __init__(
        self,
        session: Session,
        *,
        base_url: str,
        version: str,
        app_id: str = "",
        app_secret: Secret | None = None,
    ) -> None:
        self._session = session
        self._app_id = app_id
        self._base_url = base_url.rstrip("/")
        self._app_secret = app_secret
        self.version = version
        self.served_version = ""
        self.upgrade_warning = ""
        self.access_tier = ""

    def get(
        self, path: str, token: Secret, *, reads: Collection[str] = (), **params: str
    ) -> JSONObject:
        """
        Return the document at `path`, such as `me/accounts`, read with `token`.

        The record keeps the requested `fields`, and those that `reads` names. Raises
        `GraphAPIError` for an error object, `ThrottledError` if a limit is reached,
        `UnexpectedResponseError` for anything else.
        """
        if self._app_secret is not None:
            proof = appsecret_proof(self._app_secret, token)
            # A response may repeat it in the URL of the next page.
            redactor = self._session.redactor
            redactor.learn(Secret(proof), *redactor.credentials_of(self._app_secret))
            params["appsecret_proof"] = proof
        if "name" not in _FIELD.findall(params.get("fields", "")):
            params.update(IN_ENGLISH)
        query = f"?{urlencode(params, safe=',(){}')}" if params else ""
        url = f"{self._base_url}/{self.version}/{path.strip('/')}{query}"
        headers = {"authorization": f"Bearer {token.reveal()}"}
        request = Request(
            method="GET",
            url=url,
            headers=headers,
            app=self._app_id,
            recorded_fields={"data", *reads, *_FIELD.findall(params.get("fields", ""))},
        )
        answer = self._session.get(request, is_transient=is_transient)
        self.served_version = shorten(answer.headers.get("facebook-api-version", ""))
        self.upgrade_warning = shorten(answer.headers.get("x-ad-api-version-warning", ""))
        self.access_tier = access_tier(answer.headers)
        source = f"Facebook (/{path.strip('/')})"
        document = JSONObject(answer.json(), source)
        if "error" in document:
            raise _error_from(answer, document.object_at("error"))
        if answer.status != 200:
            raise unexpected_response(source, f"status {answer.status} without an error object")
        return document

    def rows(
        self, path: str, token: Secret, *, reads: Collection[str] = (), **params: str
    ) -> list[JSONObject]:
        """Return the first page of the edge at `path`; see `get`."""
        return self._get_page(path, token, reads=reads, **params).objects_at("data")

    def _get_page(
        self, path: str, token: Secret, *, reads: Collection[str] = (), **params: str
    ) -> JSONObject:
        """Return a page of an edge; a smaller one, once, if Facebook asks to reduce the amount."""
        try:
            return self.get(path, token, reads=reads, **params)
        except GraphAPIError as error:
            if _LESS_DATA not in str(error).lower():
                raise
            return self.get(path, token, reads=reads, **{**params, "limit": _SMALL_PAGE})

    def list_all(
        self, path: str, token: Secret, *, reads: Collection[str] = (), **params: str
    ) -> PagedList:
        """
        Return every page of the edge at `path`; raises as `get`.

        Only `paging.next` announces a further page: the last page has cursors, too (Graph API:
        Paginated Results). Each page is requested by its cursor, never by the URL in `next`,
        which repeats the token.
        """
        rows: list[JSONObject] = []
        cursors = [""]
        for _ in range(_MOST_PAGES):
            more = {"after": cursors[-1]} if cursors[-1] else {}
            page = self._get_page(path, token, reads={*reads, *_PAGING}, **params, **more)
            rows += page.objects_at("data")
            cursor = next_cursor(page)
            if cursor is None:
                return PagedList(rows)
            if not cursor:
                return PagedList(rows, gap="names a next page without a usable cursor")
            if cursor in cursors:
                return PagedList(rows, gap="repeats a page")
            cursors.append(cursor)
        return PagedList(rows, gap=f"has more than {_MOST_PAGES} pages")


def next_cursor(page: JSONObject) -> str | None:
    """
    Return the cursor of the page after `page`, or `None` if that is the last one.

    The cursor is empty if the next page has none that can be used.
    """
    if page.get("paging") is None or page.object_at("paging").get("next") is None:
        return None
    paging = page.object_at("paging")
    cursors = paging.object_at("cursors") if paging.get("cursors") is not None else {}
    cursor = cursors.get("after")
    return cursor if isinstance(cursor, str) and _CURSOR.fullmatch(cursor) else ""


def version_ends(version: str, *calendars: SunsetDates) -> dict[str, Value]:
    """Return facts: the announced day on which `version` ends in each of `calendars`."""
    ends = {calendar.fact: calendar.ends.get(version) for calendar in calendars}
    return {name: end.isoformat() for name, end in ends.items() if end is not None}


def version_warnings(graph: Graph, today: date, *calendars: SunsetDates) -> tuple[str, ...]:
    """
    Return warnings about the pinned version, after a call of `graph`.

    Facebook's own response decides. Else each of `calendars` warns in which the version has ended,
    or ends within 90 days.
    """
    warnings = [graph.upgrade_warning] if graph.upgrade_warning else []
    if graph.served_version and graph.served_version != graph.version:
        warnings.append(
            f"Graph answered in {graph.served_version} instead of {graph.version}: that version "
            "has ended. Set graph_version to a current one."
        )
        return tuple(warnings)
    for calendar in calendars:
        end = calendar.ends.get(graph.version)
        if end is not None and end - today <= _ENDS_SOON:
            verb = "is" if today < end else "was"
            warnings.append(
                f"{calendar.api} {graph.version} {verb} served until {end} ({calendar.source}); "
                "set graph_version to a newer one."
            )
    return tuple(warnings)


def appsecret_proof(app_secret: Secret, token: Secret) -> str:
    """Return the hex HMAC-SHA256 of `token` under `app_secret` (Graph: Securing Requests)."""
    return hmac.new(
        app_secret.reveal().encode(), token.reveal().encode(), hashlib.sha256
    ).hexdigest()


def _error_from(answer: Response, error: JSONObject) -> RemoteError:
    code = error.code("code")
    message = error_in_words(error) or f"status {answer.status}, code {code}, no message"
    if code in THROTTLED:
        return ThrottledError(f"Facebook limits the number of calls ({message})")
    refusal = GraphAPIError(
        message,
        status=answer.status,
        error_code=code,
        error_subcode=error.code("error_subcode"),
        trace_id=error.display_text("fbtrace_id"),
    )
    if is_refused(refusal, APP_DEACTIVATED):
        refusal.code = APP_DEACTIVATED.code
    return refusal


def is_transient(answer: Response) -> bool:
    """Return whether a response is a fault of Graph's that passes, or no JSON (Handle Errors)."""
    try:
        error = answer.json().get("error", {})
    except (UnexpectedResponseError, AttributeError):
        return True
    # NOTE: code 2 is "API Service", documented as temporary; code 1 is ambiguous, since a wrong
    # secret has it too.
    return isinstance(error, dict) and (error.get("is_transient") is True or error.get("code") == 2)
