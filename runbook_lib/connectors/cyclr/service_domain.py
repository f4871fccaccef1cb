"""
The service domain: its name, its certificate, and the answer of its callback.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec import structs

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.controls import may_refuse_caller, refuses_made_up
from runbook_lib.connectors.findings import failed, inconclusive, verified
from runbook_lib.connectors.proof import STATED
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import InvalidCertificateError
from runbook_lib.remote.domain import (
    REDIRECTS,
    fetch_page,
    read_certificate,
    redirect_target,
    resolve_name,
)
from runbook_lib.remote.http_messages import Response
from runbook_lib.remote.page_reader import read_page
from runbook_lib.remote.quoting import shorten

CALLBACK_PATH = "/connector/callback"

# The forms of Cyclr's own names (General Settings > Service Domain); others are custom domains.
_CYCLR_DOMAIN = re.compile(r"[a-z0-9-]+-h\.(eu\.|us2\.|apac\.)?cyclr\.(com|uk)")
_EXPIRES_SOON_DAYS = 21
_OK = 200
_NO_PAGE = (404, 410)
# Statuses by which a callback refuses a request without `code` and `state` (RFC 9110 §15.5). 401
# and 403 come from a guard in front of a host.
_OF_A_CALLBACK = (400, 405, 422)


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

    The certificate names the host. No page documents the callback's response, so a made-up page
    beside it is the control. Verified needs both: an answer that a callback may give, and a
    different refusal of the made-up page. An answer that asks to come again, has no content or
    leads to another host shows no callback. A certificate that has ended, or is another host's,
    fails. Raises `UnreachableError` if one of them gives no answer.
    """
    host = context.text("service_domain")
    resolve_name(context.session, host)
    try:
        certificate = read_certificate(context.session, host)
    except InvalidCertificateError as error:
        return failed(STATED, code=error.code, reason=f"{error} {error.diagnostics()}")
    days = (certificate.expires_on.date() - context.now.date()).days
    callback = redirect_uri(host)
    response = fetch_page(context.session, callback)
    control = fetch_page(context.session, f"{callback}-{context.random_hex(8)}")
    warnings = []
    if days < _EXPIRES_SOON_DAYS:
        warnings.append(f"The certificate of {host} expires in {days} days.")
    if not is_cyclr_domain(host):
        warnings.append(
            f"{host} is a custom domain: register it, not the default one of General Settings."
        )
    again = response.status
    if may_refuse_caller(control.status):
        again = fetch_page(context.session.branch(once_more=True), callback).status
    finding = _conclude_callback(host, response, control, again)
    return structs.replace(
        finding,
        accepts=("service_domain",) if finding.outcome is Outcome.VERIFIED else (),
        reason=f"{host} resolves, its certificate from {shorten(certificate.issuer)} is valid for "
        f"{days} days, {finding.reason}.",
        limits=("That the Service Domain belongs to your Cyclr console: no API shows it.",),
        warnings=tuple(warnings),
        facts={"certificate_ends_on": certificate.expires_on.date().isoformat()},
    )


def _conclude_callback(host: str, response: Response, control: Response, again: int) -> Finding:
    """
    Return the finding about the callback; its reason is the end of a sentence.

    `response` is the callback page, `control` a made-up page; `again` is the status of the callback
    page a second time.
    """
    answer = response.status
    other = control.status
    if answer in _NO_PAGE or answer == other:
        return inconclusive(
            code="callback-not-shown",
            reason=f"but nothing shows that Cyclr's callback is there: the page answers {answer}, "
            f"a made-up one {other}. Compare the name with Settings > General Settings > Service "
            "Domain in the Cyclr console",
        )
    if not refuses_made_up(other):
        return inconclusive(
            code="made-up-page-not-refused",
            reason=f"the callback page answers ({answer}), but a made-up page answers {other}",
        )
    if reason := _why_no_callback(host, response):
        return inconclusive(
            code="callback-not-shown",
            reason=f"but the callback page answers {answer}{reason}, so nothing shows that Cyclr's "
            "callback is there. Check again later",
        )
    if again != answer:
        return inconclusive(
            code="callback-refused-after-control",
            reason=f"but the callback page answers {answer}, and {again} after a made-up page has "
            f"answered {other}, so nothing shows that Cyclr's callback is there. Check again later",
        )
    return verified(
        code="callback-answers",
        reason=f"the callback page answers {answer}, a made-up page {other}",
    )


def _why_no_callback(host: str, response: Response) -> str:
    """Return the reason why this is no callback, as the end of a clause; empty if it may be one."""
    status = response.status
    if status in REDIRECTS and response.headers.get("location"):
        target = redirect_target(response)
        is_same_host = urlsplit(f"//{target}").hostname == host
        return "" if is_same_host else f" and leads to {target or 'no address'}"
    is_page = status == _OK or status in REDIRECTS
    if is_page and read_page(response.url, response).is_challenge:
        return " with a page that tests or blocks visitors, or is a parked domain's"
    if is_page:
        return "" if response.text.strip() else " without content"
    return "" if status in _OF_A_CALLBACK else " in place of a page"
