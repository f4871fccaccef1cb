"""
The formats of the values that an operator copies from Facebook, checked without the network.

As in `config.formats`, a secret's text is never quoted.
"""

from __future__ import annotations

import re

from runbook_lib.config import formats
from runbook_lib.core.credential_form import why_implausible

_APP_ID = re.compile(r"[0-9]{8,20}")
_APP_SECRET = re.compile(r"[0-9a-f]{32}")
_PAGE_ID = re.compile(r"[0-9]{5,20}")
_PERMISSION = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_VERSION = re.compile(r"v[1-9][0-9]*\.[0-9]")
# Meta's brands. Its refusal names those from `fb` to `ig`
# (https://github.com/nbcommunication/InstagramBasicDisplayApi/issues/16); the others are inferred
# from its brand guidelines.
_BRAND_WORDS = frozenset(
    (
        "fb",
        "face",
        "book",
        "insta",
        "gram",
        "rift",
        "ig",
        "meta",
        "messenger",
        "threads",
        "oculus",
        "quest",
    )
)
_BRANDS = ("facebook", "instagram", "insta", "whatsapp")
# `AcmeFBSync` has the words acme, fb and sync.
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# User, page and system-user tokens (Graph: Access Token Guide).
_USER_TOKEN = re.compile(r"EAA[0-9A-Za-z]{17,}")
# App tokens (the same guide).
_APP_TOKEN = re.compile(r"[0-9]{8,20}\|[0-9A-Za-z_-]{16,}")


def app_id(text: str) -> str:
    """Return the App ID: digits only, as Settings > Basic shows it."""
    typed = text.strip()
    if not _APP_ID.fullmatch(typed):
        raise ValueError("an App ID is a number of 15 or 16 digits, as Settings > Basic shows it")
    return typed


def config_id(text: str) -> str:
    """Return the ID of a configuration of Facebook Login for Business: digits only."""
    typed = text.strip()
    if typed and not _APP_ID.fullmatch(typed):
        raise ValueError("a login configuration ID is a number, as Configurations shows it")
    return typed


def app_secret(text: str) -> str:
    """Return the App Secret: 32 hexadecimal characters."""
    typed = text.strip()
    if not _APP_SECRET.fullmatch(typed):
        raise ValueError(
            "an App Secret has 32 characters, 0-9 and a-f; "
            "press Show in Settings > Basic and copy all of it"
        )
    return typed


def name_doubt(name: str) -> str:
    """Return a doubt if an App Display Name contains one of Meta's brands; else an empty text."""
    words = {word.lower() for word in _NAME_WORD.findall(name)} & _BRAND_WORDS
    brands = {brand for brand in _BRANDS if brand in name.lower()}
    named = ", ".join(sorted(words | brands))
    if not named:
        return ""
    return (
        f"It contains {named}: Facebook refuses names that contain or resemble Meta's brands. No "
        "full list of refused words is known."
    )


def page_id(text: str) -> str:
    """Return the id of a Facebook page: digits only."""
    typed = text.strip()
    if not _PAGE_ID.fullmatch(typed):
        raise ValueError("a Page ID is a number, as About > Page transparency shows it")
    return typed


def permission_names(text: str) -> tuple[str, ...]:
    """Return permissions separated by commas or spaces, `public_profile` first, each once."""
    return tuple(dict.fromkeys(["public_profile", *_split_permissions(text)]))


def scope(text: str) -> str:
    """Return the requested permissions in the form of Cyclr's console, separated by commas."""
    return ",".join(_split_permissions(text))


def graph_version(text: str) -> str:
    """Return the Graph version, such as `v26.0`."""
    typed = text.strip().lower()
    if not _VERSION.fullmatch(typed):
        raise ValueError("a Graph version looks like v26.0")
    return typed


def is_token(text: str) -> bool:
    """Return whether `text` has the form of a Facebook access token, a user's or an app's."""
    match = _USER_TOKEN.fullmatch(text) or _APP_TOKEN.fullmatch(text)
    return bool(match) and not why_implausible(text)


def _split_permissions(text: str) -> tuple[str, ...]:
    names = formats.scope(text)
    for name in names:
        if not _PERMISSION.fullmatch(name):
            raise ValueError(f"{name!r} is not a permission; one looks like leads_retrieval")
    return names
