"""
Cyclr's API (`/v1.0`), as far as the connector's onboarding needs it.

It uses Cyclr's own OAuth credentials, never those of the app.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from runbook_lib.core.credential_form import is_issued_token
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import CyclrAPIError, UnexpectedAnswerError
from runbook_lib.remote.documents import Answer, Document, documents
from runbook_lib.remote.transport import Request, Session

_PAGE_SIZE = "100"
_PAGES = re.compile(r"[0-9]{1,6}")
# What is read of any answer, beside ids and names; a method's answer is the provider's own.
_READ = (
    *("access_token", "Authenticated", "Connector", "MethodUniqueIdentifier", "Status", "Token"),
    *("data", "permission", "status", "TransactionErrorWebhookEnabled"),
)


def request_api_token(
    session: Session, base_url: str, *, client_id: str, client_secret: Secret
) -> Secret:
    """
    Return a Cyclr API token (client credentials; Cyclr: API Authentication).

    Raises `CyclrAPIError` if Cyclr refuses.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.reveal(),
    }
    url = f"{base_url.rstrip('/')}/oauth/token"
    answer = session.ask(Request(method="POST", url=url, form=form, app=client_id, reads=_READ))
    issued = Document(_checked(answer), "Cyclr's token endpoint")
    return session.take_token(issued.get("access_token"), endpoint=url, is_token=is_issued_token)


class Cyclr:
    """
    Cyclr's API at `base_url` for one account.

    `account` is the Account API ID (Accounts > Account Management > Settings);
    calls count towards the limits of `client_id`, and `pace` is called before each. Every call
    raises `CyclrAPIError` with Cyclr's own message if it refuses.
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
            # NOTE: Cyclr answers 401 to an empty header.
            self._headers["x-cyclr-account"] = account

    def find_connectors(self, name: str) -> list[Document]:
        """Return the library's connectors called exactly `name`; ids differ between instances."""
        return [row for row in self._rows("connectors", query=name) if row.text("Name") == name]

    def account_connectors(self) -> list[Document]:
        """Return the connectors that are installed in the account."""
        return self._rows("account/connectors")

    def accounts(self, number: int = 0) -> tuple[list[Document], int]:
        """
        Return a page of the console's accounts, and how many pages there are, 0 if not known.

        NOTE: which number the first page has is not documented; 0 asks without one, for the first.
        """
        return self._page("accounts", number)

    def account(self, account: str) -> Document:
        """Return the account with this id."""
        return self._document("GET", f"accounts/{quote(account, safe='')}")

    def installed(self, number: int = 0) -> tuple[list[Document], int]:
        """Return a page of the connectors that are installed in the account, as `accounts`."""
        return self._page("account/connectors", number)

    def cycle_prerequisites(self, cycle: str) -> list[Document]:
        """Return what a cycle of the account lacks (Cyclr: Cycle Prerequisites)."""
        path = f"cycles/{quote(cycle, safe='')}/prerequisites"
        return documents(self._call("GET", path), f"Cyclr (/{path})")

    def install(self, connector: int, name: str) -> Document:
        """Install the library connector `connector` and return the account connector."""
        return self._document("POST", f"connectors/{connector}/install", {"Name": name})

    def create_account(self, name: str) -> Document:
        """Create an account called `name` and return it."""
        return self._document("POST", "accounts", {"Name": name})

    def sign_in_token(self, account: str, username: str) -> Secret:
        """
        Return a single-use sign-in token of the account, valid for five minutes.

        NOTE: Cyclr creates the user if `username` is unknown.
        """
        path = f"accounts/{quote(account)}/signintoken"
        issued = self._document("POST", path, {"Username": username})
        return self._session.take_token(
            issued.get("Token"), endpoint=f"{self._base_url}/{path}", is_token=is_issued_token
        )

    def methods(self, connector: int) -> list[Document]:
        """Return the methods of a library connector."""
        return self._rows(f"connectors/{connector}/methods")

    def run_method(self, account_connector: int, method: str) -> Any:
        """Run a method by its `MethodUniqueIdentifier`; return the provider's answer."""
        return self._call("POST", f"account/connectors/{account_connector}/methods/{method}", {})

    def _rows(self, path: str, **params: str) -> list[Document]:
        query = urlencode({**params, "pageSize": _PAGE_SIZE})
        return documents(self._call("GET", f"{path}?{query}"), f"Cyclr (/{path})")

    def _page(self, path: str, number: int) -> tuple[list[Document], int]:
        params = {"pageSize": _PAGE_SIZE, **({"page": str(number)} if number else {})}
        answer = self._answer("GET", f"{path}?{urlencode(params)}")
        total = answer.headers.get("total-pages", "")
        pages = int(total) if _PAGES.fullmatch(total) else 0
        return documents(_checked(answer), f"Cyclr (/{path})"), pages

    def _document(
        self, method: str, path: str, document: Mapping[str, Any] | None = None
    ) -> Document:
        return Document(self._call(method, path, document), f"Cyclr (/{path})")

    def _call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        return _checked(self._answer(method, path, document))

    def _answer(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Answer:
        self._pace()
        request = Request(
            method=method,
            url=f"{self._base_url}/{path}",
            headers=self._headers,
            document=document,
            app=self._client_id,
            reads=_READ,
        )
        # NOTE: all that Cyclr is asked by GET only reads.
        send = self._session.ask if method == "GET" else self._session.send
        return send(request, is_transient=_is_cut_off)


def sign_in_url(service_domain: str, account_connector: int, token: Secret, target: str) -> str:
    """Return the address of Cyclr's connector authentication link (Cyclr: OAuth Authentication)."""
    query = urlencode({"id": account_connector, "token": token.reveal(), "targetOrigin": target})
    return f"https://{service_domain}/connectorauth/updateaccountconnectoroauth?{query}"


def _is_cut_off(answer: Answer) -> bool:
    """Return whether a successful answer is not JSON: it was damaged on the way."""
    if answer.status != 200:
        return False
    try:
        answer.document()
    except UnexpectedAnswerError:
        return True
    return False


def _checked(answer: Answer) -> Any:
    if answer.status == 200:
        return answer.document()
    try:
        document = answer.document()
    except UnexpectedAnswerError:
        document = {}
    refusal = Document(document if isinstance(document, dict) else {}, "Cyclr")
    message = refusal.words("Message") or refusal.words("error_description")
    raise CyclrAPIError(message or f"Cyclr answered {answer.status}.", status=answer.status)
