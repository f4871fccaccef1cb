"""The expectations of Cyclr's own public tests of its API."""

import re

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox

from .conftest import Cyclr, Domain, OpenCyclr


@pytest.fixture
def cyclr(approved: Sandbox, cyclr_of: OpenCyclr) -> Cyclr:
    return cyclr_of(approved)


def test_every_answer_forbids_sniffing(cyclr: Cyclr, http: httpx.Client, domain_of: Domain) -> None:
    """API, console and service domain send nosniff with each response, refusal and redirect."""
    given = cyclr.given
    domain = domain_of(cyclr.sandbox)
    installed = cyclr.installed()
    method = next(iter(cyclr.methods().values()))
    responses = [
        cyclr.get("accounts"),
        cyclr.get("accounts/none"),
        cyclr.run(method["MethodUniqueIdentifier"]),
        http.get(f"{given['cyclr_api_url']}/v1.0/accounts"),
        http.post(f"{given['cyclr_api_url']}/oauth/token"),
        http.get(f"{given['cyclr_console_url']}/"),
        http.get(f"{given['cyclr_console_url']}/api/connectors"),  # which it does not serve
        domain.get("/nowhere"),
        domain.get(cyclr.sign_in_link(installed["Id"])),
    ]
    assert {response.headers.get_list("x-content-type-options")[0] for response in responses} == {
        "nosniff"
    }
    assert all(
        len(response.headers.get_list("x-content-type-options")) == 1 for response in responses
    )
    assert {200, 302, 401, 404} <= {response.status_code for response in responses}


def test_an_account_has_a_next_bill(cyclr: Cyclr) -> None:
    """NextBillDateUtc is a time, also of an account that was made with its name only."""
    made = cyclr.call("POST", "accounts", json={"Name": "Bare"}).json()
    for account in (made, *cyclr.get("accounts").json()):
        assert re.match(r"\d{4}-\d\d-01T00:00:00\.0+Z\Z", account["NextBillDateUtc"])
    assert (made["AuditInfo"], made["TransactionErrorWebhookEnabled"]) == (None, False)


def test_connectors_carry_categories_and_triggers(cyclr: Cyclr) -> None:
    """Categories is an array on each connector; Triggers belongs to an account connector's."""
    (connector,) = cyclr.get("connectors", params={"query": "Marketing"}).json()
    assert connector["Categories"] == ["Social Media"]
    assert "Triggers" not in connector
    installed = cyclr.installed()["Connector"]
    assert (installed["Categories"], installed["Triggers"]) == (["Social Media"], [])
