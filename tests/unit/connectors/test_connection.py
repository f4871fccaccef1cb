"""The checks of a user's token: whose it is, how long it is valid, what it grants and reads."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.connection import (
    lead_data_is_readable,
    marketing_data_is_readable,
    user_token_is_valid,
)
from runbook_lib.connectors.facebook.errors import GraphAPIError
from runbook_lib.core.model import Finding, Outcome, Table
from runbook_lib.errors import ThrottledError, UnexpectedAnswerError
from tests.conftest import NOON
from tests.unit import bodies
from tests.unit.bodies import APP_ID, APP_SECRET, PAGE_TOKEN, TOKEN_INSPECTED, USER_TOKEN, rows
from tests.unit.connectors.conftest import MakeContext, shows_no_secret
from tests.unit.fake_remote import FakeRemote, fields, says

GRANTED = bodies.statuses(public_profile="granted", leads_retrieval="granted")


def nouns(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def proof(token: str) -> str:
    return hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()


def epoch(moment: datetime) -> int:
    return int(moment.timestamp())


def lists_no_page(remote: FakeRemote) -> None:
    """Have Facebook list no page of the person, nor name one in any other way."""
    remote.on("/v26.0/me/accounts", says(rows()))
    remote.on("/v26.0/debug_token", says({"data": TOKEN_INSPECTED}))
    remote.on("/v26.0/me/businesses", says(rows()))


@pytest.fixture(autouse=True)
def _token(remote: FakeRemote) -> None:
    remote.on("/v26.0/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))


class TestToken:
    """`user_token_is_valid`."""

    @pytest.fixture
    def inspect(self, remote: FakeRemote, make_context: MakeContext) -> Callable[..., Finding]:
        """Return the check; its keyword arguments change what Facebook says of the token."""

        def run(*, grants: Any = GRANTED, **data: Any) -> Finding:
            said = {**TOKEN_INSPECTED, **data}
            remote.on("/v26.0/debug_token", says({"data": said}))
            remote.on("/v26.0/me/permissions", says(grants))
            context = make_context()
            finding = user_token_is_valid(context)
            assert shows_no_secret(finding, context)
            return finding

        return run

    def test_a_valid_token_of_this_app_is_verified(
        self, remote: FakeRemote, inspect: Callable[..., Finding]
    ) -> None:
        """Validity, permissions and end of the token are read from Facebook."""
        finding = inspect()

        assert finding.outcome is Outcome.VERIFIED
        assert "valid without an end" in finding.reason
        assert "grants public_profile, leads_retrieval" in finding.reason
        assert (finding.warnings, finding.limits) == ((), ())
        inspected, permissions = remote.requests[1:]
        assert fields(inspected) == {"input_token": USER_TOKEN}
        assert inspected.headers["authorization"] == f"Bearer {bodies.APP_TOKEN}"
        assert fields(permissions)["appsecret_proof"] == proof(USER_TOKEN)

    def test_another_apps_token_fails(self, inspect: Callable[..., Finding]) -> None:
        """A token of another app fails, even if it is valid."""
        finding = inspect(app_id="999999999999999")

        assert finding.outcome is Outcome.FAILED
        assert f"belongs to app 999999999999999, not to {APP_ID}" in finding.reason

    def test_an_invalid_token_fails_with_facebooks_reason(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """An invalid token fails, and the reason has Facebook's message, code and subcode."""
        remote.on("/v26.0/debug_token", says({"data": bodies.TOKEN_INVALID}))

        finding = user_token_is_valid(context)

        assert finding.outcome is Outcome.FAILED
        assert "changed their password" in finding.reason
        assert "190/460" in finding.reason
        assert len(remote.requests) == 2

    def test_a_token_that_is_not_valid_fails(self, inspect: Callable[..., Finding]) -> None:
        """A token that is not valid fails, even if Facebook gives no reason."""
        finding = inspect(is_valid=False)

        assert finding.outcome is Outcome.FAILED
        assert finding.reason.startswith("The token is not valid. ")

    @pytest.mark.parametrize("is_valid", [None, "true", 1, "false", 0])
    def test_neither_true_nor_false_decides_nothing(
        self, inspect: Callable[..., Finding], is_valid: object
    ) -> None:
        """An `is_valid` that is not true or false raises `UnexpectedAnswerError`."""
        with pytest.raises(UnexpectedAnswerError, match=r"is_valid is .*, not true or false"):
            inspect(is_valid=is_valid)

    @pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": []}])
    def test_an_empty_inspection_decides_nothing(
        self, remote: FakeRemote, context: CheckContext, body: Any
    ) -> None:
        """An answer that says nothing of the token raises `UnexpectedAnswerError`."""
        remote.on("/v26.0/debug_token", says(body))

        with pytest.raises(UnexpectedAnswerError):
            user_token_is_valid(context)

    @pytest.mark.parametrize("kind", ["PAGE", "APP", "SYSTEM_USER"])
    def test_a_token_of_another_kind_fails(
        self, inspect: Callable[..., Finding], kind: str
    ) -> None:
        """A token that is not a user's fails."""
        finding = inspect(type=kind)

        assert finding.outcome is Outcome.FAILED
        assert f"of type {kind}, not a user's" in finding.reason

    def test_a_permission_outside_the_tokens_scopes_fails(
        self, inspect: Callable[..., Finding]
    ) -> None:
        """A permission that the app has but this token's scopes lack fails."""
        finding = inspect(scopes=["public_profile"])

        assert finding.outcome is Outcome.FAILED
        assert finding.reason.startswith("The token lacks leads_retrieval. Sign in again")

    def test_an_expired_token_that_is_called_valid_decides_nothing(
        self, inspect: Callable[..., Finding]
    ) -> None:
        """A contradictory answer, or a wrong clock, raises `UnexpectedAnswerError`."""
        with pytest.raises(UnexpectedAnswerError, match="called valid, but ended on 2026-11-24"):
            inspect(expires_at=epoch(NOON - timedelta(minutes=1)))

    @pytest.mark.parametrize("seconds", [-1, 0])
    def test_data_access_that_has_ended_fails(
        self, inspect: Callable[..., Finding], seconds: int
    ) -> None:
        """A valid token that reads no data any more fails, and the reason says what to do."""
        finding = inspect(data_access_expires_at=epoch(NOON + timedelta(seconds=seconds)))

        assert finding.outcome is Outcome.FAILED
        assert "access to the person's data ended on 2026-11-24" in finding.reason
        assert "consent again" in finding.reason

    def test_a_declined_permission_fails(self, inspect: Callable[..., Finding]) -> None:
        """A declined permission fails, and the reason says that it was declined."""
        grants = bodies.statuses(public_profile="granted", leads_retrieval="declined")

        finding = inspect(grants=grants)

        assert finding.outcome is Outcome.FAILED
        assert "The token lacks leads_retrieval (declined: leads_retrieval)." in finding.reason
        assert "press Edit settings" in finding.reason
        assert "auth_type=rerequest" in finding.reason
        assert "ends all of this person's tokens" in finding.reason

    def test_a_permission_that_was_never_granted_fails(
        self, inspect: Callable[..., Finding]
    ) -> None:
        """A permission that is not listed as granted fails."""
        finding = inspect(grants=bodies.statuses(public_profile="granted"))

        assert finding.outcome is Outcome.FAILED
        assert finding.reason.startswith("The token lacks leads_retrieval. Sign in again")

    @pytest.mark.parametrize(
        ("field", "what"),
        [
            ("expires_at", "The token ends soon"),
            ("data_access_expires_at", "Data access ends soon"),
        ],
    )
    @pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False)])
    def test_a_token_that_ends_soon_gives_a_warning(
        self, inspect: Callable[..., Finding], field: str, what: str, days: int, warned: bool
    ) -> None:
        """A token or data access that ends within two weeks gives a warning."""
        finding = inspect(**{field: epoch(NOON + timedelta(days=days))})

        assert finding.outcome is Outcome.VERIFIED
        assert any(text.startswith(what) for text in finding.warnings) is warned

    def test_the_end_is_shown_in_utc(self, inspect: Callable[..., Finding]) -> None:
        """The token's end is shown in UTC."""
        finding = inspect(expires_at=epoch(datetime(2027, 3, 1, 8, 30, tzinfo=UTC)))

        assert "valid until 2027-03-01T08:30:00Z" in finding.reason

    @pytest.mark.parametrize("has_end", [True, False])
    def test_the_days_of_its_ends_are_facts(
        self, inspect: Callable[..., Finding], has_end: bool
    ) -> None:
        """The calendar of duties has both; a token without an end has none."""
        march, may = (epoch(datetime(2027, month, 1, 8, 30, tzinfo=UTC)) for month in (3, 5))
        facts = inspect(expires_at=march * has_end, data_access_expires_at=may).facts

        assert facts == {
            **({"token_ends_on": "2027-03-01"} if has_end else {}),
            "data_access_ends_on": "2027-05-01",
        }

    def test_a_grant_for_some_targets_only_is_a_limit(
        self, inspect: Callable[..., Finding]
    ) -> None:
        """A permission for chosen pages only is a limit of the finding."""
        scopes = [
            {"scope": "leads_retrieval", "target_ids": ["1", "2"]},
            {"scope": "public_profile"},
        ]

        finding = inspect(granular_scopes=scopes)

        assert finding.limits == ("That leads_retrieval holds for more than its 2 chosen targets.",)


class TestMarketingData:
    """`marketing_data_is_readable`."""

    @pytest.mark.parametrize(
        ("accounts", "pages", "outcome"),
        [
            (1, 2, Outcome.VERIFIED),
            (1, 0, Outcome.VERIFIED),
            (0, 1, Outcome.INCONCLUSIVE),
            (0, 0, Outcome.INCONCLUSIVE),
        ],
    )
    def test_accounts_and_pages_are_counted(
        self, remote: FakeRemote, context: CheckContext, accounts: int, pages: int, outcome: Outcome
    ) -> None:
        """One ad account verifies; none is inconclusive, whatever pages there are."""
        remote.on("/v26.0/me/adaccounts", says(rows(*[{"id": "act_1"}] * accounts)))
        remote.on("/v26.0/me/accounts", says(rows(*[{"id": "page-1"}] * pages)))
        lists_no_page(remote)

        finding = marketing_data_is_readable(context)

        assert finding.outcome is outcome
        if outcome is Outcome.VERIFIED:
            assert f"{nouns(accounts, 'ad account')} and {nouns(pages, 'page')}" in finding.reason
            assert bool(finding.limits) is not bool(pages)
        else:
            assert "lists no ad account of this person" in finding.reason
            assert finding.tables == ()
        mine = [each for each in remote.requests if f"Bearer {USER_TOKEN}" in each.headers.values()]
        assert all(fields(each)["appsecret_proof"] == proof(USER_TOKEN) for each in mine)
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("accounts", [0, 1])
    def test_another_version_of_the_answer_is_named(
        self, remote: FakeRemote, context: CheckContext, accounts: int
    ) -> None:
        """What Facebook says of the version of a marketing call decides, whatever our dates are."""
        upgrade = "The call has been auto-upgraded to v27.0 as v26.0 will be deprecated."
        headers = {"facebook-api-version": "v27.0", "x-ad-api-version-warning": upgrade}
        remote.on(
            "/v26.0/me/adaccounts", says(rows(*[{"id": "act_1"}] * accounts), headers=headers)
        )
        lists_no_page(remote)

        first, second = marketing_data_is_readable(context).warnings

        assert first == upgrade
        assert "answered in v27.0 instead of v26.0: that version has ended" in second

    def test_what_was_read_is_a_table(self, remote: FakeRemote, context: CheckContext) -> None:
        """The finding lists accounts and pages with known columns only; no other field is kept."""
        account = {
            "id": "act_1",
            "name": "Acme",
            "account_status": 1,
            "currency": "EUR",
            "timezone_name": "Europe/Berlin",
            "balance": "7",
        }
        page = {
            "id": "10",
            "name": "Acme Page",
            "category": "Software",
            "tasks": ["ADVERTISE", "ANALYZE"],
            "access_token": PAGE_TOKEN,
        }
        remote.on("/v26.0/me/adaccounts", says(rows(account)))
        remote.on("/v26.0/me/accounts", says(rows(page)))
        remote.on("/v26.0/act_1", says({"id": "act_1"}))

        finding = marketing_data_is_readable(context)

        assert finding.tables == (
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
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize(
        ("tier", "known"),
        [
            ("standard_access", "standard_access"),
            ("development_access", "development_access"),
            ("", "not named"),
        ],
    )
    def test_an_active_account_names_the_access_tier(
        self, remote: FakeRemote, context: CheckContext, tier: str, known: str
    ) -> None:
        """The tier is a fact from the usage headers of one call; the limited one is a warning."""
        accounts = ({"id": "act_1", "account_status": 101}, {"id": "act_2", "account_status": 1})
        usage = json.dumps({"ads_api_access_tier": tier, "acc_id_util_pct": 1})
        remote.on("/v26.0/me/adaccounts", says(rows(*accounts)))
        lists_no_page(remote)
        remote.on("/v26.0/act_2", says({"id": "act_2"}, headers={"x-ad-account-usage": usage}))

        finding = marketing_data_is_readable(context)

        assert finding.facts["access_tier"] == known
        limited = [text for text in finding.warnings if "limited access tier" in text]
        assert bool(limited) is (tier == "development_access")

    def test_an_account_that_is_not_active_is_not_called(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """A call that may fail counts against the tier: without an active account none is made."""
        remote.on("/v26.0/me/adaccounts", says(rows({"id": "act_1", "account_status": 2})))
        remote.on("/v26.0/me/accounts", says(rows({"id": "page-1"})))

        assert "access_tier" not in marketing_data_is_readable(context).facts
        assert len(remote.requests) == 2

    @pytest.mark.parametrize(
        ("status", "shown"),
        [(2, "DISABLED"), (101, "CLOSED"), (4711, "4711"), (None, ""), ({"a": 1}, ""), ([], "")],
    )
    def test_an_unknown_account_status_is_shown_as_received(
        self, remote: FakeRemote, context: CheckContext, status: Any, shown: str
    ) -> None:
        """
        A known status number becomes Facebook's name for it; another is shown as it is, or left
        empty.
        """
        remote.on("/v26.0/me/adaccounts", says(rows({"id": "act_1", "account_status": status})))
        lists_no_page(remote)

        (table,) = marketing_data_is_readable(context).tables

        assert table.rows == (("act_1", "", shown, "", ""),)

    @pytest.mark.parametrize(("count", "caption"), [(24, "Pages"), (25, "Pages (the first 25)")])
    def test_a_table_that_is_cut_says_so(
        self, remote: FakeRemote, context: CheckContext, count: int, caption: str
    ) -> None:
        """A table with the most rows that are read says that there may be more."""
        remote.on("/v26.0/me/adaccounts", says(rows({"id": "act_1"})))
        remote.on("/v26.0/me/accounts", says(rows(*[{"id": "10"}] * count)))

        _, table = marketing_data_is_readable(context).tables

        assert (table.caption, len(table.rows)) == (caption, count)
        assert fields(remote.requests[1])["limit"] == "25"

    def test_a_refusal_is_raised(self, remote: FakeRemote, context: CheckContext) -> None:
        """A refusal by Facebook raises `GraphAPIError`."""
        remote.on("/v26.0/me/adaccounts", says(bodies.NO_ADS, 403))

        with pytest.raises(GraphAPIError, match="NOT grant ads_management"):
            marketing_data_is_readable(context)


class TestLeads:
    """`lead_data_is_readable`."""

    @pytest.fixture
    def page(self, remote: FakeRemote) -> Callable[..., None]:
        """Script the answers of a page with a lead form."""

        def tell(*, access: Any = None, leads: tuple[Any, ...] = (bodies.LEAD,)) -> None:
            pages = [
                {"id": "page-0", "access_token": bodies.OTHER_PAGE_TOKEN},
                {"id": "page-1", "name": "Acme Page", "access_token": PAGE_TOKEN},
            ]
            remote.on("/v26.0/me/accounts", says(rows(*pages)))
            remote.on("/v26.0/page-0/leadgen_forms", says(rows()))
            form = {"id": "form-1", "name": "F", "status": "ACTIVE", "locale": "en_US"}
            remote.on("/v26.0/page-1/leadgen_forms", says(rows(form)))
            remote.on("/v26.0/debug_token", says({"data": TOKEN_INSPECTED}))
            said = {**bodies.LEAD_ACCESS, **(access or {})}
            remote.on("/v26.0/page-1", says({"id": "page-1", "has_lead_access": said}))
            remote.on("/v26.0/form-1/leads", says(rows(*leads)))

        return tell

    def test_a_lead_that_was_read_is_verified(
        self, remote: FakeRemote, context: CheckContext, page: Callable[..., None]
    ) -> None:
        """Only id, time and form of a lead are requested, with the page's token and its proof."""
        page()

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.outcome is Outcome.VERIFIED
        assert "A lead of form form-1 (page page-1) was read" in finding.reason
        assert fields(remote.requests[0])["fields"] == "id,name,access_token,leadgen_tos_accepted"
        asked = fields(remote.requests[-1])
        assert asked["fields"] == "id,created_time,form_id"
        assert asked["appsecret_proof"] == proof(PAGE_TOKEN)
        assert fields(remote.requests[-2])["fields"] == "has_lead_access.user_id(873)"
        assert remote.requests[-1].headers["authorization"] == f"Bearer {PAGE_TOKEN}"
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("access", [{}, {"can_access_lead": False}])
    def test_the_pages_forms_are_a_table(
        self, context: CheckContext, page: Callable[..., None], access: Any
    ) -> None:
        """The finding lists the page's forms, whether or not their leads may be read."""
        page(access=access)

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.tables == (
            Table(
                caption="Lead forms of Acme Page (page-1)",
                columns=("ID", "Name", "Status", "Language"),
                rows=(("form-1", "F", "ACTIVE", "en_US"),),
            ),
        )
        assert shows_no_secret(finding, context)

    def test_an_empty_form_proves_nothing(
        self, context: CheckContext, page: Callable[..., None]
    ) -> None:
        """
        Without a lead that was read the result is inconclusive, whatever Lead Access Manager says;
        the reason says what to do.
        """
        page(leads=())

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "Lead Ads Testing Tool" in finding.reason

    def test_a_lead_of_another_form_proves_nothing(
        self, context: CheckContext, page: Callable[..., None]
    ) -> None:
        """A lead that names another form raises `UnexpectedAnswerError`."""
        page(leads=({**bodies.LEAD, "form_id": "form-9"},))

        with pytest.raises(UnexpectedAnswerError, match="form_id is 'form-9', not form-1"):
            lead_data_is_readable(context)

    @pytest.mark.parametrize(
        "access", [{"page_id": "page-9"}, {"user_id": "874"}, {"can_access_lead": "true"}]
    )
    def test_access_of_another_page_or_person_proves_nothing(
        self, context: CheckContext, page: Callable[..., None], access: Any
    ) -> None:
        """Lead access that names another page or person raises `UnexpectedAnswerError`."""
        page(access=access)

        with pytest.raises(UnexpectedAnswerError, match="has_lead_access"):
            lead_data_is_readable(context)

    def test_an_app_without_lead_access_fails(
        self, context: CheckContext, page: Callable[..., None]
    ) -> None:
        """The step fails if the person may read leads but the app may not (Leads access > CRMs)."""
        page(access={"app_has_leads_permission": False})

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.outcome is Outcome.FAILED
        assert "page-1 denies this app leads" in finding.reason

    def test_the_order_of_pages_and_forms_does_not_count(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """The page and the form with the lowest ids are used, whatever their order."""
        pages = [{"id": name, "access_token": PAGE_TOKEN} for name in ("page-2", "page-1")]
        remote.on("/v26.0/me/accounts", says(rows(*pages)))
        forms = [{"id": name, "leads_count": 0} for name in ("form-2", "form-1")]
        remote.on("/v26.0/page-1/leadgen_forms", says(rows(*forms)))
        remote.on("/v26.0/debug_token", says({"data": TOKEN_INSPECTED}))
        remote.on("/v26.0/page-1", says({"has_lead_access": bodies.LEAD_ACCESS}))
        remote.on("/v26.0/form-1/leads", says(rows(bodies.LEAD)))

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert "A lead of form form-1 (page page-1)" in finding.reason

    def test_a_page_without_a_token_is_ignored(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """A page without a token, on which the person has no task, is ignored."""
        remote.on("/v26.0/me/accounts", says(rows({"id": "page-1"})))
        lists_no_page(remote)

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "/v26.0/page-1/leadgen_forms" not in remote.paths

    def test_a_person_without_lead_access_fails(
        self, remote: FakeRemote, context: CheckContext, page: Callable[..., None]
    ) -> None:
        """
        The step fails if Lead Access Manager denies the person, with Facebook's reason and advice.
        """
        page(
            access={
                "can_access_lead": False,
                "failure_reason": "The user is no lead manager.",
                "failure_resolution": "Ask the page's admin.",
            }
        )

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.outcome is Outcome.FAILED
        assert "page-1 denies" in finding.reason
        assert "The user is no lead manager. Ask the page's admin." in finding.reason
        assert "/v26.0/form-1/leads" not in remote.paths

    def test_a_denial_without_a_reason_fails_too(
        self, context: CheckContext, page: Callable[..., None]
    ) -> None:
        """If Facebook gives no reason for the denial, the finding says so."""
        page(access={"can_access_lead": False})

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.reason.endswith("no reason given")

    @pytest.mark.parametrize(
        "pages", [(), ({"id": "page-0", "access_token": bodies.OTHER_PAGE_TOKEN},)]
    )
    def test_without_a_form_nothing_is_proven(
        self, remote: FakeRemote, context: CheckContext, pages: tuple[Any, ...]
    ) -> None:
        """Without a page or a form, the result is inconclusive."""
        remote.on("/v26.0/me/accounts", says(rows(*pages)))
        remote.on("/v26.0/page-0/leadgen_forms", says(rows()))
        lists_no_page(remote)

        finding = lead_data_is_readable(context)

        assert finding is not None
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert f"None of {nouns(len(pages), 'page')} has" in finding.reason

    def test_without_leads_retrieval_the_check_does_not_apply(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Without the permission leads_retrieval, the check does not apply and sends no request."""
        assert lead_data_is_readable(make_context(permissions=("public_profile",))) is None
        assert remote.requests == []

    @pytest.mark.parametrize(
        ("body", "status", "error"),
        [
            (bodies.NO_SUCH_FIELD, 400, GraphAPIError),
            (bodies.LEAD_LIMIT, 400, ThrottledError),
            ("<html>", 200, UnexpectedAnswerError),
        ],
    )
    def test_an_error_on_the_way_is_raised(
        self,
        remote: FakeRemote,
        context: CheckContext,
        body: Any,
        status: int,
        error: type[Exception],
    ) -> None:
        """An error on the way to the lead is raised and decides nothing."""
        pages = rows({"id": "page-1", "access_token": PAGE_TOKEN})
        remote.on("/v26.0/me/accounts", says(pages))
        remote.on("/v26.0/page-1/leadgen_forms", says(body, status))

        with pytest.raises(error):
            lead_data_is_readable(context)
