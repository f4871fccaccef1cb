"""The Cyclr API, the sign-in link and the callback."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from tests.sandbox.graph_texts import WRONG_SECRET

from .conftest import CompleteDialog, Cyclr, Domain, OpenCyclr, Start

UNKNOWN_METHOD = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def cyclr(approved: Sandbox, cyclr_of: OpenCyclr) -> Cyclr:
    return cyclr_of(approved)


def test_token_answer(cyclr: Cyclr, http: httpx.Client) -> None:
    """
    A token is a bearer token for fourteen days with the client's ID; wrong credentials get 400.
    """
    url = cyclr.token_url
    form = cyclr.credentials
    response = http.post(url, data=form).json()
    assert list(response)[:4] == ["token_type", "access_token", "expires_in", "clientId"]
    assert response["expires_in"] == 1_209_599
    assert response["clientId"] == form["client_id"]
    refused = http.post(url, data={**form, "client_secret": "no"})
    assert (refused.status_code, refused.json()) == (400, {"error": "invalid_client"})
    assert http.post(url, data={**form, "scope": "account:none"}).status_code == 400
    assert http.post(url, data={**form, "grant_type": "password"}).status_code == 400


def test_calls_without_a_token_are_denied(cyclr: Cyclr, http: httpx.Client) -> None:
    """A call without a token gets 401 with a Message."""
    response = http.get(f"{cyclr.given['cyclr_api_url']}/v1.0/accounts")
    assert response.status_code == 401
    assert list(response.json()) == ["Message"]


@pytest.mark.parametrize("account", ["", "unknown"])
def test_account_calls_need_an_account(cyclr: Cyclr, account: str) -> None:
    """An empty or unknown X-Cyclr-Account gets 401 for calls that need an account."""
    headers = {"X-Cyclr-Account": account}
    assert cyclr.get("connectors", headers=headers).status_code == 401
    assert cyclr.get("accounts", headers=headers).status_code == 200


def test_accounts(start: Start, cyclr_of: OpenCyclr) -> None:
    """Accounts are created, listed with Total-Pages and refused as documented."""
    cyclr = cyclr_of(start("fresh"))
    made = cyclr.call("POST", "accounts", json={"Id": "acme", "Name": "Acme"})
    assert made.status_code == 200
    assert list(made.json())[:4] == ["CreatedDate", "Id", "Name", "Description"]
    again = cyclr.call("POST", "accounts", json={"Id": "acme", "Name": "Acme"})
    assert (again.status_code, again.json()) == (400, {"Message": "ID already in use"})
    nameless = cyclr.call("POST", "accounts", json={})
    assert "Name is required" in nameless.json()["Message"]
    listed = cyclr.get("accounts", params={"pageSize": 1, "page": 2})
    assert listed.headers["total-pages"] == "2"
    assert [account["Id"] for account in listed.json()] == ["acme"]
    assert cyclr.get("accounts", params={"pageSize": "many"}).status_code == 400
    assert cyclr.get("accounts/acme").json()["Name"] == "Acme"
    assert cyclr.get("accounts/other").status_code == 404


def test_a_connector_is_found_by_query(cyclr: Cyclr) -> None:
    """A query gives several connectors; the methods of one are found by its ID."""
    found = cyclr.get("connectors", params={"query": "Facebook"}).json()
    assert {connector["Name"] for connector in found} == {
        "Facebook Marketing API",
        "Facebook Messenger API",
    }
    number = cyclr.connector_id()
    connector = next(row for row in found if row["Id"] == number)
    assert (connector["Name"], connector["Version"], connector["Status"]) == (
        "Facebook Marketing API",
        None,
        "Approved",
    )
    assert connector["Authentication"][0]["OAuth2Type"] == "AuthorisationCode"
    assert cyclr.get("connectors/99/methods").status_code == 404
    names = {method["Name"] for method in cyclr.get(f"connectors/{number}/methods").json()}
    assert {"List My Permissions", "List Leads By Form"} <= names


def test_an_accounts_own_token(start: Start, cyclr_of: OpenCyclr, http: httpx.Client) -> None:
    """An account's token works in that account without a header, and in no other."""
    cyclr = cyclr_of(start("approved"))
    cyclr.call("POST", "accounts", json={"Id": "other", "Name": "Other"})
    form = {**cyclr.credentials, "scope": f"account:{cyclr.given['account_api_id']}"}
    api = str(cyclr.given["cyclr_api_url"])
    token = http.post(cyclr.token_url, data=form).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    own = http.get(f"{api}/v1.0/account/connectors", headers=bearer)
    assert own.status_code == 200
    other = {**bearer, "X-Cyclr-Account": "other"}
    assert http.get(f"{api}/v1.0/account/connectors", headers=other).status_code == 401
    assert http.get(f"{api}/v1.0/accounts/other", headers=bearer).status_code == 404


def test_installing(start: Start, cyclr_of: OpenCyclr) -> None:
    """
    An install without properties works; undeclared properties, drafts and names in use are refused.
    """
    cyclr = cyclr_of(start("fresh"))
    path = f"connectors/{cyclr.connector_id()}/install"
    unknown = {"Properties": [{"Name": "X", "Value": "1"}]}
    assert cyclr.call("POST", path, json=unknown).json() == {
        "Message": "There is not a connector property that matches name 'X'."
    }
    installed = cyclr.call("POST", path, json={})
    assert installed.status_code == 200
    assert list(installed.json()) == [
        "Id",
        "Name",
        "Description",
        "AuthValue",
        "Authenticated",
        "Connector",
        "IsPartnerIntegrationConnector",
        "Properties",
        "CustomFields",
    ]
    assert installed.json()["Authenticated"] is False
    assert "is in use" in cyclr.call("POST", path, json={}).json()["Message"]
    number = cyclr.connector_id("Close")
    cyclr.sandbox.state.cyclr.library[number].status = "Draft"
    draft = cyclr.call("POST", f"connectors/{number}/install", json={})
    assert draft.json() == {"Message": f"Connector {number} is a draft and cannot be installed."}
    assert cyclr.call("POST", path).status_code == 400


def test_declared_properties_at_install(start: Start, cyclr_of: OpenCyclr) -> None:
    """At install, only a parameter that is an account connector property is accepted."""
    cyclr = cyclr_of(start("fresh"))
    path = f"connectors/{cyclr.connector_id('Close')}/install"
    wrong = cyclr.call("POST", path, json={"Properties": [{"Name": "pageSize", "Value": "1"}]})
    assert wrong.json() == {
        "Message": "Connector property name 'pageSize' is not an account connector property."
    }
    right = cyclr.call("POST", path, json={"Properties": [{"Name": "isSandbox", "Value": "true"}]})
    (made,) = right.json()["Properties"]
    assert list(made) == ["Name", "Value", "Id", "AccountConnectorId"]
    assert (made["Name"], made["Value"]) == ("isSandbox", "true")


def test_methods_are_run_at_facebook(cyclr: Cyclr) -> None:
    """A method returns Facebook's body; a malformed GUID gets 400, an unknown one 404."""
    methods = cyclr.methods()
    permissions = methods["List My Permissions"]["MethodUniqueIdentifier"]
    forms = methods["List Forms"]["MethodUniqueIdentifier"]
    rows = cyclr.run(permissions).json()["data"]
    assert {"permission": "leads_retrieval", "status": "granted"} in rows
    page = {str(methods["List Forms"]["Parameters"][0]["Id"]): str(cyclr.given["page_id"])}
    response = cyclr.run(forms, Parameters=page).json()
    assert response["data"][0]["id"] == cyclr.given["leadgen_form_id"]
    assert cyclr.run(forms).status_code == 400
    assert cyclr.run(permissions, Parameters={"1": "x"}).status_code == 400
    assert cyclr.run("nonsense").status_code == 400
    assert cyclr.run(UNKNOWN_METHOD).status_code == 404


def test_a_providers_error_is_a_message(start: Start, cyclr_of: OpenCyclr) -> None:
    """An error by Facebook becomes a 400 of Cyclr with Facebook's message."""
    cyclr = cyclr_of(start("approved"))
    grants = next(iter(cyclr.sandbox.state.facebook.grants.values()))
    grants["ads_read"] = grants["ads_management"] = "declined"
    unique_id = cyclr.methods()["List My Ad Accounts"]["MethodUniqueIdentifier"]
    response = cyclr.run(unique_id)
    assert response.status_code == 400
    assert response.json()["Message"].startswith("(#200) Ad account owner has NOT grant")
    cyclr.deauthenticate()
    assert cyclr.run(unique_id).json() == {"Message": "Failed to authenticate the connector"}


def test_ip_restriction(start: Start, cyclr_of: OpenCyclr) -> None:
    """A method gets 403 with the documented message."""
    response = cyclr_of(start("cyclr-ip-blocked")).run(UNKNOWN_METHOD)
    assert response.status_code == 403
    assert response.json()["Message"].startswith("Unknown client IP Address: contact support to")


def test_prerequisites(start: Start, cyclr_of: OpenCyclr) -> None:
    """A cycle lists an unauthenticated connector as prerequisite."""
    cyclr = cyclr_of(start("approved"))
    cycle = next(iter(cyclr.sandbox.state.cyclr.cycles))
    assert cyclr.get(f"cycles/{cycle}/prerequisites").json() == []
    number = cyclr.deauthenticate()
    assert cyclr.get(f"cycles/{cycle}/prerequisites").json() == [
        {
            "ReasonCode": 20,
            "Reason": "Unauthenticated connector",
            "ObjectType": "AccountConnector",
            "ObjectId": number,
        }
    ]
    assert cyclr.get("cycles/none/prerequisites").status_code == 404


@pytest.mark.parametrize(
    ("route", "status"),
    [
        ("GET nothing", 404),
        ("DELETE connectors", 405),
        ("PUT accounts/acme", 405),
        ("DELETE accounts/acme", 405),
        ("GET connectors/17208", 404),
        ("GET connectors/17208/2/methods", 404),
        ("POST connectors/17208/2/install", 404),
        ("GET account/connectors/1", 404),
        ("PUT account/connectors/1/deauthenticate", 404),
        ("POST account/connectors/1/test/x", 404),
    ],
)
def test_unknown_routes_are_refused_by_name(route: str, status: int, cyclr: Cyclr) -> None:
    """A route that the sandbox does not serve gets 404 or 405, and a Message that names it."""
    method, _, path = route.partition(" ")
    response = cyclr.call(method, path, json={})
    message = f"The sandbox does not answer {method} /v1.0/{path}."
    assert (response.status_code, response.json()) == (status, {"Message": message})


# --- the service domain ----------------------------------------------------------------------
Consent = Callable[..., httpx.Response]


@pytest.fixture
def consent(domain_of: Domain, complete_dialog: CompleteDialog) -> Consent:
    """Return a function that goes from the sign-in link through the dialog to the callback."""

    def go(cyclr: Cyclr, decision: str = "continue", more: str = "") -> httpx.Response:
        domain = domain_of(cyclr.sandbox)
        response = domain.get(cyclr.sign_in_link(cyclr.installed()["Id"]) + more)
        while response.status_code == 302 and response.headers["location"].startswith("/"):
            response = domain.get(response.headers["location"])
        back = complete_dialog(cyclr.sandbox, response.headers["location"], decision)
        return domain.get(back.headers["location"])

    return go


def test_the_link_leads_to_facebooks_dialog(
    approved: Sandbox, cyclr: Cyclr, domain_of: Domain
) -> None:
    """
    The link leads by a cookie to the dialog, with client_id, redirect_uri, scope and state; it
    works once, and its second hop only with the cookie.
    """
    domain = domain_of(approved)
    link = cyclr.sign_in_link(cyclr.installed()["Id"])
    hop = domain.get(link)
    assert (hop.status_code, "set-cookie" in hop.headers) == (302, True)
    assert "Secure" in hop.headers["set-cookie"]
    assert domain_of(approved).get(hop.headers["location"]).status_code == 403
    response = domain.get(hop.headers["location"])
    location = response.headers["location"]
    assert location.startswith(f"{cyclr.given['dialog_url']}?")
    query = parse_qs(urlsplit(location).query)
    assert query["client_id"] == [cyclr.given["app_id"]]
    assert query["redirect_uri"] == [cyclr.given["redirect_uri"]]
    assert "leads_retrieval" in query["scope"][0]
    assert query["state"][0]
    assert domain.get(link).status_code == 403


def test_expired_and_wrong_links_are_forbidden(
    start: Start, cyclr_of: OpenCyclr, domain_of: Domain
) -> None:
    """After five minutes, or for another connector or account, the link gets 403 Forbidden."""
    cyclr = cyclr_of(start("approved"))
    domain = domain_of(cyclr.sandbox)
    link = cyclr.sign_in_link(cyclr.installed()["Id"])
    cyclr.sandbox.state.offset = 301
    response = domain.get(link)
    assert response.status_code == 403
    assert "403 – Forbidden: Access is denied." in response.text
    assert domain.get(cyclr.sign_in_link(1)).status_code == 403
    number = cyclr.installed()["Id"]
    made = cyclr.call("POST", "accounts", json={"Id": "other", "Name": "Other"}).json()
    assert domain.get(cyclr.sign_in_link(number, account=made["Id"])).status_code == 403
    assert domain.get(cyclr.sign_in_link(number, target="")).status_code == 400


def test_consent_authenticates_the_connector(
    start: Start, cyclr_of: OpenCyclr, domain_of: Domain, consent: Consent
) -> None:
    """After link, dialog and callback the connector is Authenticated; the callback works once."""
    cyclr = cyclr_of(start("approved"))
    cyclr.deauthenticate()
    done = consent(cyclr)
    assert (done.status_code, done.headers["location"]) == (302, "https://app.partner.test/done")
    assert cyclr.installed()["Authenticated"] is True
    assert domain_of(cyclr.sandbox).get(done.url).status_code == 400


def test_denied_consent_shows_the_providers_error(cyclr: Cyclr, consent: Consent) -> None:
    """After a denied consent the page shows error and error_description."""
    page = consent(cyclr, "cancel").text
    assert "access_denied" in page
    assert "Permissions error" in page


def test_a_wrong_secret_in_the_console_fails_at_the_callback(
    start: Start, cyclr_of: OpenCyclr, consent: Consent
) -> None:
    """With a wrong secret in the console, the callback shows Facebook's error message."""
    cyclr = cyclr_of(start("approved"))
    cyclr.sandbox.state.cyclr.library[cyclr.connector_id()].client_secret = "0" * 32
    assert WRONG_SECRET in consent(cyclr).text


def test_callback_message_is_posted(cyclr: Cyclr, consent: Consent) -> None:
    """With callbackMessage, the page posts it to its opener; its policy allows no other script."""
    page = consent(cyclr, more="&callbackMessage=</script>done")
    assert "postMessage" in page.text
    assert "</script>done" not in page.text
    assert "script-src 'nonce-" in page.headers["content-security-policy"]


def test_the_service_domain_answers_a_bare_callback(approved: Sandbox, domain_of: Domain) -> None:
    """The callback without parameters gets 400, a path that does not exist 404."""
    domain = domain_of(approved)
    assert domain.get("/connector/callback").status_code == 400
    assert domain.get("/elsewhere").status_code == 404
    assert domain.get("/connector/callback-2").status_code == 404
    assert domain.get("/connector/callback/2").status_code == 404


def test_the_service_domain_issues_tokens_too(cyclr: Cyclr, domain_of: Domain) -> None:
    """/oauth/token also works on the Service Domain."""
    response = domain_of(cyclr.sandbox).post("/oauth/token", data=cyclr.credentials)
    assert response.status_code == 200
