"""
Business Verification: the business that owns the app, and what Facebook says of it.

The statuses are those of Meta's SDK (facebook-business, `Business.VerificationStatus`); no whole
answer was recorded anywhere.
"""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.connectors.facebook.verification import business_is_verified
from runbook_lib.core.model import Finding, Outcome
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_ID, rows
from tests.unit.connectors.conftest import MakeContext
from tests.unit.fake_remote import FakeRemote, responds

OWNED = {"id": APP_ID, "owner_business": {"id": "1001", "name": "Acme"}}


@pytest.fixture
def ask(remote: FakeRemote, make_context: MakeContext) -> Any:
    """Return the check; `status` is the owner's, `app` the app's node."""

    def run(status: str | None = "verified", app: Any = OWNED, **business: Any) -> Finding:
        business = {"id": "1001", "name": "Acme", **business}
        if status is not None:
            business["verification_status"] = status
        remote.on("/v26.0/oauth/access_token", responds(bodies.APP_TOKEN_ISSUED))
        remote.on(f"/v26.0/{APP_ID}", responds(app))
        other = {"id": "2002", "name": "Umbrella", "verification_status": "verified"}
        remote.on("/v26.0/me/businesses", responds(rows(other, business)))
        return business_is_verified(make_context())

    return run


@pytest.mark.parametrize(
    ("status", "outcome", "said"),
    [
        ("verified", Outcome.VERIFIED, "Acme, which owns the app, is verified."),
        ("pending", Outcome.WAITING, "is pending."),
        ("pending_need_more_info", Outcome.WAITING, "asks for more information"),
        ("not_verified", Outcome.NOT_RUN, "is not verified: start verification"),
        ("pending_submission", Outcome.NOT_RUN, "start verification"),
        ("rejected", Outcome.FAILED, "is rejected"),
        ("revoked", Outcome.FAILED, "is revoked"),
        ("something_new", Outcome.INCONCLUSIVE, "the unknown status something_new"),
        (None, Outcome.INCONCLUSIVE, "no verification status"),
    ],
)
def test_the_owners_status_decides(
    status: str | None, outcome: Outcome, said: str, ask: Any
) -> None:
    """Each status of Meta's SDK has its outcome; an unknown one proves nothing."""
    finding = ask(status)

    assert finding.outcome is outcome
    assert said in finding.reason


def test_another_verified_business_proves_nothing(ask: Any) -> None:
    """If Facebook does not name the app's owner, a verified business is only mentioned."""
    finding = ask(app={"id": APP_ID})

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "Umbrella: verified, Acme: verified" in finding.reason


def test_an_owner_that_the_token_does_not_show_proves_nothing(ask: Any) -> None:
    """A person who is not in the owning business cannot show its status."""
    finding = ask(id="3003")

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert wording("findings.owner-not-shown", business=1001) in finding.reason
