"""A Cyclr console in this process: its accounts, and what may go wrong with each answer."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Mode
from runbook_lib.core.redaction import Redactor
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.rate_limits import CoolDowns
from tests.unit.bodies import CYCLR_TOKEN

MARKETING = "Facebook Marketing API"
TOKEN = CYCLR_TOKEN
SECRET = "cyclr-api-secret-Zq81"
Fault = Callable[[httpx.Request], httpx.Response | None]


class Console(httpx.BaseTransport):
    """
    Answers as Cyclr does for `accounts`: an id, and whether its connector is signed in.

    `None` is an account without the connector. Its pages begin with `first`; `says_pages` is
    whether it says how many there are. `faults` may answer instead, by path.
    """

    def __init__(self, accounts: dict[str, bool | None]) -> None:
        self.accounts = accounts
        self.first = 1
        self.says_pages = True
        self.faults: dict[str, Fault] = {}
        self.asked: Counter[str] = Counter()
        self.requests = 0
        self.kill_at = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in place of the network."""
        self.requests += 1
        if self.requests == self.kill_at:
            raise KeyboardInterrupt
        path = request.url.path
        account = request.headers.get("x-cyclr-account", "")
        name = account or path
        answer = self.faults[name](request) if name in self.faults else None
        if answer is not None:
            return answer
        if path == "/oauth/token":
            return httpx.Response(200, json={"access_token": TOKEN, "token_type": "bearer"})
        if path == "/v1.0/accounts":
            return self._page(request)
        if path == "/v1.0/account/connectors":
            self.asked[account] += 1
            return self._connectors(account)
        known = path.rpartition("/")[2] in self.accounts
        return httpx.Response(200 if known else 404, json={"Message": "Account not found."})

    def _page(self, request: httpx.Request) -> httpx.Response:
        size = int(request.url.params["pageSize"])
        number = int(request.url.params.get("page", self.first)) - self.first
        names = sorted(self.accounts)
        rows = [{"Id": name, "Name": f"Name of {name}"} for name in names]
        pages = max(-(-len(names) // size), 1)
        headers = {"Total-Pages": str(pages)} if self.says_pages else {}
        part = rows[number * size : (number + 1) * size] if number >= 0 else []
        return httpx.Response(200, json=part, headers=headers)

    def _connectors(self, account: str) -> httpx.Response:
        if account not in self.accounts:
            return httpx.Response(401, json={"Message": "Authorization has been denied."})
        is_signed_in = self.accounts[account]
        other = {
            "Id": 1,
            "Name": "Close",
            "Authenticated": True,
            "Connector": {"Id": 5, "Name": "X"},
        }
        mine = {
            "Id": 2, "Name": "Mine", "Authenticated": is_signed_in, "AuthValue": "secret-value",
            "Connector": {"Id": 7, "Name": MARKETING},
        }  # fmt: skip
        rows = [other] if is_signed_in is None else [other, mine]
        return httpx.Response(200, text=json.dumps(rows), headers={"Total-Pages": "1"})


def console_run(
    console: httpx.BaseTransport,
    folder: Path,
    clock: Callable[[], float] = time.monotonic,
    **more: object,
) -> Run:
    """Return a run whose requests `console` answers; `clock` is that of cool-downs."""
    environ = {
        "RUNBOOK_CYCLR_API_URL": "http://127.0.0.1:9",
        "RUNBOOK_CYCLR_CLIENT_ID": "partner-client",
        "RUNBOOK_CYCLR_CLIENT_SECRET": SECRET,
        **{name: str(value) for name, value in more.items()},
    }
    run = open_run(
        find_procedure("facebook_marketing"), {}, mode=Mode.HEADLESS, tenant="acme",
        evidence=str(folder), environ=environ,
    )  # fmt: skip
    session = partial(console_session, console, run.redactor, clock)
    run.open_session = session  # type: ignore[method-assign]
    return run


def console_session(
    console: httpx.BaseTransport,
    redactor: Redactor | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Session:
    """Return a session whose requests `console` answers."""
    addresses = ["http://127.0.0.1:9", "http://localhost:9"]
    client = HTTPClient(
        redactor or Redactor(),
        ClientOptions(hosts={"cyclr": addresses}),
        transport=console,
        cool_downs=CoolDowns(),
        sleep=lambda _: None,
        clock=clock,
    )
    return Session(client)
