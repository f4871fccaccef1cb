"""
A check's access to Facebook: the authorization server, the Graph clients, the app's own token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.facebook_formats import is_token
from runbook_lib.connectors.facebook.graph import IN_ENGLISH, Graph, is_transient
from runbook_lib.connectors.facebook.graph_errors import (
    GraphAPIError,
    GraphTokenError,
    RefusedAppError,
    error_in_words,
)
from runbook_lib.connectors.facebook.permissions import with_dependencies
from runbook_lib.connectors.facebook.refusal_table import (
    APP_DEACTIVATED,
    APP_ID_DOUBTED,
    SECRET_REFUSED,
    is_refused,
)
from runbook_lib.core.model import Value
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import OAuthError
from runbook_lib.remote import oauth
from runbook_lib.remote.http_messages import Response, unexpected_response
from runbook_lib.remote.json_fields import JSONObject

# The inputs that every check of the app, or of a user's token for it, needs.
APP = ("app_id", "app_secret")
USER = (*APP, "user_access_token")

# The fields of the app's node that checks read (Graph: Application).
_NODE_FIELDS = (
    "id",
    "name",
    "owner_business",
    "business",
    "category",
    "icon_url",
    "contact_email",
    "privacy_policy_url",
    "terms_of_service_url",
    "app_domains",
    "user_support_email",
    "roles.limit(100)",
)
# The fields that are read of `roles`, besides the ids.
ROLE_READS = ("user", "role", "paging", "cursors", "after", "next")
_NO_SUCH_FIELD = re.compile(r"nonexisting field \(([a-z_]+)\)")
# Graph's codes for an unknown id: code 803, or code 100 with subcode 33.
_NO_SUCH_ALIAS = 803
_BAD_PARAMETER = 100
_NO_SUCH_OBJECT = 33


def authorization_server(values: Mapping[str, Value]) -> oauth.AuthorizationServer:
    """
    Return Facebook's authorization server (Facebook Login: manual flow).

    Its scopes are separated by commas, and its endpoints have the Graph version in
    their path, the dialog's with or without it.
    """
    permissions = values.get("permissions", ())
    version = values.get("graph_version", "")
    scope = with_dependencies(permissions) if isinstance(permissions, tuple) else ()
    # NOTE: without it Facebook does not ask again for declined permissions.
    parameters = {"auth_type": "rerequest"}
    if config_id := str(values.get("config_id", "")):
        # NOTE: Facebook Login for Business: the configuration names the permissions.
        scope = ()
        parameters = {"config_id": config_id, "override_default_response_type": "true"}
    return oauth.AuthorizationServer(
        title="Facebook",
        authorization_endpoint=str(values.get("dialog_url", "")),
        token_endpoint=f"{values.get('graph_url', '')}/{version}/oauth/access_token",
        scope=scope,
        scope_separator=",",
        parameters=parameters,
        # NOTE: Graph heeds it; nobody knows whether the token endpoint does.
        token_parameters=IN_ENGLISH,
        stable_path=partial(re.compile(r"^/v[0-9]+\.[0-9]+(?=/)").sub, ""),
        response_fields=_answer_fields,
        is_token=is_token,
        is_transient=is_transient,
        read_refusal=_read_refusal,
    )


def wanted_permissions(context: CheckContext) -> tuple[str, ...]:
    """Return the permissions of the use case; `public_profile` is always the first."""
    return tuple(dict.fromkeys(("public_profile", *context.names("permissions"))))


def app_graph(context: CheckContext, *, app_secret: Secret | None = None) -> Graph:
    """Return the Graph client for calls with the app's own token."""
    return Graph(
        context.session,
        base_url=context.text("graph_url"),
        version=context.text("graph_version"),
        app_id=context.text("app_id"),
        app_secret=app_secret,
    )


def user_graph(context: CheckContext) -> Graph:
    """Return the Graph client that signs each call with `appsecret_proof`."""
    return app_graph(context, app_secret=context.secrets["app_secret"])


def refused_inputs(error: GraphTokenError) -> tuple[str, ...]:
    """
    Return the inputs whose values the token endpoint refuses, as far as it shows.

    A mistyped App ID may be another app's, so a refused secret names the App ID, too.
    """
    return ("app_id",) if is_refused(error, SECRET_REFUSED, APP_ID_DOUBTED) else ()


def app_token(context: CheckContext) -> Secret:
    """
    Return the app access token, issued once a snapshot.

    Raises `OAuthError` if Facebook refuses the app's credentials.
    """
    try:
        return request_app_token(context, context.secrets["app_secret"])
    except GraphTokenError as error:
        if refused_inputs(error):
            code = SECRET_REFUSED.code if is_refused(error, SECRET_REFUSED) else ""
            raise RefusedAppError(error, code=code) from error
        message = f"Facebook issued no app token ({error}), so the runbook read nothing with it."
        code = ""
        if is_refused(error, APP_DEACTIVATED):
            code = APP_DEACTIVATED.code
            message += " The app is deactivated: complete the required actions in the dashboard."
        raise OAuthError(message, next_step=error.diagnostics(), code=code) from error


def request_app_token(context: CheckContext, app_secret: Secret) -> Secret:
    """
    Return an app access token that Facebook issues for the App ID and `app_secret`.

    Raises `GraphTokenError` if Facebook refuses, and `UnexpectedResponseError` for a
    token that does not name the app.
    """
    app_id = context.text("app_id")
    token = oauth.request_token_by_client_credentials(
        context.session,
        authorization_server(context.values),
        client_id=app_id,
        client_secret=app_secret,
    )
    # NOTE: an app token is `APPID|…` (Graph: Access Tokens, App Access Tokens).
    owner, separator, rest = token.reveal().partition("|")
    if (owner, separator) != (app_id, "|") or not rest:
        raise unexpected_response("The token endpoint", f"the token does not name app {app_id}")
    return token


def app_node(context: CheckContext, *needed: str) -> tuple[JSONObject, Graph]:
    """
    Return the app's node, and the client that read it.

    One request reads `_NODE_FIELDS`, the fields of all checks; `needed` are some of them. If Graph
    refuses another field, a second request leaves it out. Raises `OAuthError` without an app token,
    `GraphAPIError` for a refused field that is needed, and `UnexpectedResponseError` if a made-up
    App ID is answered too.
    """
    graph = app_graph(context)
    app_id = context.text("app_id")
    token = app_token(context)
    try:
        node = graph.get(app_id, token, reads=ROLE_READS, fields=",".join(_NODE_FIELDS))
    except GraphAPIError as error:
        refused = _NO_SUCH_FIELD.search(str(error))
        if refused and refused[1] in needed:
            raise
        others = [name for name in _NODE_FIELDS if refused and not name.startswith(refused[1])]
        fields = ",".join(others or ("id", *needed))
        node = graph.get(app_id, token, reads=ROLE_READS, fields=fields)
    node.expect("id", app_id)
    require_refusal_of_others(context)
    return node, graph


def require_refusal_of_others(context: CheckContext, edge: str = "") -> None:
    """
    Raise `UnexpectedResponseError` unless Graph refuses a made-up App ID, or that `edge` of it.

    Graph must refuse it as unknown. One cached or foreign response must not verify all the steps
    that rest on the app's node.
    """
    # NOTE: it has 18 digits, one more than Facebook's own ids.
    made_up = f"9{int(context.made_up('app', 7), 16):017}"
    app_id = context.text("app_id")
    refusal = None
    try:
        # NOTE: an edge is requested without fields, exactly like the app's.
        fields = {} if edge else {"fields": "id"}
        app_graph(context).get(f"{made_up}{edge}", app_token(context), **fields)
        problem = "it answers a made-up App ID too"
    except GraphAPIError as error:
        if _is_unknown(error, made_up):
            return
        problem = (
            f"it does not refuse a made-up App ID as unknown ({error}, code {error.error_code})"
        )
        refusal = error
    raise unexpected_response(
        f"Facebook (/{{app}}{edge})",
        f"{problem}, so its response about app {app_id} proves nothing",
    ) from refusal


def _is_unknown(error: GraphAPIError, made_up: str) -> bool:
    """
    Return whether Graph refuses the id `made_up` because there is no such object.

    Code 100 has other meanings too (a field, a proof, a token): its subcode or its message decides.
    """
    is_named = error.error_subcode == _NO_SUCH_OBJECT or made_up in str(error)
    is_unknown = error.error_code == _NO_SUCH_ALIAS or (
        error.error_code == _BAD_PARAMETER and is_named
    )
    return is_unknown and HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR


def _answer_fields(fields: Mapping[str, str]) -> Mapping[str, str]:
    """
    Return the fields of the dialog's redirect by RFC 6749's names.

    NOTE: the dialog returns some errors as error_code and error_message, without error.
    """
    named = {**fields}
    if fields.get("error_message"):
        named.setdefault("error_description", fields["error_message"])
    if fields.get("error_reason") == "user_denied":
        named["error"] = "access_denied"
    return named


def _read_refusal(answer: Response) -> GraphTokenError:
    """Return Graph's error object as a refusal; one in the form of RFC 6749 §5.2 has no code."""
    content = answer.json()
    document = JSONObject(content if isinstance(content, dict) else {}, "The token endpoint")
    if not isinstance(document.get("error"), dict):
        plain = oauth.read_refusal(answer)
        return GraphTokenError(str(plain), status=plain.status, error=plain.error)
    error = document.object_at("error")
    return GraphTokenError(
        error_in_words(error),
        status=answer.status,
        error_code=error.code("code"),
        error_subcode=error.code("error_subcode"),
        trace_id=error.display_text("fbtrace_id"),
    )
