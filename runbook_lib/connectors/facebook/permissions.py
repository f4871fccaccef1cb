"""
Permissions: their dependencies, and their status for an app and for a person, as Graph lists it.

`review` and `user_token` decide the meaning of a status for a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runbook_lib.config.settings import suggestion
from runbook_lib.connectors.facebook.graph import Graph
from runbook_lib.connectors.findings import compared
from runbook_lib.connectors.proof import Listing
from runbook_lib.core.model import Table
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.http_messages import unexpected_response
from runbook_lib.remote.json_fields import JSONObject

# The fields that are read of each row of an edge that lists permissions.
READ = ("permission", "status")
# Statuses of a person's permissions (Graph: User, permissions).
GRANTED = "granted"
_NOT_GRANTED = ("declined", "expired")
_GRANTS = "me/permissions"
# The way out of a declined permission (Facebook Login: manual flow, re-asking).
ASK_AGAIN = (
    "Facebook does not ask again by itself for a declined permission: press Edit settings in "
    "its dialog, or use Sign in with Facebook here, which asks again (auth_type=rerequest). As a "
    "last resort, the person removes the app under Business Integrations. That ends all of "
    "the person's tokens for the app, Cyclr's too."
)
# Advice if `debug_token` and `/me/permissions` disagree.
REISSUE = (
    "Check again. If it stays so, sign in again: a token keeps the permissions that were granted "
    "when it was issued."
)
# Graph permission reference: the dashboard offers the permission only with these beside it.
PERMISSION_DEPENDENCIES: Mapping[str, tuple[str, ...]] = {
    "leads_retrieval": (
        "ads_management",
        "ads_read",
        "business_management",
        "pages_manage_ads",
        "pages_read_engagement",
        "pages_show_list",
    ),
    "ads_management": ("pages_read_engagement", "pages_show_list"),
}
# Every permission by its family (use cases and permissions; permissions reference), read in
# November 2026. A list grows old, so a name that is not in it only gives a warning.
_NAMES = (
    "public_profile email leads_retrieval ads_management ads_read attribution_read "
    "business_management catalog_management commerce_account_manage_orders "
    "commerce_account_read_orders commerce_account_read_reports "
    "commerce_account_read_settings commerce_manage_accounts "
    "facebook_branded_content_ads_brand facebook_creator_marketplace_discovery "
    "gaming_profile gaming_user_locale gaming_user_picture instagram_basic "
    "instagram_branded_content_ads_brand instagram_branded_content_brand "
    "instagram_branded_content_creator instagram_business_basic "
    "instagram_business_content_publish instagram_business_manage_comments "
    "instagram_business_manage_insights instagram_business_manage_messages "
    "instagram_content_publish instagram_creator_marketplace_discovery "
    "instagram_creator_marketplace_messaging instagram_manage_comments "
    "instagram_manage_contents instagram_manage_engagement instagram_manage_insights "
    "instagram_manage_messages instagram_manage_upcoming_events "
    "instagram_shopping_tag_products manage_app_solution manage_fundraisers "
    "marketing_messages_messenger page_events pages_manage_ads pages_manage_cta "
    "pages_manage_engagement pages_manage_instant_articles pages_manage_metadata "
    "pages_manage_posts pages_messaging pages_read_engagement pages_read_user_content "
    "pages_show_list pages_user_gender pages_user_locale pages_user_timezone "
    "pages_utility_messaging paid_marketing_messages publish_video read_insights "
    "threads_basic threads_business_basic threads_content_publish threads_delete "
    "threads_keyword_search threads_location_tagging threads_manage_insights "
    "threads_manage_mentions threads_manage_replies threads_profile_discovery "
    "threads_read_replies threads_share_to_instagram user_age_range user_birthday "
    "user_friends user_gender user_hometown user_likes user_link user_location user_photos "
    "user_posts user_videos whatsapp_business_manage_events whatsapp_business_management "
    "whatsapp_business_messaging"
)
KNOWN_PERMISSIONS = tuple(_NAMES.split())


def permission_doubt(names: Iterable[str]) -> str:
    """Return a doubt about each of `names` that no list of permissions has, with a suggestion."""
    unknown = [
        f"No list of November 2026 has the permission {name}.{suggestion(name, KNOWN_PERMISSIONS)}"
        for name in names
        if name not in KNOWN_PERMISSIONS
    ]
    return " ".join(unknown)


def with_dependencies(permissions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the permissions, each followed by its dependencies, without repetitions."""
    wanted = [
        name
        for permission in permissions
        for name in (permission, *PERMISSION_DEPENDENCIES.get(permission, ()))
    ]
    return tuple(dict.fromkeys(wanted))


def compared_permissions(
    wanted: Iterable[str], expected: str, status_of: Mapping[str, str]
) -> tuple[Table, ...]:
    """Return the table of the wanted permissions: expected and actual status of each."""
    return compared(*((name, expected, status_of.get(name, "not listed")) for name in wanted))


def granted_to(graph: Graph, token: Secret) -> tuple[dict[str, str], Listing]:
    """
    Return the status of each permission of the token's person, and the same as a `Listing`.

    (Graph: User, permissions.) All pages are read. An empty list shows nothing, since everybody who
    signs in grants `public_profile`. Raises the errors of `Graph.get` and `statuses`.
    """
    listed = graph.list_all(_GRANTS, token, reads=READ)
    status_of = statuses(listed.rows, f"Facebook (/{_GRANTS})")
    return status_of, listing_of(status_of, _GRANTS, gap=listed.gap)


def listing_of(status_of: Mapping[str, str], source: str, *, gap: str = "") -> Listing:
    """Return the `Listing` of the statuses of a person's permissions, read from `source`."""
    return Listing(
        source=source,
        present=[name for name, status in status_of.items() if status == GRANTED],
        refused=[name for name, status in status_of.items() if status in _NOT_GRANTED],
        unclear=[
            name for name, status in status_of.items() if status not in (GRANTED, *_NOT_GRANTED)
        ],
        gap=f"the list {gap or 'is empty'}" if gap or not status_of else "",
    )


def statuses(rows: Iterable[JSONObject], source: str) -> dict[str, str]:
    """
    Return the status of each permission, sorted by its name.

    Raises `UnexpectedResponseError` for a row without one of both, and for a
    permission that is listed with two statuses.
    """
    status_of: dict[str, str] = {}
    for row in rows:
        permission = row.keyword("permission")
        status = row.keyword("status")
        if status_of.setdefault(permission, status) != status:
            first, second = sorted({status_of[permission], status})
            raise unexpected_response(source, f"{permission} is listed as {first} and {second}")
    return dict(sorted(status_of.items()))
