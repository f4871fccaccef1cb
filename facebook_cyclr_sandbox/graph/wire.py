"""
Graph's bytes: JSON escaping, success and error headers, error bodies.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from facebook_cyclr_sandbox.graph.refusals import GraphError
from facebook_cyclr_sandbox.http.web import Headers, Reply
from facebook_cyclr_sandbox.state.stores import Dice

_EXPIRES = "Sat, 01 Jan 2000 00:00:00 GMT"
_JSON_TYPE = "application/json; charset=UTF-8"
_UNSAFE_IN_HEADER = re.compile(r"[^\x20-\x7e]")
_CHALLENGED = 500


@dataclass(frozen=True)
class Trace:
    """The random identifiers of one answer."""

    fbtrace_id: str
    trace_id: str
    debug: str

    @classmethod
    def roll(cls, dice: Dice) -> "Trace":
        """Return new identifiers for one answer."""
        raw = dice.bytes(90)
        return cls(
            "A" + base64.urlsafe_b64encode(raw[:18]).decode("ascii")[:22],
            base64.urlsafe_b64encode(raw[18:27]).decode("ascii")[:11],
            base64.b64encode(raw[26:]).decode("ascii"),
        )


def json_text(document: object) -> str:
    """Return `document` as Graph writes JSON: no spaces, ASCII only, `/` and `@` escaped."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("/", "\\/").replace("@", "\\u0040")


def encode(document: object) -> bytes:
    """Return the bytes of `json_text`."""
    return json_text(document).encode("ascii")


def success(
    body: bytes,
    trace: Trace,
    *,
    version: str,
    usage: Headers = (),
) -> Reply:
    """Return a 200 with Graph's headers."""
    etag = f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"'
    headers = (
        ("ETag", etag),
        *usage,
        ("Content-Type", _JSON_TYPE),
        ("facebook-api-version", version),
        ("Strict-Transport-Security", "max-age=15552000; preload"),
        ("Pragma", "no-cache"),
        ("x-fb-rev", "1002481006"),
        ("Access-Control-Allow-Origin", "*"),
        ("Cache-Control", "private, no-cache, no-store, must-revalidate"),
        ("x-fb-trace-id", trace.trace_id),
        ("x-fb-request-id", trace.fbtrace_id),
        ("Expires", _EXPIRES),
        ("X-FB-Debug", trace.debug),
    )
    return Reply(200, body, headers)


def failure(error: GraphError, trace: Trace, *, version: str, usage: Headers = ()) -> Reply:
    """Return Graph's error body with its headers."""
    message = _UNSAFE_IN_HEADER.sub("?", error.message).replace('"', "'")
    challenge = f'OAuth "Facebook Platform" "{error.refusal.kind}" "{message}"'
    headers = (
        *((("WWW-Authenticate", challenge),) if error.refusal.status < _CHALLENGED else ()),
        *usage,
        ("Content-Type", _JSON_TYPE),
        ("facebook-api-version", version),
        ("Strict-Transport-Security", "max-age=15552000; preload"),
        ("Pragma", "no-cache"),
        ("x-fb-rev", "1002481006"),
        ("Access-Control-Allow-Origin", "*"),
        ("Cache-Control", "no-store"),
        ("x-fb-trace-id", trace.trace_id),
        ("x-fb-request-id", trace.fbtrace_id),
        ("Expires", _EXPIRES),
        ("X-FB-Debug", trace.debug),
    )
    return Reply(error.refusal.status, encode(error.body(trace.fbtrace_id)), headers)
