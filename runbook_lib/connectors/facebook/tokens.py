"""
A user's token as Facebook sees it (Graph: debug_token): its person, permissions and end.
"""

from __future__ import annotations

from datetime import datetime

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph_clients import app_graph, app_token, wanted_permissions
from runbook_lib.connectors.facebook.graph_errors import GraphAPIError
from runbook_lib.connectors.facebook.refusal_table import (
    TOKEN_INVALID,
    TOKEN_OF_ANOTHER_APP,
    is_refused,
)
from runbook_lib.connectors.findings import failed, inconclusive
from runbook_lib.connectors.proof import REFUSED, STATED, Listing
from runbook_lib.core.model import Finding
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.http_messages import unexpected_response
from runbook_lib.remote.json_fields import JSONObject

_DEBUG = "debug_token"
_SOURCE = f"Facebook (/{_DEBUG})"
_READ = (
    "app_id",
    "type",
    "is_valid",
    "error",
    "code",
    "subcode",
    "message",
    "user_id",
    "expires_at",
    "data_access_expires_at",
    "scopes",
    "granular_scopes",
    "scope",
    "target_ids",
)
_USER = "USER"
# A token of Facebook Login for Business may be a system user's: it has no end.
SYSTEM_USER = "SYSTEM_USER"
# The answer to the step that asks which kind of token Cyclr keeps (`AnswerOption.name`).
KEEPS_SYSTEM_USERS_TOKEN = "system-user"  # noqa: S105  (a name)
# Kinds of tokens that are not a person's (Graph: debug_token, `type`).
_OTHER_KINDS = ("APP", "PAGE")
_OK = 200


def inspect_token(context: CheckContext, token: Secret) -> tuple[JSONObject, Finding | None]:
    """
    Return Facebook's data about `token`, and a finding unless it is a valid user's token of this
    app.

    The finding is failed if Facebook refuses the token, and inconclusive if Facebook could not
    inspect it. Without a finding the response has the app's id and the `user_id`, and neither the
    token nor its access to the person's data has ended. Raises the errors of `Graph.get`.
    """
    app_id = context.text("app_id")
    try:
        response = app_graph(context).get(
            _DEBUG, app_token(context), reads=_READ, input_token=token.reveal()
        )
    except GraphAPIError as error:
        if not is_refused(error, TOKEN_OF_ANOTHER_APP):
            raise
        return JSONObject({}, _SOURCE), failed(
            REFUSED,
            code=TOKEN_OF_ANOTHER_APP.code,
            reason=f"The token belongs to another app, not to {app_id} ({error}). Paste a token "
            "of this app.",
        )
    data = response.object_at("data")
    return data, _contradict_token(context, data)


def _contradict_token(context: CheckContext, data: JSONObject) -> Finding | None:
    """Return the finding that this is no valid user token of the app; `None` if it is one."""
    # NOTE: a token that Facebook cannot read has no app; another app's is refused before.
    if data.identifier("app_id", "") or data.boolean("is_valid"):
        data.expect("app_id", context.text("app_id"))
    if not data.boolean("is_valid"):
        return _conclude_invalid(data)
    if data.get("error") is not None:
        raise unexpected_response(_SOURCE, "it calls the token valid, and names an error of it")
    kind = data.keyword("type")
    if kind in _OTHER_KINDS:
        return failed(
            STATED,
            code="token-of-other-kind",
            reason=f"This is a token of type {kind}, not a user's. Sign in for a user access "
            "token.",
        )
    if kind == SYSTEM_USER and KEEPS_SYSTEM_USERS_TOKEN not in context.answers:
        return inconclusive(
            code="token-of-system-user",
            reason="This is a system user's token. Does Cyclr's connector keep such tokens? If "
            "Cyclr says so, confirm it in the step “Ask which kind of token it keeps”, then check "
            "again. Otherwise sign in for a user access token.",
        )
    if kind not in (_USER, SYSTEM_USER):
        return inconclusive(
            code="token-kind-unknown",
            reason=f"This is a token of type {kind}, not a user's, so nothing shows what a "
            "person's token reads. Sign in for a user access token.",
        )
    data.identifier("user_id")
    if gap := data.describe_absence("expires_at"):
        return inconclusive(
            code="token-end-unknown",
            reason=f"Facebook calls the token valid, but its field expires_at {gap}, so nothing "
            "shows when the token ends. Check again; Facebook's Access Token Debugger shows it, "
            "too.",
        )
    end_of(context, data)
    # NOTE: such a token stays valid and reads no data (Facebook Login: Data Access Expiration).
    end = data.moment("data_access_expires_at", 0)
    if end is not None and end <= context.now:
        return failed(
            STATED,
            code="data-access-ended",
            reason=f"The token's access to the person's data ended on {end:%Y-%m-%dT%H:%M:%SZ}. "
            "The person must sign in and consent again.",
        )
    return None


def _conclude_invalid(data: JSONObject) -> Finding:
    """Return the finding about an invalid token, by the error that Facebook names."""
    if data.get("error") is None:
        return inconclusive(
            code="token-error-not-named",
            reason="Facebook calls the token invalid, but does not say why: its field error "
            f"{data.describe_absence('error')}. Check again; if it stays so, sign in again.",
        )
    error = data.object_at("error")
    message = error.display_text("message") or "no reason given"
    numbers = (error.code("code"), error.code("subcode"))
    shown = "/".join(str(number) for number in numbers if number is not None)
    shown = f"code {shown}" if shown else "no code"
    # NOTE: here the error stands in a response with status 200 (Graph: debug_token).
    is_known = TOKEN_INVALID.matches(
        message, status=_OK, error_code=numbers[0], subcode=numbers[1], is_inside_data=True
    )
    if not is_known:
        return inconclusive(
            code="token-not-inspected",
            reason=f"Facebook could not inspect the token ({message}, {shown}). "
            "That says nothing about the token: check again.",
        )
    return failed(
        REFUSED,
        code=TOKEN_INVALID.code,
        reason=f"The token is not valid ({message}, {shown}). Sign in again for a fresh one.",
    )


def carried_permissions(context: CheckContext, data: JSONObject) -> tuple[str, ...]:
    """Return the permissions that an inspected token must carry; a system user has no profile."""
    wanted = wanted_permissions(context)
    is_system_users = data.get("type") == SYSTEM_USER
    return wanted[1:] if is_system_users else wanted


def listed_scopes(data: JSONObject) -> Listing:
    """Return the permissions that the inspected token carries."""
    scopes = data.strings_or_none("scopes") or ()
    gap = data.describe_absence("scopes")
    return Listing(
        source="debug_token", present=scopes, gap=f"the field scopes {gap}" if gap else ""
    )


def end_of(context: CheckContext, data: JSONObject) -> datetime | None:
    """Return the end of a valid token; raises `UnexpectedResponseError` if it has ended."""
    end = data.moment("expires_at")
    if end is not None and end <= context.now:
        raise unexpected_response(
            _SOURCE, f"Facebook calls the token valid, but it ended on {end:%Y-%m-%dT%H:%M:%SZ}"
        )
    return end


def describe_validity(end: datetime | None) -> str:
    """Return the end of a token's validity in words."""
    return "without an end" if end is None else f"until {end:%Y-%m-%dT%H:%M:%SZ}"
