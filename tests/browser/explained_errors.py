"""Error texts that the page explains."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.wording import wording


class Explained(NamedTuple):
    """The steps to check in order, and the last one's texts: what is wrong, what to do next."""

    steps: tuple[str, ...]
    wrong: str
    following: str


EXPLAINED = {
    "wrong-secret": Explained(
        ("fb-13-app-id-and-secret",),
        "does not accept this App ID with this App Secret",
        "Compare both with App settings > Basic",
    ),
    "unknown-app": Explained(
        ("fb-13-app-id-and-secret",),
        "does not accept this App ID with this App Secret",
        "Look at the App ID first",
    ),
    "redirect-missing": Explained(
        ("fb-08-redirect-uri",),
        "Facebook does not accept https://",
        "Enter it under Valid OAuth Redirect URIs",
    ),
    "review-pending": Explained(
        ("fb-12-submit-review",),
        "does not list public_profile, leads_retrieval",
        "App Review > Requests shows",
    ),
    "review-declined": Explained(
        ("fb-12-submit-review",),
        wording("findings.waiting-or-declined"),
        "App Review > Requests shows",
    ),
    "partly-declined": Explained(
        ("fb-12-submit-review",),
        "does not list leads_retrieval, pages_manage_ads",
        "App Review > Requests shows",
    ),
    "use-case-missing": Explained(
        ("fb-11-permissions",),
        "does not list leads_retrieval",
        "that you requested Advanced Access for each",
    ),
    "tech-provider-pending": Explained(
        ("test-06-customer-consent",),
        "Facebook refuses the data",
        "check Access Verification, as a Tech Provider",
    ),
    "permission-missing": Explained(
        ("fb-11-permissions",),
        "does not list leads_retrieval",
        "that you requested Advanced Access for each",
    ),
    "cyclr-mismatch": Explained(
        ("cy-02-client-id",),
        "signs users in with Client ID",
        "Correct it in Connector Library > Setup",
    ),
    "cyclr-ip-blocked": Explained(
        ("test-01-install", "test-02-authenticate", "test-03-permissions"),
        wording("findings.address-not-allowed"),
        "Ask Cyclr to allow it",
    ),
    "rate-limited": Explained(
        ("fb-05-confirm-creation",),
        "x-app-usage is used up",
        "wait about 60 min",
    ),
    "version-expired": Explained(
        ("fb-13-app-id-and-secret",),
        wording("findings.version-has-ended"),
        "Set graph_version to a current one",
    ),
    "token-expired": Explained(
        ("test-04-user-token",),
        "Session has expired",
        "Sign in again for a fresh one",
    ),
}
