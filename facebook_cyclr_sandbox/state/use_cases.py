"""
Use cases, which decide the permissions that an app can have.

A classic app, made by *Other*, has a type and no use case. It can have all permissions.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from facebook_cyclr_sandbox.state.permissions import KNOWN_PERMISSIONS


@dataclass(frozen=True)
class UseCase:
    """A use case, which people choose in Create App."""

    name: str
    """Its name in the dashboard."""

    required: tuple[str, ...]
    """The permissions that come with it."""

    optional: tuple[str, ...] = ()
    """The permissions that people can add one by one."""

    products: tuple[str, ...] = ()
    """The products that it sets up."""


_ADS_PRODUCTS = ("login_for_business", "marketing_api", "webhooks")

LEADS = UseCase(
    "Capture & manage ad leads with Marketing API",
    (
        "public_profile",
        "ads_management",
        "ads_read",
        "business_management",
        "leads_retrieval",
        "pages_manage_ads",
        "pages_read_engagement",
        "pages_show_list",
    ),
    ("email", "pages_manage_metadata"),
    _ADS_PRODUCTS,
)
ADS = UseCase(
    "Create & manage ads with Marketing API",
    (
        "public_profile",
        "ads_management",
        "ads_read",
        "business_management",
        "pages_read_engagement",
        "pages_show_list",
    ),
    ("catalog_management", "pages_manage_ads", "email", "threads_business_basic"),
    _ADS_PRODUCTS,
)
MESSENGER = UseCase(
    "Engage with customers on Messenger from Meta",
    (
        "public_profile",
        "business_management",
        "pages_manage_metadata",
        "pages_messaging",
        "pages_show_list",
    ),
    (
        "email",
        "ads_management",
        "instagram_basic",
        "instagram_manage_messages",
        "pages_user_gender",
        "pages_user_locale",
        "pages_user_timezone",
        "pages_utility_messaging",
        "pages_read_engagement",
        "paid_marketing_messages",
        "marketing_messages_messenger",
    ),
    ("login_for_business", "messenger", "webhooks"),
)
LOGIN = UseCase(
    "Authenticate and request data from users with Facebook Login",
    ("public_profile",),
    (
        "email",
        "user_hometown",
        "user_birthday",
        "user_age_range",
        "user_gender",
        "user_link",
        "user_friends",
        "user_location",
        "user_likes",
        "user_photos",
        "user_videos",
        "user_posts",
    ),
    ("facebook_login",),
)
USE_CASES = {use_case.name: use_case for use_case in (LEADS, ADS, MESSENGER, LOGIN)}
"""The use cases that an app can have, by name."""


def list_optional_permissions(names: Iterable[str]) -> tuple[str, ...]:
    """Return the optional permissions of the use cases `names` that none of them requires."""
    cases = [USE_CASES[name] for name in names]
    required = {permission for case in cases for permission in case.required}
    optional = (permission for case in cases for permission in case.optional)
    return tuple(dict.fromkeys(name for name in optional if name not in required))


def list_available_permissions(names: Iterable[str], added: Iterable[str]) -> tuple[str, ...]:
    """Return the permissions of an app with these use cases; an app without any has all."""
    cases = [USE_CASES[name] for name in names]
    if not cases:
        return KNOWN_PERMISSIONS
    offered = set(list_optional_permissions(names))
    required = (permission for case in cases for permission in case.required)
    chosen = (permission for permission in added if permission in offered)
    return tuple(dict.fromkeys((*required, *chosen)))
