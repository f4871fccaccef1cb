"""
Requests have time limits, are recorded without secrets, and are repeated only if that is safe.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from runbook_lib.core.model import Exchange
from runbook_lib.core.redaction import MASK, Redactor, Secret
from runbook_lib.errors import (
    CachedAnswerError,
    ThrottledError,
    UnexpectedAnswerError,
    UnreachableError,
)
from runbook_lib.remote.documents import RemoteAnswer
from runbook_lib.remote.limits import Limits
from runbook_lib.remote.transport import Request, Session, Transport, Wires
from tests.unit.bodies import BAD_SECRET, TRANSIENT, USER_TOKEN
from tests.unit.fake_remote import FakeRemote, breaks, open_session, owned, says

URL = "https://graph.example/v26.0/me"
PATH = "/v26.0/me"
GET = Request(method="GET", url=URL)
POST = Request(method="POST", url=URL, form={"a": "1"})


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Read the clock."""
        return self.now


@pytest.fixture
def remote() -> FakeRemote:
    return FakeRemote()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(remote: FakeRemote, slept: list[float], clock: Clock) -> Session:
    return open_session(remote, sleep=slept.append, clock=clock)


def test_an_answer_is_returned_whatever_its_status(remote: FakeRemote, session: Session) -> None:
    """An answer with an error status is returned; the caller decides what it means."""
    remote.on(PATH, says(BAD_SECRET, 400))

    answer = session.send(GET)

    assert (answer.status, answer.document()) == (400, BAD_SECRET)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert len(remote.requests) == 1


@pytest.mark.parametrize("text", ["", "<html>", '{"a":', "[" * 200_000, "NaN", '{"a":Infinity}'])
def test_an_answer_that_is_not_json_is_an_error(text: str) -> None:
    """A page, an incomplete body or invalid JSON raises an error with the host and status."""
    answer = RemoteAnswer(URL, 200, httpx.Headers(), text)

    with pytest.raises(UnexpectedAnswerError, match=r"graph\.example answered 200"):
        answer.document()


@pytest.mark.parametrize("charset", ["base64", "utf-16", "latin-1", "idna", "no-such-charset"])
def test_json_is_utf_8_whatever_the_header_says(
    remote: FakeRemote, session: Session, charset: str
) -> None:
    """JSON is decoded as UTF-8 (RFC 8259 §8.1), whatever charset the header names."""
    content = '{"name":"Zoë"}'.encode()
    headers = {"content-type": f"application/json; charset={charset}"}
    remote.on(PATH, lambda _: httpx.Response(200, content=content, headers=headers))

    assert session.send(GET).document() == {"name": "Zoë"}


def test_invalid_json_is_recorded_as_text(remote: FakeRemote, session: Session) -> None:
    """An answer with NaN is recorded as text, since the record is strict JSON."""
    remote.on(PATH, says('{"a":NaN}'))

    session.send(GET)

    assert session.exchanges()[0].response == '{"a":NaN}'


@pytest.mark.parametrize(
    "fault",
    [
        says("busy", 500),
        says("busy", 502),
        says("busy", 503),
        says("busy", 504),
        breaks(httpx.ConnectError),
        breaks(httpx.ReadTimeout),
        breaks(httpx.RemoteProtocolError),
        says("not gzip", 200, {"content-encoding": "gzip"}),
    ],
)
def test_a_get_is_repeated_after_a_transient_error(
    remote: FakeRemote, session: Session, slept: list[float], fault: Any
) -> None:
    """
    After a server error or a broken connection a GET is repeated up to twice.

    All attempts are recorded.
    """
    remote.on(PATH, fault, fault, says({"id": "1"}))

    assert session.send(GET).document() == {"id": "1"}
    assert len(remote.requests) == 3
    assert len(slept) == 2
    assert [exchange.status == 200 for exchange in session.exchanges()][-1]
    assert len(session.exchanges()) == 3


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
def test_other_statuses_are_not_repeated(
    remote: FakeRemote, session: Session, slept: list[float], status: int
) -> None:
    """An answer with another status is returned at once."""
    remote.on(PATH, says({}, status))

    assert session.send(GET).status == status
    assert (len(remote.requests), slept) == (1, [])


def test_after_three_attempts_the_last_answer_is_returned(
    remote: FakeRemote, session: Session, slept: list[float]
) -> None:
    """If every attempt gets status 503, the third answer is returned."""
    remote.on(PATH, says("busy", 503))

    assert session.send(GET).status == 503
    assert (len(remote.requests), len(slept)) == (3, 2)


@pytest.mark.parametrize("fault", [says("busy", 503), breaks(httpx.ReadTimeout)])
def test_a_post_is_not_repeated(
    remote: FakeRemote, session: Session, slept: list[float], fault: Any
) -> None:
    """A POST is sent once, because it may have had its effect."""
    remote.on(PATH, fault)
    try:
        assert session.send(POST).status == 503
    except UnreachableError:
        assert session.exchanges()[0].error

    assert (len(remote.requests), slept) == (1, [])


def test_the_caller_decides_what_is_repeatable(remote: FakeRemote, session: Session) -> None:
    """With `is_repeatable`, a POST is repeated, or a GET is not."""
    remote.on(PATH, says("busy", 503))

    session.send(POST, is_repeatable=True)
    assert len(remote.requests) == 3
    session.send(GET, is_repeatable=False)
    assert len(remote.requests) == 4


def test_the_pause_doubles_and_is_random(remote: FakeRemote, slept: list[float]) -> None:
    """The pause before a retry doubles, and is random so that retries spread out."""
    remote.on(PATH, says("busy", 503))
    for _ in range(40):
        open_session(remote, sleep=slept.append).send(GET)

    first, second = slept[::2], slept[1::2]
    assert all(0.25 <= pause <= 0.5 for pause in first)
    assert all(0.5 <= pause <= 1.0 for pause in second)
    assert len(set(first)) > 30


def test_an_answer_that_the_caller_calls_transient_is_repeated(
    remote: FakeRemote, session: Session
) -> None:
    """A GET is repeated if `is_transient` is true for its answer."""
    remote.on(PATH, says(TRANSIENT, 400), says({"id": "1"}))

    answer = session.send(GET, is_transient=lambda answer: answer.status == 400)

    assert answer.document() == {"id": "1"}


@pytest.mark.parametrize("request_", [GET, POST])
@pytest.mark.parametrize("status", [200, 302, 400, 404, 503])
@pytest.mark.parametrize(
    ("ages", "said"),
    [
        (["301"], "Age 301 s"),
        (["4000"], "Age 4,000 s"),
        (["0000000301"], "Age 301 s"),
        (["9" * 10_000], "Age …"),
        (["5, 4000"], "Age 4,000 s"),
        (["5", "4000"], "Age 4,000 s"),
        (["4000", "5"], "Age 4,000 s"),
        (["-1"], "Age -1"),
        (["+5"], "Age +5"),
        (["5.5"], "Age 5.5"),
        (["1e1"], "Age 1e1"),
        (["5 s"], "Age 5 s"),
        (["old"], "Age old"),
        ([""], "Age empty"),
        (["5,"], "Age empty"),
        (["5", ""], "Age empty"),
    ],
)
def test_an_answer_from_a_cache_is_an_error(
    remote: FakeRemote,
    session: Session,
    request_: Request,
    status: int,
    ages: list[str],
    said: str,
) -> None:
    """
    An answer that a cache kept for over 300 seconds, or for nobody knows how long, is not taken
    for the remote system's (RFC 9111 §5.1), whatever its status; it is asked for once.
    """
    headers = httpx.Headers([("age", age) for age in ages])
    remote.on(PATH, says({"id": "1"}, status, headers))

    with pytest.raises(CachedAnswerError, match=r"graph\.example answered from a cache") as caught:
        session.send(request_)

    assert said in str(caught.value)
    assert "check again" in str(caught.value)
    assert len(remote.requests) == 1


@pytest.mark.parametrize("ages", [[], ["0"], ["300"], ["000300"], ["12, 300"], ["1", " 2 "]])
def test_a_fresh_answer_is_taken(remote: FakeRemote, session: Session, ages: list[str]) -> None:
    """An answer without Age, or with one of up to 300 seconds, is returned."""
    remote.on(PATH, says({"id": "1"}, headers=httpx.Headers([("age", age) for age in ages])))

    assert session.send(GET).status == 200


def test_the_age_of_an_answer_is_recorded(remote: FakeRemote, session: Session) -> None:
    """The record of an exchange shows the status, the body and why the answer did not count."""
    remote.on(PATH, says({"id": "1"}, headers={"Age": "4000"}))

    with pytest.raises(CachedAnswerError):
        session.send(GET)

    (exchange,) = session.exchanges()
    assert (exchange.status, exchange.headers["age"]) == (200, "4000")
    assert exchange.response == {"id": "1"}


def test_an_unreachable_host_is_not_contacted_for_30_seconds(
    remote: FakeRemote, session: Session, clock: Clock
) -> None:
    """
    After three failed attempts, requests to the host fail at once for 30 seconds.

    Other hosts are not affected.
    """
    remote.on(PATH, breaks(), breaks(), breaks(), says({}))
    remote.on("/other", says({}))

    with pytest.raises(UnreachableError) as first:
        session.send(GET)
    with pytest.raises(UnreachableError) as second:
        session.transport.session().send(GET)

    assert str(second.value) == str(first.value)
    assert len(remote.requests) == 3
    assert session.send(Request(method="GET", url="https://other.example/other")).status == 200
    clock.now += 31
    assert session.send(GET).status == 200


def test_a_request_that_is_not_sent_costs_no_wait(
    remote: FakeRemote, session: Session, slept: list[float]
) -> None:
    """A request that is not sent has no pauses and at most one record."""
    remote.on(PATH, breaks())
    with pytest.raises(UnreachableError):
        session.send(GET)
    slept.clear()
    later = session.transport.session()

    with pytest.raises(UnreachableError):
        later.send(GET)

    assert slept == []
    assert len(later.exchanges()) <= 1


def test_requests_meanwhile_do_not_extend_the_pause(
    remote: FakeRemote, session: Session, clock: Clock
) -> None:
    """Requests that are not sent do not extend the 30 seconds."""
    remote.on(PATH, breaks(), breaks(), breaks(), says({}))
    with pytest.raises(UnreachableError):
        session.send(GET)
    clock.now += 29
    with pytest.raises(UnreachableError):
        session.send(GET)
    clock.now += 2

    assert session.send(GET).status == 200


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (breaks(httpx.ConnectTimeout), "no connection within 5 s"),
        (breaks(httpx.ReadTimeout), "no answer within 15 s"),
        (breaks(httpx.PoolTimeout), "no answer within 15 s"),
        (
            breaks(httpx.ConnectError, "[Errno -2] Name or service not known"),
            "its name does not resolve",
        ),
        (
            breaks(httpx.ConnectError, "[Errno -3] Temporary failure in name resolution"),
            "its name does not resolve",
        ),
        (
            breaks(httpx.ConnectError, "[Errno 111] Connection refused"),
            "the connection failed ([Errno 111] Connection refused)",
        ),
        (
            breaks(
                httpx.ConnectError,
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local "
                "issuer certificate (_ssl.c:1006)",
            ),
            "its TLS certificate is not trusted (unable to get local issuer certificate)",
        ),
        (breaks(httpx.ReadError), "the connection was closed (ReadError)"),
    ],
)
def test_without_an_answer_the_error_has_the_host_and_reason(
    remote: FakeRemote, session: Session, error: Any, said: str
) -> None:
    """The error names the host and the reason, and is recorded."""
    remote.on(PATH, error)

    with pytest.raises(UnreachableError) as caught:
        session.send(POST)

    assert str(caught.value) == f"graph.example could not be reached: {said}."
    assert session.exchanges()[0].error == str(caught.value)
    assert session.exchanges()[0].status is None


USED_UP = [
    ("x-app-usage", {"call_count": 96, "total_cputime": 0, "total_time": 2}, 3600),
    ("x-app-usage", {"call_count": 0, "total_cputime": 95, "total_time": 2}, 3600),
    ("x-app-usage", {"call_count": 0, "total_cputime": 0, "total_time": 130}, 3600),
    (
        "x-ad-account-usage",
        {"acc_id_util_pct": 99.5, "reset_time_duration": 120, "ads_api_access_tier": "x"},
        120,
    ),
    (
        "x-business-use-case-usage",
        {
            "112130216863063": [
                {
                    "type": "pages",
                    "call_count": 100,
                    "total_cputime": 1,
                    "total_time": 1,
                    "estimated_time_to_regain_access": 5,
                }
            ]
        },
        300,
    ),
    (
        "x-business-use-case-usage",
        {
            "1": [{"type": "pages", "call_count": 1, "estimated_time_to_regain_access": 0}],
            "2": [
                {"type": "leadgen", "call_count": 1, "estimated_time_to_regain_access": 0},
                {"type": "ads_management", "call_count": 2, "estimated_time_to_regain_access": 1},
            ],
        },
        60,
    ),
]


@pytest.mark.parametrize(("header", "usage", "seconds"), USED_UP)
def test_a_used_up_limit_pauses_requests(
    remote: FakeRemote,
    session: Session,
    clock: Clock,
    header: str,
    usage: dict[str, Any],
    seconds: int,
) -> None:
    """
    If a usage header says that a limit is used up, the answer is still returned.

    Requests then fail until the time that the header gives.
    """
    remote.on(PATH, says({"id": "1"}, headers={header: json.dumps(usage)}), says({"id": "2"}))

    assert session.send(GET).document() == {"id": "1"}
    clock.now += seconds - 30
    with pytest.raises(ThrottledError) as caught:
        session.send(GET)
    assert header in str(caught.value)
    assert "wait about 30 s." in str(caught.value)
    assert len(remote.requests) == 1
    clock.now += 31
    assert session.send(GET).document() == {"id": "2"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-app-usage", '{"call_count":13,"total_cputime":0,"total_time":2}'),
        ("x-app-usage", '{"call_count":94,"total_cputime":94,"total_time":94}'),
        ("x-ad-account-usage", '{"acc_id_util_pct":9.67,"reset_time_duration":3600}'),
        (
            "x-business-use-case-usage",
            '{"1":[{"type":"pages","call_count":1,"estimated_time_to_regain_access":0}]}',
        ),
        ("x-app-usage", ""),
        ("x-app-usage", "not json"),
        ("x-app-usage", "[]"),
        ("x-app-usage", '"full"'),
        ("x-business-use-case-usage", '{"1":["x"]}'),
        ("x-app-usage", '{"call_count":"n/a"}'),
        ("x-app-usage", '{"call_count":null}'),
        (
            "x-business-use-case-usage",
            '{"1":[{"type":"pages","call_count":1,"estimated_time_to_regain_access":null}]}',
        ),
    ],
)
def test_a_limit_that_is_not_used_up_pauses_nothing(
    remote: FakeRemote, session: Session, header: str, value: str
) -> None:
    """Usage below the limit, or a header that cannot be read, causes no pause."""
    remote.on(PATH, says({}, headers={header: value}))

    session.send(GET)
    session.send(GET)

    assert len(remote.requests) == 2


USAGE_OF_NO_USE = {
    "NaN": '{"call_count":NaN}',
    "a huge number": f'{{"call_count":{10**400}}}',
    "longer than any limit": '{"1":[{"estimated_time_to_regain_access":1e300}]}',
    "less than nothing": '{"call_count":-100}',
    "too deep": "[" * 50_000,
}


@pytest.mark.parametrize("name", USAGE_OF_NO_USE)
def test_an_impossible_usage_pauses_nothing(
    remote: FakeRemote, session: Session, name: str
) -> None:
    """A usage header with impossible values causes neither a pause nor an error."""
    headers = {"x-app-usage": USAGE_OF_NO_USE[name]}
    remote.on(PATH, says({"id": "1"}, headers=headers), says({"id": "2"}))

    assert session.send(GET).document() == {"id": "1"}
    assert session.send(GET).document() == {"id": "2"}


def test_a_used_up_limit_ends_the_retries(
    remote: FakeRemote, session: Session, slept: list[float]
) -> None:
    """If a failed answer says that a limit is used up, there is no retry."""
    usage = json.dumps({"call_count": 100})
    remote.on(PATH, says("busy", 503, {"x-app-usage": usage}))

    with pytest.raises(ThrottledError):
        session.send(GET)

    assert len(remote.requests) == 1
    assert session.exchanges()[-1].error


def test_connect_to_changes_the_address_only(remote: FakeRemote) -> None:
    """
    `connect_to` changes the address; the Host header, SNI and the record keep the host's name.
    """
    remote.on("/connector/callback", says("ok"))
    session = open_session(remote, connect_to={"acme-h.cyclr.com:443": "127.0.0.1:8443"})

    session.send(Request(method="GET", url="https://acme-h.cyclr.com/connector/callback?a=1"))

    request = remote.requests[0]
    assert str(request.url) == "https://127.0.0.1:8443/connector/callback?a=1"
    assert request.headers["host"] == "acme-h.cyclr.com"
    assert request.extensions["sni_hostname"] == "acme-h.cyclr.com"
    assert session.exchanges()[0].url.startswith("https://acme-h.cyclr.com/")


def test_connect_to_applies_to_its_host_and_port_only(remote: FakeRemote) -> None:
    """`connect_to` applies to its host and port only."""
    remote.on(PATH, says("ok"))
    session = open_session(remote, connect_to={"acme-h.cyclr.com:443": "127.0.0.1:8443"})

    session.send(GET)
    session.send(Request(method="GET", url="https://acme-h.cyclr.com:444" + PATH))

    assert [request.url.host for request in remote.requests] == [
        "graph.example",
        "acme-h.cyclr.com",
    ]


def test_redirects_are_not_followed_and_cookies_not_kept(
    remote: FakeRemote, session: Session
) -> None:
    """The transport neither follows redirects nor keeps cookies."""
    remote.on(PATH, says("", 302, {"location": "https://x.example/", "set-cookie": "sid=1"}))

    assert session.send(GET).status == 302
    session.send(GET)

    assert len(remote.requests) == 2
    assert "cookie" not in remote.requests[1].headers


def only(session: Session) -> Exchange:
    (exchange,) = session.exchanges()
    return exchange


def test_an_exchange_is_recorded(remote: FakeRemote, session: Session) -> None:
    """Method, URL, request, status, selected headers, body and times are recorded."""
    remote.on(
        PATH,
        says({"id": "1"}, headers={"facebook-api-version": "v26.0", "x-fb-debug": "xdaMt4RW"}),
    )

    session.send(Request(method="POST", url=URL, document={"Name": "x"}))

    exchange = only(session)
    assert (exchange.method, exchange.url, exchange.status) == ("POST", URL, 200)
    assert (exchange.request, exchange.response) == ({"Name": "x"}, {"id": "1"})
    assert exchange.headers == {
        "content-type": "application/json; charset=UTF-8",
        "facebook-api-version": "v26.0",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", exchange.sent_on)
    assert exchange.elapsed >= 0
    assert json.loads(remote.requests[0].content) == {"Name": "x"}


def test_credentials_are_not_in_the_record(remote: FakeRemote) -> None:
    """Known secrets are masked by value, and other credentials by the name of their field."""
    known = Secret("known-secret/value")
    hosts = {"facebook": ["https://x.example"]}
    session = open_session(remote, owned(known.reveal()), hosts=hosts)
    remote.on(
        "/a",
        says(
            {"AuthValue": "never-seen-1", "text": f"x {known.reveal()}"},
            headers={
                "location": "https://x.example/cb?code=never-seen-2&state=s",
                "www-authenticate": f'OAuth "Facebook Platform" "{known.reveal()}"',
            },
        ),
    )

    session.send(
        Request(
            method="POST",
            url="https://x.example/a?input_token=never-seen-3&b=known-secret%2Fvalue&fields=id",
            headers={"authorization": "Bearer never-seen-4"},
            form={"client_secret": "never-seen-5", "client_id": "1"},
        )
    )

    exchange = only(session)
    text = repr(exchange)
    assert "never-seen" not in text
    assert "known-secret" not in text
    assert exchange.url == f"https://x.example/a?input_token={MASK}&b={MASK}&fields=id"
    assert exchange.request == {"client_secret": MASK, "client_id": "1"}
    assert exchange.headers["location"] == f"https://x.example/cb?code={MASK}&state=s"
    assert b"never-seen-5" in remote.requests[0].content


def test_a_token_that_is_learned_later_is_masked_in_earlier_exchanges(
    remote: FakeRemote, session: Session
) -> None:
    """A secret that becomes known after an exchange is masked in its record too."""
    remote.on(PATH, says('issued: "fresh-token-1"'))
    session.send(GET)
    session.redactor.learn(Secret("fresh-token-1"))

    assert only(session).response == f'issued: "{MASK}"'


def test_text_like_a_token_is_masked_in_bodies(remote: FakeRemote, session: Session) -> None:
    """Text of a token's form is masked in JSON and in text."""
    remote.on(PATH, says(f"<a href='?t={USER_TOKEN}'>"), says({"next": f"?t={USER_TOKEN}"}))
    session.send(GET)
    session.send(replace(GET, reads=("next",)))

    text, document = session.exchanges()
    assert text.response == f"<a href='?t={MASK}'>"
    assert document.response == {"next": f"?t={MASK}"}


@pytest.mark.parametrize("body", [["x" * 100] * 200, "y" * 20_000])
def test_a_long_body_is_cut_and_says_so(remote: FakeRemote, session: Session, body: Any) -> None:
    """A long body is cut in the record, which has its full length."""
    remote.on(PATH, says(body))

    answer = session.send(GET)

    recorded = only(session).response
    assert isinstance(recorded, str)
    assert len(recorded) < 8_300
    assert re.search(r"… \(2\d{4} characters in all\)$", recorded)
    assert len(answer.text) >= 20_000


def test_no_part_of_a_secret_remains_at_the_cut(remote: FakeRemote) -> None:
    """A body is redacted before it is cut."""
    secret = "abcdefghij" * 4
    session = open_session(remote, Redactor([Secret(secret)]))
    remote.on(PATH, says("." * 8_180 + secret + "." * 1000))

    session.send(GET)

    assert "abcde" not in only(session).response


@pytest.mark.parametrize("length", [10_000, 100_000])
def test_the_value_of_a_secret_property_is_masked_however_long_it_is(
    remote: FakeRemote, session: Session, length: int
) -> None:
    """A value is masked by its name even if the name comes after a value longer than the record."""
    remote.on(PATH, says({"Value": "Zürich" * length, "Name": "ClientSecret"}))

    session.send(replace(GET, reads=("Value",)))

    assert "Zürich" not in str(only(session).response)
    assert MASK in str(only(session).response)


def test_a_body_that_is_cut_has_no_escapes(remote: FakeRemote, session: Session) -> None:
    """A body that is cut keeps its letters, without JSON escapes."""
    remote.on(PATH, says(["Zürich"] * 20_000))

    session.send(GET)

    assert str(only(session).response).startswith('["Zürich", "Zürich"')


def test_a_short_body_is_not_cut(remote: FakeRemote, session: Session) -> None:
    """A body up to the limit is not cut."""
    remote.on(PATH, says("y" * 8_192))
    session.send(GET)

    assert only(session).response == "y" * 8_192


@pytest.mark.parametrize("logger", ["httpx", "httpcore.http11", "httpcore.connection"])
def test_log_lines_of_the_http_library_are_redacted(
    remote: FakeRemote, caplog: pytest.LogCaptureFixture, logger: str
) -> None:
    """The HTTP library's log lines are redacted."""
    caplog.set_level(logging.DEBUG)
    secret = Secret("log-canary-1")
    session = open_session(remote, Redactor([secret]))

    logging.getLogger(logger).info("HTTP Request: %s", "https://x/?token=log-canary-1")

    session.transport.close()
    assert "log-canary-1" not in caplog.text
    assert f"https://x/?token={MASK}" in caplog.text


def test_the_http_library_logs_no_url_with_a_secret(
    server: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    """The debug log of a real request has no secret, neither in the URL nor in a header."""
    caplog.set_level(logging.DEBUG)
    address = server()
    transport = Transport(owned("url-canary-1"), hosts={"facebook": [address]})
    url = f"{address}?input_token=url-canary-1"

    transport.session().send(Request(method="GET", url=url, headers={"x-a": "url-canary-1"}))
    transport.close()

    assert "httpcore.http11" in {record.name for record in caplog.records}
    assert "url-canary-1" not in caplog.text


def test_notes_of_lower_layers_are_in_the_record(remote: FakeRemote, session: Session) -> None:
    """DNS queries and TLS connections are recorded like exchanges."""
    note = Exchange(
        method="DNS", url="acme-h.cyclr.com", sent_on="2026-11-24T12:00:00.000Z", elapsed=0.0
    )
    session.note(note)

    assert session.exchanges() == (note,)


def test_sessions_record_separately(remote: FakeRemote) -> None:
    """Each session of a transport records its own exchanges only."""
    remote.on(PATH, says("{}"))
    transport = Transport(Redactor(), wire=remote)
    one, other = transport.session(), transport.session()

    one.send(GET)

    assert len(one.exchanges()) == 1
    assert other.exchanges() == ()


@pytest.fixture
def server() -> Iterator[Callable[[], str]]:
    """Return a function that gives the address of an HTTP server on loopback."""
    import http.server  # noqa: PLC0415

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.headers["user-agent"].encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield lambda: f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


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

    assert (request.host, request.place) == (host, place)


def test_no_proxy_is_used_for_loopback_addresses(
    server: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to loopback ignore a proxy in the environment."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    transport = Transport(Redactor())
    try:
        answer = transport.session().send(Request(method="GET", url=server()))
    finally:
        transport.close()

    assert answer.text == "facebook-marketing-runbook"


def test_shared_connections_stay_open(server: Callable[[], str]) -> None:
    """A transport closes connections of its own, and leaves those that others share."""
    from runbook_lib.remote.wire import Wire  # noqa: PLC0415  (slow to import)

    wires, url = Wires(), server()
    shared = [Transport(Redactor(), wires=wires) for _ in range(2)]
    first, second = (transport._wire for transport in shared)
    assert shared[0].session().send(Request(method="GET", url=url)).status == 200
    shared[0].close()

    assert isinstance(first, Wire)
    assert first._pools
    assert first is second
    assert Transport(Redactor())._wire is not first
    assert Transport(Redactor(), wires=wires).tls_context() is shared[0].tls_context()
    wires.close()


def test_who_shares_connections_shares_what_does_not_answer(remote: FakeRemote) -> None:
    """A host that did not answer one run fails at once for the next, unless it asks otherwise."""
    remote.on(PATH, breaks(httpx.ConnectError))
    wires = Wires()

    def asked(**options: Any) -> int:
        before = len(remote.requests)
        with pytest.raises(UnreachableError):
            open_session(remote, wires=wires, **options).send(GET)
        return len(remote.requests) - before

    assert asked() == 3
    assert asked() == 0
    assert asked(connect_to={"graph.example:443": "127.0.0.1:1"}) == 3
    assert asked(limits=Limits(exchange_seconds=1)) == 3
