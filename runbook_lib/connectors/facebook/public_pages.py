"""
The pages that Facebook's reviewer opens: privacy policy, terms, data deletion.

Each must open for everybody, without a script. The record keeps only a page's status and title.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from msgspec import structs

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.controls import may_refuse_caller, refuses_made_up
from runbook_lib.connectors.facebook.graph_clients import APP, app_node
from runbook_lib.connectors.findings import failed, inconclusive, verified
from runbook_lib.connectors.proof import LOOK_YOURSELF, is_gone, weigh_gone
from runbook_lib.core.model import Finding, Outcome, Table
from runbook_lib.errors import RemoteError, UnexpectedResponseError
from runbook_lib.remote.page_reader import PublicPage, open_page
from runbook_lib.remote.quoting import shorten

_PAGES: Mapping[str, str] = {
    "privacy_policy_url": "Privacy Policy URL",
    "terms_of_service_url": "Terms of Service URL",
    "data_deletion_url": "Data deletion address",
}
# A page that needs a script shows a sentence or two without it.
_LEAST_TEXT = 200
_NOT_READ = (
    "That each page says what it must and is about this app: the check opens the pages and does "
    "not judge their text."
)
# Share of equal words between two pages that differ only by an address or an id.
_ALIKE = 0.9
_OK = 200
_CLIENT_ERROR = 400


@check("public-pages-open", needs=APP)
def public_pages_open(context: CheckContext) -> Finding:
    """
    Open each page that the app's settings name, and the data deletion address from an input.

    A made-up page of the same host is the control: a host that answers
    everything alike, or nothing else, shows no policy.
    """
    settings = list(_PAGES)[:2]
    node, _ = app_node(context, *settings)
    named = {name: node.display_text(name) for name in settings}
    named["data_deletion_url"] = context.text("data_deletion_url")
    findings = context.side_by_side(
        _check_page, [(_PAGES[name], url) for name, url in named.items()]
    )
    return _combine_findings(named, dict(zip(named, findings, strict=True)))


def _check_page(context: CheckContext, page: tuple[str, str]) -> Finding:
    label, url = page
    if not url:
        return inconclusive(code="page-not-named", reason=f"{label}: no address is known.")
    if urlsplit(url).scheme != "https":
        return inconclusive(
            code="page-not-https",
            reason=f"{label}: {shorten(url)} is not https, so its content can change on the way. "
            "Enter an https address at Facebook.",
        )
    try:
        return _check_named_page(context, label, url)
    except RemoteError as error:
        return inconclusive(code=error.code, reason=f"{label}: {error} {LOOK_YOURSELF}")


def _check_named_page(context: CheckContext, label: str, url: str) -> Finding:
    page = open_page(context.session, url)
    if page.status != _OK and not page.is_challenge:
        return _conclude_missing(context, label, url, page.status)
    if len(page.text) < _LEAST_TEXT:
        return inconclusive(
            code="page-without-text",
            reason=f"{label}: {shorten(url)} shows only {len(page.text)} characters without "
            f"JavaScript. {LOOK_YOURSELF}",
        )
    if page.is_challenge:
        return inconclusive(
            code="page-challenge",
            reason=f"{label}: {shorten(url)} seems to test whether visitors are people, to block "
            f"them, or to be a parked domain (“{page.title or 'no title'}”), so nothing shows the "
            f"page itself. {LOOK_YOURSELF}",
        )
    control = _open_made_up_page(context, page.url)
    if control and (
        control.is_challenge
        or (control.status >= _CLIENT_ERROR and not refuses_made_up(control.status))
    ):
        return inconclusive(
            code="made-up-page-not-refused",
            reason=f"{label}: {urlsplit(page.url).hostname} answers a made-up page with "
            f"{control.status}, so nothing shows that {shorten(url)} is there. {LOOK_YOURSELF}",
        )
    if control is not None and (control.url == page.url or _is_alike(page, control)):
        return inconclusive(
            code="made-up-page-alike",
            reason=f"{label}: {urlsplit(page.url).hostname} answers a made-up page the same way as "
            f"{shorten(url)}, so nothing shows that this page is there. {LOOK_YOURSELF}",
        )
    if control and may_refuse_caller(control.status):
        again = open_page(context.session.branch(once_more=True), url).status
        if again != _OK:
            return inconclusive(
                code="page-refused-after-control",
                reason=f"{label}: {shorten(url)} answers {again} after a made-up page has "
                f"answered {control.status}, so nothing shows that this page is there. Check "
                "again later.",
            )
    return verified(
        code="page-opens", reason=f"{label}: “{page.title or 'no title'}” opens without JavaScript."
    )


def _conclude_missing(context: CheckContext, label: str, url: str, status: int) -> Finding:
    """Return the finding about a page that did not open; failed only if it is gone twice."""
    statuses = [status]
    if is_gone(status):
        statuses.append(open_page(context.session.branch(once_more=True), url).status)
    answers = " and then ".join(map(str, dict.fromkeys(statuses)))
    reason = f"{label}: {shorten(url)} answers {answers}."
    proof = weigh_gone(statuses)
    if proof.doubt:
        proof = replace(proof, doubt=f"{reason} {proof.doubt}")
    return failed(proof, code="page-gone", reason=reason)


def _is_alike(page: PublicPage, control: PublicPage) -> bool:
    """Return whether two pages have the same text, except for a repeated address or id."""
    if page.status != control.status:
        return False
    words = Counter(page.text.split())
    others = Counter(control.text.split())
    shared = sum((words & others).values())
    return shared >= _ALIKE * max(words.total(), others.total())


def _open_made_up_page(context: CheckContext, url: str) -> PublicPage | None:
    """
    Return a made-up page of that host, or `None` if it leads elsewhere.

    Raises `RemoteError` if the host does not respond: then there is no control.
    """
    parts = urlsplit(url)
    made_up = parts._replace(path=f"/{context.random_hex(8)}", query="", fragment="").geturl()
    try:
        return open_page(context.session, made_up)
    except UnexpectedResponseError:
        return None


def _combine_findings(named: Mapping[str, str], findings: Mapping[str, Finding]) -> Finding:
    rows = tuple((_PAGES[name], named[name] or "–", findings[name].outcome) for name in named)
    worst = min(findings.values(), key=lambda finding: _ORDER.index(finding.outcome))
    reasons = [finding.reason for finding in findings.values() if finding.outcome is worst.outcome]
    table = Table(caption="Public pages", columns=("Page", "Address", "Result"), rows=rows)
    return structs.replace(worst, reason=" ".join(reasons), limits=(_NOT_READ,), tables=(table,))


_ORDER = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.VERIFIED)
