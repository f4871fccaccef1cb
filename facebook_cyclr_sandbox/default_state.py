"""
The state that scenarios start from: two people and their assets, and an app that is all done.

`build_empty_state` is the beginning of the procedure. `add_approved_app` and `set_up_connectors`
are its end.
"""

from collections.abc import Callable

from facebook_cyclr_sandbox.state.cyclr_state import (
    Account,
    AccountConnector,
    ConnectorMethod,
    ConnectorParameter,
    Cycle,
    CyclrState,
    LibraryConnector,
)
from facebook_cyclr_sandbox.state.facebook_state import (
    MESSENGER_FIELDS,
    AccessTier,
    AdAccount,
    App,
    AppReview,
    Business,
    FacebookState,
    Lead,
    LeadForm,
    Page,
    Person,
    ReviewState,
    VerificationStatus,
)
from facebook_cyclr_sandbox.state.permissions import (
    ALWAYS_GRANTED,
    MARKETING_PERMISSIONS,
    MESSENGER_PERMISSIONS,
    PERMISSIONS,
)
from facebook_cyclr_sandbox.state.random_source import RandomSource
from facebook_cyclr_sandbox.state.sandbox_state import DAY_SECONDS, SandboxState
from facebook_cyclr_sandbox.state.use_cases import LEADS
from facebook_cyclr_sandbox.state.use_cases import MESSENGER as MESSENGER_USE_CASE

MARKETING = "Facebook Marketing API"
MESSENGER = "Facebook Messenger API"
SERVICE_DOMAIN = "connect.partner.test"
APP_NAME = "Partner Integrations"
_PERSON = "Sandbox Operator"
_EMAIL = "operator@partner.test"
_CUSTOMER = "Sandbox Customer"
_CUSTOMER_EMAIL = "customer@partner.test"
_USERNAME = "operator"

_OPERATOR_VALUES = (
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
def build_empty_state(
    scenario: str, random_source: RandomSource, clock: Callable[[], float]
) -> SandboxState:
    """Return a state with two people and their assets, an empty Cyclr account, and no app."""
    person = Person(
        random_source.digits(17), _PERSON, _EMAIL, "sandbox-" + random_source.alphanumeric(10)
    )
    customer = Person(
        random_source.digits(17),
        _CUSTOMER,
        _CUSTOMER_EMAIL,
        "sandbox-" + random_source.alphanumeric(10),
        is_developer=False,
    )
    business = Business(random_source.digits(16), "Sandbox Partner")
    cyclr = CyclrState(SERVICE_DOMAIN, business.name)
    state = SandboxState(
        scenario, FacebookState(person, customer, business), cyclr, random_source, clock=clock
    )
    state.operator_values = dict.fromkeys(_OPERATOR_VALUES, "")
    client_id = random_source.guid()
    client_secret = random_source.base64url(43)
    account = Account(
        random_source.guid(), "First Customer", state.now() - 30 * DAY_SECONDS, users={_USERNAME}
    )
    cyclr.client_secrets[client_id] = client_secret
    cyclr.accounts[account.id] = account
    for connector in _build_library(random_source):
        cyclr.library[connector.id] = connector
    cycle = Cycle(random_source.guid(), account.id, "Leads to CRM")
    cyclr.cycles[cycle.id] = cycle
    state.operator_values |= {
        "cyclr_client_id": client_id,
        "cyclr_client_secret": client_secret,
        "account_api_id": account.id,
        "cyclr_username": _USERNAME,
        "webhook_url": cyclr.webhook_url(find_library_connector(state, MESSENGER)),
        "login_email": person.email,
        "login_password": person.password,
        "customer_email": customer.email,
        "customer_password": customer.password,
        "website": cyclr.website_host,
        "data_deletion_url": f"https://{cyclr.website_host}/data-deletion",
    }
    _add_assets(state)
    return state


def _build_library(random_source: RandomSource) -> list[LibraryConnector]:
    first = 15_000 + int(random_source.digits(3))

    def method(
        number: int, name: str, category: str, path: str, *placeholders: str
    ) -> ConnectorMethod:
        return ConnectorMethod(
            id=number,
            unique_id=random_source.guid(),
            name=name,
            category=category,
            description=f"{name}.",
            path=path,
            parameters=tuple(
                (400_000 + 10 * number + index, placeholder)
                for index, placeholder in enumerate(placeholders)
            ),
        )

    marketing = LibraryConnector(
        id=first,
        name=MARKETING,
        description="Work with ad accounts, pages and lead forms.",
        category="Social Media",
        auth_type="OAuth2",
        authentication_id=random_source.guid(),
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
        id=first + 7,
        name=MESSENGER,
        description="Send and receive messages.",
        category="Social Media",
        auth_type="OAuth2",
        authentication_id=random_source.guid(),
        webhook_id=random_source.guid(),
    )
    close = LibraryConnector(
        id=first + 11,
        name="Close",
        description="Work with leads and contacts.",
        category="CRM",
        auth_type="ApiKey",
        authentication_id=random_source.guid(),
        parameters=(
            ConnectorParameter(7_654_321, "Sandbox", "isSandbox", values=("true", "false")),
            ConnectorParameter(7_654_322, "Page size", "pageSize", is_property=False),
        ),
    )
    return [close, messenger, marketing]


def _add_assets(state: SandboxState) -> None:
    """Give both people a page with a form and two leads, and an ad account."""
    random_source = state.random_source
    now = state.now()
    tasks = ("ADVERTISE", "ANALYZE", "CREATE_CONTENT", "MESSAGING", "MODERATE", "MANAGE")
    page = Page(random_source.digits(15), "Sandbox Bakery", "Bakery", "197871390225897", tasks)
    questions = {"email": "EMAIL", "full_name": "FULL_NAME"}
    form = LeadForm(
        random_source.digits(16), page.id, "Ask for an offer", now - 20 * DAY_SECONDS, questions
    )
    for number, age in ((1, 2 * DAY_SECONDS), (2, DAY_SECONDS)):
        answers = {"email": f"lead.{number}@example.com", "full_name": f"Lead Number {number}"}
        form.leads.append(
            Lead(random_source.digits(16), form.id, random_source.digits(17), now - age, answers)
        )
    page.forms.append(form)
    campaigns = {random_source.digits(17): f"Campaign {number}" for number in range(1, 4)}
    account = AdAccount(random_source.digits(15), "Sandbox Ads", campaigns=campaigns)
    state.facebook.pages[page.id] = page
    state.facebook.ad_accounts[account.id] = account


# --- everything done -------------------------------------------------------------------------
def add_approved_app(state: SandboxState) -> None:
    """Register an app that is approved, published and in use."""
    app = add_app(state, APP_NAME)
    home = f"https://{state.cyclr.website_host}"
    app.app_domains = [SERVICE_DOMAIN]
    app.redirect_uris = [state.cyclr.redirect_uri]
    app.permissions = dict.fromkeys(PERMISSIONS, "live")
    app.configurations = {state.random_source.digits(16): PERMISSIONS}
    app.test_calls = dict.fromkeys(PERMISSIONS, state.now() - 7 * DAY_SECONDS)
    app.has_been_reviewed = True
    app.review = AppReview(
        ReviewState.APPROVED,
        submitted_on=state.now() - 6 * DAY_SECONDS,
        permissions=list(PERMISSIONS[1:]),
        decides_on=state.now() - 3 * DAY_SECONDS,
        outcomes=dict.fromkeys(PERMISSIONS[1:], "approved"),
    )
    app.tier = AccessTier.FULL
    business = state.facebook.business
    business.verification = VerificationStatus.VERIFIED
    business.access_verification = VerificationStatus.VERIFIED
    app.profile |= {
        "privacy_policy_url": f"{home}/privacy",
        "terms_of_service_url": f"{home}/terms",
        "user_support_email": "support@partner.test",
        "website_url": f"{home}/",
        "icon_url": f"{home}/icon-16.png",
        "logo_url": f"{home}/icon.png",
    }
    app.dashboard_settings["data_deletion_url"] = f"{home}/data-deletion"
    page = next(iter(state.facebook.pages.values()))
    page.webhook_subscriptions[app.id] = MESSENGER_FIELDS
    state.operator_values |= {
        "app_id": app.id,
        "app_secret": app.secret,
        "app_display_name": app.name,
        "page_id": page.id,
        "leadgen_form_id": page.forms[0].id,
        "ad_account_id": next(iter(state.facebook.ad_accounts)),
    }
    issue_operator_tokens(state, PERMISSIONS)


def add_app(state: SandboxState, name: str) -> App:
    """Register an app with the use cases of both connectors, published, not reviewed."""
    app = state.register_app(name)
    app.purpose = "Clients"
    app.category = "Business"
    app.contact_email = state.facebook.operator.email
    app.created_on = state.now() - 10 * DAY_SECONDS
    app.use_cases = [LEADS.name, MESSENGER_USE_CASE.name]
    app.added_permissions = ["email"]
    app.products = {*LEADS.products, *MESSENGER_USE_CASE.products}
    return app


def issue_operator_tokens(
    state: SandboxState, permissions: tuple[str, ...], user_id: str = ""
) -> None:
    """
    Grant exactly `permissions` of a user to the app, and issue the tokens.

    Without a `user_id` the user is the operator.
    """
    app = get_app(state)
    user_id = user_id or state.facebook.operator.id
    state.facebook.grants[user_id, app.id] = dict.fromkeys(permissions, "granted")
    user = state.issue_user_token(app, user_id, permissions, keep=True)
    state.operator_values["user_access_token"] = user.value
    has_page = "pages_show_list" in permissions
    page_id = state.operator_values["page_id"]
    token = state.issue_page_token(user, page_id, keep=True).value if has_page else ""
    state.operator_values["page_access_token"] = token


def issue_customer_token(state: SandboxState) -> None:
    """Issue the customer's token, if a person without a role can log in to the app."""
    app = get_app(state)
    customer = state.facebook.customer
    live = tuple(name for name, status in app.permissions.items() if status == "live")
    if not app.is_published or not set(live) - ALWAYS_GRANTED:
        return
    state.facebook.grants[customer.id, app.id] = dict.fromkeys(live, "granted")
    token = state.issue_user_token(app, customer.id, live, keep=True)
    state.operator_values["customer_access_token"] = token.value


def set_up_connectors(state: SandboxState) -> None:
    """Set both connectors up, install them in the account and authenticate them."""
    app = get_app(state)
    messenger = find_library_connector(state, MESSENGER)
    messenger.scopes = ",".join(MESSENGER_PERMISSIONS)
    messenger.verify_token = state.random_source.base64url(32)
    state.operator_values |= {"scopes": messenger.scopes, "verify_token": messenger.verify_token}
    account = next(iter(state.cyclr.accounts.values()))
    account.settings |= {
        "TransactionErrorWebhookEnabled": True,
        "TransactionErrorWebhookUrl": f"https://hooks.{SERVICE_DOMAIN.partition('.')[2]}/cyclr",
    }
    for name in (MARKETING, MESSENGER):
        connector = find_library_connector(state, name)
        connector.client_id = app.id
        connector.client_secret = app.secret
        installed = AccountConnector(state.cyclr.new_id(), account.id, connector.id, name)
        state.cyclr.account_connectors[installed.id] = installed
        authenticate_connector(state, installed)
    marketing_id = next(iter(state.cyclr.account_connectors))
    next(iter(state.cyclr.cycles.values())).account_connector_ids.append(marketing_id)


def authenticate_connector(state: SandboxState, installed: AccountConnector) -> None:
    """Issue the token of the connector's sign-in, as if the operator consented."""
    scopes = state.cyclr.library[installed.connector_id].scopes.split(",")
    token = state.issue_user_token(
        get_app(state), state.facebook.operator.id, ("public_profile", *scopes), keep=True
    )
    installed.access_token = token.value
    installed.is_authenticated = True


def get_app(state: SandboxState) -> App:
    """Return the app of the scenario."""
    return next(iter(state.facebook.apps.values()))


def find_library_connector(state: SandboxState, name: str) -> LibraryConnector:
    """Return the connector of the library that is called `name`."""
    return next(connector for connector in state.cyclr.library.values() if connector.name == name)
