"""The body of a response is JSON by RFC 8259, with a limited number of values."""

from __future__ import annotations

import httpx
import pytest

from runbook_lib.errors import UnexpectedResponseError
from runbook_lib.remote.http_messages import Request, Response, parse_body
from tests.support.wording import refused


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", '{"a":NaN}', "[1e999]", "-1e999", "\ufeff{}", "{'a':1}"],
)
def test_json_beyond_rfc_8259_is_refused(text: str) -> None:
    """NaN, infinities, numbers out of range, a byte order mark and single quotes are refused."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse_body(text)
    assert str(caught.value)


def test_json_is_read() -> None:
    """JSON is read; a whole number stays an `int`."""
    assert parse_body('{"a":[1,1.5,true,null,"\\ud83d\\ude00"]}') == {
        "a": [1, 1.5, True, None, "\U0001f600"]
    }
    assert isinstance(parse_body("1"), int)


@pytest.mark.parametrize("text", ["[" + "{}," * 200_000 + "{}]", '{"a":' + "[0," * 90_000])
def test_json_with_too_many_values_is_refused(text: str) -> None:
    """A document with too many values is refused: parsing it takes thirty times its size."""
    with pytest.raises(ValueError):  # noqa: PT011
        parse_body(text)


URL = "https://graph.example/v26.0/me"


@pytest.mark.parametrize("text", ["", "<html>", '{"a":', "[" * 200_000, "NaN", '{"a":Infinity}'])
def test_a_response_that_is_not_json_is_an_error(text: str) -> None:
    """A page, an incomplete body or invalid JSON raises an error with the host and status."""
    response = Response(URL, 200, httpx.Headers(), text)

    with refused(UnexpectedResponseError, "not-json", host="graph.example", status=200):
        response.json()


@pytest.mark.parametrize(
    ("url", "host", "place"),
    [
        ("https://graph.example:8443/me", "graph.example", "graph.example:8443"),
        ("https://graph.example:x/", "", ""),
    ],
)
def test_a_request_names_its_host(url: str, host: str, place: str) -> None:
    """`host` and `place` are read from the URL, and are empty if it is invalid."""
    request = Request(method="GET", url=url)

    assert (request.host, request.netloc) == (host, place)
