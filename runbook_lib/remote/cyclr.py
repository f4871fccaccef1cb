"""
Cyclr's API (`/v1.0`), as far as the connector's onboarding needs it.

It uses Cyclr's own OAuth credentials, never those of the app.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from runbook_lib.core.credential_form import is_issued_token
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import (
    CyclrAPIError,
    RemoteError,
    ThrottledError,
    UnexpectedResponseError,
)
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.http_messages import Request, Response
from runbook_lib.remote.json_fields import JSONObject, json_objects
from runbook_lib.remote.quoting import shorten

# With this status Cyclr passes on the provider's refusal; others may be about our own request.
PASSED_ON = 400
_PAGE_SIZE = 100
_INSTALLED = "account/connectors"
# The most pages to read of a list: of the console, and of one account or a search.
_MAX_PAGES = 2_000
_MAX_PAGES_OF_ACCOUNT = 50
_PAGES = re.compile(r"[0-9]{1,6}")
# Recorded fields of every response besides ids and names. The response of a method is the
# provider's own.
_RECORDED_FIELDS = (
    "access_token",
    "Authenticated",
    "Connector",
    "MethodUniqueIdentifier",
    "Status",
    "Token",
    "data",
    "permission",
    "status",
    "TransactionErrorWebhookEnabled",
)


# The statuses by which a token endpoint refuses a client (RFC 6749 §5.2).
_CREDENTIALS_REFUSED = (400, 401)


def request_api_token(
    session: Session, base_url: str, *, client_id: str, client_secret: Secret
) -> Secret:
    """
    Return a Cyclr API token (client credentials; Cyclr: API Authentication).

    Raises `CyclrAPIError` if Cyclr refuses; it has a code of its own if it is the credentials.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.reveal(),
    }
    url = f"{base_url.rstrip('/')}/oauth/token"
    response = session.get(
        Request(method="POST", url=url, form=form, app=client_id, recorded_fields=_RECORDED_FIELDS)
    )
    try:
        issued = JSONObject(_parse_or_raise(response), "Cyclr's token endpoint")
    except CyclrAPIError as error:
        if error.status in _CREDENTIALS_REFUSED:
            error.code = "cyclr-credentials-refused"
        raise
    return session.take_token(issued.get("access_token"), endpoint=url, is_token=is_issued_token)


class Cyclr:
    """
    Cyclr's API at `base_url` for one account.

    `account` is the Account API ID (Accounts > Account Management > Settings). Calls count
    towards the limits of `client_id`, and call `pace` first. Each raises `CyclrAPIError` with
    Cyclr's own message if Cyclr refuses.
    """

    def __init__(
        self,
        session: Session,
        *,
        base_url: str,
        token: Secret,
        account: str,
        client_id: str = "",
        pace: Callable[[], object] = lambda: None,
    ) -> None:
        self._session = session
        self._client_id = client_id
        self._pace = pace
        self._base_url = f"{base_url.rstrip('/')}/v1.0"
        self._headers = {"authorization": f"Bearer {token.reveal()}"}
        if account:
            # NOTE: Cyclr responds with 401 to an empty header.
            self._headers["x-cyclr-account"] = account

    def find_connectors(self, name: str) -> list[JSONObject]:
        """Return the library's connectors called exactly `name`; ids differ between instances."""
        return [
            row for row in self._read_list("connectors", query=name) if row.text("Name") == name
        ]

    def library(self) -> list[str]:
        """
        Return the names of all connectors of the library.

        The number of pages, or an empty page after the last one, must show the end of the list.
        Raises `UnexpectedResponseError` if neither does.
        """
        return [row.text("Name") for row in self._read_list("connectors", is_short=False)]

    def account_connectors(self, *, is_short: bool = True) -> list[JSONObject]:
        """
        Return the connectors that are installed in the account.

        Without `is_short` pages may be smaller than requested, and their number unknown; neither is
        documented.
        """
        return self._read_list(_INSTALLED, is_short=is_short)

    def accounts(self, number: int = 0) -> tuple[list[JSONObject], int]:
        """
        Return a page of the console's accounts, and the number of pages, 0 if unknown.

        NOTE: the number of the first page is not documented; 0 requests it without a number.
        """
        return self._page("accounts", number)

    def account(self, account: str) -> JSONObject:
        """Return the account with this id."""
        return self._call_object("GET", f"accounts/{quote(account, safe='')}")

    def cycle_prerequisites(self, cycle: str) -> list[JSONObject]:
        """Return the missing prerequisites of a cycle (Cyclr: Cycle Prerequisites)."""
        path = f"cycles/{quote(cycle, safe='')}/prerequisites"
        return json_objects(self._call("GET", path), f"Cyclr (/{path})")

    def install(self, connector: int, name: str) -> JSONObject:
        """Install the library connector `connector` and return the account connector."""
        return self._call_object("POST", f"connectors/{connector}/install", {"Name": name})

    def create_account(self, name: str) -> JSONObject:
        """Create an account called `name` and return it."""
        return self._call_object("POST", "accounts", {"Name": name})

    def sign_in_token(self, account: str, username: str) -> Secret:
        """
        Return a single-use sign-in token of the account, valid for five minutes.

        NOTE: Cyclr creates the user if `username` is unknown.
        """
        path = f"accounts/{quote(account)}/signintoken"
        issued = self._call_object("POST", path, {"Username": username})
        return self._session.take_token(
            issued.get("Token"), endpoint=f"{self._base_url}/{path}", is_token=is_issued_token
        )

    def methods(self, connector: int) -> list[JSONObject]:
        """Return the methods of a library connector."""
        path = f"connectors/{connector}/methods"
        query = urlencode({"pageSize": _PAGE_SIZE})
        return json_objects(self._call("GET", f"{path}?{query}"), f"Cyclr (/{path})")

    def run_method(self, account_connector: int, method: str) -> Any:
        """
        Run a method by its `MethodUniqueIdentifier`; return the provider's response.

        An `error` in the response, also beside data, is a refusal: it raises `CyclrAPIError` as one
        that Cyclr passes on.
        """
        path = f"account/connectors/{account_connector}/methods/{method}"
        answer = self._call("POST", path, {})
        if isinstance(answer, dict) and answer.get("error"):
            raise CyclrAPIError(_error_text(answer), status=PASSED_ON)
        return answer

    def _read_list(self, path: str, *, is_short: bool = True, query: str = "") -> list[JSONObject]:
        """
        Return the rows of all pages; raises `UnexpectedResponseError` if some may be missing.

        With `is_short` a first page that is not full ends the list; see `read_rows`.
        """
        doubts: list[str] = []
        rows = list(
            read_rows(
                partial(self._page, path, query=query),
                doubts,
                max_pages=_MAX_PAGES_OF_ACCOUNT,
                is_short=is_short,
                may_repeat=path == _INSTALLED,
            )
        )
        if doubts:
            raise UnexpectedResponseError(
                f"Cyclr (/{path}) did not give its whole list. {doubts[0]}"
            )
        return rows

    def _page(self, path: str, number: int, query: str = "") -> tuple[list[JSONObject], int]:
        searched = {"query": query} if query else {}
        page = {"page": str(number)} if number else {}
        params = urlencode({**searched, "pageSize": _PAGE_SIZE, **page})
        response = self._send("GET", f"{path}?{params}")
        total = response.headers.get("total-pages", "")
        pages = int(total) if _PAGES.fullmatch(total) else 0
        return json_objects(_parse_or_raise(response), f"Cyclr (/{path})"), pages

    def _call_object(
        self, method: str, path: str, document: Mapping[str, Any] | None = None
    ) -> JSONObject:
        return JSONObject(self._call(method, path, document), f"Cyclr (/{path})")

    def _call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        return _parse_or_raise(self._send(method, path, document))

    def _send(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Response:
        self._pace()
        request = Request(
            method=method,
            url=f"{self._base_url}/{path}",
            headers=self._headers,
            json=document,
            app=self._client_id,
            recorded_fields=_RECORDED_FIELDS,
        )
        # NOTE: every GET we send to Cyclr is read-only.
        send = self._session.get if method == "GET" else self._session.send
        return send(request, is_transient=_is_damaged)


def read_rows(
    fetch: Callable[[int], tuple[list[JSONObject], int]],
    doubts: list[str],
    *,
    max_pages: int = _MAX_PAGES,
    is_short: bool = False,
    may_repeat: bool = False,
) -> Iterator[JSONObject]:
    """
    Yield each row of a list once; append to `doubts` why some rows may be missing.

    `fetch` returns a page and the number of pages, 0 if unknown. The list ends where that number
    agrees with the rows, or else with an empty page. With `is_short` a first page that is not
    full ends it too; with `may_repeat`, so do pages that only repeat it. Fetches at most
    `max_pages`. Raises the errors of `fetch` for the first page, and `ThrottledError` for any page.

    NOTE: this fetches the first page without a number, then all pages from 1. Whether page 1 is
    the first or the second is not documented.
    """
    known: set[str] = set()
    first: list[str] = []
    sizes: list[int] = []
    total = 0
    repeated = 0
    for number in range(max_pages + 1):
        try:
            rows, newest = fetch(number)
        except RemoteError as error:
            if number == 0 or isinstance(error, ThrottledError):
                raise
            doubts.append(f"Page {number:,} of Cyclr's list could not be read: {error}")
            if number >= total:
                return
            continue
        total = newest or total
        keys = [repr(row.get("Id") or dict(row)) for row in rows]
        if number == 0:
            first = keys
        elif number == 1 and keys == first:
            continue
        fresh = [row for key, row in zip(keys, rows, strict=True) if key not in known]
        if may_repeat and keys == first and len(sizes) == 1 and 0 < len(rows) < _PAGE_SIZE:
            # NOTE: a server that does not know `page` gives the whole list each time.
            return
        if rows and not fresh:
            doubts.append(f"Page {number:,} of Cyclr's list has only rows of earlier pages.")
            return
        yield from fresh
        repeated += len(rows) - (len(fresh) if is_short else len(set(keys) - known))
        known.update(keys)
        sizes.append(len(rows))
        is_whole = is_short and number == 0 and total <= 1 and len(rows) < _PAGE_SIZE
        if is_whole or _is_end(sizes, total, repeated):
            break
    else:
        doubts.append(f"Cyclr's list has no end: the runbook read {max_pages:,} pages of it.")
    if not doubts:
        doubts += _find_gaps(sizes, total, repeated)


def _is_end(sizes: list[int], total: int, repeated: int) -> bool:
    """Return whether these pages are all: `total` agrees, or the last page is empty."""
    *earlier, last = sizes
    if not last:
        return bool(earlier) and (len(sizes) >= total or not earlier[-1])
    # NOTE: behind a last page that is full there may be another one.
    is_plain = not repeated and last < _PAGE_SIZE
    return is_plain and len(sizes) == total and all(size == _PAGE_SIZE for size in earlier)


def _find_gaps(sizes: list[int], total: int, repeated: int) -> Iterator[str]:
    """Yield the signs that a list has ended too early."""
    filled = [place for place, size in enumerate(sizes, start=1) if size]
    before_last = sizes[: max(filled, default=1) - 1]
    short = [(place, size) for place, size in enumerate(before_last, start=1) if size < max(sizes)]
    of = f" of {total:,}" if total else ""
    for place, size in short:
        yield f"Page {place:,}{of} of Cyclr's list has {size:,} rows instead of {max(sizes):,}."
    if repeated:
        yield f"{repeated:,} of {sum(sizes):,} rows in Cyclr's list repeat others."
    if not short and len(filled) < total > 1:
        yield f"Cyclr's list has {total:,} pages, but rows on only {len(filled):,} of them."


def sign_in_url(service_domain: str, account_connector: int, token: Secret, target: str) -> str:
    """Return the address of Cyclr's connector authentication link (Cyclr: OAuth Authentication)."""
    query = urlencode({"id": account_connector, "token": token.reveal(), "targetOrigin": target})
    return f"https://{service_domain}/connectorauth/updateaccountconnectoroauth?{query}"


def _is_damaged(response: Response) -> bool:
    """Return whether a response with status 200 is not JSON, so that it was damaged on the way."""
    if response.status != 200:
        return False
    try:
        response.json()
    except UnexpectedResponseError:
        return True
    return False


def _parse_or_raise(response: Response) -> Any:
    if response.status == 200:
        return response.json()
    try:
        document = response.json()
    except UnexpectedResponseError:
        document = {}
    refusal = JSONObject(document if isinstance(document, dict) else {}, "Cyclr")
    described = (_error_text(refusal), refusal.display_text("error_description"))
    message = refusal.display_text("Message") or ": ".join(filter(None, described))
    raise CyclrAPIError(message or f"Cyclr answered {response.status}.", status=response.status)


def _error_text(document: Mapping[str, Any]) -> str:
    """Return the field `error` for people: RFC 6749's code, or a provider's object as JSON."""
    error = document.get("error") or ""
    return shorten(error if isinstance(error, str) else json.dumps(error, ensure_ascii=False))
