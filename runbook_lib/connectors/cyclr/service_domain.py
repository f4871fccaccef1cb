"""
The service domain: does its name resolve, is its certificate good, does the callback answer.
"""

from __future__ import annotations

import re

from runbook_lib.connectors.checks import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.controls import may_refuse_caller, refuses_made_up
from runbook_lib.connectors.findings import failed
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import InvalidCertificateError
from runbook_lib.remote.documents import shorten
from runbook_lib.remote.domain import fetch_page, read_certificate, resolve_name

CALLBACK_PATH = "/connector/callback"

# The forms that Cyclr hands out (General Settings > Service Domain); all else is a custom domain.
_CYCLR_DOMAIN = re.compile(r"[a-z0-9-]+-h\.(eu\.|us2\.|apac\.)?cyclr\.(com|uk)")
_EXPIRES_SOON_DAYS = 21
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_NO_PAGE = (404, 410)


def redirect_uri(service_domain: str) -> str:
    """Return the Valid OAuth Redirect URI of a service domain (documented step 8)."""
    return f"https://{service_domain}{CALLBACK_PATH}"


def is_cyclr_domain(service_domain: str) -> bool:
    """Return whether Cyclr handed out this domain; else it is a custom one."""
    return _CYCLR_DOMAIN.fullmatch(service_domain) is not None


@check("service-domain-answers", needs=("service_domain",))
def service_domain_answers(context: CheckContext) -> Finding:
    """
    Resolve the service domain, verify its certificate and ask for the callback page.

    The certificate names the host. What the page says is nowhere documented,
    so a made-up page beside it is the control: only a host that answers the
    two differently shows that it has a callback. An error that is not about the
    made-up page is no such answer. A certificate that has ended, or is another
    host's, fails. Raises `UnreachableError`
    where one of them gives no answer.
    """
    host = context.text("service_domain")
    resolve_name(context.session, host)
    try:
        certificate = read_certificate(context.session, host)
    except InvalidCertificateError as error:
        return failed(reason=f"{error} {error.diagnostics()}")
    days = (certificate.expires_on - context.now).days
    callback = redirect_uri(host)
    answer = fetch_page(context.session, callback).status
    control = fetch_page(context.session, f"{callback}-{context.random_hex(8)}").status
    warnings = []
    if days < _EXPIRES_SOON_DAYS:
        warnings.append(f"The certificate of {host} expires in {days} days.")
    if not is_cyclr_domain(host):
        warnings.append(
            f"{host} is a custom domain. General Settings shows the default one too, but the "
            "documentation names only the custom one for the sign-in callback: register this one."
        )
    again = answer
    if may_refuse_caller(control):
        again = fetch_page(context.session.branch(once_more=True), callback).status
    outcome, verdict = _judge(answer, control, again)
    return Finding(
        outcome=outcome,
        accepts=("service_domain",) if outcome is Outcome.VERIFIED else (),
        reason=(
            f"{host} resolves, its certificate from {shorten(certificate.issuer)} is valid for "
            f"{days} days, {verdict}."
        ),
        limits=("That the Service Domain belongs to your Cyclr console: no API shows it.",),
        warnings=tuple(warnings),
        facts={"certificate_ends_on": certificate.expires_on.date().isoformat()},
    )


def _judge(answer: int, control: int, again: int) -> tuple[Outcome, str]:
    """Return what the statuses show: the callback page's, a made-up one's, the callback's again."""
    if answer >= _SERVER_ERROR:
        return Outcome.INCONCLUSIVE, f"the callback page answers {answer}"
    if control >= _CLIENT_ERROR and not refuses_made_up(control):
        return (
            Outcome.INCONCLUSIVE,
            f"the callback page answers ({answer}), but a made-up page answers {control}",
        )
    if answer in _NO_PAGE or answer == control:
        verdict = (
            f"but nothing shows that Cyclr's callback is there: the page answers {answer}, a "
            f"made-up one {control}. Compare the name with Settings > General Settings > Service "
            "Domain in the Cyclr console"
        )
        return Outcome.INCONCLUSIVE, verdict
    if again != answer:
        verdict = (
            f"but the callback page answers {answer}, and {again} after a made-up page has "
            f"answered {control}, so nothing shows that Cyclr's callback is there. Check again "
            "later"
        )
        return Outcome.INCONCLUSIVE, verdict
    return (
        Outcome.VERIFIED,
        f"the callback page answers {answer}, a made-up page {control}",
    )
