"""
graph.facebook.com: an HTTP request is one Graph call.

The dialog and the dashboard are served elsewhere.
"""

import base64
import re
from urllib.parse import unquote_plus

from facebook_cyclr_sandbox.graph import refusals
from facebook_cyclr_sandbox.graph.dispatch import answer_graph
from facebook_cyclr_sandbox.graph.refusals import GraphError
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.graph.wire import Trace, reply
from facebook_cyclr_sandbox.http.web import Reply, Site, WebRequest, redirect

_DIALOG = re.compile(r"(/v\d+\.\d+)?/oauth/authorize/?\Z")


class GraphSite(Site):
    """graph.facebook.com."""

    name = "graph"

    def __call__(self, request: WebRequest) -> Reply:
        """Answer one request."""
        if request.method == "OPTIONS":
            return Reply(200, b"", (("Access-Control-Allow-Origin", "*"),))
        if request.is_oversized:
            trace, error = Trace.roll(self._state.random_source), GraphError(refusals.TOO_LARGE)
            return reply(error, trace, version=self._state.version_schedule.latest)
        dialog = _DIALOG.match(request.path)
        if dialog is not None:
            return self._to_dialog(dialog[1] or "", request)
        params = {**request.params, **_credentials(request)}
        method = "GET" if request.method == "HEAD" else request.method
        return answer_graph(self._state, method, request.path, params)

    def _to_dialog(self, version: str, request: WebRequest) -> Reply:
        query = request["query_string"].decode("latin-1")
        where = f"{self._state.addresses.facebook}{version}/dialog/oauth"
        return redirect(f"{where}?{query}" if query else where)

    def refuse(self, code: int, request: WebRequest) -> Reply:
        """Return an error by its code; for an unknown code, `2`."""
        error = GraphError(refusals.BY_CODE.get(code, refusals.UNAVAILABLE))
        state = self._state
        trace = Trace.roll(state.random_source)
        locale = request.params.get("locale", "")
        shown = translate(error, locale or state.facebook.locale)
        return reply(shown, trace, version=state.get_default_version())


def _credentials(request: WebRequest) -> dict[str, str]:
    """Return the token or the client's secret in the header."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic" and "client_secret" not in request.params:
        secret = _basic_password(value)
        return {"client_secret": secret} if secret else {}
    if kind.lower() in {"bearer", "oauth"} and value and "access_token" not in request.params:
        return {"access_token": value.strip()}
    return {}


def _basic_password(value: str) -> str:
    try:
        text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except ValueError:
        return ""
    return unquote_plus(text.partition(":")[2])
