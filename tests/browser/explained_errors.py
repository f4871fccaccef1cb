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
        wording("findings.secret-not-accepted"),
        wording("findings.compare-with-basic"),
    ),
    "unknown-app": Explained(
        ("fb-13-app-id-and-secret",),
        wording("findings.secret-not-accepted"),
        wording("findings.look-at-app-id"),
    ),
    "redirect-missing": Explained(
        ("fb-08-redirect-uri",),
        wording("findings.redirect-uri-refused-does-accept", uri="https://"),
        wording("findings.enter-the-domain"),
    ),
    "review-pending": Explained(
        ("fb-12-submit-review",),
        wording("findings.does-not-list-these", permissions="public_profile, leads_retrieval"),
        wording("findings.requests-shows"),
    ),
    "review-declined": Explained(
        ("fb-12-submit-review",),
        wording("findings.waiting-or-declined"),
        wording("findings.requests-shows"),
    ),
    "partly-declined": Explained(
        ("fb-12-submit-review",),
        wording("findings.does-not-list-these", permissions="leads_retrieval, pages_manage_ads"),
        wording("findings.requests-shows"),
    ),
    "use-case-missing": Explained(
        ("fb-11-permissions",),
        wording("findings.does-not-list-these", permissions="leads_retrieval"),
        wording("findings.requested-for-each"),
    ),
    "tech-provider-pending": Explained(
        ("test-06-customer-consent",),
        wording("findings.data-refused"),
        wording("findings.check-access-verification"),
    ),
    "permission-missing": Explained(
        ("fb-11-permissions",),
        wording("findings.does-not-list-these", permissions="leads_retrieval"),
        wording("findings.requested-for-each"),
    ),
    "cyclr-mismatch": Explained(
        ("cy-02-client-id",),
        wording("findings.signs-in-with", client_id=""),
        wording("findings.correct-in-setup"),
    ),
    "cyclr-ip-blocked": Explained(
        ("test-01-install", "test-02-authenticate", "test-03-permissions"),
        wording("findings.address-not-allowed"),
        wording("findings.ask-cyclr-to-allow"),
    ),
    "rate-limited": Explained(
        ("fb-05-confirm-creation",),
        wording("rate-limited.used-up", name="x-app-usage", wait="60 min"),
        wording("rate-limited.wait", wait="60 min"),
    ),
    "version-expired": Explained(
        ("fb-13-app-id-and-secret",),
        wording("findings.version-has-ended"),
        wording("findings.set-current-version"),
    ),
    "token-expired": Explained(
        ("test-04-user-token",),
        wording("findings.session-has-expired"),
        wording("findings.fresh-one"),
    ),
}
