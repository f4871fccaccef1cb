"""
The world that scenarios start from: two people and their assets, and an app that is all done.

`nothing_done` is the beginning of the procedure; `register_app` and `connect` are its end.
"""

from collections.abc import Callable

from facebook_cyclr_sandbox.state.cyclr_world import (
    Account,
    AccountConnector,
    Cycle,
    CyclrWorld,
    LibraryConnector,
    Method,
    Parameter,
)
from facebook_cyclr_sandbox.state.facebook_world import (
    MESSENGER_FIELDS,
    AdAccount,
    App,
    Business,
    Facebook,
    Form,
    Lead,
    Page,
    Person,
    Review,
    ReviewState,
    Tier,
    Verification,
)
from facebook_cyclr_sandbox.state.permissions import (
    ALWAYS_GRANTED,
    MARKETING_PERMISSIONS,
    MESSENGER_PERMISSIONS,
    PERMISSIONS,
)
from facebook_cyclr_sandbox.state.stores import Dice
from facebook_cyclr_sandbox.state.use_cases import LEADS
from facebook_cyclr_sandbox.state.use_cases import MESSENGER as MESSENGER_USE_CASE
from facebook_cyclr_sandbox.state.world import DAY, World

MARKETING = "Facebook Marketing API"
MESSENGER = "Facebook Messenger API"
SERVICE_DOMAIN = "connect.partner.test"
APP_NAME = "Partner Integrations"
_PERSON = "Sandbox Operator"
_EMAIL = "operator@partner.test"
_CUSTOMER = "Sandbox Customer"
_CUSTOMER_EMAIL = "customer@partner.test"
_USERNAME = "operator"

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
    "config_id",
    "scopes",
    "verify_token",
    "webhook_url",
    "login_email",
    "login_password",
    "customer_email",
    "customer_password",
    "customer_access_token",
    "website",
    "data_deletion_url",
)


# --- fresh -----------------------------------------------------------------------------------
def nothing_done(scenario: str, dice: Dice, clock: Callable[[], float]) -> World:
    """Return a world with two people and their assets, an empty Cyclr account, and no app."""
    person = Person(dice.digits(17), _PERSON, _EMAIL, "sandbox-" + dice.alphanumeric(10))
    customer = Person(
        dice.digits(17),
        _CUSTOMER,
        _CUSTOMER_EMAIL,
        "sandbox-" + dice.alphanumeric(10),
        is_developer=False,
    )
    business = Business(dice.digits(16), "Sandbox Partner")
    cyclr = CyclrWorld(SERVICE_DOMAIN, business.name)
    world = World(scenario, Facebook(person, customer, business), cyclr, dice, clock=clock)
    world.answers = dict.fromkeys(_ANSWERS, "")
    client_id, client_secret = dice.guid(), dice.base64url(43)
    account = Account(dice.guid(), "First Customer", world.now() - 30 * DAY, users={_USERNAME})
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
        "webhook_url": cyclr.webhook_url(library_connector(world, MESSENGER)),
        "login_email": person.email,
        "login_password": person.password,
        "customer_email": customer.email,
        "customer_password": customer.password,
        "website": cyclr.website,
        "data_deletion_url": f"https://{cyclr.website}/data-deletion",
    }
    _add_assets(world)
    return world


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
    """Give both people a page with a form and two leads, and an ad account."""
    dice, now = world.dice, world.now()
    tasks = ("ADVERTISE", "ANALYZE", "CREATE_CONTENT", "MESSAGING", "MODERATE", "MANAGE")
    page = Page(dice.digits(15), "Sandbox Bakery", "Bakery", "197871390225897", tasks)
    questions = {"email": "EMAIL", "full_name": "FULL_NAME"}
    form = Form(dice.digits(16), page.id, "Ask for an offer", now - 20 * DAY, questions)
    for number, age in ((1, 2 * DAY), (2, DAY)):
        answers = {"email": f"lead.{number}@example.com", "full_name": f"Lead Number {number}"}
        form.leads.append(Lead(dice.digits(16), form.id, dice.digits(17), now - age, answers))
    page.forms.append(form)
    campaigns = {dice.digits(17): f"Campaign {number}" for number in range(1, 4)}
    account = AdAccount(dice.digits(15), "Sandbox Ads", campaigns=campaigns)
    world.facebook.pages[page.id] = page
    world.facebook.ad_accounts[account.id] = account


# --- everything done -------------------------------------------------------------------------
def register_app(world: World) -> None:
    """Register an app of which everything is done: approved, published, used."""
    app = new_app(world, APP_NAME)
    home = f"https://{world.cyclr.website}"
    app.app_domains = [SERVICE_DOMAIN]
    app.redirect_uris = [world.cyclr.redirect_uri]
    app.permissions = dict.fromkeys(PERMISSIONS, "live")
    app.configurations = {world.dice.digits(16): PERMISSIONS}
    app.test_calls = dict.fromkeys(PERMISSIONS, world.now() - 7 * DAY)
    app.was_reviewed = True
    app.review = Review(
        ReviewState.APPROVED,
        submitted_on=world.now() - 6 * DAY,
        permissions=list(PERMISSIONS[1:]),
        decides_on=world.now() - 3 * DAY,
        outcomes=dict.fromkeys(PERMISSIONS[1:], "approved"),
    )
    app.tier = Tier.FULL
    business = world.facebook.business
    business.verification = business.access_verification = Verification.VERIFIED
    app.profile |= {
        "privacy_policy_url": f"{home}/privacy",
        "terms_of_service_url": f"{home}/terms",
        "user_support_email": "support@partner.test",
        "website_url": f"{home}/",
        "icon_url": f"{home}/icon-16.png",
        "logo_url": f"{home}/icon.png",
    }
    app.unexposed["data_deletion_url"] = f"{home}/data-deletion"
    page = next(iter(world.facebook.pages.values()))
    page.subscribed[app.id] = MESSENGER_FIELDS
    world.answers |= {
        "app_id": app.id,
        "app_secret": app.secret,
        "app_display_name": app.name,
        "page_id": page.id,
        "leadgen_form_id": page.forms[0].id,
        "ad_account_id": next(iter(world.facebook.ad_accounts)),
    }
    give_tokens(world, PERMISSIONS)


def new_app(world: World, name: str) -> App:
    """Register an app with the use cases of both connectors, published, not reviewed."""
    app = world.register_app(name)
    app.purpose, app.category = "Clients", "Business"
    app.contact_email = world.facebook.person.email
    app.created_on = world.now() - 10 * DAY
    app.use_cases = [LEADS.name, MESSENGER_USE_CASE.name]
    app.added = ["email"]
    app.products = {*LEADS.products, *MESSENGER_USE_CASE.products}
    return app


def give_tokens(world: World, permissions: tuple[str, ...], user_id: str = "") -> None:
    """
    Grant `permissions` of a user to the app, and nothing else; give out the tokens.

    Without a `user_id` it is the operator.
    """
    app = the_app(world)
    user_id = user_id or world.facebook.person.id
    world.facebook.grants[user_id, app.id] = dict.fromkeys(permissions, "granted")
    user = world.issue_user_token(app, user_id, permissions, keep=True)
    world.answers["user_access_token"] = user.value
    has_page = "pages_show_list" in permissions
    page_id = world.answers["page_id"]
    token = world.issue_page_token(user, page_id, keep=True).value if has_page else ""
    world.answers["page_access_token"] = token


def let_customer_consent(world: World) -> None:
    """Give out the token of the customer, where such a person can log in to the app at all."""
    app, customer = the_app(world), world.facebook.customer
    live = tuple(name for name, status in app.permissions.items() if status == "live")
    if not app.is_published or not set(live) - ALWAYS_GRANTED:
        return
    world.facebook.grants[customer.id, app.id] = dict.fromkeys(live, "granted")
    token = world.issue_user_token(app, customer.id, live, keep=True)
    world.answers["customer_access_token"] = token.value


def connect(world: World) -> None:
    """Set both connectors up, install them in the account and authenticate them."""
    app, messenger = the_app(world), library_connector(world, MESSENGER)
    messenger.scopes = ",".join(MESSENGER_PERMISSIONS)
    messenger.verify_token = world.dice.base64url(32)
    world.answers |= {"scopes": messenger.scopes, "verify_token": messenger.verify_token}
    account = next(iter(world.cyclr.accounts.values()))
    account.settings |= {
        "TransactionErrorWebhookEnabled": True,
        "TransactionErrorWebhookUrl": f"https://hooks.{SERVICE_DOMAIN.partition('.')[2]}/cyclr",
    }
    for name in (MARKETING, MESSENGER):
        connector = library_connector(world, name)
        connector.client_id, connector.client_secret = app.id, app.secret
        installed = AccountConnector(world.cyclr.new_id(), account.id, connector.id, name)
        world.cyclr.account_connectors[installed.id] = installed
        authenticate(world, installed)
    marketing_id = next(iter(world.cyclr.account_connectors))
    next(iter(world.cyclr.cycles.values())).account_connector_ids.append(marketing_id)


def authenticate(world: World, installed: AccountConnector) -> None:
    """Issue the token to which the person consents at the connector's sign-in."""
    scopes = world.cyclr.library[installed.connector_id].scopes.split(",")
    token = world.issue_user_token(
        the_app(world), world.facebook.person.id, ("public_profile", *scopes), keep=True
    )
    installed.access_token, installed.authenticated = token.value, True


def the_app(world: World) -> App:
    """Return the app of the scenario."""
    return next(iter(world.facebook.apps.values()))


def library_connector(world: World, name: str) -> LibraryConnector:
    """Return the connector of the library that is called `name`."""
    return next(connector for connector in world.cyclr.library.values() if connector.name == name)
