"""
A user's token as Facebook sees it (Graph: debug_token): whose it is, what it carries, its end.
"""

from __future__ import annotations

from datetime import datetime

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.access import app_graph, app_token
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.documents import Document, unexpected

_DEBUG = "debug_token"
_READ = (
    *("app_id", "type", "is_valid", "error", "code", "subcode", "message", "user_id"),
    *("expires_at", "data_access_expires_at", "scopes", "granular_scopes", "scope", "target_ids"),
)


def inspect_token(context: CheckContext, token: Secret) -> tuple[Document, str]:
    """
    Return what Facebook says of `token`, and what contradicts that it is this app's user's.

    Without a contradiction the app's id and the `user_id` are in the answer, and
    neither the token nor its access to the person's data has ended.
    """
    graph = app_graph(context)
    answer = graph.get(_DEBUG, app_token(context), reads=_READ, input_token=token.reveal())
    data = answer.document("data")
    return data, _problem(context, data)


def _problem(context: CheckContext, data: Document) -> str:
    """Return what contradicts that this is a valid user token of the app."""
    app_id = context.text("app_id")
    # NOTE: an input token that Facebook cannot read has no app.
    owner = data.identifier("app_id", "")
    if owner not in ("", app_id):
        return f"The token belongs to app {owner}, not to {app_id}. Use a token of this app."
    if not data.flag("is_valid"):
        cause = ""
        if "error" in data:
            error = data.document("error")
            code = "/".join(str(error.code(key)) for key in ("code", "subcode") if key in error)
            cause = f" ({error.words('message') or 'no reason given'}, {code})"
        return f"The token is not valid{cause}. Sign in again for a fresh one."
    data.expect("app_id", app_id)
    kind = data.identifier("type")
    if kind != "USER":
        return f"This is a token of type {kind}, not a user's. Sign in for a user access token."
    data.identifier("user_id")
    end_of(context, data)
    # NOTE: such a token stays valid and reads no data (Facebook Login: Data Access Expiration).
    end = data.moment("data_access_expires_at", 0)
    if end is not None and end <= context.now:
        return (
            f"The token's access to the person's data ended on {end:%Y-%m-%dT%H:%M:%SZ}. The "
            "person must sign in and consent again."
        )
    return ""


def end_of(context: CheckContext, data: Document) -> datetime | None:
    """Return when a valid token ends; raises `UnexpectedAnswerError` for one that has ended."""
    end = data.moment("expires_at")
    if end is not None and end <= context.now:
        what = f"Facebook calls the token valid, but it ended on {end:%Y-%m-%dT%H:%M:%SZ}"
        raise unexpected(f"Facebook (/{_DEBUG})", what)
    return end


def until(end: datetime | None) -> str:
    """Return in words how long a token is valid."""
    return "without an end" if end is None else f"until {end:%Y-%m-%dT%H:%M:%SZ}"
