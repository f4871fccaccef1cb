"""The checks of a user's token: whose it is, how long it is valid, what it grants and reads."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runbook_lib.connectors.facebook.user_token import (
    lead_data_is_readable,
    marketing_data_is_readable,
    user_token_is_valid,
)
from runbook_lib.core.model import Outcome, Table
from runbook_lib.errors import UnexpectedResponseError
from tests.conftest import NOON
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_SECRET, PAGE_TOKEN, TOKEN_INSPECTED, USER_TOKEN, rows
from tests.unit.connectors.conftest import MakeContext, RunCheck
from tests.unit.fake_remote import FakeRemote, Responder, fields, responds

VERIFIED = Outcome.VERIFIED
FAILED = Outcome.FAILED
INCONCLUSIVE = Outcome.INCONCLUSIVE
GRANTED = bodies.statuses(public_profile="granted", leads_retrieval="granted")
DECLINED = bodies.statuses(public_profile="granted", leads_retrieval="declined")
INSPECTION = "/v26.0/debug_token"
ACCOUNTS = "/v26.0/me/adaccounts"
PAGES = "/v26.0/me/accounts"
EMPTY_PAGE = {"id": "page-0", "access_token": bodies.OTHER_PAGE_TOKEN}
LEAD_PAGE = {"id": "page-1", "name": "Acme Page", "access_token": PAGE_TOKEN}
# Facebook lists no page of the person, nor names one in any other way.
NO_PAGE = {
    PAGES: responds(rows()),
    INSPECTION: responds({"data": TOKEN_INSPECTED}),
    "/v26.0/me/businesses": responds(rows()),
}


def nouns(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def proof(token: str) -> str:
    return hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()


def epoch(moment: datetime = NOON, **later: int) -> int:
    return int((moment + timedelta(**later)).timestamp())


def listing_accounts(*accounts: Any, **more: Any) -> dict[str, Responder]:
    """Return answers that list these ad accounts, and no page."""
    return {ACCOUNTS: responds(rows(*accounts), **more), **NO_PAGE}


@pytest.fixture(autouse=True)
def _token(remote: FakeRemote) -> None:
    remote.on("/v26.0/oauth/access_token", responds(bodies.APP_TOKEN_ISSUED))


@pytest.fixture
def inspect(run_check: RunCheck) -> RunCheck:
    """Return the check of the token; keyword arguments change what Facebook says of it."""

    def run(end: Any, *words: str, grants: Any = GRANTED, **data: Any) -> Any:
        inspected = responds({"data": {**TOKEN_INSPECTED, **data}})
        answers = {INSPECTION: inspected, "/v26.0/me/permissions": responds(grants)}
        return run_check(user_token_is_valid, end, *words, answers=answers)

    return run


def test_a_valid_token_of_this_app_is_verified(remote: FakeRemote, inspect: RunCheck) -> None:
    """Validity, permissions and end of the token are read from Facebook."""
    granted = wording(
        "findings.permissions-seen-through-cyclr", names="public_profile, leads_retrieval"
    )
    finding = inspect(VERIFIED, wording("findings.token-valid"), granted)

    assert (finding.warnings, finding.limits) == ((), ())
    inspected, permissions = remote.requests[1:]
    assert fields(inspected) == {"input_token": USER_TOKEN, "locale": "en_US"}
    assert inspected.headers["authorization"] == f"Bearer {bodies.APP_TOKEN}"
    assert fields(permissions)["appsecret_proof"] == proof(USER_TOKEN)


@pytest.mark.parametrize(
    ("data", "end", "words"),
    [
        # A token that is not valid fails only by an error of the table.
        ({"is_valid": False}, INCONCLUSIVE, [wording("findings.token-error-not-named")]),
        (
            {"is_valid": False, "error": None},
            INCONCLUSIVE,
            [wording("findings.token-error-not-named-its-field")],
        ),
        *(
            ({"is_valid": False, "error": {"code": code, "message": "No."}}, INCONCLUSIVE, [said])
            for code in (1, 2, 4, 17, 100, 368)
            for said in [wording("findings.token-not-inspected", code=code)]
        ),
        *(
            (
                {"is_valid": False, "error": {"code": 190, "message": "No.", "subcode": subcode}},
                end,
                [f"(No., code 190/{subcode})"],
            )
            for subcode, end in ((460, FAILED), (463, FAILED), (99, INCONCLUSIVE))
        ),
        (
            {"is_valid": False, "error": {"code": 190}},
            FAILED,
            [wording("findings.token-invalid", number=190)],
        ),
        (
            {"error": {"code": 190}},
            UnexpectedResponseError,
            [wording("findings.unexpected-response-names-error")],
        ),
        # A token that is not a user's fails; of another kind nothing is known.
        *(
            ({"type": kind}, end, [wording("findings.token-kind-unknown", kind=kind)])
            for kind, end in (("PAGE", FAILED), ("APP", FAILED), ("NEW_KIND", INCONCLUSIVE))
        ),
        # A permission that both sources lack fails.
        (
            {"scopes": ["public_profile"], "grants": bodies.statuses(public_profile="granted")},
            FAILED,
            [f"^{wording('findings.token-lacks-permission', names='leads_retrieval')}"],
        ),
        # If only one source lacks it, the reason names both.
        (
            {"scopes": ["public_profile"]},
            INCONCLUSIVE,
            [
                f"^{wording('findings.sources-disagree-permissions', names='leads_retrieval')}",
                "sign in again",
            ],
        ),
        (
            {"grants": bodies.statuses(public_profile="granted")},
            INCONCLUSIVE,
            [f"^{wording('findings.sources-disagree-debug-token', names='leads_retrieval')}"],
        ),
        (
            {"grants": DECLINED},
            INCONCLUSIVE,
            [f"^{wording('findings.sources-disagree-debug-token', names='leads_retrieval')}"],
        ),
        # A list that is left out, null, empty or a part shows nothing.
        *(
            (
                {"scopes": scopes},
                INCONCLUSIVE,
                [wording("findings.list-incomplete-debug-token", gap=gap)],
            )
            for scopes, gap in ((None, "is null"), ([], "is empty"))
        ),
        (
            {"grants": {"data": []}},
            INCONCLUSIVE,
            [wording("findings.list-incomplete-permissions")],
        ),
        (
            {"grants": {**bodies.statuses(public_profile="granted"), "paging": {"next": "x"}}},
            INCONCLUSIVE,
            [wording("findings.list-incomplete-permissions-cursor")],
        ),
        # A declined permission fails, and the reason says that it was declined.
        (
            {"scopes": ["public_profile"], "grants": DECLINED},
            FAILED,
            [
                wording("findings.token-lacks-permission-declined", names="leads_retrieval"),
                "press Edit settings",
                "auth_type=rerequest",
                "ends all of the person's tokens",
            ],
        ),
        # A valid token that reads no data any more fails, and the reason says what to do.
        *(
            (
                {"data_access_expires_at": epoch(seconds=seconds)},
                FAILED,
                [wording("findings.data-access-ended", day="2026-11-24"), "consent again"],
            )
            for seconds in (-1, 0)
        ),
        # A contradictory answer, or a wrong clock, decides nothing.
        (
            {"expires_at": epoch(minutes=-1)},
            UnexpectedResponseError,
            [wording("findings.unexpected-response-valid-but", day="2026-11-24")],
        ),
        # The token's end is shown in UTC.
        (
            {"expires_at": epoch(datetime(2027, 3, 1, 8, 30, tzinfo=UTC))},
            VERIFIED,
            ["valid until 2027-03-01T08:30:00Z"],
        ),
    ],
)
def test_facebooks_inspection_of_the_token_decides(
    inspect: RunCheck, data: dict[str, Any], end: Any, words: list[str]
) -> None:
    """The token must be this app's, a user's, valid and granted everything."""
    inspect(end, *words, **data)


def test_an_invalid_token_fails_with_facebooks_reason(
    remote: FakeRemote, run_check: RunCheck
) -> None:
    """An invalid token fails, and the reason has Facebook's message, code and subcode."""
    remote.on(INSPECTION, responds({"data": bodies.TOKEN_INVALID}))
    run_check(user_token_is_valid, FAILED, "changed their password", "190/460")
    assert len(remote.requests) == 2


@pytest.mark.parametrize(
    ("field", "what"),
    [("expires_at", "The token ends soon"), ("data_access_expires_at", "Data access ends soon")],
)
@pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False)])
def test_a_token_that_ends_soon_gives_a_warning(
    inspect: RunCheck, field: str, what: str, days: int, warned: bool
) -> None:
    """A token or data access that ends within two weeks gives a warning."""
    finding = inspect(VERIFIED, **{field: epoch(days=days)})
    assert any(text.startswith(what) for text in finding.warnings) is warned


@pytest.mark.parametrize("has_end", [True, False])
def test_the_days_of_its_ends_are_facts(inspect: RunCheck, has_end: bool) -> None:
    """Both are due items; a token without an end has none."""
    march, may = (epoch(datetime(2027, month, 1, 8, 30, tzinfo=UTC)) for month in (3, 5))
    finding = inspect(VERIFIED, expires_at=march * has_end, data_access_expires_at=may)
    assert finding.facts == {
        **({"token_ends_on": "2027-03-01"} if has_end else {}),
        "data_access_ends_on": "2027-05-01",
    }


def test_a_grant_for_some_targets_only_is_a_limit(inspect: RunCheck) -> None:
    """A permission for chosen pages only is a limit of the finding."""
    chosen = {"scope": "leads_retrieval", "target_ids": ["1", "2"]}
    finding = inspect(VERIFIED, granular_scopes=[chosen, {"scope": "public_profile"}])
    assert finding.limits == (
        wording("findings.chosen-targets-only", permission="leads_retrieval", targets=2),
    )


@pytest.mark.parametrize("pages", [0, 1, 2])
@pytest.mark.parametrize("accounts", [0, 1])
def test_accounts_and_pages_are_counted(
    remote: FakeRemote, run_check: RunCheck, accounts: int, pages: int
) -> None:
    """One ad account verifies; none is inconclusive, whatever pages there are."""
    remote.on(PAGES, responds(rows(*[{"id": "page-1"}] * pages)))
    answers = listing_accounts(*[{"id": "act_1"}] * accounts)
    if accounts:
        counted = f"{nouns(accounts, 'ad account')} and {nouns(pages, 'page')}"
        finding = run_check(marketing_data_is_readable, VERIFIED, counted, answers=answers)
        assert bool(finding.limits) is not bool(pages)
    else:
        none = wording("findings.no-ad-account")
        finding = run_check(marketing_data_is_readable, INCONCLUSIVE, none, answers=answers)
        assert finding.tables == ()
    mine = [each for each in remote.requests if f"Bearer {USER_TOKEN}" in each.headers.values()]
    assert all(fields(each)["appsecret_proof"] == proof(USER_TOKEN) for each in mine)


@pytest.mark.parametrize(("accounts", "end"), [(0, INCONCLUSIVE), (1, VERIFIED)])
def test_another_version_of_the_answer_is_named(
    run_check: RunCheck, accounts: int, end: Outcome
) -> None:
    """Facebook's own words about the version of a marketing call override our dates."""
    upgrade = "The call has been auto-upgraded to v27.0 as v26.0 will be deprecated."
    headers = {"facebook-api-version": "v27.0", "x-ad-api-version-warning": upgrade}
    answers = listing_accounts(*[{"id": "act_1"}] * accounts, headers=headers)
    first, second = run_check(marketing_data_is_readable, end, answers=answers).warnings
    assert first == upgrade
    other = wording("findings.answered-in-version", served="v27.0", asked="v26.0")
    assert f"{other}: {wording('findings.version-has-ended')}" in second


def test_read_rows_are_tables(remote: FakeRemote, run_check: RunCheck) -> None:
    """The finding lists accounts and pages with known columns only; no other field is kept."""
    account = {"id": "act_1", "name": "Acme", "account_status": 1, "currency": "EUR"}
    page = {"id": "10", "name": "Acme Page", "category": "Software", "access_token": PAGE_TOKEN}
    answers = {
        ACCOUNTS: responds(rows({**account, "timezone_name": "Europe/Berlin", "balance": "7"})),
        PAGES: responds(rows({**page, "tasks": ["ADVERTISE", "ANALYZE"]})),
        "/v26.0/act_1": responds({"id": "act_1"}),
    }
    assert run_check(marketing_data_is_readable, VERIFIED, answers=answers).tables == (
        Table(
            caption="Ad accounts",
            columns=("ID", "Name", "Status", "Currency", "Time zone"),
            rows=(("act_1", "Acme", "ACTIVE", "EUR", "Europe/Berlin"),),
        ),
        Table(
            caption="Pages",
            columns=("ID", "Name", "Category", "Tasks"),
            rows=(("10", "Acme Page", "Software", "ADVERTISE, ANALYZE"),),
        ),
    )
    assert "access_token" not in fields(remote.requests[1])["fields"]


@pytest.mark.parametrize(
    ("tier", "known"),
    [
        ("standard_access", "standard_access"),
        ("development_access", "development_access"),
        ("", "not named"),
    ],
)
def test_an_active_account_names_the_access_tier(
    remote: FakeRemote, run_check: RunCheck, tier: str, known: str
) -> None:
    """The tier is a fact from the usage headers of one call; the limited one is a warning."""
    usage = json.dumps({"ads_api_access_tier": tier, "acc_id_util_pct": 1})
    remote.on("/v26.0/act_2", responds({"id": "act_2"}, headers={"x-ad-account-usage": usage}))
    closed = {"id": "act_1", "account_status": 101}
    active = {"id": "act_2", "account_status": 1}
    finding = run_check(
        marketing_data_is_readable, VERIFIED, answers=listing_accounts(closed, active)
    )
    assert finding.facts["access_tier"] == known
    limited = [text for text in finding.warnings if "limited access tier" in text]
    assert bool(limited) is (tier == "development_access")


def test_an_account_that_is_not_active_is_not_called(
    remote: FakeRemote, run_check: RunCheck
) -> None:
    """A call that may fail counts against the tier: without an active account none is made."""
    remote.on(PAGES, responds(rows({"id": "page-1"})))
    answers = listing_accounts({"id": "act_1", "account_status": 2})
    finding = run_check(marketing_data_is_readable, VERIFIED, answers=answers)
    assert "access_tier" not in finding.facts
    assert len(remote.requests) == 2


@pytest.mark.parametrize(
    ("status", "shown"),
    [(2, "DISABLED"), (101, "CLOSED"), (4711, "4711"), (None, ""), ({"a": 1}, ""), ([], "")],
)
def test_an_unknown_account_status_is_shown_as_received(
    run_check: RunCheck, status: Any, shown: str
) -> None:
    """A known status number becomes Facebook's name for it; another is shown, or left empty."""
    answers = listing_accounts({"id": "act_1", "account_status": status})
    (table,) = run_check(marketing_data_is_readable, VERIFIED, answers=answers).tables
    assert table.rows == (("act_1", "", shown, "", ""),)


@pytest.mark.parametrize(("count", "caption"), [(24, "Pages"), (25, "Pages (the first 25)")])
def test_a_table_that_is_cut_says_so(
    remote: FakeRemote, run_check: RunCheck, count: int, caption: str
) -> None:
    """A table with the most rows that are read says that there may be more."""
    remote.on(PAGES, responds(rows(*[{"id": "10"}] * count)))
    finding = run_check(
        marketing_data_is_readable, VERIFIED, answers=listing_accounts({"id": "act_1"})
    )
    _, table = finding.tables
    assert (table.caption, len(table.rows)) == (caption, count)
    assert fields(remote.requests[1])["limit"] == "25"


@pytest.fixture
def reads_leads(run_check: RunCheck) -> RunCheck:
    """Return the check of leads, of a page with a lead form."""

    def tell(
        end: Any, *words: str, access: Any = None, leads: tuple[Any, ...] = (bodies.LEAD,)
    ) -> Any:
        form = {"id": "form-1", "name": "F", "status": "ACTIVE", "locale": "en_US"}
        said = {**bodies.LEAD_ACCESS, **(access or {})}
        answers = {
            PAGES: responds(rows(EMPTY_PAGE, LEAD_PAGE)),
            "/v26.0/page-0/leadgen_forms": responds(rows()),
            "/v26.0/page-1/leadgen_forms": responds(rows(form)),
            INSPECTION: responds({"data": TOKEN_INSPECTED}),
            "/v26.0/page-1": responds({"id": "page-1", "has_lead_access": said}),
            "/v26.0/form-1/leads": responds(rows(*leads)),
        }
        return run_check(lead_data_is_readable, end, *words, answers=answers)

    return tell


def test_a_lead_that_was_read_is_verified(remote: FakeRemote, reads_leads: RunCheck) -> None:
    """Only id, time and form of a lead are requested, with the page's token and its proof."""
    reads_leads(VERIFIED, wording("findings.lead-read", form="form-1", page="page-1"))
    assert fields(remote.requests[0])["fields"] == "id,name,access_token,leadgen_tos_accepted,tasks"
    asked = fields(remote.requests[-1])
    assert asked["fields"] == "id,created_time,form_id"
    assert asked["appsecret_proof"] == proof(PAGE_TOKEN)
    assert fields(remote.requests[-2])["fields"] == "has_lead_access.user_id(873)"
    assert remote.requests[-1].headers["authorization"] == f"Bearer {PAGE_TOKEN}"


@pytest.mark.parametrize(("access", "end"), [({}, VERIFIED), ({"can_access_lead": False}, FAILED)])
def test_the_pages_forms_are_a_table(reads_leads: RunCheck, access: Any, end: Outcome) -> None:
    """The finding lists the page's forms, whether or not their leads may be read."""
    assert reads_leads(end, access=access).tables == (
        Table(
            caption="Lead forms of Acme Page (page-1)",
            columns=("ID", "Name", "Status", "Language"),
            rows=(("form-1", "F", "ACTIVE", "en_US"),),
        ),
    )


@pytest.mark.parametrize(
    ("said", "end", "words"),
    [
        # Without a lead that was read nothing is decided, whatever Lead Access Manager says.
        ({"leads": ()}, INCONCLUSIVE, "Lead Ads Testing Tool"),
        # The person may read leads, but the app may not (Leads access > CRMs).
        (
            {"access": {"app_has_leads_permission": False}},
            FAILED,
            wording("findings.lead-access-denied", page="page-1"),
        ),
        # If Facebook gives no reason for the denial, the finding says so.
        (
            {"access": {"can_access_lead": False}},
            FAILED,
            f"{wording('findings.lead-access-denied-no-reason')}$",
        ),
    ],
)
def test_facebooks_answers_about_leads_decide(
    reads_leads: RunCheck, said: dict[str, Any], end: Any, words: str
) -> None:
    """A lead must have been read, of the page's own form and by the person's own access."""
    reads_leads(end, words, **said)


def test_a_person_without_lead_access_fails(remote: FakeRemote, reads_leads: RunCheck) -> None:
    """If Lead Access Manager denies the person, the finding gives Facebook's reason and advice."""
    access = {
        "can_access_lead": False,
        "failure_reason": "The user is no lead manager.",
        "failure_resolution": "Ask the page's admin.",
    }
    why = "The user is no lead manager. Ask the page's admin."
    reads_leads(FAILED, "page-1 denies", why, access=access)
    assert "/v26.0/form-1/leads" not in remote.paths


def test_the_order_of_pages_and_forms_does_not_count(run_check: RunCheck) -> None:
    """The page and the form with the lowest ids are used, whatever their order."""
    pages = [{"id": name, "access_token": PAGE_TOKEN} for name in ("page-2", "page-1")]
    forms = [{"id": name, "leads_count": 0} for name in ("form-2", "form-1")]
    answers = {
        PAGES: responds(rows(*pages)),
        "/v26.0/page-1/leadgen_forms": responds(rows(*forms)),
        INSPECTION: responds({"data": TOKEN_INSPECTED}),
        "/v26.0/page-1": responds({"has_lead_access": bodies.LEAD_ACCESS}),
        "/v26.0/form-1/leads": responds(rows(bodies.LEAD)),
    }
    read = wording("findings.lead-read-of", form="form-1", page="page-1")
    run_check(lead_data_is_readable, VERIFIED, read, answers=answers)


def test_without_leads_retrieval_the_check_does_not_apply(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """Without the permission leads_retrieval, the check does not apply and sends no request."""
    assert lead_data_is_readable(make_context(permissions=("public_profile",))) is None
    assert remote.requests == []
