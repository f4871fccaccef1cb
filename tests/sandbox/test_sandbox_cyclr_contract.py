"""What Cyclr's own public tests expect of its API."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from facebook_cyclr_sandbox.cyclr.lenient_json import read_json
from facebook_cyclr_sandbox.server import Sandbox

from .conftest import Cyclr

Open = Callable[[Sandbox], Cyclr]

SETTINGS: dict[str, object] = {
    "AuditInfo": "made by a test",
    "TaskAuditInfo": "as is this",
    "StepDataSuccessRetentionHours": 24,
    "StepDataErroredRetentionHours": 48,
    "TransactionErrorWebhookEnabled": True,
    "TransactionErrorWebhookUrl": "https://hooks.partner.test/errors",
    "TransactionErrorWebhookIncludeWarnings": True,
}


@pytest.fixture
def cyclr(approved: Sandbox, cyclr_of: Open) -> Cyclr:
    return cyclr_of(approved)


def test_every_answer_forbids_sniffing(
    cyclr: Cyclr, http: httpx.Client, domain_of: Callable[[Sandbox], httpx.Client]
) -> None:
    """API, console and service domain send nosniff with answers, refusals and redirects."""
    given = cyclr.given
    domain = domain_of(cyclr.sandbox)
    installed = cyclr.installed()
    method = cyclr.get(f"connectors/{cyclr.connector_id()}/methods").json()[0]
    run = f"account/connectors/{installed['Id']}/methods/{method['MethodUniqueIdentifier']}"
    answers = [
        cyclr.get("accounts"),
        cyclr.get("accounts/none"),
        cyclr.call("POST", run, json={}),
        http.get(f"{given['cyclr_api_url']}/v1.0/accounts"),
        http.post(f"{given['cyclr_api_url']}/oauth/token"),
        http.get(f"{given['cyclr_console_url']}/"),
        http.get(f"{given['cyclr_console_url']}/api/connectors"),
        domain.get("/nowhere"),
        domain.get(cyclr.sign_in_link(installed["Id"])),
    ]
    assert {one.headers.get_list("x-content-type-options")[0] for one in answers} == {"nosniff"}
    assert all(len(one.headers.get_list("x-content-type-options")) == 1 for one in answers)
    assert {200, 302, 401, 404} <= {one.status_code for one in answers}


def test_accounts_echo_their_settings(cyclr: Cyclr) -> None:
    """What a caller gives is in the answer, and stays when another field is changed."""
    made = cyclr.call("POST", "accounts", json={"Name": "Echo", **SETTINGS}).json()
    assert {name: made[name] for name in SETTINGS} == SETTINGS
    path = f"accounts/{made['Id']}"
    changed = cyclr.call("PUT", path, json={"StepDataErroredRetentionHours": 0}).json()
    assert changed == {**made, "StepDataErroredRetentionHours": 0}
    assert cyclr.get(path).json() == changed


def test_an_account_has_a_next_bill(cyclr: Cyclr) -> None:
    """NextBillDateUtc is a time, also of an account that was made with its name only."""
    made = cyclr.call("POST", "accounts", json={"Name": "Bare"}).json()
    for account in (made, *cyclr.get("accounts").json()):
        assert re.match(r"\d{4}-\d\d-01T00:00:00\.0+Z\Z", account["NextBillDateUtc"])
    assert {made[name] for name in SETTINGS} == {None, False}


def test_a_webhook_url_without_a_scheme(cyclr: Cyclr) -> None:
    """It gets https://; one with a scheme stays."""
    for given, shown in (
        ("hooks.partner.test/x", "https://hooks.partner.test/x"),
        ("http://hooks.partner.test/x", "http://hooks.partner.test/x"),
    ):
        document = {"Name": "Hook", "TransactionErrorWebhookUrl": given}
        made = cyclr.call("POST", "accounts", json=document).json()
        assert made["TransactionErrorWebhookUrl"] == shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"StepDataErroredRetentionHours": -10},
            "StepDataErroredRetentionHours (-10): must be non negative",
        ),
        (
            {"TransactionErrorWebhookEnabled": True, "TransactionErrorWebhookUrl": None},
            "Transaction Error Webhook enabled: Transaction Error Webhook URL must be defined",
        ),
    ],
)
def test_wrong_settings_are_refused(
    cyclr: Cyclr, settings: dict[str, object], message: str
) -> None:
    """Both are 400 with their Message, and no account is made or changed."""
    before = len(cyclr.get("accounts", params={"pageSize": "1000"}).json())
    answer = cyclr.call("POST", "accounts", json={"Name": "Wrong", **settings})
    assert (answer.status_code, answer.json()) == (400, {"Message": message})
    assert len(cyclr.get("accounts", params={"pageSize": "1000"}).json()) == before
    path = f"accounts/{cyclr.given['account_api_id']}"
    assert cyclr.call("PUT", path, json={"Name": "No", **settings}).status_code == 400
    assert cyclr.get(path).json()["Name"] == "First Customer"


def test_connectors_carry_categories_and_triggers(cyclr: Cyclr) -> None:
    """Categories is an array on each connector; Triggers belongs to an account connector's."""
    connector = cyclr.get(f"connectors/{cyclr.connector_id()}").json()
    assert connector["Categories"] == ["Social Media"]
    assert "Triggers" not in connector
    installed = cyclr.installed()["Connector"]
    assert (installed["Categories"], installed["Triggers"]) == (["Social Media"], [])


def test_bodies_are_read_leniently(cyclr: Cyclr) -> None:
    """Single quotes and bare names are fine: the method runs."""
    installed = cyclr.installed()
    methods = cyclr.get(f"connectors/{cyclr.connector_id()}/methods").json()
    forms = next(one for one in methods if one["Name"] == "List Forms")
    number = forms["Parameters"][0]["Id"]
    body = f"{{'Parameters': {{{number} : {cyclr.given['page_id']}}}}}"
    path = f"account/connectors/{installed['Id']}/methods/{forms['MethodUniqueIdentifier']}"
    for headers in ({"Content-Type": "application/json"}, {}):
        answer = cyclr.call("POST", path, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"][0]["name"] == "Ask for an offer"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2]}', {"a": [1, 2]}),
        ("{'Parameters': {400123 : 1}}", {"Parameters": {"400123": 1}}),
        ("{a: 'it\\'s', b_2: \"x: 'y'\"}", {"a": "it's", "b_2": "x: 'y'"}),
        ("{'a': [1, 2,], }", {"a": [1, 2]}),
        ("{'a': true, 'b': null, 'c': -1.5}", {"a": True, "b": None, "c": -1.5}),
    ],
)
def test_lenient_json(text: str, value: Any) -> None:
    """Strict JSON is read as it is; the lenient forms give the same values."""
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a'}", "{'a: 1}", "a b", "[" * 100_000, "['a'," + "[" * 100_000, "'\\" * 50_000],
    ids=lambda text: text[:6],
)
def test_what_is_no_json_is_refused_at_once(text: str) -> None:
    """Anything else is a ValueError, however long it is."""
    with pytest.raises(ValueError, match=r"line 1 column|nested too deeply"):
        read_json(text)
