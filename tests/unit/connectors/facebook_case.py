"""The case of Facebook's connectors: their minimal responses, controls and refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tests.support.connector_safety import (
    Control,
    MinimalExchanges,
    ScriptedExchange,
    by_status,
    made_up,
    named_refusals,
    with_cyclr,
)
from tests.support.connector_safety.connector_case import REFUSALS
from tests.unit import bodies
from tests.unit.bodies import APP_ID, graph_error
from tests.unit.connectors.minimal_responses import BASE, FACEBOOK_EXCHANGES, OTHER_APP_ID

MADE_UP_APP = f"9{int(made_up(7), 16):017}"
_NO_OBJECT = "Object with ID '{}' does not exist, cannot be loaded due to missing permissions"

# Names of an app, a person, a page, a form, a business, a host or a connector, each with another.
OTHERS = {
    APP_ID: OTHER_APP_ID,
    "873": "874",
    "555": "556",
    "page-1": "page-9",
    "form-1": "form-9",
    "biz-1": "biz-9",
}
# Fuller responses than the minimal ones: with a list that the finding can do without.
FULLER: Mapping[str, tuple[MinimalExchanges, ...]] = {
    "marketing-data-is-readable": (
        MinimalExchanges(
            (
                ScriptedExchange("/v26.0/me/adaccounts", {"data": [{"id": "act_1"}]}),
                ScriptedExchange("/v26.0/me/accounts", {"data": [{"id": "page-1"}]}),
            )
        ),
    ),
}
_REDIRECT = "its Location counts: a redirect needs no body"
_REFUSAL = "a refusal counts by its status: what Cyclr says with it is documented nowhere"
_OTHERWISE = "a made-up page need only be answered otherwise than the real one"
_PATH = "it only sets the limit: the controls of the host decide"
NO_MATTER: Mapping[str, str] = {
    "scopes-are-asked-for 0.3 body": _REDIRECT,
    "webhook-takes-verify-token 0.1 body": _REFUSAL,
    "webhook-takes-verify-token 0.2 body": _REFUSAL,
    "public-pages-open 0.5 body": _OTHERWISE,
    "public-pages-open 0.6 body": _OTHERWISE,
    "public-pages-open 0.7 body": _OTHERWISE,
    "redirect-uri-is-accepted 1.4 body": _PATH,
    "redirect-uri-is-accepted 1.4 cached": _PATH,
    "marketing-data-is-readable 1.1 list": "a limit says that no page was read",
    "marketing-data-is-readable 1.1 another's": "any page of that person will do",
    "marketing-data-is-readable 1.all another's": "any page of that person will do",
    "user-token-is-valid 0.1 another's 873": "the token is of whoever signed in",
    "customer-consents-without-role 0.1 another's 555": "any person without a role will do",
    "customer-consents-without-role 0.4 another's": "any page of that person will do",
    "test-calls-are-made 0.3 another's": "any business of that person will do",
    "scopes-are-asked-for 0.3 another's acme-h": "cy-02 compares where users are sent back to",
}


FOREIGN: tuple[Any, ...] = (
    {"id": OTHER_APP_ID, "name": "Another app"},
    {"access_token": f"{OTHER_APP_ID}|tail"},
    {
        "data": {
            "app_id": OTHER_APP_ID,
            "is_valid": True,
            "type": "USER",
            "user_id": "1",
            "scopes": [],
        }
    },
    {"data": [{"permission": "email", "status": "live"}]},
    [{"Id": 1, "Name": "Slack", "Connector": {"Id": 2, "Name": "Slack"}}],
    graph_error("(#4) Application request limit reached", 4),
    graph_error("x" * 100_000, 10**9),
)
# Status and error object; each with a text that is Facebook's.
FACEBOOK_REFUSALS: Mapping[str, tuple[int, dict[str, Any]]] = {
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
    **REFUSALS,
}
NO_SUCH_APP = ("100 made up", "100/33", "803")
_NO_SUCH_HOST = ("191", "191 old")


def _controls() -> Iterator[Control]:
    for check, variants in FACEBOOK_EXCHANGES.items():
        for number, minimal in enumerate(variants):
            places = tuple(
                place
                for place, exchange in enumerate(minimal.exchanges)
                if MADE_UP_APP in exchange.path
            )
            if places:
                proves = named_refusals(*NO_SUCH_APP)
                yield Control(check=check, places=places, proves=proves, variant=number)
    yield Control(
        check="app-credentials-are-accepted", places=(1,), proves=named_refusals("1 secret")
    )
    for variant in (0, 1):
        for place in (2, 3):
            yield Control(
                check="redirect-uri-is-accepted",
                places=(place,),
                proves=named_refusals(*_NO_SUCH_HOST),
                variant=variant,
            )
    yield Control(check="public-pages-open", places=(5, 6, 7), proves=by_status(), true_exchange=2)
    yield Control(
        check="webhook-takes-verify-token", places=(1, 2), proves=by_status(), true_exchange=0
    )


CASE = with_cyclr(
    replace(
        BASE,
        exchanges=FACEBOOK_EXCHANGES,
        other_names=OTHERS,
        controls=tuple(_controls()),
        not_controls={
            "redirect-uri-is-accepted": frozenset({4}),  # another path only sets the limit
            # The challenge is made up, not the Verify Token.
            "webhook-takes-verify-token": frozenset({0}),
        },
        refusals=FACEBOOK_REFUSALS,
        made_up_names=(MADE_UP_APP,),
        without_control={
            "marketing-data-is-readable": "any ad account that the token reads will do"
        },
        indifferent=NO_MATTER,
        fuller=FULLER,
        foreign_bodies=FOREIGN,
    )
)
MINIMAL_EXCHANGES = CASE.exchanges
