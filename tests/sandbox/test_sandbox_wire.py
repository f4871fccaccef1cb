"""Graph's exact bytes and headers."""

import base64
import re
import time
from pathlib import Path

import httpx
import pytest

from facebook_cyclr_sandbox.response_sources import _handlers, find_route_sections, load_sections
from tests.conftest import NOON
from tests.sandbox.graph_texts import unknown_path, upgrade_warning

from .conftest import Graph, Open, Start, app_of, error_of

ROOT = Path(__file__).parents[2]


def test_success_headers_are_those_of_the_capture(graph: Graph) -> None:
    """Every header of the recorded success response is there, in its order."""
    response = graph.get("me")
    names = [name.decode() for name, _ in response.headers.raw]
    assert [name for name in names if name.lower() not in {"date", "content-length"}] == [
        "ETag",
        "x-app-usage",
        "Content-Type",
        "facebook-api-version",
        "Strict-Transport-Security",
        "Pragma",
        "x-fb-rev",
        "Access-Control-Allow-Origin",
        "Cache-Control",
        "x-fb-trace-id",
        "x-fb-request-id",
        "Expires",
        "X-FB-Debug",
    ]
    assert response.headers["facebook-api-version"] == "v26.0"
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    assert response.headers["expires"] == "Sat, 01 Jan 2000 00:00:00 GMT"
    assert re.fullmatch(r'"[0-9a-f]{40}"', response.headers["etag"])
    assert len(base64.b64decode(response.headers["x-fb-debug"])) == 64


def test_slashes_and_at_signs_are_escaped(graph: Graph) -> None:
    r"""The JSON body writes / as \/ and @ as \u0040."""
    text = graph.get(str(graph.given["app_id"]), "app", fields="contact_email,icon_url").text
    assert r'"contact_email":"operator\u0040partner.test"' in text
    assert r'"icon_url":"https:\/\/www.partner.test\/icon-16.png"' in text


def test_non_ascii_is_escaped(graph_of: Open, start: Start) -> None:
    """Characters outside ASCII are escaped in the JSON body."""
    sandbox = start("approved")
    sandbox.state.facebook.operator.name = "Sändbox Operator"
    response = graph_of(sandbox).get("me")
    assert b"S\\u00e4ndbox" in response.content
    assert response.json()["name"] == "Sändbox Operator"


def test_error_body_keeps_graphs_key_order(graph: Graph) -> None:
    """An error's keys are message, type, code, error_subcode, fbtrace_id, in this order."""
    response = graph.get("123")
    assert list(error_of(response)) == ["message", "type", "code", "error_subcode", "fbtrace_id"]
    assert error_of(response)["fbtrace_id"] == response.headers["x-fb-request-id"]
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "token", "kind"),
    [("me", "nonsense", "invalid_token"), ("123", "user", "invalid_request")],
)
def test_challenge_names_its_kind(graph: Graph, path: str, token: str, kind: str) -> None:
    """WWW-Authenticate has the kind and the message of the error."""
    response = graph.get(path, token)
    message = error_of(response)["message"]
    expected = f'OAuth "Facebook Platform" "{kind}" "{message}"'
    assert response.headers["www-authenticate"] == expected


def test_challenge_of_the_token_endpoint_is_invalid_code(graph: Graph) -> None:
    """A failed exchange has the kind invalid_code."""
    assert '"invalid_code"' in graph.exchange(client_secret="no").headers["www-authenticate"]


@pytest.mark.parametrize("redirect_uri", ["https://other.example/x", "x", ""])
def test_a_refused_redirect_uri_has_a_kind_of_its_own(graph: Graph, redirect_uri: str) -> None:
    """Code 191 has the kind redirect_uri_mismatch."""
    response = graph.exchange(redirect_uri=redirect_uri, code="DUMMY")
    assert error_of(response)["code"] == 191
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('OAuth "Facebook Platform" "redirect_uri_mismatch" "')


def test_a_message_stands_in_its_header_as_raw_utf_8(graph: Graph) -> None:
    """The body escapes non-ASCII characters, WWW-Authenticate does not."""
    response = graph.get("me", fields="नाम")
    message = error_of(response)["message"]
    assert "नाम" in message
    (challenge,) = [value for name, value in response.headers.raw if name == b"WWW-Authenticate"]
    assert message.replace('"', "'") in challenge.decode("utf-8")
    assert response.content.isascii()


def test_an_error_cannot_break_out_of_its_header(graph: Graph) -> None:
    """Quotes and line ends in a message cannot add a header."""
    response = graph.get("me", fields='x"\r\nSet-Cookie: a=b')
    assert response.status_code == 400
    assert "set-cookie" not in response.headers


def test_withdrawn_features_have_no_effect(graph: Graph) -> None:
    """An ETag, pretty, debug and date_format change nothing; each is marked unknown."""
    first = graph.get("me")
    again = graph.http.get(first.request.url, headers={"If-None-Match": first.headers["etag"]})
    others = graph.get("me", pretty="1", debug="all", date_format="U")
    assert (again.status_code, again.content, others.content) == (200, first.content, first.content)
    marked = load_sections()["graph §10"]["unknown"]
    for name in ("pretty", "debug", "date_format", "If-None-Match"):
        assert any(what.startswith(f"`{name}` has no effect") for what in marked)


@pytest.mark.parametrize(
    "name",
    [
        "multi-ID requests",
        "date and time formats",
        "method override",
        "field aliases",
        "JSONP",
    ],
)
def test_features_without_a_source_are_marked_unknown(name: str) -> None:
    """Graph's responses to an app made since 2026-11-04 are unknown for these features."""
    (fact,) = (fact for fact in load_sections()["graph §10"]["unknown"] if fact.startswith(name))
    assert "of an app made since 2026-11-04" in fact


@pytest.mark.parametrize("version", ["v27.0/", "v26.0/", "v20.0/", ""])
def test_several_objects_at_once_are_refused_on_any_version(graph: Graph, version: str) -> None:
    """Root `?ids=` gets HTTP 500 and code 100, in the words that were read."""
    person = graph.sandbox.state.facebook.operator.id
    response = graph.at(version, ids=f"{person},{person}")
    assert response.status_code == 500
    assert error_of(response)["code"] == 100
    assert error_of(response)["message"] == "The ids query parameter is deprecated in v26.0+"


@pytest.mark.parametrize(
    ("asked", "served"), [("v26.0", "v26.0"), ("v20.0", "v21.0"), ("v3.2", "v21.0")]
)
def test_an_expired_version_is_silently_replaced(graph: Graph, asked: str, served: str) -> None:
    """The oldest usable version serves calls to an expired one, and the header names it."""
    graph.sandbox.state.offset = NOON.timestamp() - time.time()
    response = graph.at(f"{asked}/me")
    assert response.status_code == 200
    assert response.headers["facebook-api-version"] == served


def test_versions_can_be_probed_without_a_token(graph: Graph) -> None:
    """Without a token, an unknown version gets another message than a known one."""
    base = graph.given["graph_url"]
    unknown = graph.http.get(f"{base}/v99.0/me")
    known = graph.http.get(f"{base}/v26.0/me")
    assert error_of(unknown)["message"] == unknown_path("/me")
    assert error_of(known)["message"] == (
        "An active access token must be used to query information about the current user."
    )
    assert [error_of(response)["code"] for response in (unknown, known)] == [2500, 2500]
    assert [response.status_code for response in (unknown, known)] == [400, 400]


def test_an_unversioned_call_gets_the_apps_version(graph: Graph) -> None:
    """A call without a version gets the version of the app's settings."""
    app = app_of(graph.sandbox)
    app.version = "v25.0"
    response = graph.at("me")
    app.version = "v26.0"
    assert response.headers["facebook-api-version"] == "v25.0"


def test_marketing_versions_end_earlier(graph: Graph) -> None:
    """v25.0 is upgraded with a warning; the newest serves ended ones; no version is refused."""
    graph.sandbox.state.offset = NOON.timestamp() - time.time()
    upgraded = graph.at("v25.0/me/adaccounts")
    assert upgraded.headers["facebook-api-version"] == "v26.0"
    assert upgraded.headers["x-ad-api-version-warning"] == (upgrade_warning("v26.0", "v25.0"))
    for version in ("v24.0", "v23.0", "v22.0", "v19.0"):
        ended = graph.at(f"{version}/me/adaccounts")
        assert (ended.status_code, ended.headers["facebook-api-version"]) == (200, "v27.0")
        assert "x-ad-api-version-warning" not in ended.headers
    assert error_of(graph.at("me/adaccounts"))["code"] == 2635
    inferred = load_sections()["graph §1"]["inferred"]
    assert any("of an ended version is answered by the newest" in fact for fact in inferred)


@pytest.mark.parametrize("how", ["query", "bearer", "oauth"])
def test_a_token_is_accepted_in_query_and_header(graph: Graph, how: str) -> None:
    """A token is accepted in the query and in the Authorization header."""
    token = str(graph.given["user_access_token"])
    if how == "query":
        response = graph.get("me/")
    else:
        header = {"Authorization": f"{how.capitalize()} {token}"}
        response = graph.http.get(f"{graph.base}/me", headers=header)
    assert response.json()["id"] == graph.sandbox.state.facebook.operator.id


def test_unknown_parameters_are_ignored(graph: Graph) -> None:
    """`summary=true`, which the SDK adds to every edge, is ignored."""
    assert graph.get("me/adaccounts", summary="true").status_code == 200


def test_each_handler_names_its_section() -> None:
    """A handler's docstring names a section of the references, so its responses are not unknown."""
    named = find_route_sections()
    assert [route for route, section in named.items() if not section] == []
    assert set(named.values()) <= load_sections().keys()


def test_a_response_without_a_source_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler whose docstring names no section is listed as unknown."""

    def response() -> None:
        """Answer something."""

    monkeypatch.setitem(_handlers, "GET /new", response)
    assert find_route_sections()["GET /new"] == ""


def test_sources_are_public() -> None:
    """A source is a document, a repository or a dated reading, never a number of an index."""
    assert not re.search(r"\br:\d+", str(load_sections()))


def test_json_bodies_are_parameters_too(graph: Graph) -> None:
    """A POST with a JSON body is read like a form."""
    document = {**graph.credentials, "grant_type": "client_credentials"}
    response = graph.http.post(f"{graph.base}/oauth/access_token", json=document)
    assert response.status_code == 200


def test_only_loopback_is_answered(graph: Graph) -> None:
    """A request to another host or from another origin is refused."""
    url = f"{graph.base}/me"
    assert graph.http.get(url, headers={"Host": "evil.example"}).status_code == 421
    for origin in ("https://evil.example", "null", "http://[broken"):
        assert graph.http.post(url, headers={"Origin": origin}).status_code == 403
    for origin in ("http://127.0.0.1:1", "http://localhost:8888", "https://connect.partner.test"):
        assert graph.http.post(url, headers={"Origin": origin}).status_code == 400


def test_a_dialog_page_is_not_graph(graph: Graph, http: httpx.Client) -> None:
    """Graph does not serve the dialog."""
    assert http.get(f"{graph.base}/dialog/oauth").status_code == 400
