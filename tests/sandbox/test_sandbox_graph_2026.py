"""Graph's refusals and responses as published in 2026."""

import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.sandbox.graph_texts import WRONG_SECRET, no_field

from .conftest import Graph, Open, Start, error_of


def revoke(graph: Graph, permission: str) -> None:
    """Withdraw a permission of the operator."""
    url = f"{graph.base}/me/permissions/{permission}"
    params = {"access_token": str(graph.given["user_access_token"])}
    assert graph.http.delete(url, params=params).json() == {"success": True}


# --- usage headers ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scenario", "tier"),
    [("approved", "standard_access"), ("review-pending", "development_access")],
)
def test_ad_account_calls_show_the_tier(
    start: Start, graph_of: Open, scenario: str, tier: str
) -> None:
    """Both usage headers of each act_* call name the access tier, as compact JSON."""
    graph = graph_of(start(scenario))
    account = str(graph.given["ad_account_id"])
    for path in (f"act_{account}", *(f"act_{account}/{edge}" for edge in ("ads", "insights"))):
        headers = graph.get(path).headers
        own = headers["x-ad-account-usage"]
        business = headers["x-business-use-case-usage"]
        assert " " not in own + business + headers["x-app-usage"]
        assert json.loads(own)["ads_api_access_tier"] == tier
        assert json.loads(business)[account][0]["ads_api_access_tier"] == tier
    assert "x-ad-account-usage" not in graph.get("me").headers


# --- refusals --------------------------------------------------------------------------------
def test_subscriptions_need_the_apps_secret(graph: Graph) -> None:
    """A user or page token gets 190, the app's own token a response."""
    path = f"{graph.given['app_id']}/subscriptions"
    for token in ("user", "page"):
        error = error_of(graph.get(path, token))
        assert (error["code"], error["message"]) == (
            190,
            "(#190) Application Secret required for this endpoint",
        )
    assert graph.get(path, "app").status_code == 200


def test_a_page_needs_pages_read_engagement(own: Graph) -> None:
    """An app token and a user without the permission get 10; the page's own token does not."""
    page = str(own.given["page_id"])
    wording = "(#10) This endpoint requires the 'pages_read_engagement' permission or the"
    error = error_of(own.get(page, "app"))
    assert (error["code"], error["message"].startswith(wording)) == (10, True)
    assert own.get(page).status_code == 200
    revoke(own, "pages_read_engagement")
    assert error_of(own.get(page))["code"] == 10
    assert error_of(own.get(f"{page}/posts"))["code"] == 10
    assert own.get(page, "page").json()["name"] == "Sandbox Bakery"


def test_a_revoked_permission_leaves_every_token(own: Graph) -> None:
    """User and page tokens lose it at once; the ad accounts need only one of their two."""
    form = own.given["leadgen_form_id"]
    assert own.get(f"{form}/leads", "page").status_code == 200
    revoke(own, "leads_retrieval")
    assert error_of(own.get(f"{form}/leads", "page"))["code"] == 200
    assert error_of(own.get(f"{form}/leads"))["code"] == 200
    revoke(own, "ads_read")
    assert own.get("me/adaccounts").status_code == 200
    revoke(own, "ads_management")
    assert error_of(own.get("me/adaccounts"))["code"] == 200


# --- fields and edges ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "path", "token"),
    [
        ("User", "me", "user"),
        ("Page", "{page_id}", "page"),
        ("Application", "{app_id}", "app"),
        ("LeadgenForm", "{leadgen_form_id}", "page"),
        ("AdAccount", "act_{ad_account_id}", "user"),
        ("Business", "{business}", "user"),
    ],
)
def test_an_unknown_field_is_refused(graph: Graph, kind: str, path: str, token: str) -> None:
    """The refusal names the field and the type of the node."""
    path = path.format(**graph.given, business=graph.sandbox.state.facebook.business.id)
    error = error_of(graph.get(path, token, fields="id,no_such_name"))
    assert error["message"] == (no_field("no_such_name", kind))


def test_log_in_libraries_get_their_fields(graph: Graph) -> None:
    """Names and picture are answered; what was not granted is left out."""
    fields = "id,name,first_name,last_name,short_name,email,picture{url}"
    response = graph.get("me", fields=fields).json()
    assert set(response) == {"id", "name", "first_name", "last_name", "short_name", "picture"}
    assert set(response["picture"]["data"]) == {"height", "is_silhouette", "url", "width"}


def test_edges_of_an_ad_account(graph: Graph) -> None:
    """Ads, ad sets, campaigns and insights are lists; they count as Marketing calls."""
    for edge in ("ads", "adsets", "campaigns", "insights"):
        response = graph.get(f"act_{graph.given['ad_account_id']}/{edge}")
        assert isinstance(response.json()["data"], list)
    ended = graph.at(f"v19.0/act_{graph.given['ad_account_id']}/ads")
    assert ended.headers["facebook-api-version"] == "v27.0"


def test_known_and_unknown_edges(graph: Graph) -> None:
    """An edge of another node type is a nonexisting field, another name a wrong path."""
    error = error_of(graph.get("me/leads"))
    assert error["message"] == (no_field("leads", "User"))
    assert error_of(graph.get("me/nothing"))["code"] == 2500


def test_conversations_need_pages_messaging(own: Graph) -> None:
    """They are read with the page's token; the call counts for pages_messaging."""
    (app,) = own.sandbox.state.facebook.apps.values()
    app.test_calls.clear()
    path = f"{own.given['page_id']}/conversations"
    assert error_of(own.get(path))["code"] == 190
    assert own.get(path, "page").json() == {"data": []}
    assert set(app.test_calls) == {"pages_messaging"}
    revoke(own, "pages_messaging")
    assert error_of(own.get(path, "page"))["code"] == 200


# --- what clients send -----------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields", ['["id","name"]', "['id', 'name']", "['id','name']", " [ 'id' , 'name' ]"]
)
def test_fields_as_a_list(graph: Graph, fields: str) -> None:
    """`fields` may be a JSON list, or Python's with single quotes, as some clients send it."""
    assert list(graph.get("me", fields=fields).json()) == ["id", "name"]


@pytest.mark.parametrize("fields", ["['id'", "['id' 'name']", "[id]"])
def test_a_broken_list_is_refused(graph: Graph, fields: str) -> None:
    """A parameter that is neither JSON nor a list of quoted names is wrong."""
    assert error_of(graph.get("me", fields=fields))["code"] == 100


def test_the_secret_in_http_basic(graph: Graph) -> None:
    """With the client_id in the body, the secret may stand in the header; alone it is refused."""
    url = f"{graph.base}/oauth/access_token"
    app_id = str(graph.given["app_id"])
    basic = (app_id, str(graph.given["app_secret"]))
    form = {"grant_type": "client_credentials"}
    response = graph.http.post(url, data={**form, "client_id": app_id}, auth=basic)
    assert response.json()["token_type"] == "bearer"
    wrong = graph.http.post(url, data={**form, "client_id": app_id}, auth=(app_id, "no"))
    assert error_of(wrong)["message"] == WRONG_SECRET
    alone = graph.http.post(url, data=form, auth=basic)
    assert error_of(alone)["message"] == "Missing client_id parameter."
    broken = {"Authorization": "Basic %%%"}
    response = graph.http.post(url, data={**form, "client_id": app_id}, headers=broken)
    assert error_of(response)["message"] == WRONG_SECRET


def test_a_body_without_a_type_is_a_form(graph: Graph) -> None:
    """The token endpoint reads a form whose Content-Type is missing."""
    params = {**graph.credentials, "grant_type": "client_credentials"}
    body = str(httpx.QueryParams(params)).encode()
    request = graph.http.build_request("POST", f"{graph.base}/oauth/access_token", content=body)
    request.headers.pop("content-type", None)
    assert "access_token" in graph.http.send(request).json()


@pytest.mark.parametrize("version", ["/v26.0", ""])
def test_graph_leads_to_the_dialog(graph: Graph, version: str) -> None:
    """/oauth/authorize redirects to the dialog, with its whole query."""
    response = graph.http.get(
        f"{graph.given['graph_url']}{version}/oauth/authorize?a=1&scope=b%20c"
    )
    assert response.status_code == 302
    location = urlsplit(response.headers["location"])
    assert f"{location.scheme}://{location.netloc}" == graph.given["dashboard_url"]
    assert location.path == f"{version}/dialog/oauth"
    assert parse_qs(location.query) == {"a": ["1"], "scope": ["b c"]}
