"""
Test calls: which permission a successful call counts for (graph §9).

App Review takes a permission only once the app has used it. What a call is
served by is data here; the dashboard shows when each permission was used last.
"""

from facebook_cyclr_sandbox.graph.call import Call

_ADS = ("ads_read", "ads_management")
_ENGAGEMENT = ("pages_read_engagement",)

SERVED_BY: dict[tuple[str, str], tuple[str, ...]] = {
    ("User", ""): ("public_profile", "email"),
    ("User", "permissions"): ("public_profile",),
    ("User", "accounts"): ("pages_show_list",),
    ("User", "adaccounts"): _ADS,
    ("User", "businesses"): ("business_management",),
    ("Business", ""): ("business_management",),
    ("Business", "client_pages"): ("business_management",),
    ("Business", "owned_pages"): ("business_management",),
    ("AdAccount", ""): _ADS,
    ("AdAccount", "ads"): _ADS,
    ("AdAccount", "adsets"): _ADS,
    ("AdAccount", "campaigns"): _ADS,
    ("AdAccount", "insights"): _ADS,
    ("Page", ""): _ENGAGEMENT,
    ("Page", "conversations"): ("pages_messaging",),
    ("Page", "feed"): _ENGAGEMENT,
    ("Page", "leadgen_forms"): ("pages_manage_ads", "leads_retrieval"),
    ("Page", "posts"): _ENGAGEMENT,
    ("Page", "subscribed_apps"): ("pages_manage_metadata",),
    ("LeadgenForm", ""): ("pages_manage_ads",),
    ("LeadgenForm", "leads"): ("leads_retrieval",),
    ("LeadgenForm", "test_leads"): ("leads_retrieval",),
    ("UserLeadGenInfo", ""): ("leads_retrieval",),
}
"""Node type and edge (empty: the node itself) to the permissions that serve a call to it."""


def record_test_call(call: Call, node_type: str, edge: str) -> None:
    """Remember the permissions that a call used, once it succeeded; an app's token has none."""
    if call.app is None:
        return
    for permission in SERVED_BY.get((node_type, edge), ()):
        if permission in call.scopes:
            call.app.test_calls[permission] = call.world.now()
