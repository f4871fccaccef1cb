"""The official Python SDK: objects, edges with cursors, errors, proofs and limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.application import Application
from facebook_business.adobjects.lead import Lead
from facebook_business.adobjects.leadgenform import LeadgenForm
from facebook_business.adobjects.page import Page
from facebook_business.adobjects.user import User
from facebook_business.api import Cursor, FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.hourly_rate_limit import HourlyRateLimit
from tests.sandbox.graph_texts import (
    PAGE_TOKEN_REQUIRED,
    PROOF_REQUIRED,
    UNAVAILABLE,
    WRONG_PROOF,
    needs_permission,
    no_field,
    unknown_path,
    upgrade_warning,
)
from tests.sandbox.sdk.conftest import Given, control

Open = Callable[..., FacebookAdsApi]


@pytest.fixture
def open_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """
    Return a function that calls `FacebookAdsApi.init` for a sandbox, with a token and options.
    """
    opened: list[FacebookAdsApi] = []
    monkeypatch.setattr(FacebookAdsApi, "_default_api", None)

    def init(given: Given, token: str = "user", **options: Any) -> FacebookAdsApi:
        monkeypatch.setattr(FacebookSession, "GRAPH", given["graph_url"])
        known = {
            "user": given["user_access_token"],
            "page": given["page_access_token"],
            "app": f"{given['app_id']}|{given['app_secret']}",
        }
        given_options = {"app_id": given["app_id"], "app_secret": given["app_secret"], **options}
        api = FacebookAdsApi.init(
            access_token=known.get(token, token), crash_log=False, **given_options
        )
        opened.append(api)
        return api

    yield init
    for api in opened:
        api._session.requests.close()


def catch_error(call: Callable[[], object]) -> FacebookRequestError:
    """Return the SDK's error for a refused call."""
    with pytest.raises(FacebookRequestError) as caught:
        call()
    return caught.value


def error_parts(error: FacebookRequestError) -> tuple[Any, ...]:
    """Return the SDK's view of an error: status, type, code, subcode and message."""
    return (
        error.http_status(),
        error.api_error_type(),
        error.api_error_code(),
        error.api_error_subcode(),
        error.api_error_message(),
    )


# --- objects and edges -----------------------------------------------------------------------
def test_objects_are_read(given: Given, open_api: Open) -> None:
    """
    A user, a page with its lead access, an ad account and an app are read as the SDK's objects.
    """
    open_api(given)
    me = User("me").api_get(fields=["id", "name", "first_name"])
    assert isinstance(me, User)
    assert (me["name"], me["first_name"]) == ("Sandbox Operator", "Sandbox")

    page = Page(given["page_id"]).api_get(fields=["name", "has_lead_access"])
    assert page["has_lead_access"]["can_access_lead"] is True
    assert page["has_lead_access"]["user_id"] == me["id"]

    account = AdAccount(f"act_{given['ad_account_id']}").api_get(fields=["name", "account_status"])
    assert (account["name"], account["account_status"]) == ("Sandbox Ads", 1)

    open_api(given, "app")
    app = Application(given["app_id"]).api_get(fields=["name", "privacy_policy_url", "category"])
    assert app["name"] == given["app_display_name"]
    assert app["privacy_policy_url"] == "https://www.partner.test/privacy"


def test_a_cursor_walks_every_page(start: Callable[..., Sandbox], open_api: Open) -> None:
    """All leads of three pages come once each, in order, and the cursor ends."""
    sandbox = start()
    given = sandbox.description
    form = next(iter(sandbox.state.facebook.pages.values())).forms[0]
    first = form.leads[0]
    form.leads[:] = [
        replace(first, id=str(7_000_000 + number), created_on=first.created_on - number)
        for number in range(57)
    ]
    api = open_api(given, "page")
    cursor = LeadgenForm(given["leadgen_form_id"]).get_leads(fields=["id", "field_data"])
    assert isinstance(cursor, Cursor)
    assert len(cursor) == 25
    leads = list(cursor)
    assert [lead["id"] for lead in leads] == [str(7_000_000 + number) for number in range(57)]
    assert all(isinstance(lead, Lead) for lead in leads)
    assert leads[0]["field_data"][0]["name"] == "email"
    assert api.get_num_requests_attempted() == api.get_num_requests_succeeded() == 3
    assert cursor.load_next_page() is False


def test_edges_with_limits(given: Given, open_api: Open) -> None:
    """`limit` changes the number of pages but not the rows; each page has usage headers."""
    open_api(given)
    account = AdAccount(f"act_{given['ad_account_id']}")
    whole = [campaign["name"] for campaign in account.get_campaigns(fields=["name"])]
    cursor = account.get_campaigns(fields=["name"], params={"limit": 2})
    assert len(cursor) == 2
    assert (
        [campaign["name"] for campaign in cursor] == whole == [f"Campaign {n}" for n in (1, 2, 3)]
    )
    usage = json.loads(cursor.headers()["x-business-use-case-usage"])[given["ad_account_id"]]
    assert usage[0]["type"] == "ads_management"
    assert usage[0]["call_count"] <= 1
    assert cursor.headers()["facebook-api-version"] == FacebookAdsApi.API_VERSION


def test_a_page_and_its_forms(given: Given, open_api: Open) -> None:
    """The user's pages give a page token, which reads forms and creates and deletes a test lead."""
    open_api(given)
    page = User("me").get_accounts()[0]
    assert page["id"] == given["page_id"]
    assert "ADVERTISE" in page["tasks"]

    open_api(given, page["access_token"])
    form = Page(page["id"]).get_lead_gen_forms(fields=["name", "status", "leads_count"])[0]
    assert (form["name"], form["status"], form["leads_count"]) == ("Ask for an offer", "ACTIVE", 2)
    made = LeadgenForm(form["id"]).create_test_lead()
    test_lead = LeadgenForm(form["id"]).get_test_leads()[0]
    assert test_lead["id"] == made["id"]
    again = catch_error(LeadgenForm(form["id"]).create_test_lead)
    assert again.api_error_code() == 100
    Lead(made["id"]).api_delete()
    assert len(LeadgenForm(form["id"]).get_test_leads()) == 0


def test_webhooks_of_a_page(given: Given, open_api: Open) -> None:
    """A page is subscribed, lists the subscription, and is unsubscribed."""
    open_api(given, "page")
    page = Page(given["page_id"])
    page.create_subscribed_app(params={"subscribed_fields": ["leadgen"]})
    subscribed = page.get_subscribed_apps()[0]
    assert (subscribed["id"], subscribed["name"]) == (given["app_id"], given["app_display_name"])
    assert catch_error(page.delete_subscribed_apps).api_error_code() == 15
    open_api(given, "app")
    Page(given["page_id"]).delete_subscribed_apps()
    open_api(given, "page")
    assert len(Page(given["page_id"]).get_subscribed_apps()) == 0


def test_paths_that_have_no_class(given: Given, open_api: Open) -> None:
    """`call` reads the app's review state, with a JSON list as parameter, and inspects a token."""
    api = open_api(given, "app")
    path = (given["app_id"], "permissions")
    live = api.call("GET", path, {"status": ["live"]}).json()
    assert {"permission": "leads_retrieval", "status": "live"} in live["data"]
    assert api.call("GET", path, {"status": ["unapproved"]}).json()["data"] == []
    facts = api.call("GET", ("debug_token",), {"input_token": given["user_access_token"]}).json()
    assert facts["data"]["is_valid"] is True
    assert facts["data"]["app_id"] == given["app_id"]


def test_an_etag_has_no_effect(given: Given, open_api: Open) -> None:
    """A request with the response's ETag gets the whole response again: Graph withdrew ETags."""
    api = open_api(given, "app")
    first = api.call("GET", (given["app_id"],))
    second = api.call("GET", (given["app_id"],), headers={"If-None-Match": first.etag()})
    assert (second.status(), second.body()) == (200, first.body())


# --- errors ----------------------------------------------------------------------------------
GONE = (
    "Unsupported get request. Object with ID '{}' does not exist, cannot be loaded due to missing "
    "permissions, or does not support this operation."
)


def test_errors_carry_code_and_subcode(given: Given, open_api: Open) -> None:
    """Each error has Graph's status, type, code, subcode and message."""
    api = open_api(given)
    unknown_field = catch_error(lambda: api.call("GET", (given["app_id"],), {"fields": "no_such"}))
    assert error_parts(unknown_field) == (
        400,
        "OAuthException",
        100,
        None,
        no_field("no_such", "Application"),
    )
    missing = catch_error(AdAccount("act_1").api_get)
    assert error_parts(missing)[:4] == (400, "GraphMethodException", 100, 33)
    assert missing.api_error_message().startswith(GONE.format("act_1"))
    assert missing.api_transient_error() is False
    forms = catch_error(Page(given["page_id"]).get_lead_gen_forms)
    assert error_parts(forms) == (
        400,
        "OAuthException",
        190,
        None,
        PAGE_TOKEN_REQUIRED,
    )
    open_api(given, "page")
    accounts = catch_error(User("me").get_accounts)
    assert error_parts(accounts) == (
        400,
        "OAuthException",
        100,
        None,
        no_field("accounts", "Page"),
    )


def test_a_missing_permission(start: Callable[..., Sandbox], open_api: Open) -> None:
    """Leads without leads_retrieval are refused with 200 and HTTP 403."""
    given = start("permission-missing").description
    open_api(given, "page")
    error = catch_error(LeadgenForm(given["leadgen_form_id"]).get_leads)
    assert error_parts(error) == (
        403,
        "OAuthException",
        200,
        None,
        needs_permission("leads_retrieval"),
    )


def test_an_expired_token(start: Callable[..., Sandbox], open_api: Open) -> None:
    """The error has both times, code 190 and subcode 463, and the challenge in its header."""
    given = start("token-expired").description
    open_api(given)
    error = catch_error(User("me").api_get)
    assert error_parts(error) == (
        400,
        "OAuthException",
        190,
        463,
        (
            "Error validating access token: Session has expired on Monday, 23-Nov-26 04:00:00 PST. "
            "The current time is Tuesday, 24-Nov-26 04:00:00 PST."
        ),
    )
    challenge = error.http_headers()["WWW-Authenticate"]
    assert challenge.startswith('OAuth "Facebook Platform" "invalid_token" "Error validating')


def test_expired_versions(start: Callable[..., Sandbox], open_api: Open) -> None:
    """The newest version serves an ended Marketing version; v25.0 is upgraded, v99.0 unknown."""
    given = start().description
    account = f"act_{given['ad_account_id']}"
    dead = open_api(given, api_version="v23.0")
    headers = dead.call("GET", (account, "campaigns")).headers()
    assert headers["facebook-api-version"] == "v27.0"
    assert dead.call("GET", ("me",)).headers()["facebook-api-version"] == "v23.0"

    old = open_api(given, api_version="v25.0")
    headers = old.call("GET", (account, "campaigns")).headers()
    assert headers["X-Ad-Api-Version-Warning"] == (upgrade_warning("v26.0", "v25.0"))
    never = open_api(given, api_version="v99.0")
    error = catch_error(lambda: never.call("GET", ("me",)))
    assert (error.api_error_code(), error.api_error_message()) == (
        2500,
        unknown_path("/me"),
    )


def test_transient_errors_are_marked(given: Given, open_api: Open) -> None:
    """`is_transient` sets `api_transient_error`; the next call is answered."""
    open_api(given)
    control(given, "faults", {"faults": [{"kind": "server-error", "remaining": 1}]})
    error = catch_error(User("me").api_get)
    assert error.api_transient_error() is True
    assert error_parts(error) == (
        400,
        "OAuthException",
        2,
        None,
        UNAVAILABLE,
    )
    assert User("me").api_get()["name"] == "Sandbox Operator"


@pytest.mark.parametrize("kind", ["html", "truncated"])
def test_broken_answers_do_not_pass_as_good_ones(given: Given, open_api: Open, kind: str) -> None:
    """An HTML page or truncated JSON gives no object."""
    api = open_api(given)
    control(given, "faults", {"faults": [{"kind": kind, "remaining": 1}]})
    try:
        response = api.call("GET", ("me",))
    except FacebookRequestError as error:
        body = error.body()
    else:
        body = response.json()
    assert isinstance(body, str)


# --- limits ----------------------------------------------------------------------------------
def test_a_rate_limit_counts_and_recovers(start: Callable[..., Sandbox], open_api: Open) -> None:
    """An app at its limit is refused with 4 and its usage; six minutes later it is answered."""
    given = start("rate-limited").description
    open_api(given)
    error = catch_error(User("me").api_get)
    assert error_parts(error) == (
        403,
        "OAuthException",
        4,
        None,
        "(#4) Application request limit reached",
    )
    assert error.api_transient_error() is True
    assert json.loads(error.http_headers()["x-app-usage"])["call_count"] == 100
    control(given, "time", {"advance": 360})
    assert User("me").api_get()["name"] == "Sandbox Operator"


def test_an_ad_account_has_its_own_limit(start: Callable[..., Sandbox], open_api: Open) -> None:
    """An ad account at its own limit is refused with 17; other calls are answered."""
    sandbox = start()
    given = sandbox.description
    sandbox.state.facebook.ad_accounts[given["ad_account_id"]].rate_limit = HourlyRateLimit(2)
    open_api(given)
    account = AdAccount(f"act_{given['ad_account_id']}")
    account.api_get()
    account.api_get()
    error = catch_error(account.api_get)
    assert (error.http_status(), error.api_error_code()) == (400, 17)
    assert error.api_error_subcode() == 2446079
    assert error.body()["error"]["error_user_title"] == "Ad Account Has Too Many API Calls"
    usage = json.loads(error.http_headers()["x-business-use-case-usage"])
    assert usage[given["ad_account_id"]][0]["call_count"] == 100
    assert usage[given["ad_account_id"]][0]["estimated_time_to_regain_access"] == 60
    assert User("me").api_get()["name"] == "Sandbox Operator"
    control(given, "time", {"advance": 3_600})
    assert account.api_get()["account_id"] == given["ad_account_id"]


# --- appsecret_proof -------------------------------------------------------------------------
def test_a_right_proof_is_accepted(start: Callable[..., Sandbox], open_api: Open) -> None:
    """The SDK's proof is accepted, also if the app requires it."""
    sandbox = start()
    given = sandbox.description
    sandbox.state.facebook.apps[given["app_id"]].requires_proof = True
    open_api(given)
    assert User("me").api_get()["id"]
    assert [ad_account["id"] for ad_account in User("me").get_ad_accounts()] == [
        f"act_{given['ad_account_id']}"
    ]


def test_a_wrong_proof_is_refused(given: Given, open_api: Open) -> None:
    """A proof with another secret is refused."""
    open_api(given, app_secret="0" * 32)
    assert error_parts(catch_error(User("me").api_get)) == (
        400,
        "GraphMethodException",
        100,
        None,
        WRONG_PROOF,
    )


def test_a_missing_proof_is_refused_where_it_is_required(
    start: Callable[..., Sandbox], open_api: Open
) -> None:
    """A call without a proof is refused only if the app requires one."""
    sandbox = start()
    given = sandbox.description
    open_api(given, app_secret=None)
    assert User("me").api_get()["id"]
    sandbox.state.facebook.apps[given["app_id"]].requires_proof = True
    assert error_parts(catch_error(User("me").api_get)) == (
        400,
        "GraphMethodException",
        100,
        None,
        PROOF_REQUIRED,
    )


# --- lists -----------------------------------------------------------------------------------
@pytest.mark.parametrize("edge", ["get_ads", "get_ad_sets", "get_insights", "get_campaigns"])
def test_edges_of_data_connectors_are_served(given: Given, open_api: Open, edge: str) -> None:
    """The edges of an ad account that data connectors read are served."""
    open_api(given)
    account = AdAccount(f"act_{given['ad_account_id']}")
    rows = list(getattr(account, edge)(params={"limit": 5}))

    assert len(rows) <= 5
