"""Graph's nodes and edges, with their permissions."""

import base64
import json
from typing import Any

import pytest

from tests.sandbox.graph_texts import PAGE_TOKEN_REQUIRED, needs_permission, no_field, unknown_path

from .conftest import Graph, Open, Start, app_of, error_of


def token_without(graph: Graph, *permissions: str) -> str:
    """Return a user token that lacks some permissions."""
    state = graph.sandbox.state
    app = app_of(graph.sandbox)
    grants = state.facebook.grants[app.admin_id, app.id]
    scopes = tuple(permission for permission in grants if permission not in permissions)
    return state.issue_user_token(app, app.admin_id, scopes).value


def page_token_without(graph: Graph, *permissions: str) -> str:
    state = graph.sandbox.state
    user = state.facebook.tokens.get(token_without(graph, *permissions))
    assert user is not None
    return state.issue_page_token(user, str(graph.given["page_id"])).value


def test_application_node_by_default(graph: Graph) -> None:
    """Without `fields`, an application has category, link, name and id."""
    response = graph.get(str(graph.given["app_id"]), "app").json()
    assert list(response) == ["category", "link", "name", "id"]
    assert response["name"] == graph.given["app_display_name"]


def test_application_node_has_no_redirect_uris(graph: Graph) -> None:
    """The settings of the dashboard are fields, but no redirect URI is."""
    app_id = str(graph.given["app_id"])
    response = graph.get(app_id, "app", fields="app_domains,business")
    assert response.json() == {"app_domains": ["connect.partner.test"], "id": app_id}
    error = error_of(graph.get(app_id, "app", fields="redirect_uris"))
    assert (error["code"], error["message"]) == (
        100,
        no_field("redirect_uris", "Application"),
    )


def test_fields_come_in_the_order_asked_for(graph: Graph) -> None:
    """Fields come in the requested order, and id is always there."""
    response = graph.get(str(graph.given["app_id"]), "app", fields="website_url,name")
    assert list(response.json()) == ["website_url", "name", "id"]


@pytest.mark.parametrize("fields", ["id,,name", "id{", "id,name)", "leads.limit", "a{" * 12])
def test_malformed_fields_are_a_syntax_error(graph: Graph, fields: str) -> None:
    """Malformed `fields` get error 2500."""
    assert error_of(graph.get("me", fields=fields))["code"] == 2500


def test_app_permissions_show_the_review_state(graph: Graph) -> None:
    """Rows have permission and status and can be filtered; only an app token may read them."""
    path = f"{graph.given['app_id']}/permissions"
    response = graph.get(path, "app").json()
    assert {"permission": "leads_retrieval", "status": "live"} in response["data"]
    assert response["paging"] == {}
    assert graph.get(path, "app", status='["unapproved"]').json()["data"] == []
    rows = graph.get(path, "app", permission="ads_read").json()["data"]
    assert rows == [{"permission": "ads_read", "status": "live"}]
    assert error_of(graph.get(path, "user"))["code"] == 15
    assert error_of(graph.get(path, "app", status="granted"))["code"] == 100


def test_me_needs_a_user(graph: Graph) -> None:
    """`me` is an error for an app token, and the page for a page token."""
    assert error_of(graph.get("me", "app"))["code"] == 2500
    assert graph.get("me", "page").json()["id"] == graph.given["page_id"]


def test_my_permissions(graph: Graph) -> None:
    """Rows have permission and status, and can be filtered by status."""
    response = graph.get("me/permissions").json()
    assert {"permission": "public_profile", "status": "granted"} in response["data"]
    assert graph.get("me/permissions", status="declined").json()["data"] == []


def test_ad_accounts_need_an_ads_permission(graph: Graph) -> None:
    """
    ads_read or ads_management is sufficient; without both, the response is error 200 with HTTP 403.
    """
    found = graph.get("me/adaccounts").json()["data"]
    assert found[0]["id"] == f"act_{graph.given['ad_account_id']}"
    assert graph.get("me/adaccounts", token_without(graph, "ads_read")).status_code == 200
    response = graph.get("me/adaccounts", token_without(graph, "ads_read", "ads_management"))
    assert response.status_code == 403
    assert error_of(response)["message"] == (
        "(#200) Ad account owner has NOT grant ads_management or ads_read permission"
    )


def test_accounts_list_pages_with_their_tokens(graph: Graph) -> None:
    """me/accounts lists the pages with their tokens, if pages_show_list is granted."""
    found = graph.get("me/accounts").json()["data"]
    assert found[0]["access_token"] == graph.given["page_access_token"]
    assert graph.get("me/accounts", token_without(graph, "pages_show_list")).json()["data"] == []
    error = error_of(graph.get("me/accounts", "page"))
    assert (error["code"], error["message"]) == (
        100,
        no_field("accounts", "Page"),
    )


def test_lead_forms_need_a_page_token(graph: Graph) -> None:
    """Lead forms need a page token with pages_manage_ads."""
    path = f"{graph.given['page_id']}/leadgen_forms"
    assert graph.get(path, "page").json()["data"][0]["id"] == graph.given["leadgen_form_id"]
    error = error_of(graph.get(path, "user"))
    assert error["message"] == PAGE_TOKEN_REQUIRED
    response = graph.get(path, page_token_without(graph, "pages_manage_ads"))
    assert response.status_code == 403
    assert error_of(response)["message"] == (needs_permission("pages_manage_ads"))


@pytest.mark.parametrize("token", ["user", "page"])
def test_leads_are_read_with_leads_retrieval(graph: Graph, token: str) -> None:
    """A lead has the documented keys; its time ends in +0000."""
    response = graph.get(f"{graph.given['leadgen_form_id']}/leads", token).json()
    first = response["data"][0]
    assert list(first) == ["created_time", "id", "ad_id", "form_id", "field_data"]
    assert first["created_time"].endswith("+0000")
    assert first["field_data"][0] == {"name": "email", "values": ["lead.2@example.com"]}
    assert graph.get(str(first["id"]), token).json()["id"] == first["id"]


def test_leads_without_leads_retrieval(graph: Graph) -> None:
    """Without leads_retrieval, leads get HTTP 403 with the recorded message."""
    path = f"{graph.given['leadgen_form_id']}/leads"
    response = graph.get(path, token_without(graph, "leads_retrieval"))
    assert response.status_code == 403
    assert error_of(response)["message"] == (needs_permission("leads_retrieval"))


def test_ad_fields_of_a_lead_need_ads_management(graph: Graph) -> None:
    """Without ads_management, a lead has no ad_id."""
    token = token_without(graph, "ads_management")
    response = graph.get(f"{graph.given['leadgen_form_id']}/leads", token).json()
    assert "ad_id" not in response["data"][0]


def test_has_lead_access(graph: Graph) -> None:
    """The field has_lead_access has the documented keys."""
    user_id = graph.sandbox.state.facebook.operator.id
    fields = f"has_lead_access.user_id({user_id})"
    response = graph.get(str(graph.given["page_id"]), "page", fields=fields).json()
    assert list(response["has_lead_access"]) == [
        "app_has_leads_permission",
        "can_access_lead",
        "enabled_lead_access_manager",
        "failure_reason",
        "failure_resolution",
        "is_page_admin",
        "page_id",
        "user_has_leads_permission",
        "user_id",
    ]
    assert response["has_lead_access"]["can_access_lead"] is True
    refused = graph.get(
        str(graph.given["page_id"]), page_token_without(graph, "leads_retrieval"), fields=fields
    )
    assert refused.status_code == 403


def test_cursors_lead_through_all_pages(graph: Graph) -> None:
    """
    `next` is present only if there is more; every page has cursors, and `previous` leads back.
    """
    path = f"{graph.given['leadgen_form_id']}/leads"
    first = graph.get(path, limit="1", fields="id").json()
    assert set(first["paging"]) == {"cursors", "next"}
    second = graph.http.get(first["paging"]["next"]).json()
    assert set(second["paging"]) == {"cursors", "previous"}
    assert first["data"] != second["data"]
    assert graph.http.get(second["paging"]["previous"]).json()["data"] == first["data"]
    after = second["paging"]["cursors"]["after"]
    assert graph.get(path, after=after).json() == {"data": []}


@pytest.mark.parametrize(
    "cursor", ["nonsense", base64.b64encode(b"cursor:x").decode(), "Ä", "====="]
)
def test_a_wrong_cursor_is_refused(graph: Graph, cursor: str) -> None:
    """An invalid cursor is a parameter error."""
    path = f"{graph.given['leadgen_form_id']}/leads"
    assert error_of(graph.get(path, after=cursor))["code"] == 100


def test_expanded_edges(graph: Graph) -> None:
    """A field can be an edge with its own fields and limit."""
    form = str(graph.given["leadgen_form_id"])
    response = graph.get(form, "page", fields="name,leads.limit(1).as(newest){id}").json()
    assert list(response) == ["name", "newest", "id"]
    assert len(response["newest"]["data"]) == 1
    assert set(response["newest"]["data"][0]) == {"id"}


def test_ad_account_node_and_usage(graph: Graph) -> None:
    """An ad account's response has the header x-business-use-case-usage."""
    response = graph.get(f"act_{graph.given['ad_account_id']}", fields="name,account_status")
    assert response.json()["account_status"] == 1
    assert (
        '"ads_api_access_tier":"standard_access"' in (response.headers["x-business-use-case-usage"])
    )


def test_the_usage_of_a_page_names_the_tier(graph: Graph) -> None:
    """The usage entry of a page has the keys of the recorded one, the tier too."""
    page = str(graph.given["page_id"])
    usage = json.loads(graph.get(page).headers["x-business-use-case-usage"])
    (entry,) = usage[page]
    assert list(entry) == [
        "type",
        "call_count",
        "total_cputime",
        "total_time",
        "estimated_time_to_regain_access",
        "ads_api_access_tier",
    ]
    assert (entry["type"], entry["ads_api_access_tier"]) == ("pages", "standard_access")


def test_insights_show_their_throttle(graph: Graph) -> None:
    """Insights have the header x-fb-ads-insights-throttle."""
    response = graph.get(f"act_{graph.given['ad_account_id']}/insights")
    assert response.json()["data"][0]["account_id"] == graph.given["ad_account_id"]
    assert json.loads(response.headers["x-fb-ads-insights-throttle"]) == {
        "app_id_util_pct": 0,
        "acc_id_util_pct": 0,
        "ads_api_access_tier": "standard_access",
    }


def test_missing_objects(graph: Graph) -> None:
    """An unknown number gets error 100/33, an unknown name error 803."""
    error = error_of(graph.get("4711"))
    assert (error["code"], error["error_subcode"], error["type"]) == (
        100,
        33,
        "GraphMethodException",
    )
    assert error["message"].startswith("Unsupported get request. Object with ID '4711' does not")
    assert error_of(graph.get("nobody"))["code"] == 803
    assert error_of(graph.get("me/nothing"))["message"] == unknown_path("/nothing")


def test_no_token_at_all(graph: Graph) -> None:
    """Without a token, a node gets error 104."""
    error = error_of(graph.get(str(graph.given["page_id"]), None))
    assert (error["code"], error["message"]) == (
        104,
        "An access token is required to request this resource.",
    )


def test_revoking_permissions(own: Graph) -> None:
    """A revoked permission is missing from the tokens; revoking all ends them."""
    token = {"access_token": str(own.given["user_access_token"])}
    gone = own.http.delete(f"{own.base}/me/permissions/leads_retrieval", params=token)
    assert gone.json() == {"success": True}
    assert own.get(f"{own.given['leadgen_form_id']}/leads").status_code == 403
    assert own.get("me/permissions", status="declined").json()["data"] == [
        {"permission": "leads_retrieval", "status": "declined"}
    ]
    own.http.delete(f"{own.base}/me/permissions", params=token)
    assert error_of(own.get("me"))["error_subcode"] == 458


@pytest.mark.parametrize(
    ("scenario", "listed"),
    [("review-pending", []), ("review-declined", ["public_profile"])],
)
def test_only_approved_permissions_have_a_row(
    scenario: str, listed: list[str], start: Start, graph_of: Open
) -> None:
    """
    A pending or declined permission is not listed, and public_profile only after the first
    decision.

    The admin's own token works nevertheless.
    """
    graph = graph_of(start(scenario))
    path = f"{graph.given['app_id']}/permissions"
    rows: list[dict[str, Any]] = graph.get(path, "app").json()["data"]
    assert rows == [{"permission": name, "status": "live"} for name in listed]
    assert graph.get(path, "app", status='["unapproved"]').json()["data"] == []
    assert graph.get(path, "app", permission="leads_retrieval").json()["data"] == []
    assert graph.get(f"{graph.given['leadgen_form_id']}/leads").status_code == 200


# The fields that django-allauth reads by default, and others that Graph knows.
OF_A_USER = (
    "id,email,name,first_name,last_name,verified,locale,timezone,link,gender,updated_time,"
    "middle_name,name_format,location,website,birthday,hometown{name}"
)


def test_known_fields_of_a_user_are_left_out_without_a_grant(graph: Graph) -> None:
    """A field that Graph knows and nobody granted is left out; only a made-up one is refused."""
    shown = graph.get("me", token_without(graph, "email"), fields=OF_A_USER).json()
    granted = graph.get("me", fields=OF_A_USER).json()

    names = ["id", "name", "first_name", "last_name", "name_format"]
    assert list(shown) == names
    assert shown["name_format"] == "{first} {last}"
    assert set(granted) - {"email"} == set(names)
    error = error_of(graph.get("me", fields=f"{OF_A_USER},favourite_colour"))
    assert (error["code"], error["message"]) == (100, no_field("favourite_colour", "User"))


def test_a_lead_names_its_ad_and_campaign(graph: Graph) -> None:
    """The ad fields of a lead are read as the review kit says, with ads_management alone."""
    wanted = "ad_id,ad_name,campaign_id,adset_name,retailer_item_id"
    path = f"{graph.given['leadgen_form_id']}/leads"

    rows = graph.get(path, fields=wanted).json()["data"]
    without = graph.get(path, token_without(graph, "ads_management"), fields=wanted).json()["data"]

    campaigns = next(iter(graph.sandbox.state.facebook.ad_accounts.values())).campaigns
    assert {row["campaign_id"] for row in rows} <= set(campaigns)
    assert all(row["ad_id"] and row["ad_name"] for row in rows)
    assert rows
    assert all(list(row) == ["id"] for row in without)
