"""
The table of the safety tests: each check → the exchanges that verify it → expected outcomes.

The exchanges are the smallest that verify. `test_connector_safety` changes each response in every
way of `responses`. Beside an exchange stand the changes that lead to *failed*, *not_run* or
*verified*, by patterns of their names; every other one is inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from runbook_lib.connectors.facebook import review
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from tests.unit import bodies
from tests.unit.bodies import APP_ID, PAGE_TOKEN, USER_TOKEN, graph_error
from tests.unit.connectors.conftest import VALUES, VERIFY_TOKEN
from tests.unit.connectors.scripted_exchanges import (
    Case,
    Patterns,
    ScriptedExchange,
    asking,
    made_up,
)

MADE_UP_APP = f"9{int(made_up(7), 16):017}"

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
# NOTE: not the statuses of `connectors/controls.py`, which these tests test (RFC 9110 §15.5).
BY_STATUS = frozenset(
    name for name, (status, _) in REFUSALS.items() if status in (400, 401, 403, 404, 410, 422)
)
NO_SUCH_APP = frozenset({"100 made up", "100/33", "803"})
_NO_SUCH_HOST = frozenset({"191", "191 old"})


def _unread(*paths: str) -> Patterns:
    gaps = ("left out", "null", "empty", "text*")
    return tuple(f"{gap} {path}" for path in paths for gap in gaps)


# A response that a test generates, which has the right status.
GENERATED = "generated"
# The body of a redirect, of a refusal by status or of a page is not read.
_ANY_BODY = ("body *", "long *", "truncated *", GENERATED)
_ANY_TEXT = (*_ANY_BODY, "challenge")
# A refusal is a 4xx with its code; 429 asks to come again.
_REFUSING = ("status 4[015]?", "status 42[0-8]")
_SECRET_REFUSED = "error 1/- Error validating c* 40?"
_HOST_REFUSED = "error 191/- Can't Load URL* 40?"
# Facebook refuses the token, or to inspect it since it is another app's.
_TOKEN_REFUSED = (
    "error 100/- (#100) The App_id in the 40?",
    "inner 102/- *",
    "inner 190/[-4]*",
)
# The list is whole, and the connector is not in it.
_OTHERS_INSTALLED = "body ?{*Slack*"
_NOT_INSTALLED = (
    "body []",
    "left out 0",
    "null 0.Connector",
    "of another",
    _OTHERS_INSTALLED,
    "text* 0.Connector.Name",
)
_NONE_INSTALLED = ("all no rows", "all of another")

_TOKEN = "/v26.0/oauth/access_token"
_LIST_OF_PAGES = "/v26.0/me/accounts"
_BUSINESSES = "/v26.0/me/businesses"
_CALLBACK = "/connector/callback"
_URI = f"https://acme-h.cyclr.com{_CALLBACK}"


def _app_token(**outcomes: Patterns) -> ScriptedExchange:
    asks = asking(grant_type="client_credentials", client_secret=bodies.APP_SECRET)
    return ScriptedExchange(_TOKEN, {"access_token": bodies.APP_TOKEN}, asks=asks, **outcomes)


_APP_TOKEN = _app_token()


def _unknown(path: str) -> ScriptedExchange:
    """Return the control of a request about an app: one that is made up."""
    return ScriptedExchange(
        path,
        bodies.NO_SUCH_OBJECT,
        400,
        proved_by=NO_SUCH_APP,
        # It is refused as unknown, by its code. Error objects have fields that no check needs.
        verified=(
            *_REFUSING,
            "error 100/33 * 40?",
            "error 803/- * 40?",
            "* error.type",
            *_unread("error.message", "error.fbtrace_id"),
        ),
    )


_NO_APP = _unknown(f"/v26.0/{MADE_UP_APP}")


def _node(fields: Mapping[str, Any], **outcomes: Patterns) -> ScriptedExchange:
    return ScriptedExchange(f"/v26.0/{APP_ID}", {"id": APP_ID, **fields}, **outcomes)


def _live(*names: str) -> tuple[ScriptedExchange, ...]:
    rows = [{"permission": name, "status": "live"} for name in names]
    path = f"/v26.0/{APP_ID}/permissions"
    return (
        _APP_TOKEN,
        ScriptedExchange(path, {"data": rows}),
        _unknown(f"{_NO_APP.path}/permissions"),
    )


def _redirect(uri: str, error: Mapping[str, Any], **more: Any) -> ScriptedExchange:
    return ScriptedExchange(_TOKEN, {"error": error}, 400, asks=asking(redirect_uri=uri), **more)


def _other_host(host: str) -> ScriptedExchange:
    return _redirect(
        f"https://{host}{_CALLBACK}",
        {"code": 191},
        proved_by=_NO_SUCH_HOST,
        verified=(*_REFUSING, _HOST_REFUSED),
    )


_REDIRECTS = (
    _APP_TOKEN,
    _redirect(
        _URI,
        {"message": "Invalid verification code format.", "code": 100},
        failed=(_HOST_REFUSED,),
        # A made-up code was refused, also as one of another redirect URI: the URI was accepted.
        verified=(*_REFUSING, "error 100/- Invalid verification* 40?", "error 100/36008 * 40?"),
    ),
    _other_host(f"{made_up(8)}.example.com"),
    _other_host(f"{made_up(8, 1)}.cyclr.com"),
)
_REVIEWED = review.with_dependencies(("public_profile", "leads_retrieval"))
_SCOPES = ["public_profile", "leads_retrieval"]
_GRANTED = {"data": [{"permission": name, "status": "granted"} for name in _SCOPES]}
_TESTER = {"user_id": "873"}
_TESTED = ["business_management", "pages_read_engagement"]


def _inspected(
    token: str, fields: Mapping[str, Any] = _TESTER, **outcomes: Patterns
) -> ScriptedExchange:
    data = {"app_id": APP_ID, "type": "USER", "is_valid": True, "expires_at": 0, **fields}
    path = "/v26.0/debug_token"
    return ScriptedExchange(path, {"data": data}, asks=asking(input_token=token), **outcomes)


def _rows(path: str, row: Mapping[str, Any], **outcomes: Patterns) -> ScriptedExchange:
    return ScriptedExchange(path, {"data": [row]}, **outcomes)


_ANY_ROW = ("text* data.0.id", "number data.0.id")
_AD_ACCOUNT = _rows("/v26.0/me/adaccounts", {"id": "act_1"})
_PAGE = _rows(_LIST_OF_PAGES, {"id": "page-1", "access_token": PAGE_TOKEN})
_ACCESS = {
    "page_id": "page-1",
    "user_id": "873",
    "can_access_lead": True,
    "app_has_leads_permission": True,
}
_SETTINGS = {
    "privacy_policy_url": "https://acme.example/privacy",
    "terms_of_service_url": "https://acme.example/terms",
    "category": "Business",
    "icon_url": "https://acme.example/icon.png",
    "contact_email": "operator@acme.example",
}
_POLICIES = tuple(
    ScriptedExchange(
        f"/{path}",
        f"<title>Policy</title><p>{'We keep your data safe. ' * 20}</p>",
        # The page is gone, twice; half of its text is text.
        failed=("status 404", "status 410", "empty 404", "html 404"),
        verified=("truncated 0.[5-9]*", "long *", GENERATED),
    )
    for path in ("privacy", "terms", "data-deletion")
)
# A bot wall is no control, whatever its status.
_OTHER_PAGES = tuple(
    ScriptedExchange(
        f"/{made_up(8, number)}",
        "none",
        404,
        proved_by=BY_STATUS,
        verified=(
            "status [23]0?",
            "status 40[013]",
            "status 410",
            "status 422",
            "redirect",
            "error * 200",
            "error * 40?",
            "html [24]0?",
            "empty [24]0?",
            *_ANY_BODY,
        ),
    )
    for number in range(3)
)


# Cyclr's responses.
_ACCOUNT = VALUES["account_api_id"]
_NAME = VALUES["cyclr_connector"]
_IDENTITY = {"Id": bodies.CONNECTOR["Id"]}
_IN_LIBRARY = f"/v1.0/connectors/{bodies.CONNECTOR['Id']}"
_METHOD = {"MethodUniqueIdentifier": bodies.METHOD["MethodUniqueIdentifier"]}
_RUN = f"/v1.0/account/connectors/54321/methods/{bodies.METHOD['MethodUniqueIdentifier']}"
_API_TOKEN = ScriptedExchange("/oauth/token", {"access_token": bodies.CYCLR_TOKEN})
# Which id a row has is not known before.
_ANY_NUMBER = ("empty 0.Id", "number 0.Id", "next 0.Id")
_LIBRARY_ROW = {**_IDENTITY, "Name": _NAME, "Status": "Approved"}


def _account_connectors(account: str, body: Any, **more: Any) -> ScriptedExchange:
    return ScriptedExchange(
        "/v1.0/account/connectors",
        body,
        asks=lambda request: request.headers.get("x-cyclr-account") == account,
        **more,
    )


def _installed(
    connector: Mapping[str, Any],
    not_run: Patterns = (),
    verified: Patterns = _ANY_NUMBER,
    **row: Any,
) -> ScriptedExchange:
    rows = [{"Id": 54321, "Connector": {"Name": _NAME, **connector}, **row}]
    return _account_connectors(_ACCOUNT, rows, not_run=not_run, verified=verified)


# An account that does not exist is refused alike twice; Cyclr documents no body of it.
_MADE_UP_ACCOUNTS = tuple(
    _account_connectors(
        str(UUID(hex=made_up(16, number), version=4)),
        {"Message": "Authorization has been denied for this request."},
        status=401,
        proved_by=BY_STATUS,
        verified=(*_ANY_TEXT, "* 401", "more nan", "Message *", *_unread("Message")),
    )
    for number in range(2)
)


def _sign_in(
    parameters: str = "", failed: Patterns = (), verified: Patterns = ()
) -> tuple[ScriptedExchange, ...]:
    """Return Cyclr's sign-in link, and its redirect to Facebook's dialog."""
    query = urlencode({"client_id": APP_ID, "redirect_uri": _URI})
    dialog = f"{FACEBOOK.oauth(VALUES).authorization_endpoint}?{query}{parameters}"
    path = f"/v1.0/accounts/{_ACCOUNT}/signintoken"
    return (
        _API_TOKEN,
        _installed({}),
        ScriptedExchange(path, {"Token": bodies.SIGN_IN_TOKEN}),
        ScriptedExchange(
            "/connectorauth/updateaccountconnectoroauth",
            "",
            302,
            {"location": dialog},
            failed=failed,
            verified=("status 30[17]", *_ANY_TEXT, *verified),
        ),
    )


CASES = (
    Case(
        "app-credentials-are-accepted",
        (
            _app_token(failed=(_SECRET_REFUSED, "error 200/- API access deact* 40?")),
            ScriptedExchange(
                _TOKEN,
                {"error": {"message": "Error validating client secret.", "code": 1}},
                400,
                asks=asking(grant_type="client_credentials", client_secret=made_up(16)),
                proved_by=frozenset({"1 secret"}),
                # Facebook gives the true secret the refusal of the made-up one.
                failed=("alike",),
                verified=(*_REFUSING, _SECRET_REFUSED),
            ),
        ),
    ),
    Case(
        "app-is-registered",
        (
            _app_token(failed=(_SECRET_REFUSED,)),
            _node({"name": "Acme"}, verified=("text* name",)),
            _NO_APP,
        ),
    ),
    # Another name is stated, in the field made for it.
    Case(
        "app-name-matches",
        (_APP_TOKEN, _node({"name": "Acme Lead Sync"}, failed=("text* name",)), _NO_APP),
    ),
    Case(
        "missing-sections-are-filled",
        (
            _APP_TOKEN,
            _node(_SETTINGS, verified=tuple(f"text* {name}" for name in _SETTINGS)),
            _NO_APP,
        ),
    ),
    Case("redirect-uri-is-accepted", _REDIRECTS),
    Case(
        "redirect-uri-is-accepted",
        (
            *_REDIRECTS,
            # Another path only sets the limit.
            _redirect(
                f"https://acme-h.cyclr.com/{made_up(8, 2)}",
                {"code": 191},
                verified=("[!a]*", "as text *"),
            ),
        ),
    ),
    Case("public-profile-is-live", _live("public_profile")),
    Case("permissions-are-requested", _live(*_REVIEWED[1:])),
    Case("review-is-approved", _live(*_REVIEWED)),
    Case(
        "permissions-are-seen-through-cyclr",
        (
            _API_TOKEN,
            _installed(_IDENTITY, _NOT_INSTALLED, ()),
            ScriptedExchange(
                f"{_IN_LIBRARY}/methods", [{"Name": "List My Permissions", **_METHOD}]
            ),
            ScriptedExchange(
                _RUN,
                _GRANTED,
                # A whole list, with other rows, lacks the permission.
                failed=(
                    "left out data.?",
                    'body {"data": ?{"perm*',
                    "text* data.?.permission",
                ),
            ),
        ),
        not_run=_NONE_INSTALLED,
    ),
    Case(
        "user-token-is-valid",
        (
            _APP_TOKEN,
            # The token is of whoever signed in.
            _inspected(
                USER_TOKEN,
                {"scopes": _SCOPES, **_TESTER},
                failed=_TOKEN_REFUSED,
                verified=("of another 873", "text* data.user_id", "number data.user_id"),
            ),
            ScriptedExchange("/v26.0/me/permissions", _GRANTED),
        ),
    ),
    # The pages are a limit, no part of the verdict.
    Case(
        "marketing-data-is-readable",
        (_AD_ACCOUNT, ScriptedExchange(_LIST_OF_PAGES, {"data": []}, verified=(GENERATED,))),
    ),
    Case(
        "marketing-data-is-readable",
        (
            _AD_ACCOUNT,
            _rows(
                _LIST_OF_PAGES,
                {"id": "page-1"},
                verified=(
                    "first page without rows",
                    'body {"data": []}',
                    "of another",
                    GENERATED,
                    *_ANY_ROW,
                ),
            ),
        ),
        verified=("all of another",),
    ),
    Case(
        "business-is-verified",
        (
            _APP_TOKEN,
            _node({"owner_business": {"id": "biz-1"}}),
            _rows(_BUSINESSES, {"id": "biz-1", "verification_status": "verified"}),
            _NO_APP,
        ),
    ),
    Case(
        "test-calls-are-made",
        (
            _APP_TOKEN,
            _inspected(USER_TOKEN, {"scopes": ["public_profile", *_TESTED], **_TESTER}),
            ScriptedExchange("/v26.0/me", {"id": "873"}),
            # Any business of that person will do.
            _rows(_BUSINESSES, {"id": "biz-1"}, verified=("of another", *_ANY_ROW)),
            _PAGE,
            ScriptedExchange("/v26.0/page-1", {"id": "page-1"}),
        ),
        {"make_test_calls": True, "permissions": tuple(_TESTED)},
    ),
    Case(
        "public-pages-open",
        (
            _APP_TOKEN,
            _node(
                {
                    "privacy_policy_url": "https://www.acme.example/privacy",
                    "terms_of_service_url": "https://www.acme.example/terms",
                }
            ),
            *_POLICIES,
            *_OTHER_PAGES,
            _NO_APP,
        ),
        true_exchange=2,
    ),
    Case(
        "customer-consents-without-role",
        (
            _APP_TOKEN,
            # Any person without a role will do, with any page.
            _inspected(
                bodies.CUSTOMER_TOKEN,
                {"scopes": _SCOPES, "user_id": "555"},
                failed=_TOKEN_REFUSED,
                verified=("of another 555", "text* data.user_id", "number data.user_id"),
            ),
            _inspected(USER_TOKEN),
            _node({"roles": {"data": [{"user": "873"}]}}),
            _rows(
                _LIST_OF_PAGES,
                {"id": "page-1"},
                # The token was inspected just before, so the person is there: the app is refused.
                failed=("error 100/33 * 40?",),
                verified=("of another", *_ANY_ROW),
            ),
            _NO_APP,
        ),
    ),
    Case(
        "page-is-subscribed",
        (
            _PAGE,
            # A whole list, with another app, lacks this one.
            _rows(
                "/v26.0/page-1/subscribed_apps",
                {"id": APP_ID, "subscribed_fields": ["messages"]},
                failed=("of another", *_ANY_ROW),
            ),
        ),
    ),
    # Where people are sent back to is not this check's.
    Case(
        "scopes-are-asked-for",
        _sign_in(
            "&scope=pages_show_list%20pages_messaging", verified=("of another acme-h.cyclr.com",)
        ),
    ),
    Case(
        "webhook-takes-verify-token",
        (
            ScriptedExchange(
                "/messenger",
                made_up(8),
                asks=asking(**{"hub.verify_token": VERIFY_TOKEN, "hub.mode": "subscribe"}),
                not_run=("* 403",),
            ),
            *(
                ScriptedExchange(
                    "/messenger",
                    "refused",
                    403,
                    asks=asking(**{"hub.verify_token": made_up(16, number)}),
                    proved_by=BY_STATUS,
                    not_run=("alike",),
                    verified=("* 403", *_ANY_TEXT),
                )
                for number in range(2)
            ),
        ),
        true_exchange=0,
    ),
    Case(
        "lead-data-is-readable",
        (
            _PAGE,
            _rows("/v26.0/page-1/leadgen_forms", {"id": "form-1"}),
            _APP_TOKEN,
            _inspected(USER_TOKEN),
            # Lead Access Manager states it, by true or false.
            ScriptedExchange(
                "/v26.0/page-1",
                {"has_lead_access": _ACCESS},
                failed=("empty has_lead_access.can_access_lead", "empty has_lead_access.app_*"),
            ),
            _rows("/v26.0/form-1/leads", {"id": "lead-1", "form_id": "form-1"}, verified=_ANY_ROW),
        ),
    ),
    Case(
        "service-domain-answers",
        (
            ScriptedExchange(
                _CALLBACK,
                "page",
                400,
                verified=(
                    "status 200",
                    "status 30[127]",
                    "status 405",
                    "status 422",
                    "error * [24]00",
                    "html 200",
                    *_ANY_TEXT,
                ),
            ),
            ScriptedExchange(
                f"{_CALLBACK}-{made_up(8)}",
                "page",
                404,
                # It must be answered otherwise than the callback.
                proved_by=frozenset(name for name in BY_STATUS if REFUSALS[name][0] != 400),
                verified=("* 40[134]", "status 410", "status 422", *_ANY_TEXT),
            ),
        ),
        true_exchange=0,
        verified=("all body *",),
    ),
    Case(
        "connector-is-in-library",
        (_API_TOKEN, ScriptedExchange("/v1.0/connectors", [_LIBRARY_ROW], verified=_ANY_NUMBER)),
    ),
    Case(
        "error-webhook-is-set",
        (
            _API_TOKEN,
            ScriptedExchange(
                f"/v1.0/accounts/{_ACCOUNT}",
                {"Id": _ACCOUNT, "TransactionErrorWebhookEnabled": True},
            ),
        ),
    ),
    # The link names another app, or sends people back to another host.
    Case(
        "console-holds-app-id",
        _sign_in(failed=("of another", f"of another {APP_ID}", "of another acme-h.cyclr.com")),
    ),
    Case(
        "connector-is-installed",
        (
            _API_TOKEN,
            _installed(_IDENTITY, _NOT_INSTALLED),
            *_MADE_UP_ACCOUNTS,
            ScriptedExchange("/v1.0/connectors", [_LIBRARY_ROW]),
        ),
        true_exchange=1,
        not_run=_NONE_INSTALLED,
    ),
    Case(
        "connector-is-installed",
        (
            _API_TOKEN,
            # Nobody has it yet: the installation counts.
            _account_connectors(_ACCOUNT, [], verified=("alike", _OTHERS_INSTALLED, GENERATED)),
            ScriptedExchange("/v1.0/connectors", [_LIBRARY_ROW]),
            ScriptedExchange(
                f"{_IN_LIBRARY}/install",
                {"Id": 54321, "Connector": {**_IDENTITY, "Name": _NAME}},
                verified=("empty Id", "number Id", "next Id"),
            ),
            *_MADE_UP_ACCOUNTS,
        ),
        {"install_connector": True},
    ),
    Case(
        "connector-is-authenticated",
        (
            _API_TOKEN,
            _installed({}, (*_NOT_INSTALLED, "empty 0.Authenticated"), Authenticated=True),
            *_MADE_UP_ACCOUNTS,
        ),
        true_exchange=1,
        not_run=_NONE_INSTALLED,
    ),
)


ROWS = [
    pytest.param(case, place, id=f"{case.check}-{place}") for case in CASES for place in case.places
]


def cases_of(check: str) -> list[Case]:
    """Return the cases of a check, one for each way in which it verifies."""
    return [case for case in CASES if case.check == check]
