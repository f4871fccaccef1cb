"""
The table of outcomes: check × exchange × response in `responses`, where one is not inconclusive.

It is written by hand. A check without a row is red (`test_connector_safety`).
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from runbook_lib.core.model import Outcome
from tests.unit.bodies import APP_ID
from tests.unit.connectors.responses import ALL_AT_ONCE, STATUSES

FAILED = Outcome.FAILED
VERIFIED = Outcome.VERIFIED
NOT_RUN = Outcome.NOT_RUN
INCONCLUSIVE = Outcome.INCONCLUSIVE


class Cell(NamedTuple):
    """Responses in an exchange, and the outcome that they may lead to."""

    outcome: Outcome
    responses: tuple[str, ...]
    """Patterns of the responses' names, as `fnmatch` reads them."""

    exchange: int | None = None
    """Number of the exchange among the least ones; any if left out."""

    number: int = 0
    """Number of the check's least answers, if it verifies in two ways."""


def statuses(*kept: int) -> tuple[str, ...]:
    return tuple(f"status {status}" for status in kept)


# A body in which any error of Graph's may stand, with one of these statuses.
def any_body(*kept: int) -> tuple[str, ...]:
    errors = tuple(f"error * {status}" for status in kept)
    return (*errors, *(f"{text} {status}" for text in ("html", "empty") for status in kept))


def any_text(*paths: str) -> tuple[str, ...]:
    return tuple(f"{kind} {path}" for path in paths for kind in ("text", "digits", "other"))


def any_id(path: str) -> tuple[str, ...]:
    return (*any_text(path), f"number {path}")


# A response that a test generates, which has the right status.
GENERATED = "generated"
# All rows are on the page that was read.
WHOLE = Cell(VERIFIED, ("first page",))
# A refusal is a 4xx with its code; 429 asks to come again.
_REFUSING = statuses(*(status for status in STATUSES if 400 <= status < 500 and status != 429))
_GAPS = ("left out", "null", "empty")
# Error objects have fields that no check needs.
_UNREAD = (
    "* error.type",
    *(f"{gap} error.{name}" for gap in _GAPS for name in ("message", "fbtrace_id")),
    *any_text("error.message", "error.fbtrace_id"),
)
# The made-up app is refused as unknown: by code 803, or by code 100 with subcode 33.
_UNKNOWN = ("error 100/33 * 40?", "error 803/- * 40?")
NO_SUCH_APP = (*_REFUSING, *_UNREAD, *_UNKNOWN)
# The body of a redirect, of a refusal by status or of a page is not read.
_ANY_TEXT = ("body *", "long *", "truncated *", "challenge", GENERATED)
# An account that does not exist is refused alike twice; what Cyclr says with it is not documented.
REFUSED_ACCOUNT = (
    *_ANY_TEXT,
    "empty 401",
    "html 401",
    "challenge 401",
    "first page",
    *(f"{gap} Message" for gap in _GAPS),
    *any_text("Message"),
    "Message *",
    "more nan",
)
# Which id a row has is not known before.
ANY_ID = ("empty 0.Id", "number 0.Id", "other 0.Id")
LINK_OF_CYCLR = (
    WHOLE._replace(exchange=0),
    Cell(VERIFIED, ANY_ID, 1),
    WHOLE._replace(exchange=2),
    Cell(VERIFIED, (*statuses(301, 307), *_ANY_TEXT), 3),
)
# Facebook refuses the token, or to inspect it since it is another app's.
REFUSED_TOKEN = (
    "error 100/- (#100) The App_id in the 40?",
    "inner 102/- *",
    "inner 190/- *",
    "inner 190/458 *",
    "inner 190/463 *",
)
REDIRECT_REFUSED = ("error 191/- Can't Load URL* 40?",)
# A made-up code was refused, also as one of another redirect URI: the address was accepted.
CODE_REFUSED = (
    *_REFUSING,
    "error 100/- Invalid verification* 40?",
    "error 100/36008 * 40?",
)
HOST_REFUSED = (*_REFUSING, *REDIRECT_REFUSED)
# The policy's page is gone, twice; half of its text is text.
GONE = ("status 404", "status 410", "empty 404", "html 404")
# A bot wall is no control, whatever its status.
OTHER_PAGE = (
    *statuses(200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 410, 422),
    *any_body(200, 400, 401, 403, 404),
    "body *",
    "long *",
    "truncated *",
    "redirect",
    GENERATED,
)
CALLBACK = (
    *statuses(200, 301, 302, 307, 405, 422),
    "error * 200",
    "error * 400",
    "html 200",
    *_ANY_TEXT,
)
NO_CALLBACK = (
    *statuses(401, 403, 410, 422),
    "error * 403",
    "html 401",
    "html 403",
    "html 404",
    "empty 401",
    "empty 403",
    "empty 404",
    "challenge 401",
    "challenge 403",
    "challenge 404",
    *_ANY_TEXT,
)
_OTHERS_INSTALLED = "body ?{*Slack*"
NOT_INSTALLED = (
    "body []",
    "left out 0",
    "null 0.Connector",
    "of another",
    _OTHERS_INSTALLED,
    *any_text("0.Connector.Name"),
)
NONE_INSTALLED = Cell(NOT_RUN, ("all no rows", "all of another"), ALL_AT_ONCE)
APP_NODE = (WHOLE, Cell(VERIFIED, NO_SUCH_APP, 2))
LISTED_PERMISSIONS = (WHOLE, Cell(VERIFIED, NO_SUCH_APP, 2))

CELLS: Mapping[str, tuple[Cell, ...]] = {
    "app-credentials-are-accepted": (
        Cell(FAILED, ("error 1/- Error validating c* 40?", "error 200/- API access deact* 40?"), 0),
        Cell(VERIFIED, (*_REFUSING, "error 1/- Error validating c* 40?"), 1),
        # Facebook gives the true secret the refusal of the made-up one.
        Cell(FAILED, ("alike",), 1),
        WHOLE,
    ),
    # Another name is stated, in the field made for it.
    "app-name-matches": (Cell(FAILED, any_text("name"), 1), *APP_NODE),
    "app-is-registered": (
        Cell(FAILED, ("error 1/- Error validating c* 40?",), 0),
        Cell(VERIFIED, any_text("name"), 1),
        *APP_NODE,
    ),
    "missing-sections-are-filled": (
        Cell(VERIFIED, any_text("category", "contact_email", "*_url"), 1),
        *APP_NODE,
    ),
    "redirect-uri-is-accepted": (
        WHOLE,
        *(
            cell
            for number in (0, 1)
            for cell in (
                Cell(FAILED, REDIRECT_REFUSED, 1, number),
                Cell(VERIFIED, CODE_REFUSED, 1, number),
                Cell(VERIFIED, HOST_REFUSED, 2, number),
                Cell(VERIFIED, HOST_REFUSED, 3, number),
            )
        ),
        Cell(INCONCLUSIVE, ("alike",), 4, 1),
        # The control of the path only sets the limit.
        Cell(VERIFIED, ("*",), 4, 1),
    ),
    "service-domain-answers": (
        Cell(VERIFIED, CALLBACK, 0),
        Cell(VERIFIED, NO_CALLBACK, 1),
        Cell(VERIFIED, ("all body *",)),
    ),
    "public-profile-is-live": LISTED_PERMISSIONS,
    "permissions-are-requested": LISTED_PERMISSIONS,
    "review-is-approved": LISTED_PERMISSIONS,
    "connector-is-in-library": (WHOLE, Cell(VERIFIED, ANY_ID, 1)),
    "error-webhook-is-set": (WHOLE,),
    # The link names another app, or sends people back to another host.
    "console-holds-app-id": (
        *LINK_OF_CYCLR,
        Cell(FAILED, ("of another", f"of another {APP_ID}", "of another acme-h.cyclr.com"), 3),
    ),
    # Where people are sent back to is not this check's.
    "scopes-are-asked-for": (*LINK_OF_CYCLR, Cell(VERIFIED, ("of another acme-h.cyclr.com",), 3)),
    "connector-is-installed": (
        WHOLE,
        NONE_INSTALLED,
        Cell(NOT_RUN, NOT_INSTALLED, 1),
        Cell(VERIFIED, ANY_ID, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 2),
        Cell(VERIFIED, REFUSED_ACCOUNT, 3),
        # Nobody has it yet: the installation counts.
        Cell(VERIFIED, ("alike", _OTHERS_INSTALLED, GENERATED), 1, 1),
        Cell(VERIFIED, ("empty Id", "number Id", "other Id"), 3, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 4, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 5, 1),
    ),
    "connector-is-authenticated": (
        WHOLE,
        NONE_INSTALLED,
        Cell(NOT_RUN, (*NOT_INSTALLED, "empty 0.Authenticated"), 1),
        Cell(VERIFIED, ANY_ID, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 2),
        Cell(VERIFIED, REFUSED_ACCOUNT, 3),
    ),
    # A whole list, with other rows, lacks the permission.
    "permissions-are-seen-through-cyclr": (
        WHOLE,
        NONE_INSTALLED,
        Cell(NOT_RUN, NOT_INSTALLED, 1),
        Cell(
            FAILED,
            ("left out data.?", 'body {"data": ?{"perm*', *any_text("data.?.permission")),
            3,
        ),
    ),
    "user-token-is-valid": (
        WHOLE,
        Cell(FAILED, REFUSED_TOKEN, 1),
        # The token is of whoever signed in.
        Cell(VERIFIED, ("of another 873", *any_id("data.user_id")), 1),
    ),
    # The pages are a limit, no part of the verdict.
    "marketing-data-is-readable": (
        WHOLE,
        Cell(VERIFIED, ("all of another",)),
        Cell(VERIFIED, (GENERATED,), 1),
        Cell(
            VERIFIED,
            (
                "first page without rows",
                'body {"data": []}',
                "of another",
                *any_id("data.0.id"),
                GENERATED,
            ),
            1,
            1,
        ),
    ),
    "business-is-verified": (WHOLE, Cell(VERIFIED, NO_SUCH_APP, 3)),
    # Any business of that person will do.
    "test-calls-are-made": (WHOLE, Cell(VERIFIED, ("of another", *any_id("data.0.id")), 3)),
    "public-pages-open": (
        WHOLE,
        *(Cell(FAILED, GONE, place) for place in (2, 3, 4)),
        *(
            Cell(VERIFIED, ("truncated 0.[5-9]*", "long *", GENERATED), place)
            for place in (2, 3, 4)
        ),
        *(Cell(VERIFIED, OTHER_PAGE, place) for place in (5, 6, 7)),
        Cell(VERIFIED, NO_SUCH_APP, 8),
    ),
    "customer-consents-without-role": (
        WHOLE,
        Cell(FAILED, REFUSED_TOKEN, 1),
        # Any person without a role will do.
        Cell(VERIFIED, ("of another 555", *any_id("data.user_id")), 1),
        # The token was inspected just before, so the person is there: what is refused is the app.
        Cell(FAILED, ("error 100/33 * 40?",), 4),
        Cell(VERIFIED, ("of another", *any_id("data.0.id")), 4),
        Cell(VERIFIED, NO_SUCH_APP, 5),
    ),
    # A whole list, with another app, lacks this one.
    "page-is-subscribed": (WHOLE, Cell(FAILED, ("of another", *any_id("data.0.id")), 1)),
    "webhook-takes-verify-token": (
        Cell(NOT_RUN, ("* 403",), 0),
        *(Cell(NOT_RUN, ("alike",), place) for place in (1, 2)),
        *(Cell(VERIFIED, ("* 403", *_ANY_TEXT), place) for place in (1, 2)),
    ),
    # Lead Access Manager states it, by true or false.
    "lead-data-is-readable": (
        WHOLE,
        Cell(FAILED, ("empty has_lead_access.can_access_lead", "empty has_lead_access.app_*"), 4),
        Cell(VERIFIED, any_id("data.0.id"), 5),
    ),
}


def find_cell(check: str, number: int, exchange: int, response: str) -> Cell | None:
    """Return the first matching cell of the table."""
    for cell in CELLS[check]:
        is_here = cell.exchange is None or (cell.exchange, cell.number) == (exchange, number)
        if is_here and any(
            response == pattern or fnmatchcase(response, pattern) for pattern in cell.responses
        ):
            return cell
    return None


def expected(check: str, number: int, exchange: int, response: str) -> Outcome:
    """Return the outcome of the cell; inconclusive where the table has none."""
    cell = find_cell(check, number, exchange, response)
    return cell.outcome if cell else INCONCLUSIVE
