"""Each scenario has the state that its name promises, seen from outside."""

import re
from dataclasses import replace

import httpx
import pytest

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.translations import load_portuguese_errors
from facebook_cyclr_sandbox.scenarios import SCENARIOS
from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.fault_injection import read_fault
from tests.sandbox.graph_texts import UNAVAILABLE, WRONG_SECRET
from tests.support.wording import refused

from .conftest import (
    CompleteDialog,
    Graph,
    Open,
    OpenCyclr,
    Start,
    app_of,
    dialog,
    error_of,
    list_live_permissions,
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
    "config_id",
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
# Scenarios in which no customer can log in to the app.
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
    assert list(given) == KEYS
    assert given["scenario"] == scenario
    empty = {key for key, value in given.items() if not value}
    expected = EMPTY_IN_FRESH if scenario == "fresh" else set()
    if scenario in WITHOUT_CUSTOMER:
        expected = expected | {"customer_access_token"}
    if scenario != "system-user":
        expected = expected | {"config_id"}
    if scenario == "test-calls-missing":
        expected = expected | {"page_access_token"}
    assert empty == expected


def test_an_unknown_scenario_is_refused(start: Start) -> None:
    """An unknown scenario raises an error that lists the known ones."""
    with refused(ValueError, "known-scenarios", names="approved, fresh"):
        start("nonsense")


def test_a_seed_repeats_the_secrets() -> None:
    """Two sandboxes with the same seed have the same secrets; without it they differ."""
    first, second, third = (
        Sandbox("approved", seed=seed).state.operator_values for seed in (7, 7, None)
    )
    assert first == second
    assert first["app_secret"] != third["app_secret"]


def test_secrets_have_their_real_shapes(graph: Graph) -> None:
    """App ID, App Secret and tokens have Facebook's formats."""
    given = graph.given
    app_id = str(given["app_id"])
    secret = str(given["app_secret"])
    assert app_id.isdecimal()
    assert len(app_id) in (15, 16)
    assert len(secret) == 32
    assert set(secret) <= set("0123456789abcdef")
    assert str(given["user_access_token"]).startswith("EAA")


def test_wrong_secret(start: Start, graph_of: Open) -> None:
    """The given secret is not the app's; the console has the right one."""
    sandbox = start("wrong-secret")
    response = graph_of(sandbox).exchange(grant_type="client_credentials")
    assert error_of(response)["message"] == WRONG_SECRET
    app = app_of(sandbox)
    held = {entry.client_secret for entry in sandbox.state.cyclr.library.values()}
    assert app.secret in held


def test_unknown_app(start: Start, graph_of: Open) -> None:
    """The given App ID does not exist."""
    response = graph_of(start("unknown-app")).exchange(grant_type="client_credentials")
    assert error_of(response)["code"] == 101


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
    assert "leads_retrieval" not in list_live_permissions(graph)
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
    cyclr = cyclr_of(sandbox)
    library = sandbox.state.cyclr.library
    rows = cyclr.get("account/connectors").json()
    assert not {"Facebook Marketing API", "Facebook Messenger API"} & {row["Name"] for row in rows}
    assert not library[cyclr.connector_id()].is_set_up
    messenger = library[cyclr.connector_id("Facebook Messenger API")]
    assert (messenger.client_id, messenger.scopes, messenger.verify_token) == ("", "", "")


def test_approved_is_all_done(start: Start) -> None:
    """Every permission is live and was used, both verifications are done, and it is published."""
    sandbox = start("approved")
    app = app_of(sandbox)
    business = sandbox.state.facebook.business
    assert set(app.test_calls) == {
        name for name, status in app.permissions.items() if status == "live"
    }
    assert (business.verification, business.access_verification) == ("verified", "verified")
    assert (app.is_published, app.renewal, app.tier) == (True, None, "standard_access")


def test_use_case_missing(start: Start, graph_of: Open, http: httpx.Client) -> None:
    """leads_retrieval is an invalid scope, and nothing was reviewed."""
    graph = graph_of(start("use-case-missing"))
    assert list_live_permissions(graph) == set()
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
    assert list_live_permissions(graph) == set()
    assert graph.get("me/adaccounts").status_code == 200
    assert graph.get("me/businesses").status_code == 403
    assert graph.get("me/accounts").json() == {"data": []}


def test_partly_declined(start: Start, graph_of: Open) -> None:
    """Two permissions have no row; the customer grants the others."""
    graph = graph_of(start("partly-declined"))
    assert {"leads_retrieval", "pages_manage_ads"}.isdisjoint(list_live_permissions(graph))
    mine = {row["permission"] for row in graph.get("me/permissions", "customer").json()["data"]}
    assert mine == list_live_permissions(graph)


def test_not_published(
    start: Start, graph_of: Open, http: httpx.Client, complete_dialog: CompleteDialog
) -> None:
    """Everything is live; the operator gets through the dialog, the customer does not."""
    sandbox = start("not-published")
    assert "leads_retrieval" in list_live_permissions(graph_of(sandbox))
    assert complete_dialog(sandbox, dialog(sandbox)).status_code == 302
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
    """The review of `review-pending` is never decided within 24 hours."""
    for seed in range(12):
        sandbox = start("review-pending", seed=seed)
        sandbox.state.offset += 24 * 3600
        assert list_live_permissions(graph_of(sandbox)) == set()


def test_portfolio_page_without_token(start: Start, graph_of: Open) -> None:
    """
    The portfolio lists the page without its token, which its node has.

    The operator's token names no page; the customer's does.
    """
    graph = graph_of(start("portfolio-page-without-token"))
    page = str(graph.given["page_id"])
    token = str(graph.given["user_access_token"])
    assert graph.get("me/accounts").json() == {"data": []}
    for inspected, chosen in ((token, []), (str(graph.given["customer_access_token"]), [page])):
        data = graph.get("debug_token", "app", input_token=inspected).json()["data"]
        named = {row["scope"]: row.get("target_ids") for row in data["granular_scopes"]}
        assert named["pages_show_list"] == named["leads_retrieval"] == chosen
        assert named["ads_read"] is None
    (business,) = graph.get("me/businesses", fields="owned_pages{id,access_token}").json()["data"]
    assert business["owned_pages"]["data"] == [{"id": page}]
    edge = graph.get(f"{business['id']}/owned_pages", fields="id,name,access_token").json()
    assert [list(row) for row in edge["data"]] == [["id", "name"]]
    assert graph.get(f"{business['id']}/client_pages").json() == {"data": []}
    assert graph.get(page, fields="access_token").json()["access_token"].startswith("EAA")


def test_portfolio_refuses(start: Start, graph_of: Open) -> None:
    """One portfolio refuses both lists with code 10 and HTTP 403; the other one has the page."""
    graph = graph_of(start("portfolio-refuses"))
    refusing, partner = graph.get("me/businesses", fields="id,name").json()["data"]
    for edge in ("owned_pages", "client_pages"):
        response = graph.get(f"{refusing['id']}/{edge}", fields="id,access_token")
        error = error_of(response)
        assert (response.status_code, error["code"], error["type"]) == (403, 10, "OAuthException")
        assert error["message"] == "(#10) Application does not have permission for this action"
    assert graph.get(refusing["id"], fields="name").json()["name"] == refusing["name"]
    (page,) = graph.get(f"{partner['id']}/owned_pages", fields="access_token").json()["data"]
    assert page["id"] == graph.given["page_id"]
    assert page["access_token"].startswith("EAA")
    nested = graph.get("me/businesses", fields="owned_pages{id},client_pages{id}")
    assert (nested.status_code, error_of(nested)["code"]) == (403, 10)


def test_the_pages_of_a_portfolio_are_paged(start: Start, graph_of: Open) -> None:
    """Each page of the list has its rows and cursors, and `paging.next` until the last one."""
    sandbox = start("portfolio-pages")
    facebook = sandbox.state.facebook
    graph = graph_of(sandbox)
    (page,) = facebook.pages.values()
    for number in range(4):
        facebook.pages[f"{page.id}{number}"] = replace(page, id=f"{page.id}{number}", forms=[])
    response = graph.get(f"{facebook.business.id}/owned_pages", fields="id", limit="2").json()
    pages = [response]
    while following := pages[-1]["paging"].get("next"):
        assert following.startswith(f"{graph.base}/{facebook.business.id}/owned_pages?")
        pages.append(graph.http.get(following).json())
    assert [len(page["data"]) for page in pages] == [2, 2, 1]
    assert [set(page["paging"]["cursors"]) for page in pages] == [{"before", "after"}] * 3
    rows = [row["id"] for page in pages for row in page["data"]]
    assert rows == list(facebook.pages)
    after = pages[0]["paging"]["cursors"]["after"]
    path = f"{facebook.business.id}/owned_pages"
    assert graph.get(path, fields="id", limit="2", after=after).json()["data"] == pages[1]["data"]


def test_system_user(start: Start, graph_of: Open) -> None:
    """The user's token is a system user's: without an end, and without `public_profile`."""
    graph = graph_of(start("system-user"))
    token = str(graph.given["user_access_token"])
    page = str(graph.given["page_id"])
    data = graph.get("debug_token", "app", input_token=token).json()["data"]
    assert (data["type"], data["is_valid"]) == ("SYSTEM_USER", True)
    assert (data["expires_at"], data["data_access_expires_at"]) == (0, 0)
    assert "public_profile" not in data["scopes"]
    assert "leads_retrieval" in data["scopes"]
    me = graph.get("me").json()
    assert me == {"name": "Sandbox System User", "id": data["user_id"]}
    assert data["user_id"] not in graph.sandbox.state.facebook.people
    mine = {row["permission"] for row in graph.get("me/permissions").json()["data"]}
    assert mine == set(data["scopes"])
    assert [row["id"] for row in graph.get("me/accounts").json()["data"]] == [page]
    assert len(graph.get("me/businesses").json()["data"]) == 1
    assert graph.get(f"{page}/leadgen_forms", "page").status_code == 200


def test_a_configuration_gives_a_system_users_token(
    start: Start, graph_of: Open, complete_dialog: CompleteDialog
) -> None:
    """Signing in with `config_id` gives a system user's token, with a scope a person's."""
    sandbox = start("system-user")
    graph = graph_of(sandbox)
    kinds = []
    for asked in ({"config_id": str(graph.given["config_id"])}, {"scope": "ads_read"}):
        response = complete_dialog(sandbox, dialog(sandbox, response_type="code", **asked))
        code = httpx.URL(response.headers["location"]).params["code"]
        uri = str(graph.given["redirect_uri"])
        granted = graph.exchange(redirect_uri=uri, code=code).json()
        token = granted["access_token"]
        data = graph.get("debug_token", "app", input_token=token).json()["data"]
        kinds.append((data["type"], "expires_in" in granted, "public_profile" in data["scopes"]))
    assert kinds == [("SYSTEM_USER", False, False), ("USER", True, True)]


def test_nobody_logs_in_as_the_system_user(start: Start, http: httpx.Client) -> None:
    """The dialog knows no email and no password of a system user."""
    sandbox = start("system-user")
    page = http.post(dialog(sandbox), data={"email": "", "password": "", "decision": "continue"})
    assert "location" not in page.headers


def test_answers_in_portuguese(start: Start, graph_of: Open) -> None:
    """Messages are Portuguese; codes, subcodes and kinds are the same; `locale` chooses English."""
    graph = graph_of(start("answers-in-portuguese"))
    english = graph_of(start("approved"))
    portuguese = graph.get("123")
    assert error_of(portuguese)["message"].startswith("Solicitação get não compatível.")
    assert "123" in error_of(portuguese)["message"]
    assert error_of(portuguese)["error_subcode"] == 33
    message = error_of(english.get("123"))["message"]
    assert error_of(graph.get("123", locale="en_US"))["message"] == message
    form = {"access_token": str(graph.given["user_access_token"]), "locale": "en_US"}
    posted = graph.http.post(f"{graph.base}/123", data=form)
    assert error_of(posted)["message"] == message
    garbage = graph.get("debug_token", "app", input_token="x").json()["data"]["error"]
    assert garbage["message"].startswith("Token de acesso OAuth inválido")
    asked = {"input_token": "x", "locale": "en_US"}
    garbage = graph.get("debug_token", "app", **asked).json()["data"]["error"]
    assert garbage["message"].startswith("Invalid OAuth access token")
    assert graph.get("me").json()["name"] == english.get("me").json()["name"]


def test_the_token_endpoint_does_not_heed_the_locale(start: Start, graph_of: Open) -> None:
    """A refused redirect URI is Portuguese with any `locale`, as raw UTF-8 in the header too."""
    graph = graph_of(start("answers-in-portuguese"))
    for asked in ({}, {"locale": "en_US"}):
        response = graph.exchange(redirect_uri="https://other.example/x", code="DUMMY", **asked)
        error = error_of(response)
        assert error["code"] == 191
        assert error["message"].startswith("Não é possível carregar a URL: O domínio dessa URL")
        (challenge,) = [text for name, text in response.headers.raw if name == b"WWW-Authenticate"]
        expected = f'OAuth "Facebook Platform" "redirect_uri_mismatch" "{error["message"]}"'
        assert challenge.decode("utf-8") == expected
        assert response.content.isascii()


def test_faults_are_portuguese_too(start: Start, graph_of: Open) -> None:
    """A fault that the operator asks for has its message in the language of the call."""
    graph = graph_of(start("answers-in-portuguese"))
    graph.sandbox.state.faults.active = [read_fault({"kind": "graph-error", "code": 2})]
    assert error_of(graph.get("me"))["message"] == "(#2) Serviço temporariamente indisponível"
    english = error_of(graph.get("me", locale="en_US"))["message"]
    assert english == UNAVAILABLE


def test_every_message_of_graph_has_a_translation() -> None:
    """Each message but the sandbox's own has a Portuguese one with the same blanks and code."""
    known = [
        value
        for value in vars(graph_errors).values()
        if isinstance(value, graph_errors.ErrorDefinition)
    ]
    missing = [
        definition.message for definition in known if definition not in load_portuguese_errors()
    ]
    assert all("sandbox" in message for message in missing)
    for english, portuguese in load_portuguese_errors().items():
        assert portuguese == replace(
            english,
            message=portuguese.message,
            user_title=portuguese.user_title,
            user_message=portuguese.user_message,
        )
        assert portuguese.message != english.message
        assert bool(portuguese.user_title) == bool(english.user_title)
        assert bool(portuguese.user_message) == bool(english.user_message)
        blanks = re.compile(r"\{\w+\}").findall
        codes = re.compile(r"^\(#\d+\)").findall
        assert sorted(blanks(portuguese.message)) == sorted(blanks(english.message))
        assert codes(portuguese.message) == codes(english.message)
