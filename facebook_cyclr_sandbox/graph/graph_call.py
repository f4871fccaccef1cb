"""
One Graph call, as its handlers get it: the caller, its permissions, the parameters.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from facebook_cyclr_sandbox.graph.graph_errors import (
    APP_TOKEN_NEEDED,
    BAD_PARAMETER,
    MISSING_OBJECT,
    NO_TOKEN,
    PAGE_LIMIT,
    PERMISSION_NEEDED,
    ErrorDefinition,
    GraphError,
)
from facebook_cyclr_sandbox.graph.graph_response import encode_graph_json
from facebook_cyclr_sandbox.http.web_messages import Headers
from facebook_cyclr_sandbox.state.facebook_state import (
    App,
    AppMode,
    Page,
    Token,
    TokenKind,
    VerificationStatus,
)
from facebook_cyclr_sandbox.state.hourly_rate_limit import HourlyRateLimit
from facebook_cyclr_sandbox.state.permissions import ALWAYS_GRANTED, TECH_PROVIDER_PERMISSIONS
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

TOKEN_ENDPOINT = ("oauth", "access_token")
_PYTHON_LIST = re.compile(r"\s*\[\s*'[^'\"]*'(?:\s*,\s*'[^'\"]*')*\s*\]\s*\Z")
_QUOTED = re.compile(r"'([^']*)'")
_WITH_TIER = ("ads_management", "pages")


@dataclass
class GraphCall:
    """A call whose version is known and whose token, if any, is valid."""

    state: SandboxState
    """The state that it reads and changes."""

    method: str
    """`GET`, `POST` or `DELETE`."""

    path: tuple[str, ...]
    """The segments of the path, without the version."""

    version: str
    """The version that serves it."""

    params: Mapping[str, str]
    """The parameters of query and form."""

    token: Token | None = None
    """The access token; None without one."""

    app: App | None = None
    """The app of the token."""

    usage: dict[str, object] = field(default_factory=dict)
    """Object id → its entry in `X-Business-Use-Case-Usage`."""

    ad_account_rate_limit: HourlyRateLimit | None = None
    """The limit of the ad account that it reads, for `X-Ad-Account-Usage`."""

    is_insights: bool = False
    """Whether it reads insights, which have a usage header of their own."""

    warning: str = ""
    """The text of `X-Ad-Api-Version-Warning`; empty without one."""

    @property
    def caller(self) -> Token:
        """The token. Without one it raises 104."""
        if self.token is None:
            raise GraphError(NO_TOKEN)
        return self.token

    @property
    def locale(self) -> str:
        """
        The language of messages, from the parameter `locale`, or else the people's.

        The sandbox's token endpoint ignores the parameter (unknown of Graph's).
        """
        chosen = "" if self.path == TOKEN_ENDPOINT else self.params.get("locale", "")
        return chosen or self.state.facebook.locale

    @property
    def scopes(self) -> frozenset[str]:
        """The permissions that the token has now."""
        return get_effective_scopes(self.state, self.caller)

    def require_app_token(self, app_id: str) -> None:
        """Raise 15 unless the token is the app's own."""
        if (self.caller.kind, self.caller.app_id) != (TokenKind.APP, app_id):
            raise GraphError(APP_TOKEN_NEEDED)

    def require(self, *permissions: str) -> None:
        """Raise `PERMISSION_NEEDED` for the first of `permissions` that the token lacks."""
        for permission in permissions:
            if permission not in self.scopes:
                raise GraphError(PERMISSION_NEEDED, permission=permission)
        self.require_tech_provider(permissions)

    def require_any(self, *permissions: str, error: ErrorDefinition) -> None:
        """Raise `error` when the token has none of `permissions`."""
        if self.scopes.isdisjoint(permissions):
            raise GraphError(error)
        self.require_tech_provider(permissions)

    def require_tech_provider(self, permissions: Iterable[str]) -> None:
        """Raise 100 if `permissions` need a verified Tech Provider and the business is not one."""
        caller = self.caller
        business = self.state.facebook.business
        is_verified = business.access_verification is VerificationStatus.VERIFIED
        has_role = self.app is not None and caller.user_id in self.app.roles
        is_app = caller.kind is TokenKind.APP
        if is_verified or has_role or is_app or TECH_PROVIDER_PERMISSIONS.isdisjoint(permissions):
            return
        raise GraphError(MISSING_OBJECT, id=self.path[0] if self.path else "")

    def count_page(self, page: Page, *, error: ErrorDefinition = PAGE_LIMIT) -> None:
        """Count this call against the page's limit, or raise `error`."""
        is_lead = error is not PAGE_LIMIT
        rate_limit = page.lead_rate_limit if is_lead else page.rate_limit
        self.count(page.id, "leadgen" if is_lead else "pages", rate_limit, error=error)

    def count(
        self, holder: str, kind: str, rate_limit: HourlyRateLimit, *, error: ErrorDefinition
    ) -> None:
        """Count this call on `rate_limit` and in the usage header; raise `error` if full."""
        now = self.state.now()
        is_full = rate_limit.is_reached(now)
        if not is_full:
            rate_limit.count(now)
        percent = rate_limit.get_percent_used(now)
        entry: dict[str, object] = {
            "type": kind,
            "call_count": percent,
            "total_cputime": percent,
            "total_time": percent,
            "estimated_time_to_regain_access": math.ceil(
                rate_limit.get_seconds_to_regain(now) / 60
            ),
        }
        if kind in _WITH_TIER:
            entry["ads_api_access_tier"] = self.app.tier.value if self.app else ""
        self.usage[holder] = [entry]
        if is_full:
            raise GraphError(error)

    def usage_headers(self) -> Headers:
        """Return the usage headers of this call, and the warning of another version."""
        shown: dict[str, object] = {}
        now = self.state.now()
        app = self.app
        rate_limit = self.ad_account_rate_limit
        if app is not None:
            percent = app.rate_limit.get_percent_used(now)
            shown["x-app-usage"] = {
                "call_count": percent,
                "total_cputime": 0,
                "total_time": percent,
            }
        if self.usage:
            shown["x-business-use-case-usage"] = self.usage
        if app is not None and rate_limit is not None:
            tier = app.tier.value
            shown["x-ad-account-usage"] = {
                "acc_id_util_pct": rate_limit.get_percent_used(now),
                "reset_time_duration": rate_limit.get_seconds_to_regain(now),
                "ads_api_access_tier": tier,
            }
            if self.is_insights:
                shown["x-fb-ads-insights-throttle"] = {
                    "app_id_util_pct": app.rate_limit.get_percent_used(now),
                    "acc_id_util_pct": rate_limit.get_percent_used(now),
                    "ads_api_access_tier": tier,
                }
        headers = [(name, encode_graph_json(usage)) for name, usage in shown.items()]
        warning = [("X-Ad-Api-Version-Warning", self.warning)] if self.warning else []
        return (*headers, *warning)


def get_effective_scopes(state: SandboxState, token: Token) -> frozenset[str]:
    """Return the scopes of `token` that its user still grants to the app."""
    if token.kind is TokenKind.APP:
        return frozenset()
    grants = state.facebook.grants.get((token.user_id, token.app_id), {})
    usable = _list_usable_permissions(state.facebook.apps[token.app_id], token.user_id)
    return frozenset(
        scope for scope in token.scopes if grants.get(scope) == "granted" and scope in usable
    )


def _list_usable_permissions(app: App, user_id: str) -> frozenset[str]:
    if user_id in app.roles:
        return frozenset(app.available_permissions) | ALWAYS_GRANTED
    if app.mode is not AppMode.LIVE:
        return frozenset()
    live = (name for name, status in app.permissions.items() if status == "live")
    return ALWAYS_GRANTED.union(live)


def _parse_array(text: str, name: str) -> tuple[str, ...]:
    if _PYTHON_LIST.match(text):
        return tuple(_QUOTED.findall(text))
    try:
        return tuple(str(value) for value in json.loads(text))
    except (ValueError, RecursionError):
        raise GraphError(BAD_PARAMETER, name=name, expected="an array.") from None


def parse_list(text: str, name: str, allowed: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the values of a list parameter; raise 100 when one is not `allowed`."""
    if text.lstrip().startswith("["):
        values = _parse_array(text, name)
    else:
        values = tuple(value.strip() for value in text.split(",") if value.strip())
    choices = tuple(allowed)
    for index, value in enumerate(values):
        if choices and value not in choices:
            raise GraphError(
                BAD_PARAMETER,
                name=f"{name}[{index}]",
                expected="one of {" + ", ".join(choices) + "}",
            )
    return values
