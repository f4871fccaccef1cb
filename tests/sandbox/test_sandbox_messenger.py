"""Facebook Messenger in the sandbox: pages, Setup, sign-in and webhook, with the same app."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from tests.support.wording import wording

from .conftest import (
    Browse,
    Browser,
    Cyclr,
    Domain,
    Graph,
    Open,
    OpenCyclr,
    Start,
    app_of,
    list_live_permissions,
)
from .test_sandbox_pages import create_app

NAME = "Facebook Messenger API"
SCOPES = "pages_messaging,pages_show_list,pages_manage_metadata"


@pytest.fixture
def browser(start: Start, browse: Browse) -> Browser:
    """Return a browser and a sandbox in which nothing is done yet."""
    return browse(start("fresh"))


def installed(cyclr: Cyclr, name: str = NAME) -> dict[str, Any]:
    """Return the account's connector of this name."""
    rows = cyclr.get("account/connectors").json()
    return next(row for row in rows if row["Connector"]["Name"] == name)


def sign_in_location(cyclr: Cyclr, domain: httpx.Client, name: str = NAME) -> str:
    """Return the address of the dialog to which a connector's sign-in link leads."""
    hop = domain.get(cyclr.sign_in_link(installed(cyclr, name)["Id"]))
    location: str = domain.get(hop.headers["location"]).headers["location"]
    return location


def read_scope(location: str) -> str:
    return parse_qs(urlsplit(location).query)["scope"][0]


def verify(domain: httpx.Client, url: object, token: object, **other: str) -> httpx.Response:
    """Verify a webhook as Facebook does."""
    query = {"hub.mode": "subscribe", "hub.verify_token": str(token), "hub.challenge": "1158"}
    return domain.get(str(url), params={**query, **other})


def test_the_app_is_approved_for_messenger_too(graph: Graph) -> None:
    """Messenger's permissions are live, granted and in the token, beside Marketing's."""
    mine = graph.get("me/permissions").json()["data"]
    granted = {row["permission"] for row in mine if row["status"] == "granted"}
    token = str(graph.given["user_access_token"])
    data = graph.get("debug_token", "app", input_token=token).json()["data"]

    held = list_live_permissions(graph) & granted & set(data["scopes"])
    assert {*SCOPES.split(","), "leads_retrieval", "ads_management"} <= held


def test_the_page_is_subscribed_to_the_app(graph: Graph) -> None:
    """The page lists the app with the fields that Messenger needs."""
    rows = graph.get(f"{graph.given['page_id']}/subscribed_apps", "page").json()["data"]

    assert [row["id"] for row in rows] == [graph.given["app_id"]]
    assert rows[0]["subscribed_fields"] == ["messages", "messaging_postbacks"]


def test_the_description_has_the_values_of_setup(approved: Sandbox) -> None:
    """Scopes, Verify Token and webhook of the description are those of the library's connector."""
    given = approved.description
    cyclr = approved.state.cyclr
    connector = next(entry for entry in cyclr.library.values() if entry.name == NAME)

    assert given["scopes"] == connector.scopes == SCOPES
    assert given["verify_token"] == connector.verify_token
    assert given["webhook_url"] == cyclr.webhook_url(connector)
    assert str(given["webhook_url"]).startswith(f"https://{given['service_domain']}/webhook/")
    assert connector.is_set_up


def test_it_is_installed_and_authenticated(approved: Sandbox, cyclr_of: OpenCyclr) -> None:
    """Messenger is installed beside Marketing, with a token that has the scopes of Setup."""
    rows = cyclr_of(approved).get("account/connectors").json()

    assert [(row["Connector"]["Name"], row["Authenticated"]) for row in rows[:2]] == [
        ("Facebook Marketing API", True),
        (NAME, True),
    ]
    token = approved.state.cyclr.account_connectors[rows[1]["Id"]].access_token
    held = approved.state.facebook.tokens.get(token)
    assert held is not None
    assert held.scopes == ("public_profile", *SCOPES.split(","))


def test_the_sign_in_asks_for_the_scopes_of_setup(
    start: Start, cyclr_of: OpenCyclr, domain_of: Domain, complete_dialog: Callable[..., Any]
) -> None:
    """`scope` is Scopes as entered in Setup; consent authenticates the connector."""
    sandbox = start("approved")
    cyclr = cyclr_of(sandbox)
    domain = domain_of(sandbox)
    number = installed(cyclr)["Id"]
    sandbox.state.cyclr.account_connectors[number].is_authenticated = False
    location = sign_in_location(cyclr, domain)

    assert read_scope(location) == SCOPES
    domain.get(complete_dialog(sandbox, location).headers["location"])
    assert installed(cyclr)["Authenticated"] is True


def test_the_right_verify_token_gets_the_challenge_back(
    approved: Sandbox, domain_of: Domain
) -> None:
    """The right Verify Token gets 200 and the challenge unchanged, as plain text."""
    given = approved.description
    domain = domain_of(approved)
    response = verify(domain, given["webhook_url"], given["verify_token"])
    markup = verify(
        domain, given["webhook_url"], given["verify_token"], **{"hub.challenge": "<b>é"}
    )

    assert (response.status_code, response.text) == (200, "1158")
    assert markup.text == "<b>é"
    assert markup.headers["content-type"] == "text/plain; charset=utf-8"
    assert markup.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("token", "mode"), [("wrong", "subscribe"), ("é", "subscribe"), ("", "subscribe"), (None, "")]
)
def test_any_other_verification_is_refused(
    approved: Sandbox, domain_of: Domain, token: str | None, mode: str
) -> None:
    """Another token or mode gets 403 without the challenge."""
    given = approved.description
    domain = domain_of(approved)
    token = str(given["verify_token"]) if token is None else token
    response = verify(domain, given["webhook_url"], token, **{"hub.mode": mode})

    assert response.status_code == 403
    assert "1158" not in response.text


def test_a_webhook_of_no_connector_does_not_exist(approved: Sandbox, domain_of: Domain) -> None:
    """A webhook that no connector has gets 404."""
    given = approved.description
    domain = domain_of(approved)
    response = verify(domain, f"{given['webhook_url']}0", given["verify_token"])

    assert response.status_code == 404


def test_without_a_verify_token_in_setup_nothing_is_verified(
    start: Start, domain_of: Domain
) -> None:
    """Without a Verify Token in Setup, an empty token gets 403."""
    sandbox = start("fresh")
    given = sandbox.description

    assert given["verify_token"] == given["scopes"] == ""
    assert verify(domain_of(sandbox), given["webhook_url"], "").status_code == 403


def test_setup_is_filled_in_on_the_console(browser: Browser) -> None:
    """Setup is closed when all four fields are filled in; blanks around the values are removed."""
    console = browser.given["cyclr_console_url"]
    browser.open(f"{console}/connectors/library/")
    browser.log_in()
    (connector,) = (
        entry for entry in browser.sandbox.state.cyclr.library.values() if "Messenger" in entry.name
    )
    setup = f"/connectors/library/{connector.id}/setup/"
    assert not connector.is_set_up
    page = browser.open(f"{console}{setup}")
    for label in ("Client ID", "Client Secret", "Scopes", "Verify Token"):
        assert f">{label}</label>" in page
    assert browser.given["webhook_url"] in page
    fields = {"client_id": "1", "client_secret": "s", "scopes": f" {SCOPES} "}
    browser.submit(setup, **fields)
    assert not connector.is_set_up
    browser.submit(setup, **fields, verify_token="chosen")
    assert connector.is_set_up
    assert "Closed" in browser.page.text
    page = browser.open(f"{console}{setup}")
    assert f'value="{SCOPES}"' in page
    assert 'value="chosen"' in page


def test_the_marketing_connectors_setup_has_two_fields(
    browser: Browser, cyclr_of: OpenCyclr
) -> None:
    """Marketing's Setup has no Scopes and Verify Token, and ignores them."""
    number = cyclr_of(browser.sandbox).connector_id()
    library = browser.sandbox.state.cyclr.library
    scopes = library[number].scopes
    at = f"{browser.given['cyclr_console_url']}/connectors/library/{number}/setup/"
    browser.open(at)
    browser.log_in()
    assert "Verify Token" not in browser.open(at)
    browser.submit(urlsplit(at).path, client_id="1", client_secret="s", scopes="x")
    assert library[number].scopes == scopes


def test_pages_are_added_and_removed_in_the_dashboard(browser: Browser, http: httpx.Client) -> None:
    """Adding a page in Messenger > Settings subscribes it to the app; removing it ends that."""
    app_id = create_app(browser)
    base = f"/apps/{app_id}"
    early = browser.open(f"{base}/messenger/settings/")
    assert wording("sandbox.set-up-first") in early
    browser.submit(f"{base}/products/messenger/")
    page = browser.open(f"{base}/messenger/settings/")
    page_id = page.partition('name="page" value="')[2].partition('"')[0]
    token_form = f"{base}/messenger/tokens/{page_id}/"
    browser.submit(token_form)
    assert wording("sandbox.page-not-added") in browser.page.text
    browser.fill_in(f"{base}/messenger/settings/", page=page_id)
    assert "messages, messaging_postbacks" in browser.page.text
    browser.submit(token_form)
    token = browser.page.text.partition("readonly>")[2].partition("<")[0]
    url = f"{browser.given['graph_url']}/v26.0/{page_id}/subscribed_apps"
    rows = http.get(url, params={"access_token": token}).json()["data"]
    assert [row["id"] for row in rows] == [app_id]
    browser.submit(f"{base}/messenger/settings/")
    assert http.get(url, params={"access_token": token}).json()["data"] == []


def test_adding_a_page_again_keeps_its_fields(start: Start, browse: Browse) -> None:
    """Saving the dashboard's form keeps the fields that the API subscribed."""
    sandbox = start("approved")
    app_id = app_of(sandbox).id
    page = sandbox.state.facebook.pages[str(sandbox.description["page_id"])]
    page.webhook_subscriptions[app_id] = ("leadgen",)
    browser = browse(sandbox)
    path = f"/apps/{app_id}/messenger/settings/"
    browser.enter(path)
    browser.submit(path, page=page.id)

    assert page.webhook_subscriptions[app_id] == ("leadgen",)


def test_messenger_wrong_scopes(start: Start, cyclr_of: OpenCyclr, domain_of: Domain) -> None:
    """Setup lacks pages_messaging, so sign-in and token lack it too."""
    sandbox = start("messenger-wrong-scopes")
    cyclr = cyclr_of(sandbox)
    row = installed(cyclr)
    held = sandbox.state.facebook.tokens.get(
        sandbox.state.cyclr.account_connectors[row["Id"]].access_token
    )

    assert sandbox.description["scopes"] == SCOPES
    assert read_scope(sign_in_location(cyclr, domain_of(sandbox))) == (
        "pages_show_list,pages_manage_metadata"
    )
    assert row["Authenticated"] is True
    assert held is not None
    assert "pages_messaging" not in held.scopes


def test_messenger_wrong_verify_token(start: Start, domain_of: Domain) -> None:
    """Cyclr has another Verify Token than the description."""
    sandbox = start("messenger-wrong-verify-token")
    given = sandbox.description
    domain = domain_of(sandbox)
    library = sandbox.state.cyclr.library.values()
    held = next(entry.verify_token for entry in library if entry.name == NAME)

    assert verify(domain, given["webhook_url"], given["verify_token"]).status_code == 403
    assert verify(domain, given["webhook_url"], held).status_code == 200


def test_messenger_page_not_subscribed(start: Start, graph_of: Open) -> None:
    """The page is not subscribed to the app."""
    graph = graph_of(start("messenger-page-not-subscribed"))
    response = graph.get(f"{graph.given['page_id']}/subscribed_apps", "page")

    assert (response.status_code, response.json()["data"]) == (200, [])


@pytest.mark.parametrize("name", ["Facebook Marketing API", NAME])
def test_in_cyclr_mismatch_both_connectors_hold_the_other_app(
    start: Start, cyclr_of: OpenCyclr, domain_of: Domain, name: str
) -> None:
    """In `cyclr-mismatch`, a connector's sign-in link has another existing app's Client ID."""
    sandbox = start("cyclr-mismatch")
    location = sign_in_location(cyclr_of(sandbox), domain_of(sandbox), name)
    client_id = parse_qs(urlsplit(location).query)["client_id"][0]

    assert client_id != sandbox.description["app_id"]
    assert client_id in sandbox.state.facebook.apps
