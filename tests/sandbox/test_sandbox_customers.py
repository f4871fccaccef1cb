"""The partner's customers: connections that end, recover and go away, and the webhook."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import httpx
import pytest

from facebook_cyclr_sandbox.customer_accounts import FAILURE_REASONS, add_customers, fail_connection
from facebook_cyclr_sandbox.default_state import MARKETING
from facebook_cyclr_sandbox.server import Sandbox

FIELDS = [
    "Timestamp", "AccountId", "AccountExternalId", "AccountName", "CycleId", "CycleName", "StepId",
    "StepName", "StepType", "TransactionId", "Message", "Detail", "IncidentLevel",
]  # fmt: skip


@pytest.fixture
def sandbox(start: Callable[..., Sandbox]) -> Sandbox:
    return start("approved")


@pytest.fixture
def posted() -> Iterator[tuple[str, "Queue[dict[str, Any]]"]]:
    """Return an address on this machine, and what was posted to it."""
    received: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()
        thread.join()


def change(sandbox: Sandbox, http: httpx.Client, **document: Any) -> httpx.Response:
    url = f"{sandbox.description['cyclr_api_url']}/_sandbox/customers"
    return http.post(url, json=document)


def errors(sandbox: Sandbox, http: httpx.Client) -> list[dict[str, Any]]:
    url = f"{sandbox.description['cyclr_api_url']}/_sandbox/transaction-errors"
    response: list[dict[str, Any]] = http.get(url).json()
    return response


def is_signed_in(sandbox: Sandbox, account: str) -> bool:
    (installed,) = sandbox.state.cyclr.list_installed(account)
    return installed.is_authenticated


def test_customers_come_and_go(sandbox: Sandbox, http: httpx.Client) -> None:
    """An account with the connector is added, ends, recovers, and is removed."""
    (account,) = change(sandbox, http, add=1).json()["added"]
    states = [is_signed_in(sandbox, account)]
    change(sandbox, http, account=account, fail="token-ended", is_noticed=True)
    states.append(is_signed_in(sandbox, account))
    change(sandbox, http, account=account, restore=True)
    states.append(is_signed_in(sandbox, account))
    change(sandbox, http, account=account, remove=True)

    assert states == [True, False, True]
    assert account not in sandbox.state.cyclr.accounts
    assert sandbox.state.cyclr.list_installed(account) == []
    assert change(sandbox, http, account=account, restore=True).status_code == 400


@pytest.mark.parametrize("reason", FAILURE_REASONS)
def test_a_failure_is_posted_in_the_documented_form(
    sandbox: Sandbox, http: httpx.Client, reason: str
) -> None:
    """Thirteen fields; in Detail the status line, the refusal, then the request."""
    (account,) = change(sandbox, http, add=1).json()["added"]
    change(sandbox, http, account=account, fail=reason)
    (payload,) = errors(sandbox, http)
    status, body, request = payload["Detail"].split("\r\n", 2)

    assert list(payload) == FIELDS
    assert (payload["AccountId"], is_signed_in(sandbox, account)) == (account, True)
    assert status in ("400 Bad Request", "403 Forbidden")
    assert json.loads(body)["error"]["fbtrace_id"]
    assert request.startswith("GET https://graph.facebook.com/")


def test_the_token_that_ended_is_refused(sandbox: Sandbox, http: httpx.Client) -> None:
    """Cyclr still says signed in, and a call with the token is refused."""
    (account,) = add_customers(sandbox.state, 1)
    fail_connection(sandbox.state, account.id, "token-ended", is_noticed=False)
    (installed,) = sandbox.state.cyclr.list_installed(account.id)
    response = http.get(
        f"{sandbox.description['graph_url']}/v26.0/me",
        params={"access_token": installed.access_token},
    )

    assert response.json()["error"]["code"] == 190
    assert installed.is_authenticated


def test_the_webhook_is_posted_where_the_account_says(
    sandbox: Sandbox, http: httpx.Client, posted: tuple[str, "Queue[dict[str, Any]]"]
) -> None:
    """The webhook posts to the address in the account's settings, on this machine, if enabled."""
    url, received = posted
    (account,) = add_customers(sandbox.state, 1)
    for enabled in (False, True):
        account.settings |= {
            "TransactionErrorWebhookEnabled": enabled, "TransactionErrorWebhookUrl": url,
        }  # fmt: skip
        fail_connection(sandbox.state, account.id, "limit", is_noticed=False)

    assert received.get(timeout=240) == errors(sandbox, http)[1]
    assert received.empty()


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/hook", "https://127.0.0.1/x", "file:///x", None, 7]
)
def test_the_webhook_posts_to_this_machine_only(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, url: Any
) -> None:
    """The sandbox sends nothing to another machine."""
    sent: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *_args, **_more: sent.append(1))
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.run)
    (account,) = add_customers(sandbox.state, 1)
    account.settings |= {"TransactionErrorWebhookEnabled": True, "TransactionErrorWebhookUrl": url}
    fail_connection(sandbox.state, account.id, "limit", is_noticed=False)

    assert sent == []


@pytest.mark.parametrize(
    "document",
    [{"add": 10_000}, {"add": "x"}, {"other": 1}, {"account": "x", "fail": "limit"},
     {"account": "", "fail": "nothing"}],
)  # fmt: skip
def test_a_wrong_change_is_refused(
    sandbox: Sandbox, http: httpx.Client, document: dict[str, Any]
) -> None:
    """Too many, unknown accounts, unknown reasons: 400, and nothing is changed."""
    assert change(sandbox, http, **document).status_code == 400
    assert len(sandbox.state.cyclr.accounts) == 1


def test_the_scenario_has_customers_of_each_kind(start: Callable[..., Sandbox]) -> None:
    """Noticed, not noticed, a lost page, well, and not installed."""
    state = start("customer-disconnected").state
    marketing = [
        [
            item.is_authenticated
            for item in state.cyclr.list_installed(name)
            if item.name == MARKETING
        ]
        for name in state.cyclr.accounts
    ]

    assert marketing == [[True], [False], [True], [True], [True], []]
    assert len(state.cyclr.transaction_errors) == 3
