"""
Scenarios by name: each is a state that the real systems can be in.

A scenario starts from `approved` (or from nothing) and changes the state;
no handler knows which one it serves.
"""

import time
from collections.abc import Callable

from runbook_lib.sandbox.http.faults import Fault, FaultKind
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.cyclr_world import (
    Account,
    AccountConnector,
    Cycle,
    Cyclr,
    LibraryConnector,
    Method,
    Parameter,
)
from runbook_lib.sandbox.state.facebook_world import (
    MARKETING_PERMISSIONS,
    MESSENGER_FIELDS,
    MESSENGER_PERMISSIONS,
    PERMISSIONS,
    AdAccount,
    App,
    Facebook,
    Form,
    Lead,
    Page,
    Person,
    Review,
    ReviewState,
)
from runbook_lib.sandbox.state.stores import Dice, Meter
from runbook_lib.sandbox.state.versions import Version
from runbook_lib.sandbox.state.world import LONG_LIFETIME, World

__all__ = ["SCENARIOS", "SERVICE_DOMAIN", "build_world"]

MARKETING = "Facebook Marketing API"
MESSENGER = "Facebook Messenger API"
SERVICE_DOMAIN = "connect.partner.test"
APP_NAME = "Partner Integrations"
_PERSON = "Sandbox Operator"
_EMAIL = "operator@partner.test"
_USERNAME = "operator"
_DAY = 86_400
_CALLS_PER_PERSON = 200

_ANSWERS = (
    "app_id",
    "app_secret",
    "app_display_name",
    "cyclr_client_id",
    "cyclr_client_secret",
    "account_api_id",
    "cyclr_username",
    "user_access_token",
    "page_id",
    "page_access_token",
    "leadgen_form_id",
    "ad_account_id",
    "scopes",
    "verify_token",
    "webhook_url",
    "login_email",
    "login_password",
)


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
    world = _nothing_done(scenario, Dice(seed), clock)
    world.faults.dice = Dice(seed)
    if scenario == "fresh":
        world.facebook.person.is_developer = False
    else:
        _register_app(world)
        _connect(world)
        _CHANGES[scenario](world)
    return world


# --- fresh -----------------------------------------------------------------------------------
def _nothing_done(scenario: str, dice: Dice, clock: Callable[[], float]) -> World:
    person = Person(dice.digits(17), _PERSON, _EMAIL, "sandbox-" + dice.alphanumeric(10))
    cyclr = Cyclr(SERVICE_DOMAIN, "Sandbox Partner")
    world = World(scenario, Facebook(person), cyclr, dice, clock=clock)
    world.answers = dict.fromkeys(_ANSWERS, "")
    client_id, client_secret = dice.guid(), dice.base64url(43)
    account = Account(dice.guid(), "First Customer", world.now() - 30 * _DAY, users={_USERNAME})
    cyclr.clients[client_id] = client_secret
    cyclr.accounts[account.id] = account
    for connector in _library(dice):
        cyclr.library[connector.id] = connector
    cycle = Cycle(dice.guid(), account.id, "Leads to CRM")
    cyclr.cycles[cycle.id] = cycle
    world.answers |= {
        "cyclr_client_id": client_id,
        "cyclr_client_secret": client_secret,
        "account_api_id": account.id,
        "cyclr_username": _USERNAME,
        "webhook_url": cyclr.webhook_url(_connector(world, MESSENGER)),
        "login_email": person.email,
        "login_password": person.password,
    }
    _add_assets(world)
    return world


@verbatim("cyclr §3", "connector Facebook Marketing API: Version null, Social Media, Approved")
@verbatim("cyclr §3", "its methods List My Permissions, … List Leads By Form (their IDs are not)")
@inferred("cyclr §3", "the Graph path behind each method")
@verbatim("cyclr §2", "connector Facebook Messenger API (its category is unknown)", "cyclr/docs")
@unknown("cyclr §3", "the methods of Facebook Messenger API: none are listed")
@unknown("cyclr §4", "scopes of the connector: those that lead ads need are asked for")
def _library(dice: Dice) -> list[LibraryConnector]:
    first = 15_000 + int(dice.digits(3))

    def method(number: int, name: str, category: str, path: str, *blanks: str) -> Method:
        blank_ids = tuple((400_000 + 10 * number + i, blank) for i, blank in enumerate(blanks))
        return Method(number, dice.guid(), name, category, f"{name}.", path, blank_ids)

    marketing = LibraryConnector(
        first,
        MARKETING,
        "Work with ad accounts, pages and lead forms.",
        "Social Media",
        "OAuth2",
        dice.guid(),
        scopes=",".join(MARKETING_PERMISSIONS[1:]),
        methods=(
            method(116, "List My Permissions", "Ad Accounts", "me/permissions"),
            method(117, "List My Ad Accounts", "Ad Accounts", "me/adaccounts"),
            method(118, "List My Pages", "Pages", "me/accounts"),
            method(119, "List Forms", "Lead Ads", "{page_id}/leadgen_forms", "page_id"),
            method(120, "List Leads By Form", "Lead Ads", "{form_id}/leads", "form_id"),
        ),
    )
    messenger = LibraryConnector(
        first + 7,
        MESSENGER,
        "Send and receive messages.",
        "Social Media",
        "OAuth2",
        dice.guid(),
        webhook_id=dice.guid(),
    )
    close = LibraryConnector(
        first + 11,
        "Close",
        "Work with leads and contacts.",
        "CRM",
        "ApiKey",
        dice.guid(),
        parameters=(
            Parameter(7_654_321, "Sandbox", "isSandbox", values=("true", "false")),
            Parameter(7_654_322, "Page size", "pageSize", is_property=False),
        ),
    )
    return [close, messenger, marketing]


def _add_assets(world: World) -> None:
    """Give the person a page with a form and two leads, and an ad account."""
    dice, now = world.dice, world.now()
    tasks = ("ADVERTISE", "ANALYZE", "CREATE_CONTENT", "MESSAGING", "MODERATE", "MANAGE")
    page = Page(dice.digits(15), "Sandbox Bakery", "Bakery", "197871390225897", tasks)
    questions = {"email": "EMAIL", "full_name": "FULL_NAME"}
    form = Form(dice.digits(16), page.id, "Ask for an offer", now - 20 * _DAY, questions)
    for number, age in ((1, 2 * _DAY), (2, _DAY)):
        answers = {"email": f"lead.{number}@example.com", "full_name": f"Lead Number {number}"}
        form.leads.append(Lead(dice.digits(16), form.id, dice.digits(17), now - age, answers))
    page.forms.append(form)
    campaigns = {dice.digits(17): f"Campaign {number}" for number in range(1, 4)}
    account = AdAccount(dice.digits(15), "Sandbox Ads", campaigns=campaigns)
    world.facebook.pages[page.id] = page
    world.facebook.ad_accounts[account.id] = account


# --- approved --------------------------------------------------------------------------------
def _register_app(world: World) -> None:
    app = _new_app(world, APP_NAME)
    home = f"https://www.{SERVICE_DOMAIN.partition('.')[2]}"
    app.app_domains = [SERVICE_DOMAIN]
    app.redirect_uris = [world.cyclr.redirect_uri]
    app.products.add("messenger")
    app.permissions = dict.fromkeys(PERMISSIONS, "live")
    app.was_reviewed = True
    app.configurations = {world.dice.digits(16): PERMISSIONS}
    app.review = Review(
        ReviewState.APPROVED,
        submitted_on=world.now() - 6 * _DAY,
        permissions=list(PERMISSIONS[1:]),
    )
    app.profile |= {
        "privacy_policy_url": f"{home}/privacy",
        "terms_of_service_url": f"{home}/terms",
        "user_support_email": "support@partner.test",
        "website_url": f"{home}/",
        "icon_url": f"{home}/icon-16.png",
        "logo_url": f"{home}/icon.png",
    }
    facebook = world.facebook
    person = facebook.person
    facebook.grants[person.id, app.id] = dict.fromkeys(PERMISSIONS, "granted")
    user = world.issue_user_token(app, person.id, PERMISSIONS, keep=True)
    page = next(iter(facebook.pages.values()))
    page.subscribed[app.id] = MESSENGER_FIELDS
    world.answers |= {
        "app_id": app.id,
        "app_secret": app.secret,
        "app_display_name": app.name,
        "user_access_token": user.value,
        "page_id": page.id,
        "page_access_token": world.issue_page_token(user, page.id, keep=True).value,
        "leadgen_form_id": page.forms[0].id,
        "ad_account_id": next(iter(facebook.ad_accounts)),
    }


def _new_app(world: World, name: str) -> App:
    app = world.register_app(name)
    app.purpose, app.category = "Clients", "Business"
    app.contact_email = world.facebook.person.email
    app.created_on = world.now() - 10 * _DAY
    app.products = {"facebook_login"}
    return app


def _connect(world: World) -> None:
    """Set both connectors up, install them in the account and authenticate them."""
    app, messenger = the_app(world), _connector(world, MESSENGER)
    messenger.scopes = ",".join(MESSENGER_PERMISSIONS)
    messenger.verify_token = world.dice.base64url(32)
    world.answers |= {"scopes": messenger.scopes, "verify_token": messenger.verify_token}
    account = next(iter(world.cyclr.accounts.values()))
    for name in (MARKETING, MESSENGER):
        connector = _connector(world, name)
        connector.client_id, connector.client_secret = app.id, app.secret
        installed = AccountConnector(world.cyclr.new_id(), account.id, connector.id, name)
        world.cyclr.account_connectors[installed.id] = installed
        _authenticate(world, installed)
    marketing_id = next(iter(world.cyclr.account_connectors))
    next(iter(world.cyclr.cycles.values())).account_connector_ids.append(marketing_id)


def _authenticate(world: World, installed: AccountConnector) -> None:
    """Issue the token to which the person consents at the connector's sign-in."""
    scopes = world.cyclr.library[installed.connector_id].scopes.split(",")
    token = world.issue_user_token(
        the_app(world), world.facebook.person.id, ("public_profile", *scopes), keep=True
    )
    installed.access_token, installed.authenticated = token.value, True


def the_app(world: World) -> App:
    """Return the app of the scenario."""
    return next(iter(world.facebook.apps.values()))


def _connector(world: World, name: str) -> LibraryConnector:
    return next(one for one in world.cyclr.library.values() if one.name == name)


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


def _not_connected(world: World) -> None:
    marketing, messenger = _connector(world, MARKETING), _connector(world, MESSENGER)
    marketing.client_id = marketing.client_secret = ""
    messenger.client_id = messenger.client_secret = ""
    messenger.scopes = messenger.verify_token = ""
    world.cyclr.account_connectors.clear()
    for cycle in world.cyclr.cycles.values():
        cycle.account_connector_ids.clear()


def _unapprove(world: World, review: Review) -> None:
    app = the_app(world)
    requested = [name for name in app.permissions if name != "public_profile"]
    app.permissions |= dict.fromkeys(requested, "unapproved")
    review.permissions = requested
    app.review = review
    _not_connected(world)


def _review_pending(world: World) -> None:
    _unapprove(world, Review(ReviewState.PENDING, submitted_on=world.now() - 2 * _DAY))
    the_app(world).was_reviewed = False


def _review_declined(world: World) -> None:
    reason = "The screencast does not show how the app uses leads_retrieval."
    review = Review(ReviewState.DECLINED, reason, submitted_on=world.now() - 6 * _DAY)
    _unapprove(world, review)


def _permission_missing(world: World) -> None:
    app, person = the_app(world), world.facebook.person
    del app.permissions["leads_retrieval"]
    app.review.permissions.remove("leads_retrieval")
    del world.facebook.grants[person.id, app.id]["leads_retrieval"]
    scopes = tuple(name for name in PERMISSIONS if name != "leads_retrieval")
    user = world.issue_user_token(app, person.id, scopes, keep=True)
    page_token = world.issue_page_token(user, world.answers["page_id"], keep=True)
    world.answers |= {"user_access_token": user.value, "page_access_token": page_token.value}


def _cyclr_mismatch(world: World) -> None:
    other = _new_app(world, "Another Partner App")
    other.redirect_uris, other.app_domains = [world.cyclr.redirect_uri], [SERVICE_DOMAIN]
    for name in (MARKETING, MESSENGER):
        connector = _connector(world, name)
        connector.client_id, connector.client_secret = other.id, other.secret


def _cyclr_ip_blocked(world: World) -> None:
    world.cyclr.address_is_blocked = True


def _token_expired(world: World) -> None:
    app, person = the_app(world), world.facebook.person
    issued = world.now() - LONG_LIFETIME - _DAY
    user = world.issue_user_token(app, person.id, PERMISSIONS, issued_at=issued, keep=True)
    world.answers["user_access_token"] = user.value


@verbatim("graph §8", "lead reads: 200 an hour for each lead of 90 days (24 hours counted)", "docs")
@unknown("graph §8", "the app's own limit: 200 calls an hour for its one person")
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
    yesterday = world.now() - _DAY
    world.calendar.amend(Version("v26.0", graph_until=yesterday, upgraded_from=yesterday))


def _messenger_wrong_scopes(world: World) -> None:
    """Leave pages_messaging out of Setup, and so out of the connector's token."""
    messenger = _connector(world, MESSENGER)
    messenger.scopes = ",".join(MESSENGER_PERMISSIONS[1:])
    for installed in world.cyclr.account_connectors.values():
        if installed.connector_id == messenger.id:
            _authenticate(world, installed)


def _messenger_wrong_verify_token(world: World) -> None:
    _connector(world, MESSENGER).verify_token = world.dice.base64url(32)


def _messenger_page_not_subscribed(world: World) -> None:
    for page in world.facebook.pages.values():
        page.subscribed.clear()


_CHANGES: dict[str, Callable[[World], None]] = {
    "approved": _as_it_is,
    "fresh": _as_it_is,
    "wrong-secret": _wrong_secret,
    "unknown-app": _unknown_app,
    "redirect-missing": _redirect_missing,
    "review-pending": _review_pending,
    "review-declined": _review_declined,
    "permission-missing": _permission_missing,
    "cyclr-mismatch": _cyclr_mismatch,
    "cyclr-ip-blocked": _cyclr_ip_blocked,
    "token-expired": _token_expired,
    "rate-limited": _rate_limited,
    "flaky": _flaky,
    "version-expired": _version_expired,
    "messenger-wrong-scopes": _messenger_wrong_scopes,
    "messenger-wrong-verify-token": _messenger_wrong_verify_token,
    "messenger-page-not-subscribed": _messenger_page_not_subscribed,
}

SCENARIOS: tuple[str, ...] = tuple(_CHANGES)
"""The names of all scenarios."""
