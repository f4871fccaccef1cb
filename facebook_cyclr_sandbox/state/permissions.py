"""
The permissions that Facebook knows: those of each connector, and those that Access Verification
protects.
"""

MARKETING_PERMISSIONS = (
    "public_profile",
    "leads_retrieval",
    "ads_management",
    "ads_read",
    "business_management",
    "pages_manage_ads",
    "pages_read_engagement",
    "pages_show_list",
    "pages_manage_metadata",
)
"""The permissions that lead ads need, webhooks included (graph §7)."""

MESSENGER_PERMISSIONS = ("pages_messaging", "pages_show_list", "pages_manage_metadata")
"""The permissions that Messenger needs."""

PERMISSIONS = tuple(dict.fromkeys((*MARKETING_PERMISSIONS, *MESSENGER_PERMISSIONS)))
"""The permissions of an app that serves both connectors."""

ALWAYS_GRANTED = frozenset({"public_profile", "email"})
"""The permissions that every app may request of anybody."""

_FURTHER = (
    "attribution_read catalog_management commerce_account_manage_orders "
    "commerce_account_read_orders commerce_account_read_reports commerce_account_read_settings "
    "commerce_manage_accounts email facebook_branded_content_ads_brand "
    "facebook_creator_marketplace_discovery gaming_profile gaming_user_locale "
    "gaming_user_picture instagram_basic instagram_branded_content_ads_brand "
    "instagram_branded_content_brand instagram_branded_content_creator instagram_business_basic "
    "instagram_business_content_publish instagram_business_manage_comments "
    "instagram_business_manage_insights instagram_business_manage_messages "
    "instagram_content_publish instagram_creator_marketplace_discovery "
    "instagram_creator_marketplace_messaging instagram_manage_comments instagram_manage_contents "
    "instagram_manage_engagement instagram_manage_insights instagram_manage_messages "
    "instagram_manage_upcoming_events instagram_shopping_tag_products manage_app_solution "
    "manage_fundraisers marketing_messages_messenger page_events pages_manage_cta "
    "pages_manage_engagement pages_manage_instant_articles pages_manage_posts "
    "pages_read_user_content pages_user_gender pages_user_locale pages_user_timezone "
    "pages_utility_messaging paid_marketing_messages publish_video read_insights threads_basic "
    "threads_business_basic threads_content_publish threads_delete threads_keyword_search "
    "threads_location_tagging threads_manage_insights threads_manage_mentions "
    "threads_manage_replies threads_profile_discovery threads_read_replies "
    "threads_share_to_instagram user_age_range user_birthday user_friends user_gender "
    "user_hometown user_likes user_link user_location user_photos user_posts user_videos "
    "whatsapp_business_manage_events whatsapp_business_management whatsapp_business_messaging"
)
KNOWN_PERMISSIONS = (*PERMISSIONS, *_FURTHER.split())
"""Permissions that the dialog and the dashboard know; any other is an invalid scope."""

_PROTECTED = (
    "ads_management ads_read attribution_read business_management catalog_management "
    "facebook_creator_marketplace_discovery instagram_basic instagram_business_basic "
    "instagram_business_content_publish instagram_content_publish "
    "instagram_creator_marketplace_discovery instagram_manage_insights leads_retrieval "
    "manage_app_solution page_events pages_manage_ads pages_manage_cta "
    "pages_manage_engagement pages_manage_instant_articles pages_manage_posts "
    "pages_read_engagement pages_read_user_content pages_show_list pages_utility_messaging "
    "publish_video read_insights threads_basic threads_content_publish "
    "threads_keyword_search threads_manage_insights threads_manage_mentions "
    "threads_manage_replies threads_read_replies whatsapp_business_management"
)
TECH_PROVIDER_PERMISSIONS = frozenset(_PROTECTED.split())
"""The permissions whose endpoints refuse people without a role until Access Verification."""
