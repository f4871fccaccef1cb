"""
Users, businesses and ad accounts: `/me` and its edges, `/act_…` (graph §6, §7).
"""

from collections.abc import Sequence
from dataclasses import replace

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.fields import Field
from facebook_cyclr_sandbox.graph.graph_call import GraphCall, parse_list
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.nodes import Edge, NodeType, attribute_getters
from facebook_cyclr_sandbox.graph.page_nodes import PAGE, format_graph_time
from facebook_cyclr_sandbox.response_sources import handles
from facebook_cyclr_sandbox.state.facebook_state import (
    AdAccount,
    Business,
    Page,
    Person,
    SystemUser,
    VerificationStatus,
)

_STATUSES = ("granted", "declined", "expired")
_ADS = ("ads_read", "ads_management")
_BUSINESS = ("business_management",)


# --- ad accounts -----------------------------------------------------------------------------
def _check_ad_account_access(call: GraphCall, account: AdAccount) -> None:
    """Check that the caller may read an ad account, and count the call on it."""
    call.require_any(*_ADS, error=graph_errors.AD_ACCOUNT_NOT_GRANTED)
    call.ad_account_rate_limit = account.rate_limit
    call.count(
        account.id, "ads_management", account.rate_limit, error=graph_errors.AD_ACCOUNT_BLOCKED
    )


def _campaigns(call: GraphCall, account: AdAccount) -> Sequence[tuple[str, str]]:
    """Return the ad account's campaigns (graph §7)."""
    _check_ad_account_access(call, account)
    return tuple(account.campaigns.items())


def _nothing(call: GraphCall, account: AdAccount) -> Sequence[object]:
    """Return no rows (graph §7)."""
    _check_ad_account_access(call, account)
    return ()


def _insights(call: GraphCall, account: AdAccount) -> list[dict[str, str]]:
    """Return one row, without impressions (graph §7)."""
    call.is_insights = True
    _check_ad_account_access(call, account)
    day = format_graph_time(call.state.now())[:10]
    return [
        {
            "account_id": account.id,
            "impressions": "0",
            "spend": "0",
            "date_start": day,
            "date_stop": day,
        }
    ]


_CAMPAIGN = NodeType(
    "Campaign",
    {
        "id": lambda _call, campaign, _field: campaign[0],
        "name": lambda _call, campaign, _field: campaign[1],
        "status": lambda _call, _campaign, _field: "PAUSED",
    },
    ("id",),
)

AD_ACCOUNT = NodeType(
    "AdAccount",
    {
        **attribute_getters("currency", "name", "timezone_name"),
        "account_id": lambda _call, account, _field: account.id,
        "id": lambda _call, account, _field: f"act_{account.id}",
        "account_status": lambda _call, _account, _field: 1,
        "amount_spent": lambda _call, _account, _field: "0",
        "balance": lambda _call, _account, _field: "0",
    },
    ("account_id", "id"),
    {
        "ads": Edge(list_items=_nothing, permissions=_ADS),
        "adsets": Edge(list_items=_nothing, permissions=_ADS),
        "campaigns": Edge(list_items=_campaigns, node_type=_CAMPAIGN, permissions=_ADS),
        "insights": Edge(list_items=_insights, permissions=_ADS),
    },
    check_access=_check_ad_account_access,
    permissions=_ADS,
)


# --- the business ----------------------------------------------------------------------------
_VERIFICATION_STATUSES = {
    VerificationStatus.NOT_STARTED: "not_verified",
    VerificationStatus.PENDING: "pending",
    VerificationStatus.VERIFIED: "verified",
}


def _check_business_access(call: GraphCall, business: Business) -> None:
    """Check that the caller may read a business."""
    call.require("business_management")
    if not call.state.facebook.is_in_business(call.caller.user_id):
        raise GraphError(graph_errors.MISSING_OBJECT, id=business.id)


def _check_page_list_access(call: GraphCall, business: Business) -> None:
    """Check that the caller may list the pages of a business."""
    _check_business_access(call, business)
    if business.refuses_page_lists:
        raise GraphError(graph_errors.NO_PERMISSION)


def _owned_pages(call: GraphCall, business: Business) -> Sequence[Page]:
    """Return the pages that the business owns (graph §7)."""
    _check_page_list_access(call, business)
    pages = call.state.facebook.pages.values()
    return tuple(page for page in pages if page.portfolio_id == business.id)


def _client_pages(call: GraphCall, business: Business) -> Sequence[Page]:
    """Return the pages that clients share with the business (graph §7)."""
    _check_page_list_access(call, business)
    return ()


BUSINESS = NodeType(
    "Business",
    {
        **attribute_getters("id", "name"),
        "verification_status": lambda _call, business, _field: _VERIFICATION_STATUSES[
            business.verification
        ],
    },
    ("id", "name"),
    {
        "owned_pages": Edge(list_items=_owned_pages, node_type=PAGE, permissions=_BUSINESS),
        "client_pages": Edge(list_items=_client_pages, node_type=PAGE, permissions=_BUSINESS),
    },
    check_access=_check_business_access,
    permissions=_BUSINESS,
)


def _businesses(call: GraphCall, person: Person | SystemUser) -> Sequence[Business]:
    """Return the person's businesses (graph §7)."""
    call.require("business_management")
    facebook = call.state.facebook
    return tuple(facebook.businesses.values()) if facebook.is_in_business(person.id) else ()


# The other fields of facebook-business 26 (adobjects/user.py): most need a permission of their own.
_OTHER_USER_FIELDS = (
    "about age_range birthday client_business_id community cover currency education "
    "favorite_athletes favorite_teams gender hometown inspirational_people install_type installed "
    "is_guest_user is_work_account languages link local_news_megaphone_dismiss_status "
    "local_news_subscription_status locale location meeting_for middle_name payment_pricepoints "
    "political profile_pic quotes relationship_status religion shared_login_upgrade_required_by "
    "significant_other sports supports_donate_button_in_live_video third_party_id timezone "
    "token_for_business updated_time verified video_upload_limits website"
)


# --- the person ------------------------------------------------------------------------------
def _ad_accounts(call: GraphCall, _person: Person | SystemUser) -> Sequence[AdAccount]:
    """Return the person's ad accounts (graph §7)."""
    call.require_any(*_ADS, error=graph_errors.AD_ACCOUNT_NOT_GRANTED)
    return tuple(call.state.facebook.ad_accounts.values())


def _accounts(call: GraphCall, _person: Person | SystemUser) -> Sequence[Page]:
    """Return the person's pages (graph §7)."""
    if "pages_show_list" not in call.scopes:
        return ()
    call.require("pages_show_list")
    return tuple(page for page in call.state.facebook.pages.values() if not page.portfolio_id)


def _permissions(call: GraphCall, person: Person | SystemUser) -> dict[str, object]:
    """Return the person's granted and declined permissions (graph §6)."""
    wanted = parse_list(call.params.get("status", ""), "status", _STATUSES)
    named = parse_list(call.params.get("permission", ""), "permission")
    grants = call.state.facebook.grants.get((person.id, call.caller.app_id), {})
    rows = [
        {"permission": permission, "status": status}
        for permission, status in grants.items()
        if (not wanted or status in wanted) and (not named or permission in named)
    ]
    return {"data": rows}


@handles("DELETE /{User}/permissions")
def revoke_permissions(call: GraphCall, permission: str) -> dict[str, object]:
    """Revoke one permission of the caller, or all: its tokens then get 190/458 (graph §6)."""
    caller = call.caller
    key = (caller.user_id, caller.app_id)
    grants = call.state.facebook.grants
    if not permission:
        grants.pop(key, None)
    elif permission in grants.get(key, {}):
        grants[key] = {**grants[key], permission: "declined"}
    return {"success": True}


def _first_name(_call: GraphCall, person: Person | SystemUser, _field: Field) -> str:
    return person.name.split(maxsplit=1)[0]


def _picture(_call: GraphCall, person: Person | SystemUser, _field: Field) -> dict[str, object]:
    url = f"https://platform-lookaside.fbsbx.com/platform/profilepic/?asid={person.id}"
    return {"data": {"height": 50, "is_silhouette": True, "url": url, "width": 50}}


def _email(call: GraphCall, person: Person | SystemUser, _field: Field) -> str | None:
    return person.email if isinstance(person, Person) and "email" in call.scopes else None


USER = NodeType(
    "User",
    {
        **attribute_getters("id", "name"),
        "first_name": _first_name,
        "last_name": lambda _call, person, _field: person.name.split(maxsplit=1)[-1],
        "short_name": _first_name,
        "picture": _picture,
        "email": _email,
        "name_format": lambda _call, _person, _field: "{first} {last}",
    },
    ("name", "id"),
    {
        "adaccounts": Edge(list_items=_ad_accounts, node_type=AD_ACCOUNT, permissions=_ADS),
        "businesses": Edge(list_items=_businesses, node_type=BUSINESS, permissions=_BUSINESS),
        "accounts": Edge(
            list_items=_accounts,
            node_type=replace(
                PAGE,
                default_fields=("access_token", "category", "category_list", "name", "id", "tasks"),
            ),
            permissions=("pages_show_list",),
        ),
        "permissions": Edge(list_items=_permissions, permissions=("public_profile",)),
    },
    other_fields=frozenset(_OTHER_USER_FIELDS.split()),
    permissions=("public_profile", "email"),
)
