"""
Facebook's state: apps, two people, a business, pages, forms, leads, ad accounts, tokens, codes.

State only; the handlers decide who may read it and how it is shown.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from facebook_cyclr_sandbox.state.hourly_rate_limit import HourlyRateLimit
from facebook_cyclr_sandbox.state.lru_store import LRUStore
from facebook_cyclr_sandbox.state.use_cases import list_available_permissions

MESSENGER_FIELDS = ("messages", "messaging_postbacks")
"""The webhook fields to which a page of Messenger is subscribed."""

_HOURLY_CALLS = 50_000_000

_RENEWAL_DAYS = 60
RENEWAL_SECTIONS = {
    "business_connection": "Business connection",
    "allowed_usage": "Allowed usage",
    "data_handling": "Data handling",
    "data_protection": "Data protection",
    "reviewer_instructions": "Reviewer instructions",
}
"""The sections of a Data Access Renewal."""


class AppMode(StrEnum):
    """Whether people without a role on the app can use it."""

    DEVELOPMENT = "development"
    LIVE = "live"


class ReviewState(StrEnum):
    """Where App Review stands; no Graph field shows it."""

    NONE = "none"
    DRAFT = "draft"
    PENDING = "pending"
    APPROVED = "approved"
    PARTLY_DECLINED = "partly declined"
    DECLINED = "declined"


class AccessTier(StrEnum):
    """The Marketing API Access Tier, as the usage headers of ad account calls show it."""

    LIMITED = "development_access"
    FULL = "standard_access"


class VerificationStatus(StrEnum):
    """Where Business Verification or Access Verification stands."""

    NOT_STARTED = "not started"
    PENDING = "pending"
    VERIFIED = "verified"


@dataclass
class Business:
    """A business portfolio, such as the partner's, which owns the apps."""

    id: str
    """Its id in Graph."""

    name: str
    """Its name."""

    verification: VerificationStatus = VerificationStatus.NOT_STARTED
    """Where Business Verification stands."""

    access_verification: VerificationStatus = VerificationStatus.NOT_STARTED
    """Where Access Verification stands; a verified Tech Provider's apps serve other businesses."""

    refuses_page_lists: bool = False
    """Whether `owned_pages` and `client_pages` of it are refused, with code 10."""


@dataclass
class AppReview:
    """
    One submission to App Review, or the draft of one.

    `planned_outcomes` says how each permission will be decided on `decides_on`: nobody
    sees it before. `outcomes` is what was decided.
    """

    state: ReviewState = ReviewState.NONE
    reason: str = ""
    submitted_on: float | None = None
    permissions: list[str] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    decides_on: float | None = None
    planned_outcomes: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)


@dataclass
class DataAccessRenewal:
    """
    The Data Access Renewal that Facebook asks of one app; nobody can extend it.

    `sections` are the completed ones. A renewal is done once all of them are.
    """

    requested_on: float
    sections: set[str] = field(default_factory=set)

    @property
    def is_done(self) -> bool:
        """Whether all sections are complete."""
        return self.sections >= set(RENEWAL_SECTIONS)

    @property
    def due_on(self) -> float:
        """The end of the 60 days after the first notice."""
        return self.requested_on + _RENEWAL_DAYS * 86_400


@dataclass
class App:
    """
    A registered app.

    `use_cases` and the optional permissions that were `added_permissions` decide which
    permissions there are; a classic app has no use case, and all permissions.
    `permissions` maps a requested permission to `live` or `unapproved`; one that
    was never requested has no entry, and `decline_reasons` says why one is not live.
    `configurations` are those of Facebook Login for Business, by their `config_id`, with their
    permissions; of the `system_user_configurations` a sign-in gives a system user's token.
    Graph lists the live ones, and `public_profile` once the app `has_been_reviewed`.
    `test_calls` maps a permission to the time of the last call that used it.
    `roles` maps a person to their role. `renewal` is there once Facebook asks for it.
    `token_tail` follows `APPID|` in the app token. `profile` holds the further
    fields of the Application node, `dashboard_settings` what the dashboard holds and no
    Graph field shows.
    """

    id: str
    secret: str
    name: str
    admin_id: str
    token_tail: str
    created_on: float
    type: str = "Business"
    purpose: str = ""
    category: str = "Business"
    contact_email: str = ""
    mode: AppMode = AppMode.LIVE
    app_domains: list[str] = field(default_factory=list)
    redirect_uris: list[str] = field(default_factory=list)
    permissions: dict[str, str] = field(default_factory=dict)
    use_cases: list[str] = field(default_factory=list)
    added_permissions: list[str] = field(default_factory=list)
    review: AppReview = field(default_factory=AppReview)
    decline_reasons: dict[str, str] = field(default_factory=dict)
    has_been_reviewed: bool = False
    test_calls: dict[str, float] = field(default_factory=dict)
    tier: AccessTier = AccessTier.LIMITED
    renewal: DataAccessRenewal | None = None
    roles: dict[str, str] = field(default_factory=dict)
    products: set[str] = field(default_factory=set)
    profile: dict[str, object] = field(default_factory=dict)
    dashboard_settings: dict[str, str] = field(default_factory=dict)
    configurations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    system_user_configurations: set[str] = field(default_factory=set)
    login_settings: dict[str, bool] = field(
        default_factory=lambda: {
            "client_oauth": True,
            "web_oauth": True,
            "enforce_https": True,
            "strict_mode": True,
        }
    )
    requires_proof: bool = False
    version: str = "v26.0"
    rate_limit: HourlyRateLimit = field(default_factory=lambda: HourlyRateLimit(_HOURLY_CALLS))

    @property
    def is_published(self) -> bool:
        """Whether people without a role can use the app: *Publish > Go live* makes it so."""
        return self.mode is AppMode.LIVE

    @property
    def is_classic(self) -> bool:
        """Whether the app was made by *Other*: it has a type, and no use case."""
        return not self.use_cases

    @property
    def available_permissions(self) -> tuple[str, ...]:
        """The permissions that the app can have."""
        return list_available_permissions(self.use_cases, self.added_permissions)

    @property
    def is_renewal_open(self) -> bool:
        """Whether Facebook asks for a renewal that is not done."""
        return self.renewal is not None and not self.renewal.is_done

    def is_deactivated(self, now: float) -> bool:
        """Return whether a renewal is overdue: the app is deactivated until it is done."""
        return self.renewal is not None and not self.renewal.is_done and now > self.renewal.due_on

    def allows_localhost(self, scheme: str, host: str) -> bool:
        """Return whether a redirect there needs no registration, as in development mode."""
        return (self.mode, scheme, host) == (AppMode.DEVELOPMENT, "http", "localhost")


@dataclass
class Person:
    """One of the sandbox's two invented people."""

    id: str
    name: str
    email: str
    password: str
    is_developer: bool = True


@dataclass
class SystemUser:
    """A system user of the partner's business: it has tokens, and logs in nowhere."""

    id: str
    name: str


@dataclass
class Lead:
    """One submission of a form."""

    id: str
    form_id: str
    ad_id: str
    created_on: float
    answers: dict[str, str]
    is_test: bool = False


@dataclass
class LeadForm:
    """One lead form of a page."""

    id: str
    page_id: str
    name: str
    created_on: float
    questions: dict[str, str]
    leads: list[Lead] = field(default_factory=list)
    status: str = "ACTIVE"
    locale: str = "en_US"


@dataclass
class Page:
    """One page of both people."""

    id: str
    """Its id in Graph."""

    name: str
    """Its name."""

    category: str
    """The name of its category."""

    category_id: str
    """The id of its category."""

    tasks: tuple[str, ...]
    """What both people may do there."""

    forms: list[LeadForm] = field(default_factory=list)
    """Its lead forms."""

    webhook_subscriptions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """App id → the webhook fields to which the app is subscribed."""

    rate_limit: HourlyRateLimit = field(default_factory=lambda: HourlyRateLimit(_HOURLY_CALLS))
    """The limit of calls to it."""

    lead_rate_limit: HourlyRateLimit = field(default_factory=lambda: HourlyRateLimit(_HOURLY_CALLS))
    """The limit of calls to its leads."""

    portfolio_id: str = ""
    """The business that owns it, through which alone people reach it; empty if none does."""

    is_listed_without_token: bool = False
    """Whether lists of pages leave out its `access_token`, which its own node has."""

    are_terms_accepted: bool = True
    """Whether the terms of lead ads are accepted for it."""


@dataclass
class AdAccount:
    """One ad account that both people see; `id` is without `act_`."""

    id: str
    name: str
    currency: str = "EUR"
    timezone_name: str = "Europe/London"
    campaigns: dict[str, str] = field(default_factory=dict)
    rate_limit: HourlyRateLimit = field(default_factory=lambda: HourlyRateLimit(_HOURLY_CALLS))


class TokenKind(StrEnum):
    """The `type` that debug_token shows."""

    APP = "APP"
    USER = "USER"
    PAGE = "PAGE"
    SYSTEM_USER = "SYSTEM_USER"


@dataclass(frozen=True)
class Token:
    """
    An access token; times are in seconds since the epoch and `expires_at` 0 means never.

    `profile_id` is the page of a page token.
    """

    value: str
    kind: TokenKind
    app_id: str
    user_id: str = ""
    profile_id: str = ""
    scopes: tuple[str, ...] = ()
    issued_at: int = 0
    expires_at: int = 0
    data_access_expires_at: int = 0


@dataclass
class AuthorizationCode:
    """An authorization code: single use, for one app and one redirect URI."""

    value: str
    app_id: str
    user_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    issued_at: float
    is_used: bool = False


@dataclass
class FacebookState:
    """Everything that Facebook stores."""

    person: Person
    """The operator, who registers the apps."""

    customer: Person
    """A person with a role on none of the apps."""

    business: Business
    """The partner's business, which is the operator's."""

    further_businesses: list[Business] = field(default_factory=list)
    """More businesses of the operator; Graph lists them first."""

    system_user: SystemUser | None = None
    """The system user of the partner's business, if there is one."""

    locale: str = "en_US"
    """The language of its people, in which Graph writes its messages."""

    has_operator_chosen_all_pages: bool = False
    """Whether the operator's tokens name no page, as with *all current and future pages*."""

    apps: dict[str, App] = field(default_factory=dict)
    """The apps, by id."""

    pages: dict[str, Page] = field(default_factory=dict)
    """The pages, by id."""

    ad_accounts: dict[str, AdAccount] = field(default_factory=dict)
    """The ad accounts, by id, without `act_`."""

    grants: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """(person or system user, app) → permission → its status."""

    tokens: LRUStore[Token] = field(default_factory=LRUStore)
    """The tokens of people, pages and the system user, by value."""

    codes: LRUStore[AuthorizationCode] = field(default_factory=LRUStore)
    """The authorization codes, by value."""

    page_tokens: LRUStore[str] = field(default_factory=LRUStore)
    """A page and a user token → their page token."""

    sessions: LRUStore[str] = field(default_factory=LRUStore)
    """The log-ins, by cookie."""

    @property
    def people(self) -> dict[str, Person]:
        """The people, by id."""
        return {person.id: person for person in (self.person, self.customer)}

    @property
    def users(self) -> dict[str, Person | SystemUser]:
        """The people and the system user, by id."""
        known: list[Person | SystemUser] = [self.person, self.customer]
        if self.system_user is not None:
            known.append(self.system_user)
        return {user.id: user for user in known}

    @property
    def businesses(self) -> dict[str, Business]:
        """The operator's businesses, by id, in the order in which Graph lists them."""
        known = (*self.further_businesses, self.business)
        return {business.id: business for business in known}

    def is_in_business(self, user_id: str) -> bool:
        """Return whether it is the operator, or the system user."""
        return user_id in self.users and user_id != self.customer.id

    @property
    def forms(self) -> dict[str, LeadForm]:
        """All lead forms, by ID."""
        return {form.id: form for page in self.pages.values() for form in page.forms}

    @property
    def leads(self) -> dict[str, Lead]:
        """All leads, by ID."""
        return {lead.id: lead for form in self.forms.values() for lead in form.leads}
