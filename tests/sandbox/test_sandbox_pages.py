"""The practice pages: the documented procedure, performed as a person would."""

import html
import re

import httpx
import pytest

from facebook_cyclr_sandbox.cyclr.cyclr_console import console_router
from facebook_cyclr_sandbox.facebook_web.dashboard import dashboard_router
from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.facebook_state import RENEWAL_SECTIONS
from tests.support.wording import wording

from .conftest import Browse, Browser, Cyclr, Form, Open, OpenCyclr, Start


def create_app(browser: Browser, name: str = "My Partner App") -> str:
    """Perform documented steps 1 to 5; return the App ID."""
    browser.open("/apps/")
    browser.log_in()
    if "Complete Registration" in browser.page.text:
        browser.submit("/async/registration/")
    assert wording("sandbox.no-app-yet") in browser.page.text
    browser.fill_in(
        "/apps/creation/",
        use_case="Other",
        type="Business",
        name=name,
        contact_email="me@partner.test",
        purpose="Clients",
        password=browser.given["login_password"],
    )
    assert wording("sandbox.add-products") in browser.page.text
    found = re.search(r"/apps/(\d+)/dashboard/", browser.path)
    assert found is not None
    return found[1]


REVIEW_SECTIONS = dict.fromkeys(
    ("verification", "usage", "data_handling", "screencast"), "as asked"
)


def make_test_calls(browser: Browser, app_id: str) -> None:
    """Call Graph once for each permission, in Graph API Explorer."""
    page = browser.fill_in("/tools/explorer/", app_id=app_id)
    found = re.search(r"EAA\w+", page)
    assert found is not None

    def call(path: str, token: str) -> str:
        page = browser.submit("/tools/explorer/", path=path, access_token=token)
        return html.unescape(page)

    call("me/adaccounts", found[0])
    call("me/businesses", found[0])
    response = call("me/accounts", found[0])
    token = re.search(r'"access_token": "(EAA\w+)"', response)
    number = re.search(r'"Sandbox Bakery",\s+"id": "(\d+)"', response)
    assert token is not None
    assert number is not None
    call(number[1], found[0])
    forms = call(f"{number[1]}/leadgen_forms?fields=id", token[1])
    assert '"data"' in forms


def complete_checklist(browser: Browser, app_id: str) -> None:
    """Fill in the settings, verify the business, renew the app's data access."""
    base = f"/apps/{app_id}"
    browser.fill_in(
        f"{base}/settings/basic/",
        name="My Partner App",
        app_domains="connect.partner.test",
        contact_email="me@partner.test",
        privacy_policy_url="https://www.partner.test/privacy",
        terms_of_service_url="https://www.partner.test/terms",
        data_deletion_url="https://www.partner.test/data-deletion",
        category="Business",
        icon="icon.png",
    )
    browser.open(f"{base}/verification/")
    for kind in ("business", "access"):
        browser.submit(f"{base}/verification/{kind}/")
        assert wording("sandbox.verification-is", outcome="pending") in browser.page.text
        browser.submit(f"{base}/verification/later/")
        assert wording("sandbox.verification-is", outcome="verified") in browser.page.text
    browser.fill_in(f"{base}/data-access-renewal/", **dict.fromkeys(RENEWAL_SECTIONS, "1"))
    assert wording("sandbox.renewal-complete") in browser.page.text


def test_the_whole_procedure_from_fresh(
    start: Start,
    browse: Browse,
    http: httpx.Client,
    cyclr_of: OpenCyclr,
) -> None:
    """All thirteen steps, the connector's Setup and the consent work on the pages."""
    browser = browse(start("fresh"))
    console = browser.given["cyclr_console_url"]
    app_id = create_app(browser)
    base = f"/apps/{app_id}"
    browser.submit(f"{base}/products/facebook_login/")
    assert f"{base}/fb-login/settings/" in browser.page.text
    general = browser.open(f"{console}/settings/general/")
    assert browser.given["service_domain"] in general
    browser.fill_in(
        f"{base}/fb-login/settings/",
        redirect_uris=browser.given["redirect_uri"],
        client_oauth="1",
        web_oauth="1",
    )
    assert "Changes saved." in browser.page.text
    browser.submit(f"{base}/fb-login/validator/", redirect_uri=browser.given["redirect_uri"])
    assert wording("sandbox.valid-redirect-uri") in browser.page.text
    found = browser.open(f"{base}/app-review/permissions/")
    assert wording("sandbox.get-advanced-access", permission="public_profile") in found
    browser.submit(f"{base}/app-review/access/public_profile/")
    assert wording("sandbox.access-granted", permission="public_profile") in browser.page.text
    make_test_calls(browser, app_id)
    browser.fill_in(f"{base}/app-review/access/leads_retrieval/")
    assert wording("sandbox.go-on-with-the-request") in browser.page.text
    complete_checklist(browser, app_id)
    browser.fill_in(f"{base}/app-review/request/", usage="leads")
    assert "Not submitted" in browser.page.text
    browser.submit(f"{base}/app-review/request/", **REVIEW_SECTIONS)
    assert wording("sandbox.review-is", outcome="pending") in browser.page.text
    browser.submit(f"{base}/app-review/later/", outcome="approved")
    assert wording("sandbox.review-is", outcome="approved") in browser.page.text
    browser.open(f"{base}/settings/basic/")
    browser.submit(f"{base}/settings/basic/secret/", password="wrong")
    assert 'role="alert"' in browser.page.text
    browser.submit(f"{base}/settings/basic/secret/", password=browser.given["login_password"])
    secret = re.search(r'id="app-secret">([0-9a-f]{32})<', browser.page.text)
    assert secret is not None
    set_up_and_authenticate(browser, cyclr_of(browser.sandbox), app_id, secret[1])
    params = {"client_id": app_id, "client_secret": secret[1], "grant_type": "client_credentials"}
    token = http.get(f"{browser.given['graph_url']}/oauth/access_token", params=params).json()
    rows = http.get(
        f"{browser.given['graph_url']}/{app_id}/permissions",
        params={"access_token": token["access_token"]},
    ).json()["data"]
    assert {"permission": "leads_retrieval", "status": "live"} in rows


def set_up_and_authenticate(browser: Browser, cyclr: Cyclr, app_id: str, secret: str) -> None:
    console = browser.given["cyclr_console_url"]
    number = cyclr.connector_id()
    assert "Setup Required" in browser.open(f"{console}/connectors/library/")
    browser.open(f"{console}/connectors/library/{number}/setup/")
    browser.submit(f"/connectors/library/{number}/setup/", client_id=app_id, client_secret=secret)
    assert "changes saved" in browser.page.text
    assert "Closed" in browser.page.text
    account = browser.given["account_api_id"]
    here = f"/accounts/{account}/connectors/"
    browser.open(f"{console}{here}")
    browser.submit(here, connector=str(number))
    assert "Not authenticated" in browser.page.text
    installed = cyclr.installed()["Id"]
    browser.submit(f"{here}{installed}/authenticate/")
    assert wording("sandbox.asks-for-access") in browser.page.text
    form = Form(browser.page.text)
    browser.submit(form.action, decision="continue", grant=form.choices)
    assert wording("sandbox.would-leave-facebook") in browser.page.text
    loopback = re.search(r'class="button" href="([^"]+)"', browser.page.text)
    assert loopback is not None
    browser.open(loopback[1].replace("&amp;", "&"))
    assert browser.path == here
    assert "Authenticated" in browser.page.text
    assert "Not authenticated" not in browser.page.text
    assert cyclr.installed()["Authenticated"] is True


def test_a_declined_review_can_be_sent_again(start: Start, browse: Browse, graph_of: Open) -> None:
    """The pages show the reason of a declined review, Graph does not; it can be submitted again."""
    browser = browse(start("review-pending"))
    base = f"/apps/{browser.given['app_id']}"
    browser.open(f"{base}/app-review/requests/")
    browser.log_in()
    browser.submit(f"{base}/app-review/later/", outcome="declined", reason="No screencast.")
    assert wording("sandbox.declined-for", reason="No screencast") in browser.page.text
    graph = graph_of(browser.sandbox)
    rows = graph.get(f"{graph.given['app_id']}/permissions", "app").json()["data"]
    assert rows == [{"permission": "public_profile", "status": "live"}]
    browser.open(f"{base}/app-review/permissions/")
    assert wording("sandbox.request-again", permission="leads_retrieval") in browser.page.text
    browser.submit(f"{base}/app-review/access/leads_retrieval/", confirmed="1")
    browser.fill_in(f"{base}/app-review/request/", **REVIEW_SECTIONS)
    assert "<strong>pending</strong>" in browser.page.text


@pytest.mark.parametrize(
    ("path", "group", "focused"),
    [
        ("settings/basic/", "settings-basic", 'id="secret-password"'),
        ("business-login/settings/", "login", 'id="redirect-uris"'),
        ("fb-login/settings", "login", 'id="redirect-uris"'),
        ("app-review/permissions/", "permissions", 'id="permissions-title"'),
        ("app-review/access/ads_read/", "permissions", 'id="permissions-title"'),
        ("app-review/submissions/", "review", 'id="review-title"'),
        ("messenger/settings/", "messenger", 'id="page-'),
    ],
)
def test_an_address_opens_the_page_at_its_group(
    approved: Sandbox, browse: Browse, path: str, group: str, focused: str
) -> None:
    """One group is current, in the menu too, and its field or heading is focused."""
    browser = browse(approved)
    browser.enter()
    page = browser.open(f"/apps/{browser.given['app_id']}/{path}")
    assert re.findall(r'<section [^>]*id="([^"]+)"[^>]*data-current', page) == [group]
    assert re.findall(r'href="#([^"]+)" aria-current="location"', page) == [group]
    (element,) = re.findall(r"<[^>]* autofocus[^>]*>", page)
    assert focused in element


def test_a_missing_page_leads_to_the_start(approved: Sandbox, browse: Browse) -> None:
    """An unknown address is named, with a link to the start."""
    browser = browse(approved)
    browser.enter()
    page = browser.open(f"/apps/{browser.given['app_id']}/nowhere/")
    assert browser.page.status_code == 404
    assert wording("sandbox.back-to-the-start") in page


def test_an_approved_review_names_its_permissions(approved: Sandbox, browse: Browse) -> None:
    """An approved review lists its permissions, at both of its addresses."""
    browser = browse(approved)
    browser.enter()
    base = f"/apps/{browser.given['app_id']}/app-review"
    for path in ("requests", "submissions"):
        page = browser.open(f"{base}/{path}/")
        assert wording("sandbox.review-is", outcome="approved") in page
        assert re.search(r"leads_retrieval</td><td>approved", page)


def test_creation_names_what_is_missing(start: Start, browse: Browse) -> None:
    """The form names missing fields, and keeps the others; the password is checked."""
    browser = browse(start("approved"))
    browser.enter("/apps/creation/")
    answers: dict[str, str] = {}
    for name, value, problem in (
        ("use_case", "Other", "select-use-case"),
        ("name", "x", "enter-name"),
        ("contact_email", "a@b.test", "enter-contact"),
        ("type", "Consumer", "select-type"),
        ("purpose", "Clients", "select-purpose"),
        ("password", browser.given["login_password"], "not-the-password"),
    ):
        page = browser.submit("/apps/creation/", **answers)
        assert wording(f"sandbox.{problem}") in page
        assert browser.page.status_code == 400
        answers[name] = value
    assert 'value="a@b.test"' in browser.page.text
    assert wording("sandbox.app-mode", mode="development") in browser.submit(
        "/apps/creation/", **answers
    )


def test_a_token_can_be_made_for_an_own_app(start: Start, browse: Browse, graph_of: Open) -> None:
    """A person with a role in the app gets a token with all permissions before any review."""
    browser = browse(start("review-pending"))
    browser.enter("/tools/explorer/")
    page = browser.submit("/tools/explorer/", app_id=browser.given["app_id"])
    token = re.search(r"EAA\w+", page)
    assert token is not None
    assert graph_of(browser.sandbox).get("me/adaccounts", token[0]).status_code == 200


def test_settings_refuse_invalid_values(start: Start, browse: Browse) -> None:
    """Redirect URIs, domains and URLs are checked; advanced settings are saved."""
    browser = browse(start("approved"))
    base = f"/apps/{browser.given['app_id']}"
    browser.open(f"{base}/business-login/settings/")
    browser.log_in()
    for uri in ("http://insecure.test/x", "https://a.test/#x", "callback", "https://[x"):
        page = browser.submit(f"{base}/business-login/settings/", redirect_uris=uri)
        assert wording("sandbox.not-a-secure-uri") in page
    for field, value in (("app_domains", "not a domain"), ("website_url", "javascript:x")):
        page = browser.submit(f"{base}/settings/basic/", name="x", **{field: value})
        assert "Not valid" in page
    app = browser.sandbox.state.facebook.apps[str(browser.given["app_id"])]
    assert app.redirect_uris == [browser.given["redirect_uri"]]
    browser.submit(f"{base}/settings/advanced/", version="v27.0", requires_proof="1")
    assert (app.version, app.requires_proof) == ("v27.0", True)


def test_console_accounts(start: Start, browse: Browse) -> None:
    """
    An account is created, a connector installed, its setup link shown, and the connector removed.
    """
    browser = browse(start("fresh"))
    console = browser.given["cyclr_console_url"]
    browser.open(f"{console}/accounts/")
    browser.log_in()
    assert "Name is required" in browser.submit("/accounts/", name=" ")
    browser.submit("/accounts/", name="Second Customer")
    here = browser.path
    number = next(
        entry.id
        for entry in browser.sandbox.state.cyclr.library.values()
        if entry.name.endswith("Marketing API")
    )
    browser.submit(here, connector=str(number))
    assert "is in use" in browser.submit(here, connector=str(number))
    installed = next(iter(browser.sandbox.state.cyclr.account_connectors))
    link = browser.submit(f"{here}{installed}/setup-token/")
    assert "https://connect.partner.test/connectorauth/updateaccountconnectoroauth?id=" in link
    page = browser.submit(f"{here}{installed}/deauthenticate/")
    assert wording("sandbox.is-deauthenticated") in page
    assert browser.client.post(f"{console}{here}{installed}/explode/").status_code == 404
    assert "is removed" in browser.submit(f"{here}{installed}/remove/")
    assert "not those" not in browser.open(f"{console}/settings/oauth-client-credentials/")
    assert browser.given["cyclr_client_id"] in browser.page.text


def test_the_consoles_catalogue_is_refused_by_its_route(
    approved: Sandbox, http: httpx.Client
) -> None:
    """The console serves pages only; the error names the route."""
    response = http.get(f"{approved.description['cyclr_console_url']}/api/connectors")
    assert response.status_code == 404
    assert wording("sandbox.no-page", path="/api/connectors") in response.text


def test_logging_out_and_open_redirects(approved: Sandbox, browse: Browse) -> None:
    """The login redirects within this site only; after logging out it is required again."""
    browser = browse(approved)
    at = browser.given["dashboard_url"]
    browser.open("/login?next=//evil.example/")
    browser.log_in()
    assert str(browser.page.url).startswith(at)
    browser.client.post(f"{at}/logout")
    browser.open("/apps/")
    assert browser.path == "/login.php"


EVERY_PAGE = [
    *(
        (site, template)
        for site, router in (
            ("dashboard_url", dashboard_router),
            ("cyclr_console_url", console_router),
        )
        for method, template in router.list_routes()
        if method == "GET"
    ),
    ("dashboard_url", "/login"),
    ("dashboard_url", "/nowhere"),
]


@pytest.mark.parametrize(("site", "template"), EVERY_PAGE)
def test_every_page_says_sandbox_and_is_accessible(
    approved: Sandbox, browse: Browse, site: str, template: str
) -> None:
    """
    Every page says SANDBOX, has one h1 and a label for each control, and loads nothing remote.
    """
    browser = browse(approved)
    browser.enter()
    state = approved.state
    number = str(next(entry.id for entry in state.cyclr.library.values() if entry.scopes))
    blanks = {
        "{app_id}": browser.given["app_id"],
        "{permission}": "ads_read",
        "{number}": number,
        "{account_id}": browser.given["account_api_id"],
    }
    path = template
    for blank, value in blanks.items():
        path = path.replace(blank, value)
    page = browser.open(f"{browser.given[site]}{path}")
    assert page.count("<h1>") + page.count("<h1 ") == 1
    assert "<title>SANDBOX · " in page
    assert page.count("SANDBOX") >= 4
    assert 'lang="en"' in page
    assert not re.search(r'(?:src|href)="https?://(?!127\.0\.0\.1|connect\.partner\.test)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    labelled = set(re.findall(r'<label for="([^"]+)"', page))
    controls = re.findall(r"<(?:input|select|textarea)\b[^>]*>", page)
    for control in controls:
        if 'type="hidden"' not in control:
            found = re.search(r'\bid="([^"]+)"', control)
            assert found is not None, control
            assert found[1] in labelled, control
    described = set(re.findall(r'aria-describedby="([^"]+)"', page))
    assert described <= set(ids)
