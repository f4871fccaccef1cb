"""
Graph's responses as bytes: JSON escaping, headers, error bodies.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.http.web_messages import Headers, WebResponse
from facebook_cyclr_sandbox.state.random_source import RandomSource

_UNSAFE_IN_HEADER = re.compile(r"[\x00-\x1f\x7f]")
_FIRST_SERVER_ERROR = 500


@dataclass(frozen=True)
class TraceIds:
    """The random identifiers of one response."""

    fbtrace_id: str
    trace_id: str
    debug: str

    @classmethod
    def generate(cls, random_source: RandomSource) -> "TraceIds":
        """Return new identifiers for one response."""
        raw = random_source.bytes(90)
        return cls(
            "A" + base64.urlsafe_b64encode(raw[:18]).decode("ascii")[:22],
            base64.urlsafe_b64encode(raw[18:27]).decode("ascii")[:11],
            base64.b64encode(raw[26:]).decode("ascii"),
        )


def encode_graph_json(document: object) -> str:
    """Return `document` as Graph writes JSON: no spaces, ASCII only, `/` and `@` escaped."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("/", "\\/").replace("@", "\\u0040")


def build_response(
    response: object, trace: TraceIds, *, version: str, usage: Headers = ()
) -> WebResponse:
    """Return `response` with Graph's headers; a `GraphError` is its error."""
    first: Headers
    if isinstance(response, GraphError):
        status = response.definition.status
        body = encode_graph_json(response.body(trace.fbtrace_id)).encode("ascii")
        message = _UNSAFE_IN_HEADER.sub("?", response.message).replace('"', "'")
        challenge = f'OAuth "Facebook Platform" "{response.definition.oauth_error}" "{message}"'
        first = (("WWW-Authenticate", challenge),) if status < _FIRST_SERVER_ERROR else ()
        cache = "no-store"
    else:
        status = 200
        body = encode_graph_json(response).encode("ascii")
        first = (("ETag", f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"'),)
        cache = "private, no-cache, no-store, must-revalidate"
    headers = (
        *first,
        *usage,
        ("Content-Type", "application/json; charset=UTF-8"),
        ("facebook-api-version", version),
        ("Strict-Transport-Security", "max-age=15552000; preload"),
        ("Pragma", "no-cache"),
        ("x-fb-rev", "1002481006"),
        ("Access-Control-Allow-Origin", "*"),
        ("Cache-Control", cache),
        ("x-fb-trace-id", trace.trace_id),
        ("x-fb-request-id", trace.fbtrace_id),
        ("Expires", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("X-FB-Debug", trace.debug),
    )
    return WebResponse(status, body, headers)
