"""A remote system with scripted responses; nothing leaves the process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import httpx

from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.core.redaction import Credential, Redactor, Secret
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.rate_limits import CoolDowns

Responder = Callable[[httpx.Request], httpx.Response]


class FakeRemote(httpx.BaseTransport):
    """Answers by path, in the scripted order; the last response for a path is repeated."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: list[tuple[str, Callable[..., bool], list[Responder]]] = []

    def on(
        self, path: str, *answers: Responder, when: Callable[..., bool] = lambda **_: True
    ) -> None:
        """Answer `path` with `answers` if `when` is true for the fields of query and form."""
        self._answers.append((path, when, list(answers)))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in place of the network."""
        self.requests.append(request)
        for path, when, answers in self._answers:
            if request.url.path == path and when(**fields(request)):
                responder = answers.pop(0) if len(answers) > 1 else answers[0]
                return responder(request)
        raise AssertionError(f"no answer is scripted for {request.method} {request.url}")

    @property
    def paths(self) -> list[str]:
        """The paths requested so far."""
        return [request.url.path for request in self.requests]


def fields(request: httpx.Request) -> dict[str, str]:
    """Return the fields of query and form together."""
    form = request.content.decode() if b"=" in request.content else ""
    return {**dict(request.url.params), **dict(httpx.QueryParams(form))}


def responds(body: Any = "", status: int = 200, headers: Any = None) -> Responder:
    """Return a response: JSON with Graph's escaped slashes, or text unchanged."""
    is_text = isinstance(body, str)
    content = body if is_text else json.dumps(body).replace("/", "\\/")
    given = {} if is_text else {"content-type": "application/json; charset=UTF-8"}
    both = [*given.items(), *httpx.Headers(headers).multi_items()]
    return lambda _: httpx.Response(status, text=content, headers=both)


def fails_with(error: type[httpx.TransportError] = httpx.ConnectError, text: str = "") -> Responder:
    """Return a connection error in place of a response."""

    def respond(request: httpx.Request) -> httpx.Response:
        raise error(text, request=request)

    return respond


def owned(*secrets: str, provider: str = "facebook") -> Redactor:
    """Return a redactor that knows these secrets as `provider`'s."""
    redactor = Redactor()
    for secret in secrets:
        redactor.learn(Secret(secret), Credential("App Secret (app_secret)", frozenset({provider})))
    return redactor


def open_session(
    remote: httpx.BaseTransport, redactor: Redactor | None = None, **options: Any
) -> Session:
    """Return a session to `remote` that never sleeps, as a run of a Facebook connector has it."""
    options.setdefault("recorded_headers", FACEBOOK.headers)
    options.setdefault("usage_pause", FACEBOOK.behaviour.usage_pause)
    options.setdefault("sleep", lambda _: None)
    options.setdefault("cool_downs", CoolDowns())
    names = {field.name for field in dataclasses.fields(ClientOptions)}
    chosen = ClientOptions(**{name: options.pop(name) for name in names & options.keys()})
    return Session(HTTPClient(redactor or Redactor(), chosen, transport=remote, **options))
