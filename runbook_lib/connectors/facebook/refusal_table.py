"""
The table of refusals: only these errors of Facebook's contradict a step.

A row decides by Graph's `code` and `error_subcode`, or by known words where a code has several
meanings, and only with an HTTP status of 4xx (or inside `data.error` of `debug_token`, which
answers 200). Faults of Facebook's own (codes 1, 2), limits and codes outside the table decide
nothing (Graph API: Handle Errors).
"""

from __future__ import annotations

from runbook_lib.connectors.facebook.graph_errors import GraphAPIError, GraphTokenError
from runbook_lib.connectors.proof import KnownRefusal

# NOTE: code 1 is also "API Unknown", a fault of Facebook's own: the words decide.
SECRET_REFUSED = KnownRefusal(
    code="app-secret-refused",
    error_codes=frozenset({1}),
    words=("error validating client secret",),
)
# NOTE: code 101 does not discriminate: Facebook gives it for a blocked app and for another
# product's ID, too. It names the App ID as doubtful, and never fails a step.
APP_ID_DOUBTED = KnownRefusal(code="app-id-not-recognised", error_codes=frozenset({101}))
# The token endpoint and every call with a token of the app respond so (readings, 2022 to 2026).
APP_DEACTIVATED = KnownRefusal(
    code="app-deactivated",
    error_codes=frozenset({200}),
    words=("api access deactivated",),
)
# NOTE: 191 is also about the form of an address; then Facebook did not compare its host.
REDIRECT_REFUSED = KnownRefusal(
    code="redirect-uri-refused",
    error_codes=frozenset({191}),
    other_words=("isn't an absolute uri", "missing redirect_uri"),
)
# The same in the wording of before 2018.
OLD_REDIRECT_REFUSED = KnownRefusal(
    code="redirect-uri-refused",
    error_codes=frozenset({100, 191}),
    words=("invalid redirect_uri: given url is not allowed",),
)
# `debug_token` inspects only tokens of the app that asks (recorded 2025 and 2026).
TOKEN_OF_ANOTHER_APP = KnownRefusal(
    code="token-of-another-app",
    error_codes=frozenset({100}),
    words=("app_id in the input_token did not match the viewing app",),
)
# Access Token Guide, Debugging: app not installed, checkpoint, password changed, expired,
# unconfirmed, invalidated, logged out, checkpoint, page role.
TOKEN_INVALID = KnownRefusal(
    code="token-invalid",
    error_codes=frozenset({102, 190}),
    subcodes=frozenset({None, 458, 459, 460, 463, 464, 466, 467, 490, 492}),
)
# Without a verified Tech Provider, other businesses' objects "do not exist" for the app.
ACCESS_VERIFICATION_MISSING = KnownRefusal(
    code="access-verification-missing",
    error_codes=frozenset({100}),
    subcodes=frozenset({33}),
)


def is_refused(error: GraphAPIError | GraphTokenError, *rows: KnownRefusal) -> bool:
    """Return whether Facebook's `error` is in one of these rows of the table."""
    return any(
        row.matches(
            str(error),
            status=error.status,
            error_code=error.error_code,
            subcode=error.error_subcode,
        )
        for row in rows
    )
