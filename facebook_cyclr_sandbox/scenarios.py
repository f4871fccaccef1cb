"""
Scenarios by name: each is a state that the real systems can be in.

A scenario starts from `approved` (or from nothing) and changes the state;
no handler knows which one it serves.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from facebook_cyclr_sandbox.base_world import (
    DAY,
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
from facebook_cyclr_sandbox.customers import add_customers, end_connection
from facebook_cyclr_sandbox.state.facebook_world import (
    AppMode,
    Renewal,
    Review,
    ReviewState,
    Tier,
    Verification,
)
from facebook_cyclr_sandbox.state.faults import Fault, FaultKind
from facebook_cyclr_sandbox.state.permissions import MESSENGER_PERMISSIONS, PERMISSIONS
from facebook_cyclr_sandbox.state.review import DECLINED_REASON, REVIEW_DAYS, decide, plan
from facebook_cyclr_sandbox.state.stores import Dice, Meter
from facebook_cyclr_sandbox.state.use_cases import ADS
from facebook_cyclr_sandbox.state.versions import Version
from facebook_cyclr_sandbox.state.world import LONG_LIFETIME, World
from facebook_cyclr_sandbox.vendors import VENDORS

_CALLS_PER_PERSON = 200


def build_world(
    scenario: str, *, seed: int | None = None, clock: Callable[[], float] = time.time
) -> World:
    """
    Build the world of a scenario.

    With a `seed` its secrets and IDs are the same each time. Raises ValueError
    when there is no such scenario.
    """
    if scenario not in _CHANGES:
        known = ", ".join(SCENARIOS)
        raise ValueError(f"there is no scenario {scenario!r}; the known ones are: {known}")
    world = nothing_done(scenario, Dice(seed), clock)
    world.faults.dice = world.dice.of("faults")
    if scenario == "fresh":
        world.facebook.person.is_developer = False
    else:
        register_app(world)
        connect(world)
        _CHANGES[scenario](world)
        let_customer_consent(world)
    for vendor in VENDORS.values():
        vendor.build(world)
    return world


# --- the others ------------------------------------------------------------------------------
def _as_it_is(_world: World) -> None:
    pass


def _wrong_secret(world: World) -> None:
    world.answers["app_secret"] = world.dice.hexadecimal(32)


def _unknown_app(world: World) -> None:
    world.answers["app_id"] = world.dice.digits(16)


def _redirect_missing(world: World) -> None:
    app = the_app(world)
    app.redirect_uris, app.app_domains = [], []


def _app_domains_only(world: World) -> None:
    """The domain above the Service Domain is an App Domain; no redirect URI is registered."""
    app = the_app(world)
    app.redirect_uris, app.app_domains = [], [SERVICE_DOMAIN.partition(".")[2]]


def _not_connected(world: World) -> None:
    marketing, messenger = library_connector(world, MARKETING), library_connector(world, MESSENGER)
    marketing.client_id = marketing.client_secret = ""
    messenger.client_id = messenger.client_secret = ""
    messenger.scopes = messenger.verify_token = ""
    world.cyclr.account_connectors.clear()
    for cycle in world.cyclr.cycles.values():
        cycle.account_connector_ids.clear()


def _take_back(world: World, *, called: tuple[str, ...] = PERMISSIONS) -> None:
    """Take the app back to before its first review; `called` permissions were used."""
    app = the_app(world)
    app.mode, app.tier = AppMode.DEVELOPMENT, Tier.LIMITED
    app.permissions = {"public_profile": "live"}
    app.test_calls = dict.fromkeys(called, world.now() - 4 * DAY)
    app.was_reviewed, app.review = False, Review()
    _not_connected(world)


def _under_review(world: World, *, days_ago: int) -> Review:
    """Submit all permissions to App Review some days ago."""
    app = the_app(world)
    requested = list(PERMISSIONS[1:])
    app.permissions |= dict.fromkeys(requested, "unapproved")
    app.review = Review(
        ReviewState.PENDING,
        submitted_on=world.now() - days_ago * DAY,
        permissions=requested,
    )
    return app.review


def _review_pending(world: World) -> None:
    """Submitted two days ago, and not decided within the next day."""
    _take_back(world)
    review = _under_review(world, days_ago=2)
    plan(review, world.dice, days=tuple(days for days in REVIEW_DAYS if days > 3))


def _review_declined(world: World) -> None:
    _take_back(world)
    review = _under_review(world, days_ago=6)
    review.decides_on = world.now() - 3 * DAY
    decide(the_app(world), dict.fromkeys(review.permissions, "declined"), DECLINED_REASON)


def _partly_declined(world: World) -> None:
    """Two of the permissions were declined; the app was published with the others."""
    _take_back(world)
    review = _under_review(world, days_ago=6)
    review.decides_on = world.now() - 3 * DAY
    decide(the_app(world), {"leads_retrieval": "declined", "pages_manage_ads": "declined"})
    the_app(world).mode = AppMode.LIVE


def _renewal_due(world: World) -> None:
    """
    A renewal was asked for when the app was made, and is overdue: the app is deactivated.

    It was asked for 61 days before the first of this month, in UTC.
    """
    app = the_app(world)
    _take_back(world)
    month = datetime.fromtimestamp(world.now(), UTC).replace(day=1, hour=0, minute=0, second=0)
    app.created_on = month.timestamp() - 61 * DAY
    app.renewal = Renewal(app.created_on)


def _use_case_missing(world: World) -> None:
    """The app was made by another use case, which offers no leads and no messages."""
    app = the_app(world)
    app.use_cases, app.added = [ADS.name], ["email"]
    app.products = set(ADS.products)
    offered = tuple(name for name in PERMISSIONS if name in app.available_permissions)
    _take_back(world, called=offered)
    app.configurations = {}
    give_tokens(world, offered)


def _test_calls_missing(world: World) -> None:
    """Nothing was requested, and the token is too weak for most of the calls to be made."""
    app = the_app(world)
    _take_back(world, called=())
    app.permissions = {}
    give_tokens(world, ("public_profile", "ads_read"))


def _not_published(world: World) -> None:
    the_app(world).mode = AppMode.DEVELOPMENT


def _tech_provider_pending(world: World) -> None:
    world.facebook.business.access_verification = Verification.PENDING


def _permission_missing(world: World) -> None:
    app = the_app(world)
    del app.permissions["leads_retrieval"], app.review.outcomes["leads_retrieval"]
    app.review.permissions.remove("leads_retrieval")
    give_tokens(world, tuple(name for name in PERMISSIONS if name != "leads_retrieval"))


def _cyclr_mismatch(world: World) -> None:
    other = new_app(world, "Another Partner App")
    other.redirect_uris, other.app_domains = [world.cyclr.redirect_uri], [SERVICE_DOMAIN]
    for name in (MARKETING, MESSENGER):
        connector = library_connector(world, name)
        connector.client_id, connector.client_secret = other.id, other.secret


def _cyclr_ip_blocked(world: World) -> None:
    world.cyclr.address_is_blocked = True


def _token_expired(world: World) -> None:
    app, person = the_app(world), world.facebook.person
    issued = world.now() - LONG_LIFETIME - DAY
    user = world.issue_user_token(app, person.id, PERMISSIONS, issued_at=issued, keep=True)
    world.answers["user_access_token"] = user.value


def _rate_limited(world: World) -> None:
    """Use up the hourly limit; calls are answered again in five minutes."""
    app, now = the_app(world), world.now()
    app.meter = Meter(_CALLS_PER_PERSON)
    app.meter.count(now - 3_600 + 300, _CALLS_PER_PERSON)
    for page in world.facebook.pages.values():
        leads = sum(len(form.leads) for form in page.forms)
        page.meter = Meter(_CALLS_PER_PERSON)
        page.lead_meter = Meter(_CALLS_PER_PERSON * leads)


def _flaky(world: World) -> None:
    world.faults.active = [
        Fault(FaultKind.SERVER_ERROR, share=0.1),
        Fault(FaultKind.RESET, share=0.05),
        Fault(FaultKind.TRUNCATED, share=0.05),
        Fault(FaultKind.HTML, share=0.05),
        Fault(FaultKind.SLOW, share=0.05, seconds=1.0),
    ]


def _version_expired(world: World) -> None:
    """End the version that clients pin: it ended yesterday."""
    yesterday = world.now() - DAY
    world.calendar.amend(Version("v26.0", graph_until=yesterday, upgraded_from=yesterday))


def _messenger_wrong_scopes(world: World) -> None:
    """Leave pages_messaging out of Setup, and so out of the connector's token."""
    messenger = library_connector(world, MESSENGER)
    messenger.scopes = ",".join(MESSENGER_PERMISSIONS[1:])
    for installed in world.cyclr.account_connectors.values():
        if installed.connector_id == messenger.id:
            authenticate(world, installed)


def _messenger_wrong_verify_token(world: World) -> None:
    library_connector(world, MESSENGER).verify_token = world.dice.base64url(32)


def _messenger_page_not_subscribed(world: World) -> None:
    for page in world.facebook.pages.values():
        page.subscribed.clear()


def _customer_disconnected(world: World) -> None:
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


def _portfolio_pages(world: World) -> None:
    """People reach the page only through the business portfolio: `/me/accounts` leaves it out."""
    for page in world.facebook.pages.values():
        page.is_in_portfolio = True


def _renewal_expired(world: World) -> None:
    """The app is 14 months old; nobody has looked at its renewal for more than a year."""
    the_app(world).created_on = world.now() - 430 * DAY


_CHANGES: dict[str, Callable[[World], None]] = {
    "approved": _as_it_is,
    "fresh": _as_it_is,
    "wrong-secret": _wrong_secret,
    "unknown-app": _unknown_app,
    "redirect-missing": _redirect_missing,
    "app-domains-only": _app_domains_only,
    "review-pending": _review_pending,
    "review-declined": _review_declined,
    "partly-declined": _partly_declined,
    "permission-missing": _permission_missing,
    "renewal-due": _renewal_due,
    "use-case-missing": _use_case_missing,
    "test-calls-missing": _test_calls_missing,
    "not-published": _not_published,
    "tech-provider-pending": _tech_provider_pending,
    "cyclr-mismatch": _cyclr_mismatch,
    "cyclr-ip-blocked": _cyclr_ip_blocked,
    "token-expired": _token_expired,
    "rate-limited": _rate_limited,
    "flaky": _flaky,
    "version-expired": _version_expired,
    "portfolio-pages": _portfolio_pages,
    "customer-disconnected": _customer_disconnected,
    "renewal-expired": _renewal_expired,
    "messenger-wrong-scopes": _messenger_wrong_scopes,
    "messenger-wrong-verify-token": _messenger_wrong_verify_token,
    "messenger-page-not-subscribed": _messenger_page_not_subscribed,
}

SCENARIOS: tuple[str, ...] = tuple(_CHANGES)
"""The names of all scenarios."""
