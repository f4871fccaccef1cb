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

_CALLS_PER_HOUR = 50_000_000

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
    """The state of App Review; no Graph field shows it."""

    NONE = "none"
    """Nothing was requested."""

    DRAFT = "draft"
    """Permissions are requested, and not yet submitted."""

    PENDING = "pending"
    """Submitted, and not yet decided."""

    APPROVED = "approved"
    """All permissions are approved."""

    PARTLY_DECLINED = "partly declined"
    """Some permissions are declined."""

    DECLINED = "declined"
    """All permissions are declined."""


class AccessTier(StrEnum):
    """The Marketing API Access Tier, in the words of the usage headers of ad account calls."""

    LIMITED = "development_access"
    """The tier before approval."""

    FULL = "standard_access"
    """The tier after approval."""


class VerificationStatus(StrEnum):
    """The status of Business Verification or Access Verification."""

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
    """The status of Business Verification."""

    access_verification: VerificationStatus = VerificationStatus.NOT_STARTED
    """The status of Access Verification; a Tech Provider's apps may serve other businesses."""

    refuses_page_lists: bool = False
    """Whether Graph refuses its `owned_pages` and `client_pages`, with code 10."""


@dataclass
class AppReview:
    """One submission to App Review, or the draft of one."""

    state: ReviewState = ReviewState.NONE
    """Its state."""

    reason: str = ""
    """The reason why permissions were declined; empty if no permission was."""

    submitted_on: float | None = None
    """Seconds since the epoch; None before."""

    permissions: list[str] = field(default_factory=list)
    """The requested permissions."""

    sections: dict[str, str] = field(default_factory=dict)
    """The texts of the request, by section."""

    decides_on: float | None = None
    """The date of the decision, in seconds since the epoch; None if it is not drawn yet."""

    planned_outcomes: dict[str, str] = field(default_factory=dict)
    """Permission → its outcome on `decides_on`; nobody sees it before."""

    outcomes: dict[str, str] = field(default_factory=dict)
    """Permission → the published outcome, `approved` or `declined`."""


@dataclass
class DataAccessRenewal:
    """The Data Access Renewal that Facebook requests of one app; nobody can extend it."""

    requested_on: float
    """Seconds since the epoch."""

    sections: set[str] = field(default_factory=set)
    """The complete sections; the renewal is done once all of them are."""

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
    """A registered app."""

    id: str
    """The App ID."""

    secret: str
    """The App Secret."""

    name: str
    """The App Display Name."""

    admin_id: str
    """The person who registered it (`creator_uid`)."""

    token_tail: str
    """The part of the app token after `APPID|`."""

    created_on: float
    """Seconds since the epoch."""

    type: str = "Business"
    """The app type of a classic app."""

    purpose: str = ""
    """The App Purpose of a classic app."""

    category: str = "Business"
    """The Category in Settings > Basic."""

    contact_email: str = ""
    """The App Contact Email."""

    mode: AppMode = AppMode.LIVE
    """The app mode; *Publish > Go live* makes it live."""

    app_domains: list[str] = field(default_factory=list)
    """The App Domains."""

    redirect_uris: list[str] = field(default_factory=list)
    """The Valid OAuth Redirect URIs."""

    permissions: dict[str, str] = field(default_factory=dict)
    """Requested permission → `live` or `unapproved`. Graph lists the live ones."""

    use_cases: list[str] = field(default_factory=list)
    """The names of its use cases, which decide its permissions; a classic app has none."""

    added_permissions: list[str] = field(default_factory=list)
    """The optional permissions of its use cases that people added."""

    review: AppReview = field(default_factory=AppReview)
    """The latest submission to App Review, or its draft."""

    decline_reasons: dict[str, str] = field(default_factory=dict)
    """Declined permission → the reason."""

    has_been_reviewed: bool = False
    """Whether a review was ever decided; then Graph lists `public_profile` as live."""

    test_calls: dict[str, float] = field(default_factory=dict)
    """Permission → the time of the last call that used it, in seconds since the epoch."""

    tier: AccessTier = AccessTier.LIMITED
    """The Marketing API Access Tier."""

    renewal: DataAccessRenewal | None = None
    """The Data Access Renewal; None until Facebook requests one."""

    roles: dict[str, str] = field(default_factory=dict)
    """Person id → role on the app."""

    products: set[str] = field(default_factory=set)
    """The products that are set up."""

    profile: dict[str, object] = field(default_factory=dict)
    """Further fields of the Application node, by name."""

    dashboard_settings: dict[str, str] = field(default_factory=dict)
    """Settings that the dashboard holds and no Graph field shows, by name."""

    configurations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """`config_id` of Facebook Login for Business → its permissions."""

    system_user_configurations: set[str] = field(default_factory=set)
    """The `config_id`s whose sign-in gives a system user's token."""

    login_settings: dict[str, bool] = field(
        default_factory=lambda: {
            "client_oauth": True,
            "web_oauth": True,
            "enforce_https": True,
            "strict_mode": True,
        }
    )
    """Switch of the Client OAuth settings → whether it is on."""

    requires_proof: bool = False
    """Whether each call needs an `appsecret_proof`."""

    version: str = "v26.0"
    """The version that serves its calls without one."""

    rate_limit: HourlyRateLimit = field(default_factory=lambda: HourlyRateLimit(_CALLS_PER_HOUR))
    """The limit of its calls."""

    @property
    def is_published(self) -> bool:
        """Whether people without a role can use the app."""
        return self.mode is AppMode.LIVE

    @property
    def is_classic(self) -> bool:
        """Whether the app was made by *Other*: then it has a type and no use case."""
        return not self.use_cases

    @property
    def available_permissions(self) -> tuple[str, ...]:
        """The permissions that the app can have."""
        return list_available_permissions(self.use_cases, self.added_permissions)

    @property
    def is_renewal_open(self) -> bool:
        """Whether a requested renewal is not done."""
        return self.renewal is not None and not self.renewal.is_done

    def is_deactivated(self, now: float) -> bool:
        """Return whether an overdue renewal deactivates the app."""
        return self.renewal is not None and not self.renewal.is_done and now > self.renewal.due_on

    def allows_localhost(self, scheme: str, host: str) -> bool:
        """Return whether a redirect to `host` needs no registration, as in development mode."""
        return (self.mode, scheme, host) == (AppMode.DEVELOPMENT, "http", "localhost")


@dataclass
class Person:
    """One of the sandbox's two invented people."""

    id: str
    """The id in Graph."""

    name: str
    """The full name."""

    email: str
    """The address to log in with."""

    password: str
    """The password, which the log-in page shows."""

    is_developer: bool = True
    """Whether the person is registered as a Facebook developer."""


@dataclass
class SystemUser:
    """A system user of the partner's business: it has tokens, and logs in nowhere."""

    id: str
    name: str


@dataclass
class Lead:
    """One submission of a form."""

    id: str
    """Its id in Graph."""

    form_id: str
    """The form."""

    ad_id: str
    """The ad that showed the form; empty for an organic lead."""

    created_on: float
    """Seconds since the epoch."""

    answers: dict[str, str]
    """Key of a question → the person's answer."""

    is_test: bool = False
    """Whether it is the form's test lead."""


@dataclass
class LeadForm:
    """One lead form of a page."""

    id: str
    """Its id in Graph."""

    page_id: str
    """The page."""

    name: str
    """Its name."""

    created_on: float
    """Seconds since the epoch."""

    questions: dict[str, str]
    """Key of a question → its type, such as `EMAIL`."""

    leads: list[Lead] = field(default_factory=list)
    """Its leads."""

    status: str = "ACTIVE"
    """Graph's `status`."""

    locale: str = "en_US"
    """The language of its questions."""


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
    """The tasks that both people may do there."""

    forms: list[LeadForm] = field(default_factory=list)
    """Its lead forms."""

    webhook_subscriptions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """App id → the webhook fields to which the app is subscribed."""

    rate_limit: HourlyRateLimit = field(default_factory=lambda: HourlyRateLimit(_CALLS_PER_HOUR))
    """The limit of calls to it."""

    lead_rate_limit: HourlyRateLimit = field(
        default_factory=lambda: HourlyRateLimit(_CALLS_PER_HOUR)
    )
    """The limit of calls to its leads."""

    portfolio_id: str = ""
    """The business that owns it, through which alone people reach it; empty without an owner."""

    is_listed_without_token: bool = False
    """Whether lists of pages leave out its `access_token`, which its own node has."""

    are_terms_accepted: bool = True
    """Whether the terms of lead ads are accepted for it."""


@dataclass
class AdAccount:
    """One ad account that both people see."""

    id: str
    """Its id in Graph, without `act_`."""

    name: str
    """Its name."""

    currency: str = "EUR"
    """An ISO 4217 code."""

    timezone_name: str = "Europe/London"
    """An IANA time zone."""

    campaigns: dict[str, str] = field(default_factory=dict)
    """Campaign id → its name."""

    rate_limit: HourlyRateLimit = field(default_factory=lambda: HourlyRateLimit(_CALLS_PER_HOUR))
    """The limit of calls to it."""


class TokenKind(StrEnum):
    """The `type` that debug_token shows."""

    APP = "APP"
    USER = "USER"
    PAGE = "PAGE"
    SYSTEM_USER = "SYSTEM_USER"


@dataclass(frozen=True)
class Token:
    """An access token; its times are in seconds since the epoch."""

    value: str
    """The token itself."""

    kind: TokenKind
    """Its `type` in debug_token."""

    app_id: str
    """The app that it was issued to."""

    user_id: str = ""
    """The person or system user; empty for an app token."""

    profile_id: str = ""
    """The page of a page token; empty for others."""

    scopes: tuple[str, ...] = ()
    """The permissions that it was issued with."""

    issued_at: int = 0
    """The time of issue."""

    expires_at: int = 0
    """The end of its validity; 0 for never."""

    data_access_expires_at: int = 0
    """The end of its data access; 0 for never."""


@dataclass
class AuthorizationCode:
    """An authorization code (RFC 6749 §4.1.2): single use."""

    value: str
    """The code itself."""

    app_id: str
    """The app that it was issued to."""

    user_id: str
    """The person or system user who consented."""

    redirect_uri: str
    """The redirect URI that the token request must repeat."""

    scopes: tuple[str, ...]
    """The granted permissions."""

    issued_at: float
    """Seconds since the epoch."""

    is_used: bool = False
    """Whether it was redeemed."""


@dataclass
class FacebookState:
    """Everything that Facebook stores."""

    operator: Person
    """The operator, who registers the apps."""

    customer: Person
    """A person who has no role on any app."""

    business: Business
    """The partner's business, which is the operator's."""

    further_businesses: list[Business] = field(default_factory=list)
    """More businesses of the operator; Graph lists them first."""

    system_user: SystemUser | None = None
    """The system user of the partner's business, if there is one."""

    locale: str = "en_US"
    """The language of its people, in which Graph writes its messages."""

    has_operator_chosen_all_pages: bool = False
    """Whether the operator chose *all current and future pages*: then no token names a page."""

    apps: dict[str, App] = field(default_factory=dict)
    """The apps, by id."""

    pages: dict[str, Page] = field(default_factory=dict)
    """The pages, by id."""

    ad_accounts: dict[str, AdAccount] = field(default_factory=dict)
    """The ad accounts, by id, without `act_`."""

    grants: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """(user id, app id) → permission → `granted` or `declined`."""

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
        return {person.id: person for person in (self.operator, self.customer)}

    @property
    def users(self) -> dict[str, Person | SystemUser]:
        """The people and the system user, by id."""
        known: list[Person | SystemUser] = [self.operator, self.customer]
        if self.system_user is not None:
            known.append(self.system_user)
        return {user.id: user for user in known}

    @property
    def businesses(self) -> dict[str, Business]:
        """The operator's businesses, by id, in the order in which Graph lists them."""
        known = (*self.further_businesses, self.business)
        return {business.id: business for business in known}

    def is_in_business(self, user_id: str) -> bool:
        """Return whether the user is the operator or the system user."""
        return user_id in self.users and user_id != self.customer.id

    @property
    def forms(self) -> dict[str, LeadForm]:
        """All lead forms, by ID."""
        return {form.id: form for page in self.pages.values() for form in page.forms}

    @property
    def leads(self) -> dict[str, Lead]:
        """All leads, by ID."""
        return {lead.id: lead for form in self.forms.values() for lead in form.leads}
