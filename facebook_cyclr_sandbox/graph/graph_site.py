"""
graph.facebook.com: each HTTP request is one Graph call.
"""

import base64
import re
from urllib.parse import unquote_plus

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.dispatch import handle_graph_call
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.graph_response import TraceIds, build_response
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import WebRequest, WebResponse, redirect_response

_DIALOG = re.compile(r"(/v\d+\.\d+)?/oauth/authorize/?\Z")


class GraphSite(Site):
    """graph.facebook.com."""

    name = "graph"

    def __call__(self, request: WebRequest) -> WebResponse:
        """Respond to one request."""
        if request.method == "OPTIONS":
            return WebResponse(200, b"", (("Access-Control-Allow-Origin", "*"),))
        if request.is_oversized:
            trace = TraceIds.generate(self._state.random_source)
            error = GraphError(graph_errors.TOO_LARGE)
            return build_response(error, trace, version=self._state.version_schedule.latest)
        dialog = _DIALOG.match(request.path)
        if dialog is not None:
            return self._redirect_to_dialog(dialog[1] or "", request)
        params = {**request.params, **_read_authorization(request)}
        method = "GET" if request.method == "HEAD" else request.method
        return handle_graph_call(self._state, method, request.path, params)

    def _redirect_to_dialog(self, version: str, request: WebRequest) -> WebResponse:
        query = request["query_string"].decode("latin-1")
        where = f"{self._state.addresses.facebook}{version}/dialog/oauth"
        return redirect_response(f"{where}?{query}" if query else where)

    def refuse(self, code: int, request: WebRequest) -> WebResponse:
        """Return the error with this code, or code 2 if the sandbox does not know it."""
        error = GraphError(graph_errors.INJECTABLE_ERRORS.get(code, graph_errors.UNAVAILABLE))
        state = self._state
        trace = TraceIds.generate(state.random_source)
        locale = request.params.get("locale", "")
        shown = translate(error, locale or state.facebook.locale)
        return build_response(shown, trace, version=state.get_default_version())


def _read_authorization(request: WebRequest) -> dict[str, str]:
    """Return the access token or the client secret of the `Authorization` header."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic" and "client_secret" not in request.params:
        secret = _read_basic_password(value)
        return {"client_secret": secret} if secret else {}
    if kind.lower() in {"bearer", "oauth"} and value and "access_token" not in request.params:
        return {"access_token": value.strip()}
    return {}


def _read_basic_password(value: str) -> str:
    try:
        text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except ValueError:
        return ""
    return unquote_plus(text.partition(":")[2])
