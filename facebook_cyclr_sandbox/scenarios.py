"""
Scenarios by name: each is a state that the real systems can be in.

A scenario starts from `approved` (or from nothing) and changes the state;
no handler knows which one it serves.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from facebook_cyclr_sandbox.base_world import (
    MARKETING,
    MESSENGER,
    SERVICE_DOMAIN,
    authenticate,
    connect,
    give_tokens,
    let_customer_consent,
    library_connector,
    new_app,
    nothing_done,
    register_app,
    the_app,
)
from facebook_cyclr_sandbox.control import export
from facebook_cyclr_sandbox.customers import add_customers, end_connection
from facebook_cyclr_sandbox.state.facebook_world import (
    AppMode,
    Business,
    Page,
    Renewal,
    Review,
    ReviewState,
    SystemUser,
    Tier,
    Verification,
)
from facebook_cyclr_sandbox.state.faults import Fault, FaultKind
from facebook_cyclr_sandbox.state.permissions import MESSENGER_PERMISSIONS, PERMISSIONS
from facebook_cyclr_sandbox.state.review import DECLINED_REASON, REVIEW_DAYS, decide, plan
from facebook_cyclr_sandbox.state.stores import Dice, Meter
from facebook_cyclr_sandbox.state.use_cases import ADS
from facebook_cyclr_sandbox.state.versions import Version
from facebook_cyclr_sandbox.state.world import DAY, LONG_LIFETIME, World
from facebook_cyclr_sandbox.vendors import FACEBOOK, VENDORS

_CALLS_PER_PERSON = 200

SCENARIOS: tuple[str, ...] = (
    *("approved", "fresh", "wrong-secret", "unknown-app", "redirect-missing", "app-domains-only"),
    *("review-pending", "review-declined", "partly-declined", "permission-missing"),
    *("renewal-due", "use-case-missing", "test-calls-missing", "not-published"),
    *("tech-provider-pending", "cyclr-mismatch", "cyclr-ip-blocked", "token-expired"),
    *("rate-limited", "flaky", "version-expired", "portfolio-pages", "customer-disconnected"),
    *("renewal-expired", "messenger-wrong-scopes", "messenger-wrong-verify-token"),
    "messenger-page-not-subscribed",
    "portfolio-page-without-token",
    "portfolio-refuses",
    "system-user",
    "answers-in-portuguese",
)
"""The names of all scenarios."""

# These scenarios change nothing for that connector of Facebook's: there they would be `approved`.
_NOT_OF = {
    MARKETING: (
        "messenger-wrong-scopes",
        "messenger-wrong-verify-token",
        "messenger-page-not-subscribed",
    ),
    # It asks for no leads, and the customers have the other connector.
    MESSENGER: ("permission-missing", "customer-disconnected"),
}


def scenarios_of(vendor: str, connector: str = "") -> tuple[str, ...]:
    """
    Return the scenarios that a connector of Cyclr's library can be practised in.

    `vendor` is the company of its app. A company that the sandbox does not imitate has none.
    """
    if vendor not in VENDORS:
        return ()
    if vendor == FACEBOOK.name:
        return tuple(name for name in SCENARIOS if name not in _NOT_OF.get(connector, ()))
    moment = time.time()

    def state(scenario: str) -> object:
        world = build_world(scenario, seed=0, clock=lambda: moment)
        return export(world.vendors.get(vendor))

    first, *others = SCENARIOS
    usual, also = state(first), VENDORS[vendor].also
    return (first, *(name for name in others if name in also or state(name) != usual))


def build_world(
    scenario: str, *, seed: int | None = None, clock: Callable[[], float] = time.time
) -> World:
    """
    Build the world of a scenario.

    With a `seed` its secrets and IDs are the same each time. Raises ValueError
    when there is no such scenario.
    """
    if scenario not in SCENARIOS:
        known = ", ".join(SCENARIOS)
        raise ValueError(f"there is no scenario {scenario!r}; the known ones are: {known}")
    world = nothing_done(scenario, Dice(seed), clock)
    world.faults.dice = world.dice.of("faults")
    if scenario == "fresh":
        world.facebook.person.is_developer = False
    else:
        register_app(world)
        connect(world)
        _change(world)
        let_customer_consent(world)
    for vendor in VENDORS.values():
        vendor.build(world)
    return world


def _change(world: World) -> None:
    """Turn the world of `approved` into that of its scenario."""
    app, facebook, cyclr, now = the_app(world), world.facebook, world.cyclr, world.now()
    messenger = library_connector(world, MESSENGER)
    match world.scenario:
        case "wrong-secret":
            world.answers["app_secret"] = world.dice.hexadecimal(32)
        case "unknown-app":
            world.answers["app_id"] = world.dice.digits(16)
        case "redirect-missing":
            app.redirect_uris, app.app_domains = [], []
        case "app-domains-only":
            # The domain above the Service Domain is an App Domain; no redirect URI is registered.
            app.redirect_uris, app.app_domains = [], [SERVICE_DOMAIN.partition(".")[2]]
        case "review-pending":
            # Submitted two days ago, and not decided within the next day.
            review = _submit(world, days_ago=2)
            plan(review, world.dice, days=tuple(days for days in REVIEW_DAYS if days > 3))
        case "review-declined":
            review = _submit(world, days_ago=6)
            review.decides_on = now - 3 * DAY
            decide(app, dict.fromkeys(review.permissions, "declined"), DECLINED_REASON)
        case "partly-declined":
            # Two of the permissions were declined; the app was published with the others.
            _submit(world, days_ago=6).decides_on = now - 3 * DAY
            decide(app, {"leads_retrieval": "declined", "pages_manage_ads": "declined"})
            app.mode = AppMode.LIVE
        case "permission-missing":
            del app.permissions["leads_retrieval"], app.review.outcomes["leads_retrieval"]
            app.review.permissions.remove("leads_retrieval")
            give_tokens(world, tuple(name for name in PERMISSIONS if name != "leads_retrieval"))
        case "renewal-due":
            # A renewal was asked for when the app was made, 61 days before the first of this month
            # in UTC. It is overdue, so the app is deactivated.
            _take_back(world)
            month = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0)
            app.created_on = month.timestamp() - 61 * DAY
            app.renewal = Renewal(app.created_on)
        case "use-case-missing":
            # The app was made by another use case, which offers no leads and no messages.
            app.use_cases, app.added, app.products = [ADS.name], ["email"], set(ADS.products)
            offered = tuple(name for name in PERMISSIONS if name in app.available_permissions)
            _take_back(world, called=offered)
            app.configurations = {}
            give_tokens(world, offered)
        case "test-calls-missing":
            # Nothing was requested, and the token is too weak for most of the calls to be made.
            _take_back(world, called=())
            app.permissions = {}
            give_tokens(world, ("public_profile", "ads_read"))
        case "not-published":
            app.mode = AppMode.DEVELOPMENT
        case "tech-provider-pending":
            facebook.business.access_verification = Verification.PENDING
        case "cyclr-mismatch":
            other = new_app(world, "Another Partner App")
            other.redirect_uris, other.app_domains = [cyclr.redirect_uri], [SERVICE_DOMAIN]
            for connector in (library_connector(world, MARKETING), messenger):
                connector.client_id, connector.client_secret = other.id, other.secret
        case "cyclr-ip-blocked":
            cyclr.address_is_blocked = True
        case "token-expired":
            issued = now - LONG_LIFETIME - DAY
            user = world.issue_user_token(
                app, facebook.person.id, PERMISSIONS, issued_at=issued, keep=True
            )
            world.answers["user_access_token"] = user.value
        case "rate-limited":
            # The hourly limit is used up; calls are answered again in five minutes.
            app.meter = Meter(_CALLS_PER_PERSON)
            app.meter.count(now - 3_600 + 300, _CALLS_PER_PERSON)
            for page in facebook.pages.values():
                leads = sum(len(form.leads) for form in page.forms)
                page.meter = Meter(_CALLS_PER_PERSON)
                page.lead_meter = Meter(_CALLS_PER_PERSON * leads)
        case "flaky":
            world.faults.active = [
                Fault(FaultKind.SERVER_ERROR, share=0.1),
                Fault(FaultKind.RESET, share=0.05),
                Fault(FaultKind.TRUNCATED, share=0.05),
                Fault(FaultKind.HTML, share=0.05),
                Fault(FaultKind.SLOW, share=0.05, seconds=1.0),
            ]
        case "version-expired":
            # The version that clients pin ended yesterday.
            world.calendar.amend(Version("v26.0", graph_until=now - DAY, upgraded_from=now - DAY))
        case "portfolio-pages":
            # People reach the page only through the portfolio: `/me/accounts` leaves it out.
            _move_into_portfolio(world)
        case "portfolio-page-without-token":
            # The operator's token does not name the page; the portfolio lists it without its own.
            facebook.has_operator_chosen_all_pages = True
            for page in _move_into_portfolio(world):
                page.is_listed_without_token = True
        case "portfolio-refuses":
            # The operator has a second portfolio, whose lists of pages are refused.
            facebook.has_operator_chosen_all_pages = True
            _move_into_portfolio(world)
            agency = Business(world.dice.digits(16), "Sandbox Agency", refuses_page_lists=True)
            facebook.further_businesses.append(agency)
        case "system-user":
            # Signing in with the app's configuration gives a system user's token.
            system_user = facebook.system_user = SystemUser(
                world.dice.digits(15), "Sandbox System User"
            )
            app.system_user_configurations = set(app.configurations)
            world.answers["config_id"] = next(iter(app.configurations))
            give_tokens(world, PERMISSIONS[1:], system_user.id)
        case "answers-in-portuguese":
            facebook.locale = "pt_BR"
        case "customer-disconnected":
            _disconnect_customers(world)
        case "renewal-expired":
            # The app is 14 months old; nobody has looked at its renewal for more than a year.
            app.created_on = now - 430 * DAY
        case "messenger-wrong-scopes":
            # Setup lacks pages_messaging, and so does the connector's token.
            messenger.scopes = ",".join(MESSENGER_PERMISSIONS[1:])
            for installed in cyclr.account_connectors.values():
                if installed.connector_id == messenger.id:
                    authenticate(world, installed)
        case "messenger-wrong-verify-token":
            messenger.verify_token = world.dice.base64url(32)
        case "messenger-page-not-subscribed":
            for page in facebook.pages.values():
                page.subscribed.clear()


def _move_into_portfolio(world: World) -> list[Page]:
    """Let the partner's business own every page, and people reach it only there."""
    pages = list(world.facebook.pages.values())
    for page in pages:
        page.portfolio_id = world.facebook.business.id
    return pages


def _take_back(world: World, *, called: tuple[str, ...] = PERMISSIONS) -> None:
    """Take the app back to before its first review; `called` permissions were used."""
    app = the_app(world)
    app.mode, app.tier = AppMode.DEVELOPMENT, Tier.LIMITED
    app.permissions = {"public_profile": "live"}
    app.test_calls = dict.fromkeys(called, world.now() - 4 * DAY)
    app.was_reviewed, app.review = False, Review()
    marketing, messenger = library_connector(world, MARKETING), library_connector(world, MESSENGER)
    marketing.client_id = marketing.client_secret = ""
    messenger.client_id = messenger.client_secret = ""
    messenger.scopes = messenger.verify_token = ""
    world.cyclr.account_connectors.clear()
    for cycle in world.cyclr.cycles.values():
        cycle.account_connector_ids.clear()


def _submit(world: World, *, days_ago: int) -> Review:
    """Submit all permissions to App Review, for the first time, some days ago."""
    _take_back(world)
    app, requested = the_app(world), list(PERMISSIONS[1:])
    app.permissions |= dict.fromkeys(requested, "unapproved")
    app.review = Review(
        ReviewState.PENDING,
        submitted_on=world.now() - days_ago * DAY,
        permissions=requested,
    )
    return app.review


def _disconnect_customers(world: World) -> None:
    """
    Of five more customers one is fine, two were disconnected, of one Cyclr knows nothing.

    One's token has ended and Cyclr shows it, one's has ended and Cyclr still says signed in, one
    lost the page; in the last the connector is not installed.
    """
    noticed, unnoticed, page, _, absent = add_customers(world, 5)
    end_connection(world, noticed.id, "token-ended", is_noticed=True)
    end_connection(world, unnoticed.id, "app-removed", is_noticed=False)
    end_connection(world, page.id, "page-lost", is_noticed=False)
    for installed in world.cyclr.installed_in(absent.id):
        world.cyclr.remove(installed)
