"""
The table of outcomes: check × exchange × response in `responses`, where one is not inconclusive.

It is written by hand. A check without a row is red (`test_response_matrix`).
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from runbook_lib.core.model import Outcome
from tests.unit.connectors.responses import STATUSES

FAILED = Outcome.FAILED
VERIFIED = Outcome.VERIFIED
NOT_RUN = Outcome.NOT_RUN


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


# All rows are on the page that was read.
WHOLE = Cell(VERIFIED, ("first page",))
# A refusal is a 4xx with its code; 429 asks to come again.
_REFUSING = statuses(*(status for status in STATUSES if 400 <= status < 500 and status != 429))
# Error objects have fields that no check needs.
_UNREAD = (
    "* error.type",
    *(
        f"{gap} error.{name}"
        for gap in ("left out", "null", "empty", "text")
        for name in ("message", "fbtrace_id")
    ),
)
# The made-up app is refused as unknown: by code 803, or by code 100 with subcode 33.
_UNKNOWN = ("error 100/33 * 40?", "error 803/- * 40?")
NO_SUCH_APP = (*_REFUSING, *_UNREAD, *_UNKNOWN)
# The body of a redirect, of a refusal by status or of a page is not read.
_ANY_TEXT = ("body *", "truncated *", "html None", "challenge None")
# An account that does not exist is refused alike twice; what Cyclr says with it is not documented.
REFUSED_ACCOUNT = (
    *_ANY_TEXT,
    "empty None",
    "empty 401",
    "html 401",
    "challenge 401",
    "first page",
    *(f"{gap} Message" for gap in ("left out", "null", "empty", "text")),
)
# Which id a row has is not known before.
ANY_ID = ("empty 0.Id", "number 0.Id")
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
    "truncated *",
    "html None",
    "empty None",
    "redirect",
)
CALLBACK = (
    *statuses(200, 301, 302, 307, 405, 422),
    "error * 200",
    "error * 400",
    "html 200",
    "empty None",
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
    "empty None",
    *_ANY_TEXT,
)
NOT_INSTALLED = ("body list", "left out 0", "null 0.Connector", "text 0.Connector.Name")
APP_NODE = (WHOLE, Cell(VERIFIED, NO_SUCH_APP, 2))
LISTED_PERMISSIONS = (WHOLE, Cell(VERIFIED, NO_SUCH_APP, 2))

CELLS: Mapping[str, tuple[Cell, ...]] = {
    "app-credentials-are-accepted": (
        Cell(FAILED, ("error 1/- Error validating c* 40?", "error 200/- API access deact* 40?"), 0),
        Cell(VERIFIED, (*_REFUSING, "error 1/- Error validating c* 40?"), 1),
        WHOLE,
    ),
    # Another name is stated, in the field made for it.
    "app-name-matches": (Cell(FAILED, ("text name",), 1), *APP_NODE),
    "app-is-registered": (
        Cell(FAILED, ("error 1/- Error validating c* 40?",), 0),
        Cell(VERIFIED, ("text name",), 1),
        *APP_NODE,
    ),
    "missing-sections-are-filled": (
        Cell(VERIFIED, tuple(f"text {name}" for name in ("category", "contact_email", "*_url")), 1),
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
        # The control of the path only sets the limit.
        Cell(VERIFIED, ("*",), 4, 1),
    ),
    "service-domain-answers": (Cell(VERIFIED, CALLBACK, 0), Cell(VERIFIED, NO_CALLBACK, 1)),
    "public-profile-is-live": LISTED_PERMISSIONS,
    "permissions-are-requested": LISTED_PERMISSIONS,
    "review-is-approved": LISTED_PERMISSIONS,
    "connector-is-in-library": (WHOLE, Cell(VERIFIED, ANY_ID, 1)),
    "error-webhook-is-set": (WHOLE,),
    "console-holds-app-id": LINK_OF_CYCLR,
    "scopes-are-asked-for": LINK_OF_CYCLR,
    "connector-is-installed": (
        WHOLE,
        Cell(NOT_RUN, NOT_INSTALLED, 1),
        Cell(VERIFIED, ANY_ID, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 2),
        Cell(VERIFIED, REFUSED_ACCOUNT, 3),
        Cell(VERIFIED, ("empty Id", "number Id"), 3, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 4, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 5, 1),
    ),
    "connector-is-authenticated": (
        WHOLE,
        Cell(NOT_RUN, (*NOT_INSTALLED, "empty 0.Authenticated"), 1),
        Cell(VERIFIED, ANY_ID, 1),
        Cell(VERIFIED, REFUSED_ACCOUNT, 2),
        Cell(VERIFIED, REFUSED_ACCOUNT, 3),
    ),
    # A whole list, with other rows, lacks the permission.
    "permissions-are-seen-through-cyclr": (
        WHOLE,
        Cell(NOT_RUN, NOT_INSTALLED, 1),
        Cell(FAILED, ("left out data.?", "text data.?.permission"), 3),
    ),
    "user-token-is-valid": (
        WHOLE,
        Cell(FAILED, REFUSED_TOKEN, 1),
        Cell(VERIFIED, ("text data.user_id", "number data.user_id"), 1),
    ),
    # The pages are a limit, no part of the verdict.
    "marketing-data-is-readable": (WHOLE, Cell(VERIFIED, ("first page without rows",), 1)),
    "business-is-verified": (WHOLE, Cell(VERIFIED, NO_SUCH_APP, 3)),
    "test-calls-are-made": (WHOLE, Cell(VERIFIED, ("text data.0.id", "number data.0.id"), 3)),
    "public-pages-open": (
        WHOLE,
        *(Cell(FAILED, GONE, place) for place in (2, 3, 4)),
        *(Cell(VERIFIED, ("truncated 0.5", "truncated 0.9"), place) for place in (2, 3, 4)),
        *(Cell(VERIFIED, OTHER_PAGE, place) for place in (5, 6, 7)),
        Cell(VERIFIED, NO_SUCH_APP, 8),
    ),
    "customer-consents-without-role": (
        WHOLE,
        Cell(FAILED, REFUSED_TOKEN, 1),
        Cell(VERIFIED, ("text data.user_id", "number data.user_id"), 1),
        # The token was inspected just before, so the person is there: what is refused is the app.
        Cell(FAILED, ("error 100/33 * 40?",), 4),
        Cell(VERIFIED, ("text data.0.id", "number data.0.id"), 4),
        Cell(VERIFIED, NO_SUCH_APP, 5),
    ),
    # A whole list, with another app, lacks this one.
    "page-is-subscribed": (WHOLE, Cell(FAILED, ("text data.0.id", "number data.0.id"), 1)),
    "webhook-takes-verify-token": (
        Cell(NOT_RUN, ("status 403", "error * 403", "* 403"), 0),
        *(
            Cell(VERIFIED, ("error * 403", "* 403", "empty None", *_ANY_TEXT), place)
            for place in (1, 2)
        ),
    ),
    # Lead Access Manager states it, by true or false.
    "lead-data-is-readable": (
        WHOLE,
        Cell(FAILED, ("empty has_lead_access.can_access_lead", "empty has_lead_access.app_*"), 4),
        Cell(VERIFIED, ("text data.0.id", "number data.0.id"), 5),
    ),
}


def expected(check: str, number: int, exchange: int, response: str) -> Outcome:
    """Return the outcome of the first matching cell of the table, else inconclusive."""
    for cell in CELLS[check]:
        is_here = cell.exchange is None or (cell.exchange, cell.number) == (exchange, number)
        if is_here and any(fnmatchcase(response, pattern) for pattern in cell.responses):
            return cell.outcome
    return Outcome.INCONCLUSIVE
