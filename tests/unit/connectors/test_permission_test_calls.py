"""
The test calls for App Review: which are made, what each shows, when they end.

Thirty days: App Review, Submission Guide. The refusal's words and the form of the usage headers:
third-party readings, 2026.
"""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.connectors.facebook import permission_test_calls
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Finding, Outcome
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import PAGE_TOKEN, TOKEN_INSPECTED, graph_error, rows
from tests.unit.connectors.conftest import RunCheck
from tests.unit.fake_remote import FakeRemote, responds

TIER = {"x-ad-account-usage": '{"acc_id_util_pct":1,"ads_api_access_tier":"development_access"}'}
VERIFIED = Outcome.VERIFIED
INCONCLUSIVE = Outcome.INCONCLUSIVE
TWO = ("business_management", "pages_show_list")
ALL = (
    "public_profile",
    "leads_retrieval",
    "ads_management",
    "ads_read",
    "business_management",
    "pages_manage_ads",
    "pages_read_engagement",
    "pages_show_list",
)


@pytest.fixture
def call(run_check: RunCheck) -> RunCheck:
    """Return the check; `scopes` is what the token carries, `permissions` what is wanted."""

    def run(
        end: Outcome,
        *words: str,
        permissions: tuple[str, ...] = ("leads_retrieval",),
        scopes: tuple[str, ...] = ALL,
        code: str = "",
        **answers: Any,
    ) -> Any:
        inspected = {**TOKEN_INSPECTED, "scopes": list(scopes), "user_id": "873"}
        usual = {
            "oauth/access_token": responds(bodies.APP_TOKEN_ISSUED),
            "debug_token": responds({"data": inspected}),
            "me": responds({"id": "873"}),
            "me/businesses": responds(rows({"id": "1001"})),
            "me/adaccounts": responds(rows({"id": "act_1"})),
            "act_1/campaigns": responds(rows({"id": "c-1"}), headers=TIER),
            "me/accounts": responds(rows({"id": "77", "access_token": PAGE_TOKEN})),
            "77": responds({"id": "77"}),
            "77/leadgen_forms": responds(rows({"id": "form-1"})),
            "form-1/leads": responds(rows({"id": "lead-1"})),
        }
        said = {f"/v26.0/{path}": answer for path, answer in {**usual, **answers}.items()}
        check = permission_test_calls.each_permission_is_used
        return run_check(check, end, *words, answers=said, permissions=permissions, code=code)

    return run


def results(finding: Finding) -> dict[str, str]:
    """Return the result of each permission, from the table."""
    (table,) = finding.tables
    return {row[0]: row[2] for row in table.rows}


def test_nothing_is_called_unasked() -> None:
    """The check needs the person's permission, so without it the step says what is missing."""
    for name in FACEBOOK_CONNECTORS:
        checks = [check for step in find_procedure(name).steps for check in step.checks]
        (mine,) = [
            check for check in checks if check.run is permission_test_calls.each_permission_is_used
        ]
        assert "make_test_calls" in mine.needs


def test_each_permission_is_used_once(remote: FakeRemote, call: RunCheck) -> None:
    """With permissions that serve no other's call, each is proven by one call of its own."""
    said = wording("findings.test-calls-made", number=3)
    finding = call(VERIFIED, said, permissions=TWO)
    assert set(results(finding).values()) == {"made"}
    assert remote.paths.count("/v26.0/me/businesses") == 1


def test_a_call_that_another_permission_serves_shows_nothing(call: RunCheck) -> None:
    """ads_read and ads_management serve one call, so it shows neither where both are carried."""
    finding = call(
        INCONCLUSIVE, wording("findings.none-shows-use", names="ads_management, ads_read")
    )
    assert results(finding)["ads_read"] == wording(
        "findings.allowed-by-another", permission="ads_management"
    )
    assert results(finding)["leads_retrieval"] == "made"


def test_the_same_call_shows_it_where_the_other_is_not_carried(call: RunCheck) -> None:
    """A token that carries ads_read alone shows that ads_read was used."""
    call(VERIFIED, permissions=("ads_read",), scopes=("public_profile", "ads_read"))


@pytest.mark.parametrize("edge", ["me/businesses", "me/accounts"])
def test_an_empty_list_shows_no_use(call: RunCheck, edge: str) -> None:
    """A call that read nothing shows no use: without its permission the list may be empty too."""
    said = wording("findings.none-shows-use", names="")
    finding = call(INCONCLUSIVE, said, permissions=TWO, **{edge: responds(rows())})
    (empty,) = [said for said in results(finding).values() if said != "made"]
    assert empty == wording("findings.list-is-empty")


def test_a_permission_that_the_token_lacks_is_not_tried(remote: FakeRemote, call: RunCheck) -> None:
    """No call is made for a permission that the token lacks."""
    scopes = ("public_profile",)
    finding = call(INCONCLUSIVE, permissions=("business_management",), scopes=scopes)
    assert results(finding)["business_management"] == wording("findings.token-lacks-it")
    assert "/v26.0/me/businesses" not in remote.paths


def test_a_refused_call_is_named_and_the_others_are_made(call: RunCheck) -> None:
    """One refusal stands in the table, and stops no other call."""
    refusal = responds(graph_error("(#200) Requires business_management permission", 200), 403)
    finding = call(INCONCLUSIVE, permissions=TWO, **{"me/businesses": refusal})
    assert results(finding)["business_management"].startswith("refused: (#200) Requires")
    assert results(finding)["pages_show_list"] == "made"


def test_a_missing_page_is_named(call: RunCheck) -> None:
    """Without a page that the person may manage, its calls say what is missing."""
    found = results(call(INCONCLUSIVE, **{"me/accounts": responds(rows({"id": "77"}))}))
    assert found["pages_manage_ads"] == wording("findings.no-page-to-read")
    assert found["leads_retrieval"] == wording("findings.no-form-to-read")
    assert found["pages_show_list"] == "made"


def test_a_permission_without_a_known_call_is_the_persons(call: RunCheck) -> None:
    """If no read call is known, the person must make one."""
    scopes = ("public_profile", "instagram_basic")
    finding = call(INCONCLUSIVE, permissions=("instagram_basic",), scopes=scopes)
    assert wording("findings.make-one-yourself") in results(finding)["instagram_basic"]


def test_the_tier_comes_from_the_headers(call: RunCheck) -> None:
    """The tier and the number of calls are told as what they are: at least that many."""
    limits = " ".join(call(INCONCLUSIVE).limits)
    assert wording("findings.tier", tier="development_access") in limits
    assert wording("findings.calls-made", calls=1) in limits
    assert wording("findings.no-api-shows-it") in limits


def test_a_token_of_another_app_makes_no_call(remote: FakeRemote, call: RunCheck) -> None:
    """A token that is not this app's makes no test call, which would count for another app."""
    said = wording("findings.token-of-another-app")
    call(
        INCONCLUSIVE,
        said,
        debug_token=responds(bodies.TOKEN_OF_ANOTHER_APP, 400),
        code="token-of-another-app",
    )
    assert not [path for path in remote.paths if "/me" in path]
