"""
What connectors use a permission for, as data for App Review: its forms, and what they share.

A connector's own uses are `USES` in its package's `permission_uses`. The texts
are the case of a product that embeds Cyclr, to be adapted: `‹…›` is what only
its maker knows, `{app}` the App Display Name. A call names the connector's
method where Cyclr documents one. `review_kit` makes the kit from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.connectors.review_kit import Call

# A feature, not a permission; it is requested beside the permissions on which ads and leads rest.
TIER = "Marketing API Access Tier"

PERMISSIONS = "https://developers.facebook.com/docs/permissions"


@dataclass(frozen=True, slots=True)
class Dependency:
    """Another permission that Facebook demands beside this one, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """
    How a connector uses a permission or a feature.

    `usage` is the text for App Review, `shot` what the recording must show of
    it. Uses are in the order in which a recording shows them.
    """

    name: str
    usage: str
    shot: str
    source: str
    calls: tuple[Call, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    is_feature: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorUses:
    """
    What one connector uses each permission for.

    `purpose` says what the app does, `server_to_server` that it has no pages of
    its own, `end` what the recording and the reviewer see last; `trigger` makes it happen.
    """

    title: str
    purpose: str
    server_to_server: str
    choice: str
    trigger: str
    end: str
    uses: tuple[Use, ...]

    def find(self, name: str) -> Use | None:
        """Return the use of the permission `name`, if there is one."""
        return next((use for use in self.uses if use.name == name), None)


PUBLIC_PROFILE = Use(
    name="public_profile",
    usage=(
        "{app} reads the name and the id of the person who connects a Facebook account, and shows "
        "in ‹our product› whose account is connected. Nothing else of the profile is read."
    ),
    calls=(Call("GET /me?fields=id,name", "reads the name and id of the person who signed in"),),
    shot="After the login, ‹our product› shows the name of the connected Facebook account.",
    source=PERMISSIONS,
)

SERVER_TO_SERVER = (
    "{app} works from server to server: apart from the Meta login and the choices after it, it has "
    "no pages of its own. After the consent, Cyclr's servers ({domain}) call the Graph API on the "
    "customer's behalf and pass the data to the system that the customer chose. The recording "
    "therefore shows the whole Meta login, the grant screen, and the data where it arrives."
)
