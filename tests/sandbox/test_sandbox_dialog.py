"""The OAuth dialog, answered by a program and by a browser."""

from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.facebook_state import AppMode
from tests.support.wording import wording

from .conftest import CompleteDialog, Form, Graph, Start, app_of, dialog, login_of

REDIRECT_URI = "https://connect.partner.test/connector/callback"


def test_consent_gives_a_code(
    approved: Sandbox, complete_dialog: CompleteDialog, graph: Graph
) -> None:
    """The redirect is ?code=AQ…&state=…#_=_, and the code can be redeemed."""
    response = complete_dialog(
        approved, dialog(approved, scope="leads_retrieval,ads_read", state="s t&a")
    )
    assert response.status_code == 302
    location = urlsplit(response.headers["location"])
    pairs = parse_qsl(location.query)
    assert response.headers["location"].startswith(f"{REDIRECT_URI}?code=AQ")
    assert [name for name, _ in pairs] == ["code", "state"]
    assert dict(pairs)["state"] == "s t&a"
    assert location.fragment == "_=_"
    token = graph.exchange(redirect_uri=REDIRECT_URI, code=dict(pairs)["code"]).json()
    data = graph.get("debug_token", "app", input_token=token["access_token"]).json()["data"]
    assert data["scopes"] == ["ads_read", "leads_retrieval", "public_profile"]


@pytest.mark.parametrize("scope", ["ads_read,leads_retrieval", "ads_read leads_retrieval"])
def test_scopes_are_comma_or_space_separated(
    approved: Sandbox, complete_dialog: CompleteDialog, scope: str
) -> None:
    """Scopes may be separated by commas or blanks."""
    response = complete_dialog(approved, dialog(approved, scope=scope, response_type="code"))
    assert response.status_code == 302


def test_denial_has_its_exact_parameters(
    approved: Sandbox, complete_dialog: CompleteDialog
) -> None:
    """Cancel redirects with the recorded error parameters."""
    response = complete_dialog(approved, dialog(approved, state="xyz"), "cancel")
    assert response.headers["location"] == (
        f"{REDIRECT_URI}?error=access_denied&error_code=200"
        "&error_description=Permissions+error&error_reason=user_denied&state=xyz#_=_"
    )


def test_token_and_granted_scopes(
    approved: Sandbox, complete_dialog: CompleteDialog, graph: Graph
) -> None:
    """`token` is in the fragment, `granted_scopes` in the query."""
    response = complete_dialog(approved, dialog(approved, response_type="token"))
    location = urlsplit(response.headers["location"])
    assert not location.query
    fragment = parse_qs(location.fragment)
    assert graph.get("me", fragment["access_token"][0]).status_code == 200
    assert fragment["expires_in"] == ["7200"]
    response = complete_dialog(approved, dialog(approved, response_type="code,granted_scopes"))
    assert parse_qs(urlsplit(response.headers["location"]).query)["granted_scopes"] == [
        "public_profile"
    ]


def test_declined_permissions_are_asked_again_only_on_rerequest(
    start: Start, http: httpx.Client, complete_dialog: CompleteDialog
) -> None:
    """A declined permission is offered again only with auth_type=rerequest."""
    sandbox = start("approved")
    url = dialog(sandbox, scope="email,ads_read")
    complete_dialog(sandbox, url, choices="1", grant=["ads_read"])
    grants = sandbox.state.facebook.grants[sandbox.state.facebook.operator.id, app_of(sandbox).id]
    assert (grants["email"], grants["ads_read"]) == ("declined", "granted")
    for extra, offered in (({}, False), ({"auth_type": "rerequest"}, True)):
        again = dialog(sandbox, scope="email,ads_read", **extra)
        page = http.post(again, data=login_of(sandbox))
        assert ("email" in Form(page.text).choices) is offered


def test_edit_settings_offers_what_was_declined(
    start: Start, http: httpx.Client, complete_dialog: CompleteDialog
) -> None:
    """A returning person may press Edit settings, choose again, and has the permission then."""
    sandbox = start("approved")
    url = dialog(sandbox, scope="email,ads_read")
    login = login_of(sandbox)
    key = (sandbox.state.facebook.operator.id, app_of(sandbox).id)
    sandbox.state.facebook.grants.pop(key, None)
    assert "Edit settings" not in http.post(url, data=login).text
    complete_dialog(sandbox, url, choices="1", grant=["ads_read"])
    page = http.post(url, data=login).text
    assert wording("sandbox.not-asked-again", permission="email") in page
    assert "Edit settings" in page
    edited = Form(http.post(url, data={**login, "edit": "1"}).text)
    assert "email" in edited.choices
    complete_dialog(sandbox, f"{url}&edit=1", choices="1", grant=["email", "ads_read"])
    assert sandbox.state.facebook.grants[key]["email"] == "granted"


def test_login_for_business_is_all_or_nothing(
    start: Start, http: httpx.Client, complete_dialog: CompleteDialog
) -> None:
    """With config_id, single permissions cannot be declined."""
    sandbox = start("approved")
    app_of(sandbox).configurations["777"] = ("public_profile", "email", "ads_read")
    url = dialog(sandbox, config_id="777", override_default_response_type="true")
    response = complete_dialog(sandbox, url, choices="1", grant=["ads_read"])
    code = parse_qs(urlsplit(response.headers["location"]).query)["code"][0]
    found = sandbox.state.facebook.codes.get(code)
    assert found is not None
    assert found.scopes == ("public_profile", "email", "ads_read")
    assert http.get(dialog(sandbox, config_id="778")).status_code == 400


@pytest.mark.parametrize(
    ("params", "title"),
    [
        ({"redirect_uri": "https://connect.partner.test/other"}, "URL Blocked"),
        ({"redirect_uri": REDIRECT_URI + "/"}, "URL Blocked"),
        ({"redirect_uri": "http://localhost:8000/"}, "URL Blocked"),
        ({"redirect_uri": "http://[broken"}, "URL Blocked"),
        ({"client_id": "123"}, "Invalid App ID"),
    ],
)
def test_problems_are_pages_without_a_redirect(
    approved: Sandbox, http: httpx.Client, params: dict[str, str], title: str
) -> None:
    """For an invalid request the dialog shows the problem and does not redirect."""
    response = http.get(dialog(approved, **params))
    assert response.status_code == 400
    assert title in response.text


def test_unknown_scopes(approved: Sandbox, http: httpx.Client) -> None:
    """A person with a role sees which scope is invalid; a logged-out one an error of the server."""
    url = dialog(approved, scope="ads_read,pages_fly")
    assert http.get(url).status_code == 500
    response = http.post(url, data=login_of(approved))
    assert response.status_code == 400
    assert "Invalid Scopes: pages_fly" in response.text


def test_a_customer_does_not_see_invalid_scopes(approved: Sandbox, http: httpx.Client) -> None:
    """For a person without a role, scopes that the app cannot have are left out."""
    url = dialog(approved, scope="ads_read,pages_fly,user_likes")
    page = http.post(url, data=login_of(approved, "customer"))
    assert Form(page.text).choices == ["public_profile", "ads_read"]


def test_localhost_is_free_in_development(start: Start, http: httpx.Client) -> None:
    """
    In development mode an http://localhost redirect needs no registration, but a role in the app.
    """
    sandbox = start("approved")
    app = app_of(sandbox)
    app.mode = AppMode.DEVELOPMENT
    app.use_cases = []
    url = dialog(sandbox, redirect_uri="http://localhost:8000/callback")
    assert http.get(url).status_code == 200
    app.roles.clear()
    assert "App Not Setup" in http.post(url, data=login_of(sandbox)).text


def test_a_wrong_password_stays_at_the_login(approved: Sandbox, http: httpx.Client) -> None:
    """A wrong login is refused, and the page names the sandbox's person."""
    response = http.post(dialog(approved), data={"email": "me@real.example", "password": "secret"})
    assert 'role="alert"' in response.text
    assert "operator@partner.test" in response.text


def test_a_browser_can_go_on_on_loopback(approved: Sandbox) -> None:
    """A browser gets a page that links to the callback on loopback."""
    with httpx.Client(headers={"Accept": "text/html,*/*"}) as browser:
        consent = browser.post(dialog(approved), data=login_of(approved))
        assert "SANDBOX" in consent.text
        form = Form(consent.text)
        base = str(approved.description["dialog_url"]).partition("/v26.0")[0]
        page = browser.post(base + form.action, data={**form.fields, "decision": "continue"})
    assert page.status_code == 200
    assert "https://connect.partner.test/connector/callback?code=AQ" in page.text
    assert f"{approved.state.addresses.service_domain_http}/connector/callback?code=AQ" in page.text
