"""
graph.facebook.com: an HTTP request is one Graph call, or a batch of them (graph §10).

Each call of a batch is answered as if it came alone. The dialog and the
dashboard are served elsewhere.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from facebook_cyclr_sandbox.graph import refusals
from facebook_cyclr_sandbox.graph.dispatch import answer_graph
from facebook_cyclr_sandbox.graph.refusals import GraphError
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.graph.wire import Trace, reply
from facebook_cyclr_sandbox.http.web import Reply, Site, WebRequest, fields_of, redirect
from facebook_cyclr_sandbox.state.versions import Calendar
from facebook_cyclr_sandbox.state.world import World

_DIALOG = re.compile(r"(/v\d+\.\d+)?/oauth/authorize/?\Z")


class GraphSite(Site):
    """graph.facebook.com."""

    name = "graph"

    def __call__(self, request: WebRequest) -> Reply:
        """Answer one request."""
        if request.method == "OPTIONS":
            return Reply(200, b"", (("Access-Control-Allow-Origin", "*"),))
        if request.is_oversized:
            trace, error = Trace.roll(self._world.dice), GraphError(refusals.TOO_LARGE)
            return reply(error, trace, version=self._world.calendar.latest)
        dialog = _DIALOG.match(request.path)
        if dialog is not None:
            return self._to_dialog(dialog[1] or "", request)
        params = {**request.params, **_credentials(request)}
        if "batch" in params and request.method == "POST":
            return _answer_batch(self._world, request.path, params)
        method = "GET" if request.method == "HEAD" else request.method
        return answer_graph(self._world, method, request.path, params)

    def _to_dialog(self, version: str, request: WebRequest) -> Reply:
        query = request["query_string"].decode("latin-1")
        where = f"{self._world.addresses.facebook}{version}/dialog/oauth"
        return redirect(f"{where}?{query}" if query else where)

    def refuse(self, code: int, request: WebRequest) -> Reply:
        """Return an error by its code; for an unknown code, `2`."""
        error = GraphError(refusals.BY_CODE.get(code, refusals.UNAVAILABLE))
        world = self._world
        trace, locale = Trace.roll(world.dice), request.params.get("locale", "")
        shown = translate(error, locale or world.facebook.locale)
        return reply(shown, trace, version=world.facebook_version())


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


_LIMIT = 50


def _answer_batch(world: World, path: str, params: Mapping[str, str]) -> Reply:
    """Answer `POST /` with a `batch` parameter."""
    trace = Trace.roll(world.dice)
    version = _version_of(path)
    served = (version and world.calendar.served(version, world.now())) or world.facebook_version()
    answer: object
    try:
        answer = [
            _answer_one(world, version, params, request) for request in _requests(params["batch"])
        ]
    except GraphError as error:
        answer = translate(error, params.get("locale", "") or world.facebook.locale)
    return reply(answer, trace, version=served)


def _version_of(path: str) -> str:
    """Return the version that a path begins with, or an empty string."""
    first = path.strip("/").partition("/")[0]
    return first if Calendar.looks_like_version(first) else ""


def _requests(text: str) -> list[dict[str, Any]]:
    try:
        requests = json.loads(text)
    except (ValueError, RecursionError):
        raise GraphError(refusals.MALFORMED_BATCH) from None
    if not isinstance(requests, list) or not requests:
        raise GraphError(refusals.MALFORMED_BATCH)
    if len(requests) > _LIMIT:
        raise GraphError(refusals.TOO_MANY_IN_BATCH)
    if not all(
        isinstance(entry, dict) and isinstance(entry.get("relative_url"), str) for entry in requests
    ):
        raise GraphError(refusals.MALFORMED_BATCH)
    for entry in requests:
        if "{result=" in f"{entry['relative_url']}{entry.get('body')}":
            raise GraphError(refusals.REFERENCE_IN_BATCH, route=entry["relative_url"][:200])
    return requests


def _answer_one(
    world: World, version: str, params: Mapping[str, str], request: Mapping[str, Any]
) -> dict[str, Any]:
    """Answer one request of a batch that was sent with `params` to `version`, if any."""
    url = urlsplit("/" + request["relative_url"].lstrip("/"))
    body = request.get("body")
    own = dict([*fields_of(url.query), *(fields_of(body) if isinstance(body, str) else ())])
    # the batch's proof is not valid for a request with its own token
    shared = () if "access_token" in own else ("access_token", "appsecret_proof")
    known = {name: params[name] for name in shared if name in params}
    path = url.path if _version_of(url.path) or not version else f"/{version}{url.path}"
    method = str(request.get("method", "GET")).upper()
    answer = answer_graph(world, method, path, {**known, **own})
    shown: dict[str, Any] = {"code": answer.status}
    if params.get("include_headers", "true") != "false":
        shown["headers"] = [{"name": name, "value": value} for name, value in answer.headers]
    return {**shown, "body": answer.body.decode("ascii")}
