"""A secret goes to the hosts of its own provider only: every secret, every host, every place."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import Settings
from runbook_lib.connectors.facebook.facebook_formats import is_token
from runbook_lib.connectors.facebook.graph import Graph, appsecret_proof
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.credential_form import is_issued_token
from runbook_lib.core.model import Mode
from runbook_lib.core.procedure import Input
from runbook_lib.core.redaction import Credential, Redactor, Secret
from runbook_lib.engine import provider_sessions
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import RemoteError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import HTTPClient
from runbook_lib.remote.http_messages import Request
from runbook_lib.run.journal import Journal
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import refused, refused_naming, wording
from tests.unit.bodies import APP_TOKEN, CYCLR_TOKEN, PAGE_TOKEN, SIGN_IN_TOKEN
from tests.unit.fake_remote import open_session, owned

# Written down by hand: whose each secret is.
GIVEN = {
    "app_secret": ("0123456789abcdef0123456789abcde5", "facebook"),
    "user_access_token": ("EAAuser0123456789abcdefghijklmnopqrstuvwxyz", "facebook"),
    "customer_access_token": ("EAAcust0123456789abcdefghijklmnopqrstuvwxyz", "facebook"),
    "cyclr_client_secret": ("of-cyclr-Secret/4711+x=", "cyclr"),
    "verify_token": ("verify-me-0815-4711", "cyclr"),
    "signing_passphrase": ("correct horse battery staple", ""),
    "mail_password": ("of-the-Mail-account/4711", ""),
    "webhook_secret": ("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", ""),
}
ISSUED = {
    "app token": (APP_TOKEN, "graph_url", is_token, "facebook"),
    "page token": (PAGE_TOKEN, "graph_url", is_token, "facebook"),
    "cyclr token": (CYCLR_TOKEN, "cyclr_api_url", is_issued_token, "cyclr"),
    "sign-in token": (SIGN_IN_TOKEN, "cyclr_api_url", is_issued_token, "cyclr"),
    "token of a stranger": ("Str4nger-0a1b2c3d4e-5f6g7h", "", is_issued_token, ""),
}
SECRETS = [*GIVEN, *ISSUED, "proof", "consent's code"]

REAL = {
    "graph_url": "https://graph.facebook.com",
    "dialog_url": "https://www.facebook.com/v26.0/dialog/oauth",
    "dashboard_url": "https://developers.facebook.com",
    "cyclr_api_url": "https://api.cyclr.com",
    "cyclr_console_url": "https://my.cyclr.com",
    "service_domain": "acme-h.cyclr.com",
    "redirect_hosts": ("login.cyclr.example",),
    "webhook_url": "https://hooks.cyclr.example/messenger",
    "data_deletion_url": "https://www.acme.example/data-deletion",
    "tsa": "http://tsa.example",
}
# As the sandbox has them: one address, and a port for each system.
SANDBOX = {
    "graph_url": "http://127.0.0.1:9001",
    "dialog_url": "http://127.0.0.1:9002/v26.0/dialog/oauth",
    "dashboard_url": "http://127.0.0.1:9002",
    "cyclr_api_url": "http://127.0.0.1:9003",
    "cyclr_console_url": "http://127.0.0.1:9004",
    "service_domain": "sandbox-h.cyclr.com",
    "service_domain_address": "127.0.0.1:9005",
    "webhook_url": "http://127.0.0.1:9003/hooks",
    "connect_to": ("www.acme.example=127.0.0.1:9005",),
    "data_deletion_url": "https://www.acme.example/data-deletion",
}
# Written down by hand: whose each host is.
HOSTS = {
    "real": (
        REAL,
        {
            "https://graph.facebook.com": "facebook",
            "https://GRAPH.facebook.com:443": "facebook",
            "https://www.facebook.com": "facebook",
            "https://developers.facebook.com": "facebook",
            "https://api.cyclr.com": "cyclr",
            "https://my.cyclr.com": "cyclr",
            "https://acme-h.cyclr.com": "cyclr",
            "https://login.cyclr.example": "cyclr",
            "https://hooks.cyclr.example": "messenger's cyclr",
            "http://graph.facebook.com": "",
            "http://graph.facebook.com:443": "",
            "https://graph.facebook.com:8443": "",
            "https://graph.facebook.com.evil.example": "",
            "https://evil.graph.facebook.com": "",
            "https://graph.facebook.com@evil.example": "",
            "https://other-h.cyclr.com": "",
            "https://www.acme.example": "",
            "http://tsa.example": "",
            "http://127.0.0.1:9001": "",
        },
    ),
    "sandbox": (
        SANDBOX,
        {
            "http://127.0.0.1:9001": "facebook",
            "http://127.0.0.1:9002": "facebook",
            "http://127.0.0.1:9003": "cyclr",
            "http://127.0.0.1:9004": "cyclr",
            "https://sandbox-h.cyclr.com": "cyclr",
            "https://127.0.0.1:9005": "",
            "https://www.acme.example": "",
            "http://127.0.0.1:9006": "",
            "http://localhost:9001": "",
            "https://graph.facebook.com": "",
            "https://api.cyclr.com": "",
        },
    ),
}


class Listener(httpx.BaseTransport):
    """Takes whatever is sent."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in place of the network."""
        self.requests.append(request)
        return httpx.Response(200, text="{}")


def opened(
    values: dict[str, Any], connector: str, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Run, Listener, dict[str, str]]:
    """Return a run that knows every kind of secret, who hears it, and the secrets by name."""
    listener = Listener()
    patch.setattr(provider_sessions, "HTTPClient", partial(HTTPClient, transport=listener))
    procedure = find_procedure(connector)
    names = {item.name for item in inputs_of(procedure)}
    secrets = {name: text for name, (text, _) in GIVEN.items() if name in names}
    run = Run(
        procedure,
        Settings(
            {name: value for name, value in values.items() if name in names},
            {name: Secret(text) for name, text in secrets.items()},
        ),
        Journal(folder / "evidence" / "acme" / connector / "journal.jsonl"),
        "acme",
        Mode.HEADLESS,
        "0a1b2c3d",
    )
    for name, (text, address, has_form, _) in ISSUED.items():
        session = run.open_session()
        session.send(Request(method="GET", url=str(run.values.get(address, "http://tsa.example"))))
        secrets[name] = text
        session.take_token(text, endpoint="The endpoint", is_token=has_form)
    token = Secret(secrets["user_access_token"])
    app_secret = Secret(secrets["app_secret"])
    graph = Graph(
        run.open_session(),
        base_url=str(run.values["graph_url"]),
        version="v26.0",
        app_secret=app_secret,
    )
    graph.get("me", token)
    secrets["proof"] = appsecret_proof(app_secret, token)
    secrets["consent's code"] = "AQDcode-0aB1cD2eF3gH4"
    client = run.open_session().client
    code = Secret(secrets["consent's code"])
    run.redactor.learn(
        code,
        client.secret_guard.issued_credential(str(run.values["dialog_url"]), "a consent's code"),
    )
    listener.requests.clear()
    return run, listener, secrets


def whose(name: str) -> str:
    if name in GIVEN:
        return GIVEN[name][1]
    return ISSUED[name][3] if name in ISSUED else "facebook"


@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
@pytest.mark.parametrize("world", HOSTS)
def test_every_secret_goes_to_its_own_hosts_only(
    world: str, connector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each secret is sent to each host of its provider, and to no other is anything sent."""
    values, hosts = HOSTS[world]
    run, listener, secrets = opened(values, connector, tmp_path, monkeypatch)
    assert {*secrets} | {"verify_token"} == {*SECRETS}
    pairs = [(name, address) for name in secrets for address in hosts]
    for number, (name, address) in enumerate(pairs):
        place = list(PLACES.values())[number % len(PLACES)]
        request = place(address, quote(secrets[name], safe=""))
        owner = hosts[address]
        if owner == "messenger's cyclr":
            owner = "cyclr" if connector == "facebook_messenger" else ""
        listener.requests.clear()
        if owner and owner == whose(name):
            run.open_session().send(request)
            assert listener.requests, (name, address)
        else:
            with refused(RemoteError, "would-get-secret") as caught:
                run.open_session().send(request)
            assert not listener.requests, (name, address)
            assert secrets[name] not in str(caught.value) + caught.value.diagnostics()
    run.close()


Place = Callable[[str, str], Request]


def _get(url: str, **more: Any) -> Request:
    return Request(method="GET", url=url, **more)


def _post(url: str, **more: Any) -> Request:
    return Request(method="POST", url=url, **more)


PLACES: dict[str, Place] = {
    "path": lambda at, text: _get(f"{at}/a/{text}/b"),
    "query": lambda at, text: _get(f"{at}/?a=1&b={text}"),
    "name in the query": lambda at, text: _get(f"{at}/?{text}=1"),
    "fragment": lambda at, text: _get(f"{at}/#{text}"),
    "header": lambda at, text: _get(f"{at}/", headers={"x-a": f"Bearer {text}"}),
    "cookie": lambda at, text: _get(f"{at}/", headers={"cookie": f"a=b; c={text}; d=e"}),
    "form": lambda at, text: _post(f"{at}/", form={"a": text}),
    "name in the form": lambda at, text: _post(f"{at}/", form={text: "a"}),
    "JSON": lambda at, text: _post(f"{at}/", json={"a": [{"b": f"-{text}-"}]}),
    "name in JSON": lambda at, text: _post(f"{at}/", json={text: 1}),
    "content": lambda at, text: _post(f"{at}/", content=b"\xff\xc3" + text.encode() + b"\xe2\x82"),
}
IN_HEADERS: dict[str, Place] = {
    "name of a header": lambda at, text: _get(f"{at}/", headers={f"x-{text}": "1"}),
    "user name": lambda at, text: _get(at.replace("://", f"://{text}:x@")),
    "password": lambda at, text: _get(at.replace("://", f"://x:{text}@")),
    "name of the host": lambda at, text: _get(at.replace("://", f"://{text}.")),
    "method": lambda at, text: Request(method=text, url=at),
}
VALUE = 's3cr+t!/&"=<%x> ü'
RAW = VALUE.encode()


def _based(encode: Callable[[bytes], bytes], before: str) -> Callable[[str], str]:
    return lambda text: encode(before.encode() + text.encode() + b"-after").decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda text: quote(text, safe=""),
    "percent, lower case": lambda text: quote(text, safe="").replace("%2B", "%2b"),
    "percent, half": lambda text: quote(text, safe='!"<> '),
    "percent of everything": lambda text: "".join(f"%{each:02x}" for each in text.encode()),
    "percent, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent, three times": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "form": quote_plus,
    "base64": _based(base64.b64encode, ""),
    "base64, shifted by one": _based(base64.b64encode, "a"),
    "base64, shifted by two": _based(base64.b64encode, "ab"),
    "base64 for URLs": _based(base64.urlsafe_b64encode, "user:"),
    "Basic, as RFC 6749 §2.3.1 has it": lambda text: base64.b64encode(
        f"id:{quote_plus(text)}".encode()
    ).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, twice": lambda text: json.dumps(json.dumps(text))[1:-1],
    "HTML": html.escape,
}


@pytest.fixture
def listener() -> Listener:
    return Listener()


def session_of(listener: Listener, secret: str, provider: str = "facebook") -> Session:
    hosts = {"facebook": ["https://graph.example"], "cyclr": ["https://api.example"]}
    return open_session(listener, owned(secret, provider=provider), hosts=hosts)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_found_in_every_place_and_encoding(
    listener: Listener, place: str, encoding: str
) -> None:
    """A secret of another provider is sent in no part of a request, however it is written."""
    text = ENCODINGS[encoding](VALUE)
    if place in ("header", "cookie") and not text.isascii():
        text = quote(text, safe='!"<> ')
    with refused_naming(RemoteError, "api.example", "app_secret"):
        session_of(listener, VALUE).send(PLACES[place]("https://api.example", text))

    assert listener.requests == []


@pytest.mark.parametrize("place", IN_HEADERS)
@pytest.mark.parametrize("encoding", ["raw", "hex"])
def test_a_secret_is_found_in_names_and_in_the_address(
    listener: Listener, place: str, encoding: str
) -> None:
    """Nor is it sent as a header's name, a user, a password, a host's name or a method."""
    request = IN_HEADERS[place]("https://api.example", ENCODINGS[encoding]("Plain-0815-Secret"))
    with pytest.raises(RemoteError):
        session_of(listener, "Plain-0815-Secret").send(request)

    assert listener.requests == []


@pytest.mark.parametrize("place", PLACES)
def test_its_own_provider_gets_it_in_every_place(listener: Listener, place: str) -> None:
    """The same request reaches the provider whose secret it is."""
    session_of(listener, VALUE).send(PLACES[place]("https://graph.example", quote(VALUE, safe="")))

    assert len(listener.requests) == 1


def test_the_refusal_names_setting_host_and_provider(listener: Listener) -> None:
    """The message names what would be sent where, and whose it is; it is in the record too."""
    session = session_of(listener, VALUE)
    with pytest.raises(RemoteError) as caught:
        session.send(_post("https://api.example:8443/x", form={"client_secret": VALUE}))

    said = wording(
        "remote-error.would-receive",
        host="api.example:8443",
        secret="App Secret (app_secret)",
        provider="facebook",
    )
    assert str(caught.value) == said
    (exchange,) = session.exchanges()
    assert exchange.error == said
    assert VALUE not in repr(exchange)


def test_a_secret_of_two_providers_goes_to_neither(listener: Listener) -> None:
    """If two settings hold one text, sending it to one would give away the other's."""
    session = session_of(listener, VALUE)
    session.redactor.learn(Secret(VALUE), Credential("Client Secret (x)", frozenset({"cyclr"})))
    for address in ("https://graph.example", "https://api.example"):
        with refused_naming(RemoteError, "App Secret (app_secret) and Client Secret (x)"):
            session.send(_post(address, form={"a": VALUE}))

    assert listener.requests == []


def test_a_token_that_repeats_a_secret_does_not_free_it(listener: Listener) -> None:
    """A host that answers with another provider's secret as its token does not get that secret."""
    secret = "Str4nge-but-known-0123456789"
    session = session_of(listener, secret)
    session.send(_get("https://api.example"))
    session.take_token(secret, endpoint="It", is_token=lambda _: True)
    listener.requests.clear()
    with refused(RemoteError, "would-get-secret"):
        session.send(_post("https://api.example", form={"a": secret}))

    assert listener.requests == []


def test_a_corrected_credential_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The App Secret, given as Cyclr's by mistake, goes nowhere; once corrected, to Facebook."""
    run, listener, secrets = opened(REAL, "facebook_marketing", tmp_path, monkeypatch)
    items: dict[str, Input] = {item.name: item for item in run.inputs}
    request = _post("https://graph.facebook.com", form={"client_secret": secrets["app_secret"]})
    run.set_secret(items["cyclr_client_secret"], secrets["app_secret"])
    with refused(RemoteError, "would-get-secret"):
        run.open_session().send(request)
    assert listener.requests == []

    run.set_secret(items["cyclr_client_secret"], "another-Secret-4711")
    run.open_session().send(request)
    assert len(listener.requests) == 1

    old = _post("https://api.cyclr.com", form={"client_secret": secrets["cyclr_client_secret"]})
    with refused(RemoteError, "not-sent"):
        run.open_session().send(old)
    run.close()


def test_a_retry_is_checked_for_secrets_again(listener: Listener) -> None:
    """A secret that becomes known between two attempts is not in the second one."""
    redactor = Redactor()
    session = open_session(listener, redactor)  # type: ignore[arg-type]

    def learn(_: Any) -> bool:
        redactor.learn(Secret(VALUE))
        return True

    with refused(RemoteError, "would-get-secret"):
        session.send(_get(f"https://api.example/?a={quote(VALUE)}"), is_transient=learn)

    assert len(listener.requests) == 1


def test_no_secret_is_sent_if_no_host_is_known(listener: Listener) -> None:
    """A transport that was given no hosts sends no known secret anywhere."""
    session = open_session(listener, owned(VALUE))  # type: ignore[arg-type]
    with refused(RemoteError, "would-get-secret"):
        session.send(_get(f"https://graph.example/{quote(VALUE)}"))

    assert listener.requests == []
