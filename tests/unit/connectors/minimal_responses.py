"""
The minimal response with which each check of Facebook's verifies its step, as data.

Cyclr's are those of every connector (`with_cyclr`). No part of a response can be left
out: `test_connector_safety` removes each field, and the check no longer verifies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from runbook_lib.connectors.facebook import review
from runbook_lib.connectors.registry import find_procedure
from tests.support.connector_safety import (
    ConnectorCase,
    MinimalExchanges,
    ScriptedExchange,
    asking,
    made_up,
)
from tests.support.connector_safety.cyclr_case import (
    API_TOKEN,
    CONNECTOR_ID,
    installed_connector,
    sign_in_redirect,
)
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.unit import bodies
from tests.unit.bodies import (
    APP_ID,
    APP_SECRET,
    APP_TOKEN,
    CUSTOMER_TOKEN,
    METHOD,
    PAGE_TOKEN,
    USER_TOKEN,
)
from tests.unit.connectors.conftest import SECRETS, VALUES, VERIFY_TOKEN

# The id of an app that no setting names.
OTHER_APP_ID = "999999999999999"
# The connectors and the values of all tests.
BASE = ConnectorCase(
    procedures=tuple(map(find_procedure, FACEBOOK_CONNECTORS)),
    values=VALUES,
    secrets=SECRETS,
    exchanges={},
    other_names={},
)
_TOKEN = "/v26.0/oauth/access_token"
_INSPECTION = "/v26.0/debug_token"
_LIST_OF_PAGES = "/v26.0/me/accounts"
_CALLBACK = "/connector/callback"
_URI = f"https://acme-h.cyclr.com{_CALLBACK}"


def _free(*paths: str) -> frozenset[str]:
    return frozenset(paths)


_APP_TOKEN = ScriptedExchange(
    _TOKEN,
    {"access_token": APP_TOKEN},
    asks=asking(grant_type="client_credentials", client_secret=APP_SECRET),
)
_MADE_UP_SECRET = ScriptedExchange(
    _TOKEN,
    {"error": {"message": "Error validating client secret.", "code": 1}},
    400,
    asks=asking(grant_type="client_credentials", client_secret=made_up(16)),
)


def _no_such(edge: str = "") -> ScriptedExchange:
    path = f"/v26.0/9{int(made_up(7), 16):017}{edge}"
    return ScriptedExchange(path, bodies.NO_SUCH_OBJECT, 400, decides=False)


_NO_APP = _no_such()


def _node(*free: str, **more: Any) -> ScriptedExchange:
    return ScriptedExchange(f"/v26.0/{APP_ID}", {"id": APP_ID, **more}, free=_free(*free))


def _redirect(uri: str, body: Any) -> ScriptedExchange:
    return ScriptedExchange(_TOKEN, body, 400, asks=asking(redirect_uri=uri))


def _live(*names: str) -> tuple[ScriptedExchange, ...]:
    rows = [{"permission": name, "status": "live"} for name in names]
    listed = ScriptedExchange(f"/v26.0/{APP_ID}/permissions", {"data": rows})
    return (_APP_TOKEN, listed, _no_such("/permissions"))


_WANTED = review.with_dependencies(("public_profile", "leads_retrieval"))
_CODE_REFUSED = {"error": {"message": "Invalid verification code format.", "code": 100}}
_HOST_REFUSED = {"error": {"code": 191}}
_REAL = _redirect(_URI, _CODE_REFUSED)
_OTHER_HOST = _redirect(f"https://{made_up(8)}.example.com{_CALLBACK}", _HOST_REFUSED)
_SIBLING = _redirect(f"https://{made_up(8, 1)}.cyclr.com{_CALLBACK}", _HOST_REFUSED)
_OTHER_PATH = replace(
    _redirect(f"https://acme-h.cyclr.com/{made_up(8, 2)}", _HOST_REFUSED), decides=False
)

_METHOD_ID = "MethodUniqueIdentifier"
_RUN = f"/v1.0/account/connectors/54321/methods/{METHOD[_METHOD_ID]}"
_TESTED = ("business_management", "pages_read_engagement")
_GRANTED = [
    {"permission": name, "status": "granted"} for name in ("public_profile", "leads_retrieval")
]
_INSPECTED = {
    "app_id": APP_ID,
    "type": "USER",
    "is_valid": True,
    "expires_at": 0,
    "scopes": ["public_profile", "leads_retrieval"],
    "user_id": "873",
}
_ACCESS = {
    "page_id": "page-1",
    "user_id": "873",
    "can_access_lead": True,
    "app_has_leads_permission": True,
}
_PAGE = {"data": [{"id": "page-1", "access_token": PAGE_TOKEN}]}
_PAGES = ScriptedExchange(_LIST_OF_PAGES, _PAGE, free=_free("data.0.id", "data.0.access_token"))
_ME = ScriptedExchange("/v26.0/me", {"id": "873"})
_MANAGER = ScriptedExchange("/v26.0/page-1", {"has_lead_access": _ACCESS})


_POLICY = f"<title>Policy</title><p>{'We keep your data safe. ' * 20}</p>"


def _inspected(token: str, free: Iterable[str] = (), **more: Any) -> ScriptedExchange:
    data = {**_INSPECTED, **more}
    free = _free("data.expires_at", *free)
    return ScriptedExchange(_INSPECTION, {"data": data}, asks=asking(input_token=token), free=free)


# The only needed field of the testing person if permissions do not matter.
_TESTER = _inspected(USER_TOKEN)
del _TESTER.body["data"]["scopes"]


def _policy(path: str) -> ScriptedExchange:
    return ScriptedExchange(path, _POLICY, is_page=True)


_FORM = ScriptedExchange(
    "/v26.0/page-1/leadgen_forms", {"data": [{"id": "form-1"}]}, free=_free("data.0.id")
)
_LEADS = {"data": [{"id": "lead-1", "form_id": "form-1"}]}
_LEAD = ScriptedExchange("/v26.0/form-1/leads", _LEADS, free=_free("data.0.id"))
_SETTINGS = {
    "privacy_policy_url": "https://acme.example/privacy",
    "terms_of_service_url": "https://acme.example/terms",
    "category": "Business",
    "icon_url": "https://acme.example/icon.png",
    "contact_email": "operator@acme.example",
}


def _answers_token(body: str, status: int = 200, **wanted: str) -> ScriptedExchange:
    asks = asking(**{f"hub.{name}": value for name, value in wanted.items()})
    return ScriptedExchange("/messenger", body, status, asks=asks, is_page=True)


# The minimal responses of each check.
_EXCHANGES: Mapping[str, tuple[ScriptedExchange, ...]] = {
    "app-credentials-are-accepted": (_APP_TOKEN, _MADE_UP_SECRET),
    "app-is-registered": (_APP_TOKEN, _node("name", name="Acme"), _NO_APP),
    "app-name-matches": (_APP_TOKEN, _node(name="Acme Lead Sync"), _NO_APP),
    "missing-sections-are-filled": (_APP_TOKEN, _node(*_SETTINGS, **_SETTINGS), _NO_APP),
    "redirect-uri-is-accepted": (_APP_TOKEN, _REAL, _OTHER_HOST, _SIBLING),
    "public-profile-is-live": _live("public_profile"),
    "permissions-are-requested": _live(*_WANTED[1:]),
    "review-is-approved": _live(*_WANTED),
    "permissions-are-seen-through-cyclr": (
        API_TOKEN,
        installed_connector(BASE, {"Id": CONNECTOR_ID}),
        ScriptedExchange(
            f"/v1.0/connectors/{CONNECTOR_ID}/methods",
            [{"Name": "List My Permissions", _METHOD_ID: METHOD[_METHOD_ID]}],
            free=_free(f"0.{_METHOD_ID}"),
        ),
        ScriptedExchange(_RUN, {"data": _GRANTED}),
    ),
    "user-token-is-valid": (
        _APP_TOKEN,
        ScriptedExchange(
            _INSPECTION, {"data": _INSPECTED}, free=_free("data.expires_at", "data.user_id")
        ),
        ScriptedExchange("/v26.0/me/permissions", {"data": _GRANTED}),
    ),
    "marketing-data-is-readable": (
        ScriptedExchange("/v26.0/me/adaccounts", {"data": [{"id": "act_1"}]}),
        ScriptedExchange(_LIST_OF_PAGES, {"data": []}, is_free=True),
    ),
    "business-is-verified": (
        _APP_TOKEN,
        _node(owner_business={"id": "biz-1"}),
        ScriptedExchange(
            "/v26.0/me/businesses",
            {"data": [{"id": "biz-1", "verification_status": "verified"}]},
        ),
        _NO_APP,
    ),
    "test-calls-are-made": (
        _APP_TOKEN,
        _inspected(USER_TOKEN, scopes=["public_profile", *_TESTED]),
        _ME,
        ScriptedExchange(
            "/v26.0/me/businesses", {"data": [{"id": "biz-1"}]}, free=_free("data.0.id")
        ),
        _PAGES,
        ScriptedExchange("/v26.0/page-1", {"id": "page-1"}),
    ),
    "public-pages-open": (
        _APP_TOKEN,
        _node(
            privacy_policy_url="https://www.acme.example/privacy",
            terms_of_service_url="https://www.acme.example/terms",
        ),
        _policy("/privacy"),
        _policy("/terms"),
        _policy("/data-deletion"),
        *(
            ScriptedExchange(f"/{made_up(8, number)}", "none", 404, is_page=True)
            for number in range(3)
        ),
        _NO_APP,
    ),
    "customer-consents-without-role": (
        _APP_TOKEN,
        _inspected(CUSTOMER_TOKEN, ("data.user_id",), user_id="555"),
        _TESTER,
        _node(roles={"data": [{"user": "873"}]}),
        ScriptedExchange(_LIST_OF_PAGES, {"data": [{"id": "page-1"}]}, free=_free("data.0.id")),
        _NO_APP,
    ),
    "page-is-subscribed": (
        ScriptedExchange(_LIST_OF_PAGES, _PAGE, free=_free("data.0.access_token")),
        ScriptedExchange(
            "/v26.0/page-1/subscribed_apps",
            {"data": [{"id": APP_ID, "subscribed_fields": ["messages"]}]},
            free=_free("data.0.subscribed_fields.0"),
        ),
    ),
    "scopes-are-asked-for": (
        API_TOKEN,
        installed_connector(BASE),
        *sign_in_redirect(BASE, scope="pages_show_list%20pages_messaging"),
    ),
    "webhook-takes-verify-token": (
        _answers_token(made_up(8), verify_token=VERIFY_TOKEN, mode="subscribe"),
        *(_answers_token("refused", 403, verify_token=made_up(16, each)) for each in range(2)),
    ),
    "lead-data-is-readable": (_PAGES, _FORM, _APP_TOKEN, _TESTER, _MANAGER, _LEAD),
}
_GIVEN: Mapping[str, Mapping[str, Any]] = {
    "test-calls-are-made": {"make_test_calls": True, "permissions": _TESTED},
}
# A second way in which a check verifies.
_OTHERWISE: Mapping[str, MinimalExchanges] = {
    "redirect-uri-is-accepted": MinimalExchanges(
        (_APP_TOKEN, _REAL, _OTHER_HOST, _SIBLING, _OTHER_PATH)
    ),
}
FACEBOOK_EXCHANGES: Mapping[str, tuple[MinimalExchanges, ...]] = {
    name: (
        MinimalExchanges(exchanges, _GIVEN.get(name, {})),
        *([_OTHERWISE[name]] if name in _OTHERWISE else ()),
    )
    for name, exchanges in _EXCHANGES.items()
}
