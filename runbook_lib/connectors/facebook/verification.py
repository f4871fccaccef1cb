"""
Business Verification: the one of Facebook's two verifications that an API shows.

No API shows Access Verification (as a Tech Provider): a person confirms it.
"""

from __future__ import annotations

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph_clients import USER, app_node, user_graph
from runbook_lib.connectors.findings import failed, inconclusive, not_done, verified, waiting
from runbook_lib.connectors.proof import STATED
from runbook_lib.core.model import Finding
from runbook_lib.remote.json_fields import JSONObject
from runbook_lib.remote.quoting import shorten

# Business.verification_status, as Meta's SDK lists it.
_VERIFIED = "verified"
_NOT_BEGUN = ("not_verified", "pending_submission")
_WAITS = ("pending", "pending_need_more_info")
_REFUSED = ("expired", "failed", "ineligible", "rejected", "revoked")
_OWNERS = ("owner_business", "business")


@check("business-is-verified", needs=USER)
def business_is_verified(context: CheckContext) -> Finding:
    """
    Read the verification status of the business that owns the app.

    (Graph: Business, verification_status.) The app's node names its business; if it does not,
    nothing ties a business to this app.
    """
    node, _ = app_node(context, *_OWNERS)
    named = [node.object_at(name).identifier("id") for name in _OWNERS if name in node]
    owner = named[0] if named else ""
    rows = user_graph(context).rows(
        "me/businesses",
        context.secrets["user_access_token"],
        fields="id,name,verification_status",
        limit="100",
    )
    businesses = {row.identifier("id"): row for row in rows}
    if owner in businesses:
        return _conclude_status(businesses[owner])
    if owner:
        return inconclusive(
            code="business-not-shown",
            reason=f"The app belongs to business {owner}, which this person's token does not show.",
        )
    described = ", ".join(
        f"{_name_of_business(row)}: {_status_of_business(row) or 'no status'}"
        for row in businesses.values()
    )
    return inconclusive(
        code="business-not-named",
        reason="Facebook does not say which business owns the app"
        + (
            f"; this person's businesses: {described}." if described else ", and shows no business."
        ),
    )


def _conclude_status(business: JSONObject) -> Finding:
    name = _name_of_business(business)
    status = _status_of_business(business)
    if status == _VERIFIED:
        return verified(
            code="business-verified", reason=f"{name}, which owns the app, is verified."
        )
    if status in _WAITS:
        more = " Facebook asks for more information." if status.endswith("info") else ""
        reason = f"The verification of {name}, which owns the app, is pending.{more}"
        return waiting(code="business-verification-pending", reason=reason)
    if status in _NOT_BEGUN:
        return not_done(
            code="business-verification-not-started",
            reason=f"{name}, which owns the app, is not verified: start verification.",
        )
    if status in _REFUSED:
        return failed(
            STATED,
            code="business-verification-refused",
            reason=f"The verification of {name}, which owns the app, is {status}. The "
            "portfolio's Security Center says why; correct that and submit it again.",
        )
    return inconclusive(
        code="business-verification-unknown",
        reason=f"Facebook gives {name}, which owns the app, "
        f"{f'the unknown status {status}' if status else 'no verification status'}.",
    )


def _name_of_business(business: JSONObject) -> str:
    return shorten(business.display_text("name")) or business.identifier("id")


def _status_of_business(business: JSONObject) -> str:
    return business.display_text("verification_status").lower()
