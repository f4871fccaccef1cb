"""
What Cyclr's Facebook Marketing API connector uses each permission for, as data for App Review.

The texts are the case of a product that embeds Cyclr, to be adapted: see
`facebook.permission_uses`.
"""

from __future__ import annotations

from runbook_lib.connectors.facebook.permission_uses import (
    PERMISSIONS,
    PUBLIC_PROFILE,
    SERVER_TO_SERVER,
    TIER,
    ConnectorUses,
    Dependency,
    Use,
)
from runbook_lib.connectors.facebook.sources import LEADS, USE_CASES
from runbook_lib.connectors.review_kit import Call

# Its entry of 2026-05-21.
_CHANGELOG = "https://developers.facebook.com/docs/marketing-api/marketing-api-changelog"

_USES = (
    PUBLIC_PROFILE,
    Use(
        name="business_management",
        usage=(
            "The pages and ad accounts of our customers belong to their business portfolios. {app} "
            "reads them as such, so that a person who manages them through a business can choose "
            "them. {app} does not change a business, its people or its assets."
        ),
        calls=(Call("GET /me/businesses", "lists the person's businesses", is_test=True),),
        shot=(
            "On the grant screen the person chooses the business, and its page and ad account "
            "appear in ‹our product›."
        ),
        source=f"{USE_CASES}; {PERMISSIONS}",
    ),
    Use(
        name="ads_read",
        usage=(
            "{app} lists the customer's ad accounts with name, currency and status, so that the "
            "customer chooses the account that ‹a workflow› is about. ‹If your workflows read "
            "reports, name the figures and who sees them.›"
        ),
        calls=(
            Call("GET /me/adaccounts", "lists the person's ad accounts", "List My Ad Accounts"),
        ),
        shot="The list of ad accounts appears in ‹our product›, and one account is chosen.",
        source=PERMISSIONS,
    ),
    Use(
        name="pages_show_list",
        usage=(
            "After the login {app} lists the pages that the person manages, and the customer "
            "chooses the page whose ‹leads› are wanted. Other pages are not read."
        ),
        calls=(
            Call("GET /me/accounts", "lists the pages that the person manages", "List My Pages"),
        ),
        shot="The list of the person's pages appears in ‹our product›, and one page is chosen.",
        source=PERMISSIONS,
    ),
    Use(
        name="pages_read_engagement",
        usage=(
            "{app} reads the name of the chosen page and what belongs to its lead forms, to show "
            "the customer which page and form ‹a workflow› is connected to. Posts and followers "
            "are not read."
        ),
        calls=(
            Call("GET /{page-id}?fields=name", "reads the page's name"),
            Call("GET /{page-id}/leadgen_forms", "lists the page's lead forms", "List Forms"),
        ),
        shot="The name of the chosen page is shown beside ‹the workflow› that uses it.",
        source=PERMISSIONS,
    ),
    Use(
        name="pages_manage_ads",
        usage=(
            "{app} lists the lead forms of the chosen page, so that the customer chooses the form "
            "whose leads are passed on. {app} does not create, change or pause ads. ‹If your "
            "workflows do, say so here and show it.›"
        ),
        calls=(Call("GET /{page-id}/leadgen_forms", "lists the page's lead forms", "List Forms"),),
        shot="The list of the page's lead forms appears, and one form is chosen.",
        source=f"{LEADS}; {PERMISSIONS}",
    ),
    Use(
        name="pages_manage_metadata",
        usage=(
            "{app} subscribes the chosen page to the webhook for new leads, so that a lead is "
            "passed on at once instead of being asked for again and again. No other setting of the "
            "page is read or changed. ‹Leave this permission out if your workflows ask for leads "
            "at intervals.›"
        ),
        calls=(
            Call(
                "POST /{page-id}/subscribed_apps?subscribed_fields=leadgen",
                "subscribes the app to the page's new leads",
            ),
            Call("GET /{page-id}/subscribed_apps", "lists the apps that the page is subscribed to"),
        ),
        shot="‹A workflow› is switched on, and a new test lead arrives within seconds.",
        source=LEADS,
    ),
    Use(
        name="leads_retrieval",
        usage=(
            "Our customers run lead ads on Facebook. {app} reads the leads that people left in the "
            "forms of the customer's own pages, and passes each to the system that the customer "
            "chose, ‹for example a CRM or a mailing list›, so that ‹the sales team can call back "
            "within minutes›. A lead is ‹not stored by us after it was passed on / stored for … "
            "days›, and is used for nothing else."
        ),
        calls=(
            Call("GET /{form-id}/leads", "reads the leads of a form", "List Leads By Form"),
            Call(
                "GET /{page-id}?fields=has_lead_access",
                "reads whether Lead Access Manager lets this app have the page's leads",
            ),
        ),
        shot=(
            "Send a test lead with the Lead Ads Testing Tool, and show the same answers arrive in "
            "‹the customer's system›, without a cut."
        ),
        depends_on=(
            Dependency("ads_management", "it reads which ad and campaign a lead came from"),
            Dependency("ads_read", "it lists the ad accounts whose ads brought the leads"),
            Dependency(
                "business_management", "the pages and ad accounts often belong to a business"
            ),
            Dependency("pages_manage_ads", "it lists the lead forms of a page"),
            Dependency("pages_read_engagement", "it reads the page to which a form belongs"),
            Dependency("pages_show_list", "the customer chooses the page"),
            Dependency(TIER, "calls about ads and leads are limited by it"),
        ),
        source=f"{LEADS}; {PERMISSIONS}",
    ),
    Use(
        name="ads_management",
        usage=(
            "With each lead {app} reads the ad, the ad set and the campaign that it came from, so "
            "that the customer sees in ‹their system› which ad brought it. {app} does not create "
            "or change ads. ‹If your workflows do, say so here and show it.›"
        ),
        calls=(
            Call(
                "GET /{form-id}/leads?fields=ad_id,ad_name,campaign_id",
                "reads the ad fields of a lead",
                "List Leads By Form",
            ),
            Call("GET /me/adaccounts", "lists the person's ad accounts", "List My Ad Accounts"),
        ),
        shot="The lead in ‹the customer's system› shows the name of the ad and the campaign.",
        depends_on=(
            Dependency("pages_read_engagement", "ads belong to a page, whose name is read"),
            Dependency("pages_show_list", "the customer chooses the page"),
        ),
        source=f"{LEADS}; {PERMISSIONS}",
    ),
    Use(
        name=TIER,
        is_feature=True,
        usage=(
            "{app} calls the Marketing API on behalf of all customers of ‹our product›. With the "
            "limited tier their leads would be read late on busy days. ‹How many customers, and "
            "how many calls a day.›"
        ),
        calls=(
            Call(
                "GET /act_{ad-account-id}", "reads an ad account; calls on act_… count for the tier"
            ),
        ),
        shot="Record nothing for it: Facebook asks for no recording for this upgrade.",
        depends_on=(),
        source=f"{USE_CASES}; {_CHANGELOG}",
    ),
)

USES = ConnectorUses(
    title="Facebook Marketing API",
    purpose=(
        "‹Our product› lets businesses connect the tools that they use. {app} is its "
        "connection to Facebook: a customer connects their own Facebook account, and "
        "‹workflows› that the customer switched on pass leads and ad data from Facebook to "
        "the customer's other systems. The connection runs on Cyclr ({domain}), an "
        "integration platform that ‹our product› embeds."
    ),
    server_to_server=SERVER_TO_SERVER,
    choice="choose an ad account, a page and a lead form",
    trigger=(
        "Open https://developers.facebook.com/tools/lead-ads-testing, choose the same page and "
        "form, and press Create Lead"
    ),
    end="the lead in ‹the customer's system›, with its answers and the ad that it came from",
    uses=_USES,
)
