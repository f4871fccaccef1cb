"""
Each check with the smallest responses that verify its step, and its controls, as data.

`test_connector_safety` changes each response in every way of `responses`; the table of outcomes
is `tests.support.expected_outcomes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from runbook_lib.connectors.facebook import review
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.registry import find_procedure
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.unit import bodies
from tests.unit.bodies import (
    APP_ID,
    APP_SECRET,
    APP_TOKEN,
    CUSTOMER_TOKEN,
    CYCLR_TOKEN,
    METHOD,
    PAGE_TOKEN,
    SIGN_IN_TOKEN,
    USER_TOKEN,
    graph_error,
)
from tests.unit.connectors.conftest import VALUES, VERIFY_TOKEN
from tests.unit.connectors.scripted_exchanges import (
    ScriptedCheck,
    ScriptedExchange,
    asking,
    made_up,
)

# Connectors share checks: each once.
CHECKS = tuple(
    {
        check.id: check
        for name in FACEBOOK_CONNECTORS
        for step in find_procedure(name).steps
        for check in step.checks
    }.values()
)
MADE_UP_APP = f"9{int(made_up(7), 16):017}"

_TOKEN = "/v26.0/oauth/access_token"
_INSPECTION = "/v26.0/debug_token"
_LIST_OF_PAGES = "/v26.0/me/accounts"
_BUSINESSES = "/v26.0/me/businesses"
_CALLBACK = "/connector/callback"
_URI = f"https://acme-h.cyclr.com{_CALLBACK}"

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
_NO_APP = ScriptedExchange(f"/v26.0/{MADE_UP_APP}", bodies.NO_SUCH_OBJECT, 400)
_NO_PERMISSIONS = ScriptedExchange(f"{_NO_APP.path}/permissions", bodies.NO_SUCH_OBJECT, 400)


def _node(**more: Any) -> ScriptedExchange:
    return ScriptedExchange(f"/v26.0/{APP_ID}", {"id": APP_ID, **more})


def _redirect(uri: str, body: Any) -> ScriptedExchange:
    return ScriptedExchange(_TOKEN, body, 400, asks=asking(redirect_uri=uri))


def _live(*names: str) -> ScriptedCheck:
    rows = [{"permission": name, "status": "live"} for name in names]
    listed = ScriptedExchange(f"/v26.0/{APP_ID}/permissions", {"data": rows})
    return ScriptedCheck((_APP_TOKEN, listed, _NO_PERMISSIONS))


_REVIEWED = review.with_dependencies(("public_profile", "leads_retrieval"))
_CODE_REFUSED = {"error": {"message": "Invalid verification code format.", "code": 100}}
_HOST_REFUSED = {"error": {"code": 191}}
_REDIRECTS = (
    _APP_TOKEN,
    _redirect(_URI, _CODE_REFUSED),
    _redirect(f"https://{made_up(8)}.example.com{_CALLBACK}", _HOST_REFUSED),
    _redirect(f"https://{made_up(8, 1)}.cyclr.com{_CALLBACK}", _HOST_REFUSED),
)
_OTHER_PATH = _redirect(f"https://acme-h.cyclr.com/{made_up(8, 2)}", _HOST_REFUSED)

_TESTED = ("business_management", "pages_read_engagement")
_GRANTED = {
    "data": [
        {"permission": name, "status": "granted"} for name in ("public_profile", "leads_retrieval")
    ]
}
_OWNER = {"app_id": APP_ID, "type": "USER", "is_valid": True, "expires_at": 0}
_SCOPES = ["public_profile", "leads_retrieval"]


def _inspected(token: str, user: str = "873", **more: Any) -> ScriptedExchange:
    data = {**_OWNER, **more, "user_id": user}
    return ScriptedExchange(_INSPECTION, {"data": data}, asks=asking(input_token=token))


# The testing person, where permissions do not matter.
_TESTER = _inspected(USER_TOKEN)
_ACCESS = {
    "page_id": "page-1",
    "user_id": "873",
    "can_access_lead": True,
    "app_has_leads_permission": True,
}
_PAGE = ScriptedExchange(_LIST_OF_PAGES, {"data": [{"id": "page-1", "access_token": PAGE_TOKEN}]})
_PAGE_WITHOUT_TOKEN = ScriptedExchange(_LIST_OF_PAGES, {"data": [{"id": "page-1"}]})
_AD_ACCOUNT = ScriptedExchange("/v26.0/me/adaccounts", {"data": [{"id": "act_1"}]})
_SETTINGS = {
    "privacy_policy_url": "https://acme.example/privacy",
    "terms_of_service_url": "https://acme.example/terms",
    "category": "Business",
    "icon_url": "https://acme.example/icon.png",
    "contact_email": "operator@acme.example",
}
_POLICY = f"<title>Policy</title><p>{'We keep your data safe. ' * 20}</p>"


def _challenged(body: str, status: int = 200, **fields: str) -> ScriptedExchange:
    asks = asking(**{f"hub.{name}": value for name, value in fields.items()})
    return ScriptedExchange("/messenger", body, status, asks=asks)


# Cyclr's responses.
_ACCOUNT = VALUES["account_api_id"]
_CONNECTOR = {"Id": bodies.CONNECTOR["Id"], "Name": VALUES["cyclr_connector"]}
_IN_LIBRARY = f"/v1.0/connectors/{_CONNECTOR['Id']}"
_METHOD_ID = "MethodUniqueIdentifier"
_API_TOKEN = ScriptedExchange("/oauth/token", {"access_token": CYCLR_TOKEN})
_LIBRARY = ScriptedExchange("/v1.0/connectors", [{**_CONNECTOR, "Status": "Approved"}])


def _account_connectors(account: str, body: Any, status: int = 200) -> ScriptedExchange:
    return ScriptedExchange(
        "/v1.0/account/connectors",
        body,
        status,
        asks=lambda request: request.headers.get("x-cyclr-account") == account,
    )


def _installed(connector: Mapping[str, Any], **more: Any) -> ScriptedExchange:
    return _account_connectors(_ACCOUNT, [{"Id": 54321, "Connector": connector, **more}])


_ANY_INSTALLED = {"Name": _CONNECTOR["Name"]}
_MADE_UP_ACCOUNTS = tuple(
    _account_connectors(
        str(UUID(hex=made_up(16, number), version=4)),
        {"Message": "Authorization has been denied for this request."},
        401,
    )
    for number in range(2)
)


def _sign_in_redirect(more: str = "") -> tuple[ScriptedExchange, ...]:
    """Return a sign-in link, and its redirect to Facebook's dialog."""
    query = urlencode({"client_id": APP_ID, "redirect_uri": _URI})
    dialog = f"{FACEBOOK.oauth(VALUES).authorization_endpoint}?{query}{more}"
    return (
        ScriptedExchange(f"/v1.0/accounts/{_ACCOUNT}/signintoken", {"Token": SIGN_IN_TOKEN}),
        ScriptedExchange(
            "/connectorauth/updateaccountconnectoroauth", "", 302, headers={"location": dialog}
        ),
    )


# Check → the exchanges of each way in which it verifies.
MINIMAL: Mapping[str, tuple[ScriptedCheck, ...]] = {
    "app-credentials-are-accepted": (ScriptedCheck((_APP_TOKEN, _MADE_UP_SECRET)),),
    "app-is-registered": (ScriptedCheck((_APP_TOKEN, _node(name="Acme"), _NO_APP)),),
    "app-name-matches": (ScriptedCheck((_APP_TOKEN, _node(name="Acme Lead Sync"), _NO_APP)),),
    "missing-sections-are-filled": (ScriptedCheck((_APP_TOKEN, _node(**_SETTINGS), _NO_APP)),),
    "redirect-uri-is-accepted": (
        ScriptedCheck(_REDIRECTS),
        ScriptedCheck((*_REDIRECTS, _OTHER_PATH)),
    ),
    "public-profile-is-live": (_live("public_profile"),),
    "permissions-are-requested": (_live(*_REVIEWED[1:]),),
    "review-is-approved": (_live(*_REVIEWED),),
    "permissions-are-seen-through-cyclr": (
        ScriptedCheck(
            (
                _API_TOKEN,
                _installed({"Name": _CONNECTOR["Name"], "Id": _CONNECTOR["Id"]}),
                ScriptedExchange(
                    f"{_IN_LIBRARY}/methods",
                    [{"Name": "List My Permissions", _METHOD_ID: METHOD[_METHOD_ID]}],
                ),
                ScriptedExchange(
                    f"/v1.0/account/connectors/54321/methods/{METHOD[_METHOD_ID]}", _GRANTED
                ),
            )
        ),
    ),
    "user-token-is-valid": (
        ScriptedCheck(
            (
                _APP_TOKEN,
                _inspected(USER_TOKEN, scopes=_SCOPES),
                ScriptedExchange("/v26.0/me/permissions", _GRANTED),
            )
        ),
    ),
    "marketing-data-is-readable": (
        ScriptedCheck((_AD_ACCOUNT, ScriptedExchange(_LIST_OF_PAGES, {"data": []}))),
        ScriptedCheck((_AD_ACCOUNT, _PAGE_WITHOUT_TOKEN)),
    ),
    "business-is-verified": (
        ScriptedCheck(
            (
                _APP_TOKEN,
                _node(owner_business={"id": "biz-1"}),
                ScriptedExchange(
                    _BUSINESSES, {"data": [{"id": "biz-1", "verification_status": "verified"}]}
                ),
                _NO_APP,
            )
        ),
    ),
    "test-calls-are-made": (
        ScriptedCheck(
            (
                _APP_TOKEN,
                _inspected(USER_TOKEN, scopes=["public_profile", *_TESTED]),
                ScriptedExchange("/v26.0/me", {"id": "873"}),
                ScriptedExchange(_BUSINESSES, {"data": [{"id": "biz-1"}]}),
                _PAGE,
                ScriptedExchange("/v26.0/page-1", {"id": "page-1"}),
            ),
            {"make_test_calls": True, "permissions": _TESTED},
        ),
    ),
    "public-pages-open": (
        ScriptedCheck(
            (
                _APP_TOKEN,
                _node(
                    privacy_policy_url="https://www.acme.example/privacy",
                    terms_of_service_url="https://www.acme.example/terms",
                ),
                ScriptedExchange("/privacy", _POLICY),
                ScriptedExchange("/terms", _POLICY),
                ScriptedExchange("/data-deletion", _POLICY),
                *(ScriptedExchange(f"/{made_up(8, number)}", "none", 404) for number in range(3)),
                _NO_APP,
            )
        ),
    ),
    "customer-consents-without-role": (
        ScriptedCheck(
            (
                _APP_TOKEN,
                _inspected(CUSTOMER_TOKEN, "555", scopes=_SCOPES),
                _TESTER,
                _node(roles={"data": [{"user": "873"}]}),
                _PAGE_WITHOUT_TOKEN,
                _NO_APP,
            )
        ),
    ),
    "page-is-subscribed": (
        ScriptedCheck(
            (
                _PAGE,
                ScriptedExchange(
                    "/v26.0/page-1/subscribed_apps",
                    {"data": [{"id": APP_ID, "subscribed_fields": ["messages"]}]},
                ),
            )
        ),
    ),
    "scopes-are-asked-for": (
        ScriptedCheck(
            (
                _API_TOKEN,
                _installed(_ANY_INSTALLED),
                *_sign_in_redirect("&scope=pages_show_list%20pages_messaging"),
            )
        ),
    ),
    "webhook-takes-verify-token": (
        ScriptedCheck(
            (
                _challenged(made_up(8), verify_token=VERIFY_TOKEN, mode="subscribe"),
                _challenged("refused", 403, verify_token=made_up(16)),
                _challenged("refused", 403, verify_token=made_up(16, 1)),
            )
        ),
    ),
    "lead-data-is-readable": (
        ScriptedCheck(
            (
                _PAGE,
                ScriptedExchange("/v26.0/page-1/leadgen_forms", {"data": [{"id": "form-1"}]}),
                _APP_TOKEN,
                _TESTER,
                ScriptedExchange("/v26.0/page-1", {"has_lead_access": _ACCESS}),
                ScriptedExchange(
                    "/v26.0/form-1/leads", {"data": [{"id": "lead-1", "form_id": "form-1"}]}
                ),
            )
        ),
    ),
    "service-domain-answers": (
        ScriptedCheck(
            (
                ScriptedExchange(_CALLBACK, "page", 400),
                ScriptedExchange(f"{_CALLBACK}-{made_up(8)}", "page", 404),
            )
        ),
    ),
    "connector-is-in-library": (ScriptedCheck((_API_TOKEN, _LIBRARY)),),
    "error-webhook-is-set": (
        ScriptedCheck(
            (
                _API_TOKEN,
                ScriptedExchange(
                    f"/v1.0/accounts/{_ACCOUNT}",
                    {"Id": _ACCOUNT, "TransactionErrorWebhookEnabled": True},
                ),
            )
        ),
    ),
    "console-holds-app-id": (
        ScriptedCheck((_API_TOKEN, _installed(_ANY_INSTALLED), *_sign_in_redirect())),
    ),
    "connector-is-installed": (
        ScriptedCheck(
            (
                _API_TOKEN,
                _installed({"Name": _CONNECTOR["Name"], "Id": _CONNECTOR["Id"]}),
                *_MADE_UP_ACCOUNTS,
                _LIBRARY,
            )
        ),
        ScriptedCheck(
            (
                _API_TOKEN,
                _account_connectors(_ACCOUNT, []),
                _LIBRARY,
                ScriptedExchange(f"{_IN_LIBRARY}/install", {"Id": 54321, "Connector": _CONNECTOR}),
                *_MADE_UP_ACCOUNTS,
            ),
            {"install_connector": True},
        ),
    ),
    "connector-is-authenticated": (
        ScriptedCheck(
            (_API_TOKEN, _installed(_ANY_INSTALLED, Authenticated=True), *_MADE_UP_ACCOUNTS)
        ),
    ),
}

_NO_OBJECT = "Object with ID '{}' does not exist, cannot be loaded due to missing permissions"
# Name → status and body of a response that refuses a request; each error's text is Facebook's.
REFUSALS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "1": (400, bodies.UNKNOWN_FAULT),
    "1 secret": (400, bodies.BAD_SECRET),
    "2": (400, bodies.TRANSIENT),
    "3": (400, graph_error("(#3) Application does not have the capability to make this call.", 3)),
    "-1": (400, graph_error("An unknown error has occurred", -1)),
    "10": (403, graph_error("(#10) Application does not have permission for this action", 10)),
    "100": (400, bodies.NO_SUCH_FIELD),
    "100 of the app": (400, graph_error(_NO_OBJECT.format(APP_ID), 100)),
    "100 made up": (400, graph_error(_NO_OBJECT.format(MADE_UP_APP), 100)),
    "100/33": (400, bodies.NO_SUCH_OBJECT),
    "33 of 200": (403, graph_error("Permissions error", 200, error_subcode=33)),
    "101": (404, bodies.UNKNOWN_APP),
    "102": (401, graph_error("Session key invalid or no longer valid", 102)),
    "190": (401, bodies.EXPIRED_TOKEN),
    "191": (400, bodies.REDIRECT_REFUSED),
    "191 old": (400, bodies.OLD_REDIRECT_REFUSED),
    "191 form": (400, graph_error("redirect_uri isn't an absolute URI. Check RFC 3986.", 191)),
    "191 none": (400, graph_error("Missing redirect_uri parameter.", 191)),
    "200": (403, bodies.NO_ADS),
    "368": (400, graph_error("The action attempted has been deemed abusive", 368)),
    "803": (
        404,
        graph_error(f"(#803) Some of the aliases you requested do not exist: {MADE_UP_APP}", 803),
    ),
    "method": (405, {"Message": "The requested resource does not support http method 'GET'."}),
    "conflict": (409, {"Message": "Conflict"}),
    "timeout": (408, {"Message": "Request Timeout"}),
    "gone": (410, {"Message": "Gone"}),
    "early": (425, {"Message": "Too Early"}),
    "no page": (404, {"Message": "Not found"}),
    "form": (422, {"Message": "The id is not valid"}),
    "legal": (451, {"Message": "Unavailable For Legal Reasons"}),
    "broken": (500, {"Message": "An error has occurred."}),
    "away": (503, {"Message": "Service Unavailable"}),
}
NO_SUCH_APP = frozenset({"100 made up", "100/33", "803"})
# NOTE: not those of `connectors/controls.py`, which these tests test (RFC 9110 §15.5).
_BY_STATUS = frozenset(
    name for name, (status, _) in REFUSALS.items() if status in (400, 401, 403, 404, 410, 422)
)


@dataclass(frozen=True)
class Control:
    """The exchanges of a check that name something made up, and must be refused."""

    check: str
    """Id of the check."""

    places: tuple[int, ...]
    """Numbers of the exchanges, which are changed together."""

    proves: frozenset[str] = NO_SUCH_APP
    """Names of the refusals that prove something."""

    true_exchange: int | None = None
    """Number of the exchange about the true object, where a 401 or 403 has it read once more."""

    number: int = 0
    """Number of the check's minimal responses, if it verifies in several ways."""


_HOST_IS_REFUSED = frozenset({"191", "191 old"})
CONTROLS = (
    *(
        Control(name, (place,))
        for name, scripts in MINIMAL.items()
        for place, exchange in enumerate(scripts[0].exchanges)
        if exchange in (_NO_APP, _NO_PERMISSIONS)
    ),
    Control("app-credentials-are-accepted", (1,), frozenset({"1 secret"})),
    *(
        Control("redirect-uri-is-accepted", (place,), _HOST_IS_REFUSED, number=number)
        for number in (0, 1)
        for place in (2, 3)
    ),
    Control("public-pages-open", (5, 6, 7), _BY_STATUS, true_exchange=2),
    Control("webhook-takes-verify-token", (1, 2), _BY_STATUS, true_exchange=0),
    # The callback itself answers 400, so a made-up page must be answered otherwise.
    Control(
        "service-domain-answers",
        (1,),
        frozenset(name for name in _BY_STATUS if REFUSALS[name][0] != 400),
        true_exchange=0,
    ),
    Control("connector-is-installed", (2, 3), _BY_STATUS, true_exchange=1),
    Control("connector-is-installed", (4, 5), _BY_STATUS, number=1),
    Control("connector-is-authenticated", (2, 3), _BY_STATUS, true_exchange=1),
)
