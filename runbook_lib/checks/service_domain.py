"""
The service domain: does its name resolve, is its certificate good, does the callback answer.

What Facebook thinks of the domain is asked in `app`.
"""

from __future__ import annotations

import re

from runbook_lib.checks.context import CheckContext
from runbook_lib.procedure import Finding, Outcome
from runbook_lib.remote.domain import fetch_page, read_certificate, resolve_name

__all__ = ["CALLBACK_PATH", "is_cyclr_domain", "redirect_uri", "service_domain_answers"]

CALLBACK_PATH = "/connector/callback"

# The forms that Cyclr hands out (General Settings > Service Domain); all else is a custom domain.
_CYCLR_DOMAIN = re.compile(r"[a-z0-9-]+-h\.(eu\.|us2\.|apac\.)?cyclr\.(com|uk)")
_EXPIRES_SOON_DAYS = 21


def redirect_uri(service_domain: str) -> str:
    """Return the Valid OAuth Redirect URI of a service domain (documented step 8)."""
    return f"https://{service_domain}{CALLBACK_PATH}"


def is_cyclr_domain(service_domain: str) -> bool:
    """Tell a domain that Cyclr handed out from a custom one."""
    return _CYCLR_DOMAIN.fullmatch(service_domain) is not None


def service_domain_answers(context: CheckContext) -> Finding:
    """
    Resolve the service domain, verify its certificate and ask for the callback page.

    Raises `UnreachableError` where one of them gives no answer.
    """
    host = context.text("service_domain")
    resolve_name(context.session, host)
    certificate = read_certificate(context.session, host)
    answer = fetch_page(context.session, redirect_uri(host))
    days = (certificate.expires_on - context.now).days
    warnings = []
    if days < _EXPIRES_SOON_DAYS:
        warnings.append(f"The certificate of {host} expires in {days} days.")
    if not is_cyclr_domain(host):
        warnings.append(
            f"{host} is a custom domain. General Settings shows the default one too; only the "
            "custom one is documented to serve the sign-in callback, so register this one."
        )
    if answer.status >= 500:
        outcome, verdict = Outcome.INCONCLUSIVE, f"the callback page answers {answer.status}"
    else:
        outcome, verdict = Outcome.VERIFIED, f"the callback page answers ({answer.status})"
    return Finding(
        outcome=outcome,
        reason=(
            f"{host} resolves, its certificate from {certificate.issuer} is valid for "
            f"{days} days, {verdict}."
        ),
        limits=("That this domain belongs to your Cyclr console: no API shows it.",),
        warnings=tuple(warnings),
    )
