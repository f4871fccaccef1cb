"""Each scenario has the state that its name promises, seen from outside."""

import httpx
import pytest

from facebook_cyclr_sandbox.scenarios import SCENARIOS
from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.vendors import FACEBOOK, VENDORS

from .conftest import (
    Answer,
    Graph,
    Open,
    OpenCyclr,
    Start,
    app_of,
    dialog,
    error_of,
    live,
    login_of,
)

KEYS = [
    "scenario",
    "graph_url",
    "dialog_url",
    "dashboard_url",
    "cyclr_api_url",
    "cyclr_console_url",
    "service_domain",
    "service_domain_address",
    "ca_file",
    "redirect_uri",
    "app_id",
    "app_secret",
    "app_display_name",
    "cyclr_client_id",
    "cyclr_client_secret",
    "account_api_id",
    "cyclr_username",
    "user_access_token",
    "page_id",
    "page_access_token",
    "leadgen_form_id",
    "ad_account_id",
    "scopes",
    "verify_token",
    "webhook_url",
    "login_email",
    "login_password",
    "customer_email",
    "customer_password",
    "customer_access_token",
    "website",
    "data_deletion_url",
    "website_address",
    "connect_to",
]
EMPTY_IN_FRESH = {
    "app_id",
    "app_secret",
    "app_display_name",
    "user_access_token",
    "page_id",
    "page_access_token",
    "leadgen_form_id",
    "ad_account_id",
    "scopes",
    "verify_token",
}
# Where no customer could have logged in to the app.
WITHOUT_CUSTOMER = {
    "fresh",
    "renewal-due",
    "review-pending",
    "review-declined",
    "use-case-missing",
    "test-calls-missing",
    "not-published",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_description_has_every_key(start: Start, scenario: str) -> None:
    """The description has every key; what does not exist, or could not be had, is empty."""
    given = start(scenario).description
    others = tuple(f"{name}_" for name in VENDORS if name != FACEBOOK.name)
    given = {key: value for key, value in given.items() if not key.startswith(others)}
    assert list(given) == KEYS
    assert given["scenario"] == scenario
    empty = {key for key, value in given.items() if not value}
    expected = EMPTY_IN_FRESH if scenario == "fresh" else set()
    if scenario in WITHOUT_CUSTOMER:
        expected = expected | {"customer_access_token"}
    if scenario == "test-calls-missing":
        expected = expected | {"page_access_token"}
    assert empty == expected


def test_an_unknown_scenario_is_refused(start: Start) -> None:
    """An unknown scenario raises an error that lists the known ones."""
    with pytest.raises(ValueError, match="the known ones are: approved, fresh"):
        start("nonsense")


def test_a_seed_repeats_the_secrets() -> None:
    """Two sandboxes with the same seed have the same secrets; without it they differ."""
    first, second, third = (Sandbox("approved", seed=seed).world.answers for seed in (7, 7, None))
    assert first == second
    assert first["app_secret"] != third["app_secret"]


def test_secrets_have_their_real_shapes(graph: Graph) -> None:
    """App ID, App Secret and tokens have Facebook's formats."""
    given = graph.given
    app_id, secret = str(given["app_id"]), str(given["app_secret"])
    assert app_id.isdecimal()
    assert len(app_id) in (15, 16)
    assert len(secret) == 32
    assert set(secret) <= set("0123456789abcdef")
    assert str(given["user_access_token"]).startswith("EAA")


def test_wrong_secret(start: Start, graph_of: Open) -> None:
    """The given secret is not the app's; the console has the right one."""
    sandbox = start("wrong-secret")
    answer = graph_of(sandbox).exchange(grant_type="client_credentials")
    assert error_of(answer)["message"] == "Error validating client secret."
    app = app_of(sandbox)
    held = {one.client_secret for one in sandbox.world.cyclr.library.values()}
    assert app.secret in held


def test_unknown_app(start: Start, graph_of: Open) -> None:
    """The given App ID does not exist."""
    answer = graph_of(start("unknown-app")).exchange(grant_type="client_credentials")
    assert error_of(answer)["code"] == 101


def test_redirect_missing(start: Start, graph_of: Open, http: httpx.Client) -> None:
    """The token endpoint and the dialog both refuse the redirect URI."""
    sandbox = start("redirect-missing")
    uri = str(sandbox.description["redirect_uri"])
    error = error_of(graph_of(sandbox).exchange(redirect_uri=uri, code="DUMMY"))
    assert error["code"] == 191
    assert "URL Blocked" in http.get(dialog(sandbox)).text


def test_app_domains_only(start: Start, graph_of: Open, http: httpx.Client) -> None:
    """The token endpoint takes any host of the App Domain; the dialog refuses the redirect URI."""
    graph = graph_of(start("app-domains-only"))
    for accepted in (str(graph.given["redirect_uri"]), "https://made-up.partner.test/x"):
        error = error_of(graph.exchange(redirect_uri=accepted, code="DUMMY"))
        assert error["code"] == 100
    beside = error_of(graph.exchange(redirect_uri="https://other-partner.test/x", code="DUMMY"))
    assert beside["code"] == 191
    assert "URL Blocked" in http.get(dialog(graph.sandbox)).text


def test_permission_missing(start: Start, graph_of: Open) -> None:
    """leads_retrieval is neither listed nor granted, and reading leads fails."""
    graph = graph_of(start("permission-missing"))
    assert "leads_retrieval" not in live(graph)
    mine = graph.get("me/permissions").json()["data"]
    assert "leads_retrieval" not in {row["permission"] for row in mine}
    assert graph.get(f"{graph.given['leadgen_form_id']}/leads").status_code == 403


def test_token_expired(start: Start, graph_of: Open) -> None:
    """debug_token says that the token is invalid with 190/463; calls get the same error."""
    graph = graph_of(start("token-expired"))
    token = str(graph.given["user_access_token"])
    data = graph.get("debug_token", "app", input_token=token).json()["data"]
    assert (data["is_valid"], data["error"]["code"], data["error"]["subcode"]) == (False, 190, 463)
    error = error_of(graph.get("me"))
    assert (error["code"], error["error_subcode"]) == (190, 463)
    assert error["message"].startswith("Error validating access token: Session has expired on ")


@pytest.mark.parametrize(
    "scenario",
    [
        "fresh",
        "review-pending",
        "review-declined",
        "partly-declined",
        "use-case-missing",
        "test-calls-missing",
    ],
)
def test_not_connected_yet(start: Start, cyclr_of: OpenCyclr, scenario: str) -> None:
    """Both connectors' Setup is empty and no connector is installed."""
    sandbox = start(scenario)
    cyclr, library = cyclr_of(sandbox), sandbox.world.cyclr.library
    rows = cyclr.get("account/connectors").json()
    assert not {"Facebook Marketing API", "Facebook Messenger API"} & {row["Name"] for row in rows}
    assert not library[cyclr.connector_id()].is_set_up
    messenger = library[cyclr.connector_id("Facebook Messenger API")]
    assert (messenger.client_id, messenger.scopes, messenger.verify_token) == ("", "", "")


def test_approved_is_all_done(start: Start) -> None:
    """Every permission is live and was used, both verifications are done, and it is published."""
    sandbox = start("approved")
    app = app_of(sandbox)
    business = sandbox.world.facebook.business
    assert set(app.test_calls) == {name for name, one in app.permissions.items() if one == "live"}
    assert (business.verification, business.access_verification) == ("verified", "verified")
    assert (app.is_published, app.renewal, app.tier) == (True, None, "standard_access")


def test_use_case_missing(start: Start, graph_of: Open, http: httpx.Client) -> None:
    """leads_retrieval is an invalid scope, and nothing was reviewed."""
    graph = graph_of(start("use-case-missing"))
    assert live(graph) == set()
    url = dialog(graph.sandbox, scope="ads_read,leads_retrieval,pages_manage_ads")
    assert http.get(url).status_code == 200
    page = http.post(url, data=login_of(graph.sandbox)).text
    assert "Invalid Scopes: leads_retrieval, pages_manage_ads" in page
    mine = {row["permission"] for row in graph.get("me/permissions").json()["data"]}
    assert mine == {
        "public_profile",
        "ads_management",
        "ads_read",
        "business_management",
        "pages_read_engagement",
        "pages_show_list",
    }


def test_test_calls_missing(start: Start, graph_of: Open) -> None:
    """Nothing is live, and the token reads ad accounts and little else."""
    graph = graph_of(start("test-calls-missing"))
    assert live(graph) == set()
    assert graph.get("me/adaccounts").status_code == 200
    assert graph.get("me/businesses").status_code == 403
    assert graph.get("me/accounts").json() == {"data": []}


def test_partly_declined(start: Start, graph_of: Open) -> None:
    """Two permissions have no row; the customer grants the others."""
    graph = graph_of(start("partly-declined"))
    assert {"leads_retrieval", "pages_manage_ads"}.isdisjoint(live(graph))
    mine = {row["permission"] for row in graph.get("me/permissions", "customer").json()["data"]}
    assert mine == live(graph)


def test_not_published(
    start: Start, graph_of: Open, http: httpx.Client, answer_dialog: Answer
) -> None:
    """Everything is live; the operator gets through the dialog, the customer does not."""
    sandbox = start("not-published")
    assert "leads_retrieval" in live(graph_of(sandbox))
    assert answer_dialog(sandbox, dialog(sandbox)).status_code == 302
    page = http.post(dialog(sandbox), data=login_of(sandbox, "customer"))
    assert "Feature unavailable" in page.text


def test_tech_provider_pending(start: Start, graph_of: Open) -> None:
    """The customer's token reads no business data, the operator's reads all of it."""
    graph = graph_of(start("tech-provider-pending"))
    account = f"act_{graph.given['ad_account_id']}"
    assert graph.get("me", "customer").status_code == 200
    for path in ("me/accounts", "me/adaccounts", "me/businesses", account):
        error = error_of(graph.get(path, "customer"))
        assert (error["code"], error["error_subcode"]) == (100, 33)
        assert error["message"].startswith("Unsupported get request. Object with ID '")
        assert graph.get(path).status_code == 200


def test_a_pending_review_stays_pending_for_a_day(start: Start, graph_of: Open) -> None:
    """Nothing of `review-pending` is decided within 24 hours, whatever the dice say."""
    for seed in range(12):
        sandbox = start("review-pending", seed=seed)
        sandbox.world.offset += 24 * 3600
        assert live(graph_of(sandbox)) == set()
