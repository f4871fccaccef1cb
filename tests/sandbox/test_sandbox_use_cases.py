"""Use cases, verification and publishing, on the pages of the dashboard."""

import re

import httpx
import pytest

from facebook_cyclr_sandbox.facebook_web.dashboard import USE_CASE_CHOICES
from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.facebook_state import App
from tests.support.wording import wording

from .conftest import Browse, Browser, Form, Start, dialog, login_of

LEADS = "Capture & manage ad leads with Marketing API"
ADS = "Create & manage ads with Marketing API"
MESSENGER = "Engage with customers on Messenger from Meta"
REQUIRED = {
    "public_profile",
    "ads_management",
    "ads_read",
    "business_management",
    "leads_retrieval",
    "pages_manage_ads",
    "pages_read_engagement",
    "pages_show_list",
}


def create(browser: Browser, use_case: str) -> str:
    """Create an app by a use case; return its address."""
    browser.enter("/apps/creation/")
    browser.submit(
        "/apps/creation/",
        use_case=use_case,
        name="New",
        contact_email="me@partner.test",
        password=browser.given["login_password"],
    )
    found = re.search(r"/apps/\d+", browser.path)
    assert found is not None, browser.page.text
    return found[0]


@pytest.fixture
def browser(start: Start, browse: Browse) -> Browser:
    """Return a browser and a sandbox in which everything is approved."""
    return browse(start("approved"))


def app_at(browser: Browser, base: str) -> App:
    return browser.sandbox.state.facebook.apps[base.rpartition("/")[2]]


def list_permissions(browser: Browser, base: str) -> set[str]:
    """Return the permissions in the list of Permissions and Features."""
    page = browser.open(f"{base}/app-review/permissions/").partition('id="permissions"')[2]
    rows = re.findall(r'<th scope="row" class="mono">(.*?)</th>', page)
    return {row.replace("<wbr>", "") for row in rows}


def test_creation_offers_these_use_cases(approved: Sandbox, browse: Browse) -> None:
    """Create App begins with exactly five choices."""
    assert USE_CASE_CHOICES == (
        LEADS,
        ADS,
        MESSENGER,
        "Authenticate and request data from users with Facebook Login",
        "Other",
    )
    page = browse(approved).enter("/apps/creation/")
    found = re.findall(r'name="use_case" value="([^"]+)"', page)
    assert [label.replace("&amp;", "&") for label in found] == list(USE_CASE_CHOICES)


def test_the_lead_use_case_brings_its_permissions(browser: Browser) -> None:
    """A new app lists the required permissions; an optional one can be added, a foreign one not."""
    base = create(browser, LEADS)
    assert LEADS.replace("&", "&amp;") in browser.page.text
    assert "Unpublished" in browser.page.text
    assert list_permissions(browser, base) == REQUIRED
    app = app_at(browser, base)
    assert (app.type, app.is_published, app.is_classic) == ("Business", False, False)
    browser.submit(f"{base}/use_cases/permissions/pages_messaging/")
    assert browser.page.status_code == 404
    browser.open(f"{base}/use_cases/")
    browser.submit(f"{base}/use_cases/permissions/pages_manage_metadata/")
    assert (
        wording("sandbox.permission-added", permission="pages_manage_metadata") in browser.page.text
    )
    assert list_permissions(browser, base) == {*REQUIRED, "pages_manage_metadata"}


def test_other_leads_to_everything(browser: Browser) -> None:
    """A classic app lists permissions of all families, and has no use case to customize."""
    (app,) = browser.sandbox.state.facebook.apps.values()
    app.use_cases = []
    browser.enter()
    base = f"/apps/{app.id}"
    assert {
        "leads_retrieval",
        "instagram_basic",
        "whatsapp_business_management",
    } < list_permissions(browser, base)
    browser.open(f"{base}/use_cases/")
    assert wording("sandbox.no-use-cases") in browser.page.text
    browser.submit(f"{base}/use_cases/add/", use_case=LEADS)
    assert (browser.page.status_code, app.use_cases) == (404, [])


def test_a_use_case_is_added_later(start: Start, browse: Browse, http: httpx.Client) -> None:
    """Adding the lead use case makes its permissions valid scopes at once."""
    browser = browse(start("use-case-missing"))
    browser.enter()
    base = f"/apps/{browser.given['app_id']}"
    assert "leads_retrieval" not in list_permissions(browser, base)
    url = dialog(browser.sandbox, scope="leads_retrieval")
    login = login_of(browser.sandbox)
    assert "Invalid Scopes: leads_retrieval" in http.post(url, data=login).text
    browser.open(f"{base}/use_cases/")
    page = browser.submit(f"{base}/use_cases/add/", use_case=LEADS)
    assert wording("sandbox.use-case-added") in page
    assert "leads_retrieval" in list_permissions(browser, base)
    assert Form(http.post(url, data=login).text).choices == [
        "public_profile",
        "leads_retrieval",
    ]


def test_redirect_uris_stand_under_login_for_business(browser: Browser) -> None:
    """An app with the lead use case has one list, at the older address too."""
    base = create(browser, LEADS)
    uri = "https://connect.partner.test/connector/callback"
    page = browser.open(f"{base}/fb-login/settings/")
    assert "Facebook Login for Business &gt; Settings" in page
    browser.submit(f"{base}/business-login/settings/", redirect_uris=uri, web_oauth="1")
    assert app_at(browser, base).redirect_uris == [uri]
    browser.submit(f"{base}/fb-login/settings/", redirect_uris=uri + "2", web_oauth="1")
    assert app_at(browser, base).redirect_uris == [uri + "2"]


def test_plain_facebook_login_stays_where_it_was(browser: Browser) -> None:
    """An app for Facebook Login alone has the settings of that product."""
    base = create(browser, "Authenticate and request data from users with Facebook Login")
    page = browser.open(f"{base}/fb-login/settings/")
    assert "Facebook Login &gt; Settings" in page
    assert "Facebook Login for Business" not in page


def test_a_use_case_brings_its_products(browser: Browser) -> None:
    """With the Messenger use case the app has Messenger's settings."""
    base = create(browser, LEADS)
    settings = f"{base}/messenger/settings/"
    assert wording("sandbox.set-up-first") in browser.open(settings)
    browser.submit(f"{base}/use_cases/add/", use_case=MESSENGER)
    assert "Access Tokens: Add or Remove Pages" in browser.open(settings)


def test_going_live_needs_the_settings(start: Start, browse: Browse) -> None:
    """The page names the missing settings; with them, the app is published."""
    sandbox = start("not-published")
    (app,) = sandbox.state.facebook.apps.values()
    browser = browse(sandbox)
    base = f"/apps/{app.id}"
    browser.enter()
    policy = app.profile["privacy_policy_url"]
    app.profile["privacy_policy_url"] = ""
    page = browser.submit(f"{base}/go_live/")
    assert browser.page.status_code == 400
    assert wording("sandbox.add-a-setting", label="Privacy Policy URL") in page
    assert not app.is_published
    app.profile["privacy_policy_url"] = policy
    assert "is published" in browser.submit(f"{base}/go_live/")
    assert app.is_published


def test_verifications_take_their_steps(start: Start, browse: Browse) -> None:
    """Access Verification waits for Business Verification; each is pending before verified."""
    sandbox = start("fresh")
    browser = browse(sandbox)
    browser.enter()
    browser.submit("/async/registration/")
    base = create(browser, LEADS)
    business = sandbox.state.facebook.business
    assert wording("sandbox.complete-verification-under") in browser.page.text
    page = browser.submit(f"{base}/verification/access/")
    assert wording("sandbox.complete-verification-first") in page
    assert business.access_verification == "not started"
    seen = []
    for path in ("business", "later", "access", "later"):
        before = sandbox.state.offset
        browser.submit(f"{base}/verification/{path}/")
        seen.append((str(business.verification), str(business.access_verification)))
        assert (sandbox.state.offset > before) is (path == "later")
    assert seen == [
        ("pending", "not started"),
        ("verified", "not started"),
        ("verified", "pending"),
        ("verified", "verified"),
    ]
    browser.submit(f"{base}/verification/tax/")
    assert browser.page.status_code == 404


@pytest.mark.parametrize("use_case", [ADS, MESSENGER])
def test_each_use_case_has_its_own_permissions(browser: Browser, use_case: str) -> None:
    """leads_retrieval comes with the lead use case only."""
    found = list_permissions(browser, create(browser, use_case))
    assert "leads_retrieval" not in found
    assert ("pages_messaging" in found) is (use_case == MESSENGER)


def test_an_app_with_nothing_approved_is_not_available_to_customers(
    start: Start, http: httpx.Client
) -> None:
    """Facebook Login for Business refuses a person without a role if no permission is left."""
    sandbox = start("partly-declined")
    customer = login_of(sandbox, "customer")
    for scope in ("leads_retrieval", "email", ""):
        url = dialog(sandbox, scope=scope)
        http.cookies.clear()
        page = http.post(url, data=customer)
        assert (
            "It looks like this app isn&#39;t available. "
            "This app needs at least one supported permission."
        ) in page.text
        assert wording("sandbox.asks-for-access") in http.post(url, data=login_of(sandbox)).text
    http.cookies.clear()
    page = http.post(dialog(sandbox, scope="ads_read"), data=customer)
    assert Form(page.text).choices == ["public_profile", "ads_read"]
