"""
Scenarios by name: each is a state that the real systems can be in.

A scenario starts from `approved` (or from nothing) and changes the state;
no handler knows which one it serves.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from facebook_cyclr_sandbox.customer_accounts import add_customers, fail_connection
from facebook_cyclr_sandbox.default_state import (
    MARKETING,
    MESSENGER,
    SERVICE_DOMAIN,
    add_app,
    add_approved_app,
    authenticate_connector,
    build_empty_state,
    find_library_connector,
    get_app,
    issue_customer_token,
    issue_operator_tokens,
    set_up_connectors,
)
from facebook_cyclr_sandbox.state.facebook_state import (
    AccessTier,
    AppMode,
    AppReview,
    Business,
    DataAccessRenewal,
    Page,
    ReviewState,
    SystemUser,
    VerificationStatus,
)
from facebook_cyclr_sandbox.state.fault_injection import Fault, FaultKind
from facebook_cyclr_sandbox.state.hourly_rate_limit import HourlyRateLimit
from facebook_cyclr_sandbox.state.permissions import MESSENGER_PERMISSIONS, PERMISSIONS
from facebook_cyclr_sandbox.state.random_source import RandomSource
from facebook_cyclr_sandbox.state.review import (
    DECLINED_REASON,
    REVIEW_DAYS,
    decide,
    schedule_decision,
)
from facebook_cyclr_sandbox.state.sandbox_state import (
    DAY_SECONDS,
    LONG_LIFETIME_SECONDS,
    SandboxState,
)
from facebook_cyclr_sandbox.state.use_cases import ADS
from facebook_cyclr_sandbox.state.version_schedule import ApiVersion

_CALLS_PER_PERSON = 200

SCENARIOS: tuple[str, ...] = (
    "approved",
    "fresh",
    "wrong-secret",
    "unknown-app",
    "redirect-missing",
    "app-domains-only",
    "review-pending",
    "review-declined",
    "partly-declined",
    "permission-missing",
    "renewal-due",
    "use-case-missing",
    "test-calls-missing",
    "not-published",
    "tech-provider-pending",
    "cyclr-mismatch",
    "cyclr-ip-blocked",
    "token-expired",
    "rate-limited",
    "flaky",
    "version-expired",
    "portfolio-pages",
    "customer-disconnected",
    "renewal-expired",
    "messenger-wrong-scopes",
    "messenger-wrong-verify-token",
    "messenger-page-not-subscribed",
    "portfolio-page-without-token",
    "portfolio-refuses",
    "system-user",
    "answers-in-portuguese",
)
"""The names of all scenarios."""

# Connector → the scenarios that change nothing for it: there they would equal `approved`.
_UNCHANGED_BY = {
    MARKETING: (
        "messenger-wrong-scopes",
        "messenger-wrong-verify-token",
        "messenger-page-not-subscribed",
    ),
    # It requests no leads, and the customers have the other connector.
    MESSENGER: ("permission-missing", "customer-disconnected"),
}


def list_scenarios(vendor: str, connector: str = "") -> tuple[str, ...]:
    """
    Return the scenarios for a connector of Cyclr's library.

    `vendor` is the company of its app. A company that the sandbox does not imitate has none.
    """
    if vendor != "facebook":
        return ()
    return tuple(name for name in SCENARIOS if name not in _UNCHANGED_BY.get(connector, ()))


def build_state(
    scenario: str, *, seed: int | None = None, clock: Callable[[], float] = time.time
) -> SandboxState:
    """
    Build the state of a scenario.

    With a `seed` its secrets and IDs are the same each time. Raises ValueError
    when there is no such scenario.
    """
    if scenario not in SCENARIOS:
        known = ", ".join(SCENARIOS)
        raise ValueError(f"there is no scenario {scenario!r}; the known ones are: {known}")
    state = build_empty_state(scenario, RandomSource(seed), clock)
    state.faults.random_source = state.random_source.derive("faults")
    if scenario == "fresh":
        state.facebook.operator.is_developer = False
    else:
        add_approved_app(state)
        set_up_connectors(state)
        _apply_scenario(state)
        issue_customer_token(state)
    return state


def _apply_scenario(state: SandboxState) -> None:
    """Change the state of `approved` into the scenario's."""
    app = get_app(state)
    facebook = state.facebook
    cyclr = state.cyclr
    now = state.now()
    messenger = find_library_connector(state, MESSENGER)
    match state.scenario:
        case "wrong-secret":
            state.operator_values["app_secret"] = state.random_source.hexadecimal(32)
        case "unknown-app":
            state.operator_values["app_id"] = state.random_source.digits(16)
        case "redirect-missing":
            app.redirect_uris = []
            app.app_domains = []
        case "app-domains-only":
            # The domain above the Service Domain is an App Domain; no redirect URI is registered.
            app.redirect_uris = []
            app.app_domains = [SERVICE_DOMAIN.partition(".")[2]]
        case "review-pending":
            # Submitted two days ago, and not decided within the next day.
            review = _submit_for_review(state, days_ago=2)
            schedule_decision(
                review, state.random_source, days=tuple(days for days in REVIEW_DAYS if days > 3)
            )
        case "review-declined":
            review = _submit_for_review(state, days_ago=6)
            review.decides_on = now - 3 * DAY_SECONDS
            decide(app, dict.fromkeys(review.permissions, "declined"), DECLINED_REASON)
        case "partly-declined":
            # Two of the permissions were declined; the app was published with the others.
            _submit_for_review(state, days_ago=6).decides_on = now - 3 * DAY_SECONDS
            decide(app, {"leads_retrieval": "declined", "pages_manage_ads": "declined"})
            app.mode = AppMode.LIVE
        case "permission-missing":
            del app.permissions["leads_retrieval"], app.review.outcomes["leads_retrieval"]
            app.review.permissions.remove("leads_retrieval")
            issue_operator_tokens(
                state, tuple(name for name in PERMISSIONS if name != "leads_retrieval")
            )
        case "renewal-due":
            # Facebook requested a renewal when the app was made, 61 days before the first of this
            # month in UTC. It is overdue, so the app is deactivated.
            _revert_review(state)
            month = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0)
            app.created_on = month.timestamp() - 61 * DAY_SECONDS
            app.renewal = DataAccessRenewal(app.created_on)
        case "use-case-missing":
            # The app was made by another use case, which offers no leads and no messages.
            app.use_cases = [ADS.name]
            app.added_permissions = ["email"]
            app.products = set(ADS.products)
            offered = tuple(name for name in PERMISSIONS if name in app.available_permissions)
            _revert_review(state, called=offered)
            app.configurations = {}
            issue_operator_tokens(state, offered)
        case "test-calls-missing":
            # The app requested nothing, and its token is too weak for most test calls.
            _revert_review(state, called=())
            app.permissions = {}
            issue_operator_tokens(state, ("public_profile", "ads_read"))
        case "not-published":
            app.mode = AppMode.DEVELOPMENT
        case "tech-provider-pending":
            facebook.business.access_verification = VerificationStatus.PENDING
        case "cyclr-mismatch":
            other = add_app(state, "Another Partner App")
            other.redirect_uris = [cyclr.redirect_uri]
            other.app_domains = [SERVICE_DOMAIN]
            for connector in (find_library_connector(state, MARKETING), messenger):
                connector.client_id = other.id
                connector.client_secret = other.secret
        case "cyclr-ip-blocked":
            cyclr.is_ip_blocked = True
        case "token-expired":
            issued = now - LONG_LIFETIME_SECONDS - DAY_SECONDS
            user = state.issue_user_token(
                app, facebook.operator.id, PERMISSIONS, issued_at=issued, keep=True
            )
            state.operator_values["user_access_token"] = user.value
        case "rate-limited":
            # The hourly limit is used up; calls are answered again in five minutes.
            app.rate_limit = HourlyRateLimit(_CALLS_PER_PERSON)
            app.rate_limit.count(now - 3_600 + 300, _CALLS_PER_PERSON)
            for page in facebook.pages.values():
                leads = sum(len(form.leads) for form in page.forms)
                page.rate_limit = HourlyRateLimit(_CALLS_PER_PERSON)
                page.lead_rate_limit = HourlyRateLimit(_CALLS_PER_PERSON * leads)
        case "flaky":
            state.faults.active = [
                Fault(FaultKind.SERVER_ERROR, share=0.1),
                Fault(FaultKind.RESET, share=0.05),
                Fault(FaultKind.TRUNCATED, share=0.05),
                Fault(FaultKind.HTML, share=0.05),
                Fault(FaultKind.SLOW, share=0.05, seconds=1.0),
            ]
        case "version-expired":
            # The version that clients pin ended yesterday.
            state.version_schedule.replace_version(
                ApiVersion("v26.0", graph_until=now - DAY_SECONDS, upgraded_from=now - DAY_SECONDS)
            )
        case "portfolio-pages":
            # The page is only in the portfolio: `/me/accounts` leaves it out.
            _move_into_portfolio(state)
        case "portfolio-page-without-token":
            # The operator's token does not name the page; the portfolio lists it without its token.
            facebook.has_operator_chosen_all_pages = True
            for page in _move_into_portfolio(state):
                page.is_listed_without_token = True
        case "portfolio-refuses":
            # The operator has a second portfolio, whose lists of pages are refused.
            facebook.has_operator_chosen_all_pages = True
            _move_into_portfolio(state)
            agency = Business(
                state.random_source.digits(16), "Sandbox Agency", refuses_page_lists=True
            )
            facebook.further_businesses.append(agency)
        case "system-user":
            # Signing in with the app's configuration gives a system user's token.
            system_user = SystemUser(state.random_source.digits(15), "Sandbox System User")
            facebook.system_user = system_user
            app.system_user_configurations = set(app.configurations)
            state.operator_values["config_id"] = next(iter(app.configurations))
            issue_operator_tokens(state, PERMISSIONS[1:], system_user.id)
        case "answers-in-portuguese":
            facebook.locale = "pt_BR"
        case "customer-disconnected":
            _disconnect_customers(state)
        case "renewal-expired":
            # The app is 14 months old; nobody has looked at its renewal for more than a year.
            app.created_on = now - 430 * DAY_SECONDS
        case "messenger-wrong-scopes":
            # Setup lacks pages_messaging, and so does the connector's token.
            messenger.scopes = ",".join(MESSENGER_PERMISSIONS[1:])
            for installed in cyclr.account_connectors.values():
                if installed.connector_id == messenger.id:
                    authenticate_connector(state, installed)
        case "messenger-wrong-verify-token":
            messenger.verify_token = state.random_source.base64url(32)
        case "messenger-page-not-subscribed":
            for page in facebook.pages.values():
                page.webhook_subscriptions.clear()


def _move_into_portfolio(state: SandboxState) -> list[Page]:
    """Let the partner's business own every page, and people reach it only there."""
    pages = list(state.facebook.pages.values())
    for page in pages:
        page.portfolio_id = state.facebook.business.id
    return pages


def _revert_review(state: SandboxState, *, called: tuple[str, ...] = PERMISSIONS) -> None:
    """Take the app back to before its first review; `called` permissions were used."""
    app = get_app(state)
    app.mode = AppMode.DEVELOPMENT
    app.tier = AccessTier.LIMITED
    app.permissions = {"public_profile": "live"}
    app.test_calls = dict.fromkeys(called, state.now() - 4 * DAY_SECONDS)
    app.has_been_reviewed = False
    app.review = AppReview()
    marketing = find_library_connector(state, MARKETING)
    messenger = find_library_connector(state, MESSENGER)
    for connector in (marketing, messenger):
        connector.client_id = ""
        connector.client_secret = ""
    messenger.scopes = ""
    messenger.verify_token = ""
    state.cyclr.account_connectors.clear()
    for cycle in state.cyclr.cycles.values():
        cycle.account_connector_ids.clear()


def _submit_for_review(state: SandboxState, *, days_ago: int) -> AppReview:
    """Submit all permissions to App Review, for the first time, some days ago."""
    _revert_review(state)
    app = get_app(state)
    requested = list(PERMISSIONS[1:])
    app.permissions |= dict.fromkeys(requested, "unapproved")
    app.review = AppReview(
        ReviewState.PENDING,
        submitted_on=state.now() - days_ago * DAY_SECONDS,
        permissions=requested,
    )
    return app.review


def _disconnect_customers(state: SandboxState) -> None:
    """
    Add five customers, four of them with a problem.

    Cyclr shows the first one's token as ended. It still shows the second and the third as signed
    in: the app was removed, the page is lost. The fourth is fine. The last has no connector.
    """
    noticed, unnoticed, page, _, absent = add_customers(state, 5)
    fail_connection(state, noticed.id, "token-ended", is_noticed=True)
    fail_connection(state, unnoticed.id, "app-removed", is_noticed=False)
    fail_connection(state, page.id, "page-lost", is_noticed=False)
    for installed in state.cyclr.list_installed(absent.id):
        state.cyclr.uninstall(installed)
