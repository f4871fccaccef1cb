"""Requests are repeated only if that is safe, and recorded without secrets."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from runbook_lib.core.model import Exchange
from runbook_lib.core.redaction import MASK, Redactor, Secret
from runbook_lib.errors import (
    StaleResponseError,
    ThrottledError,
    UnreachableError,
)
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ConnectionPools, HTTPClient
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.limits import Limits
from tests.support.wording import refused
from tests.unit.bodies import BAD_SECRET, TRANSIENT, USER_TOKEN
from tests.unit.fake_remote import FakeRemote, Responder, fails_with, open_session, owned, responds

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
def slept() -> list[float]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(remote: FakeRemote, slept: list[float], clock: Clock) -> Session:
    return open_session(remote, sleep=slept.append, clock=clock)


def test_a_response_is_returned_whatever_its_status(remote: FakeRemote, session: Session) -> None:
    """A response with an error status is returned; the caller decides what it means."""
    remote.on(PATH, responds(BAD_SECRET, 400))

    response = session.send(GET)

    assert (response.status, response.json()) == (400, BAD_SECRET)
    assert response.headers["Content-Type"].startswith("application/json")
    assert len(remote.requests) == 1


@pytest.mark.parametrize("charset", ["base64", "utf-16", "latin-1", "idna", "no-such-charset"])
def test_json_is_utf_8_whatever_the_header_says(
    remote: FakeRemote, session: Session, charset: str
) -> None:
    """JSON is decoded as UTF-8 (RFC 8259 §8.1), whatever charset the header names."""
    content = '{"name":"Zoë"}'.encode()
    headers = {"content-type": f"application/json; charset={charset}"}
    remote.on(PATH, lambda _: httpx.Response(200, content=content, headers=headers))

    assert session.send(GET).json() == {"name": "Zoë"}


def test_invalid_json_is_recorded_as_text(remote: FakeRemote, session: Session) -> None:
    """A response with NaN is recorded as text, since the record is strict JSON."""
    remote.on(PATH, responds('{"a":NaN}'))

    session.send(GET)

    assert session.exchanges()[0].response == '{"a":NaN}'


BUSY = responds("busy", 503)
DONE = responds({"id": "1"})

FAULTS = [
    responds("busy", 500),
    responds("busy", 502),
    BUSY,
    responds("busy", 504),
    fails_with(httpx.ConnectError),
    fails_with(httpx.ReadTimeout),
    fails_with(httpx.RemoteProtocolError),
    responds("not gzip", 200, {"content-encoding": "gzip"}),
]


@pytest.mark.parametrize(
    ("request_", "responses", "sent", "text"),
    [
        # After a server error or a broken connection a GET is sent up to three times.
        *((GET, [fault, fault, DONE], 3, '{"id": "1"}') for fault in FAULTS),
        # A response with another status is returned at once.
        *((GET, [responds("no", status)], 1, "no") for status in (200, 400, 401, 403, 404)),
        # If every attempt gets status 503, the third response is returned.
        (GET, [BUSY], 3, "busy"),
        # A POST is sent once, because it may have had its effect.
        (POST, [BUSY], 1, "busy"),
        (POST, [fails_with(httpx.ReadTimeout)], 1, None),
    ],
)
def test_a_get_is_repeated_after_a_transient_error(
    remote: FakeRemote,
    session: Session,
    slept: list[float],
    request_: Request,
    responses: list[Responder],
    sent: int,
    text: str | None,
) -> None:
    """A GET is sent up to three times; the last response is returned, and all are recorded."""
    remote.on(PATH, *responses)

    if text is None:
        with pytest.raises(UnreachableError):
            session.send(request_)
        assert session.exchanges()[0].error
    else:
        response = session.send(request_)
        assert (response.text, response.status) == (text, session.exchanges()[-1].status)
    assert (len(remote.requests), len(slept)) == (sent, sent - 1)
    assert len(session.exchanges()) == sent


def test_the_caller_decides_which_requests_are_repeatable(
    remote: FakeRemote, session: Session
) -> None:
    """With `is_repeatable`, a POST is repeated, or a GET is not."""
    remote.on(PATH, responds("busy", 503))

    session.send(POST, is_repeatable=True)
    assert len(remote.requests) == 3
    session.send(GET, is_repeatable=False)
    assert len(remote.requests) == 4


def test_the_pause_doubles_and_is_random(remote: FakeRemote, slept: list[float]) -> None:
    """The pause before a retry doubles, and is random so that retries spread out."""
    remote.on(PATH, responds("busy", 503))
    for _ in range(40):
        open_session(remote, sleep=slept.append).send(GET)

    first = slept[::2]
    second = slept[1::2]
    assert all(0.25 <= pause <= 0.5 for pause in first)
    assert all(0.5 <= pause <= 1.0 for pause in second)
    assert len(set(first)) > 30


def test_a_request_is_repeated_after_a_transient_response(
    remote: FakeRemote, session: Session
) -> None:
    """A GET is repeated if `is_transient` is true for its response."""
    remote.on(PATH, responds(TRANSIENT, 400), responds({"id": "1"}))

    response = session.send(GET, is_transient=lambda response: response.status == 400)

    assert response.json() == {"id": "1"}


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
def test_a_response_from_a_proxy_cache_is_an_error(
    remote: FakeRemote,
    session: Session,
    ages: list[str],
    said: str,
) -> None:
    """A response that a cache kept too long (RFC 9111 §5.1) does not count."""
    headers = httpx.Headers([("age", age) for age in ages])
    remote.on(PATH, responds({"id": "1"}, headers=headers))

    with refused(StaleResponseError, "answered-from-cache", host="graph.example") as caught:
        session.send(GET)

    assert said in str(caught.value)
    assert "check again" in str(caught.value)


@pytest.mark.parametrize(("request_", "status"), [(POST, 200), (GET, 302), (GET, 404), (GET, 503)])
def test_no_stale_response_counts_whatever_its_status(
    remote: FakeRemote, session: Session, request_: Request, status: int
) -> None:
    """A cached response of any status is an error at once, and no request is repeated for it."""
    remote.on(PATH, responds({"id": "1"}, status, {"age": "301"}))

    with pytest.raises(StaleResponseError):
        session.send(request_)
    assert len(remote.requests) == 1


@pytest.mark.parametrize("ages", [[], ["0"], ["300"], ["000300"], ["12, 300"], ["1", " 2 "]])
def test_a_fresh_response_is_accepted(
    remote: FakeRemote, session: Session, ages: list[str]
) -> None:
    """A response without Age, or with one of up to 300 seconds, is returned."""
    remote.on(PATH, responds({"id": "1"}, headers=httpx.Headers([("age", age) for age in ages])))

    assert session.send(GET).status == 200


def test_the_age_of_a_response_is_recorded(remote: FakeRemote, session: Session) -> None:
    """The record of an exchange shows the status, the body and why the response did not count."""
    remote.on(PATH, responds({"id": "1"}, headers={"Age": "4000"}))

    with pytest.raises(StaleResponseError):
        session.send(GET)

    (exchange,) = session.exchanges()
    assert (exchange.status, exchange.headers["age"]) == (200, "4000")
    assert exchange.response == {"id": "1"}


def test_an_unreachable_host_is_not_contacted_for_30_seconds(
    remote: FakeRemote, session: Session, slept: list[float], clock: Clock
) -> None:
    """Requests to it, and to no other, fail at once, with at most one record; none extends that."""
    remote.on(PATH, fails_with(), fails_with(), fails_with(), responds({}))
    remote.on("/other", responds({}))
    with pytest.raises(UnreachableError) as first:
        session.send(GET)
    slept.clear()

    for seconds in (0, 29):
        clock.now += seconds
        later = Session(session.client)
        with pytest.raises(UnreachableError) as second:
            later.send(GET)
        assert str(second.value) == str(first.value)
        assert len(later.exchanges()) <= 1

    assert (len(remote.requests), slept) == (3, [])
    assert session.send(Request(method="GET", url="https://other.example/other")).status == 200
    clock.now += 2
    assert session.send(GET).status == 200


def minutes(count: int, regain: int) -> dict[str, Any]:
    """Return a business's usage: calls, and minutes until it may call again."""
    return {"type": "pages", "call_count": count, "estimated_time_to_regain_access": regain}


APP = "x-app-usage"
ACCOUNT = "x-ad-account-usage"
BUSINESS = "x-business-use-case-usage"

USED_UP = [
    (APP, {"call_count": 96, "total_cputime": 0, "total_time": 2}, 3600),
    (APP, {"call_count": 0, "total_cputime": 95, "total_time": 2}, 3600),
    (APP, {"call_count": 0, "total_cputime": 0, "total_time": 130}, 3600),
    (
        ACCOUNT,
        {"acc_id_util_pct": 99.5, "reset_time_duration": 120, "ads_api_access_tier": "x"},
        120,
    ),
    (BUSINESS, {"112130216863063": [minutes(100, 5)]}, 300),
    (BUSINESS, {"1": [minutes(1, 0)], "2": [minutes(1, 0), minutes(2, 1)]}, 60),
]


@pytest.mark.parametrize(("header", "usage", "seconds"), USED_UP)
def test_a_used_up_limit_pauses_requests(
    remote: FakeRemote, session: Session, clock: Clock, header: str, usage: Any, seconds: int
) -> None:
    """The response is still returned; requests then fail until the time that the header gives."""
    remote.on(
        PATH, responds({"id": "1"}, headers={header: json.dumps(usage)}), responds({"id": "2"})
    )

    assert session.send(GET).json() == {"id": "1"}
    clock.now += seconds - 30
    with pytest.raises(ThrottledError) as caught:
        session.send(GET)
    assert header in str(caught.value)
    assert "wait about 30 s." in str(caught.value)
    assert len(remote.requests) == 1
    clock.now += 31
    assert session.send(GET).json() == {"id": "2"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (APP, '{"call_count":13,"total_cputime":0,"total_time":2}'),
        (APP, '{"call_count":94,"total_cputime":94,"total_time":94}'),
        (ACCOUNT, '{"acc_id_util_pct":9.67,"reset_time_duration":3600}'),
        (BUSINESS, json.dumps({"1": [minutes(1, 0)]})),
        # A header that cannot be read.
        (APP, ""),
        (APP, "not json"),
        (APP, "[]"),
        (APP, '"full"'),
        (BUSINESS, '{"1":["x"]}'),
        (APP, '{"call_count":"n/a"}'),
        (APP, '{"call_count":null}'),
        (
            BUSINESS,
            '{"1":[{"type":"pages","call_count":1,"estimated_time_to_regain_access":null}]}',
        ),
        # Impossible values.
        (APP, '{"call_count":NaN}'),
        pytest.param(APP, f'{{"call_count":{10**400}}}', id="a huge number"),
        (APP, '{"1":[{"estimated_time_to_regain_access":1e300}]}'),
        (APP, '{"call_count":-100}'),
        pytest.param(APP, "[" * 50_000, id="too deep"),
    ],
)
def test_a_limit_that_is_not_used_up_pauses_nothing(
    remote: FakeRemote, session: Session, header: str, value: str
) -> None:
    """Usage below the limit, or a header of no use, causes neither a pause nor an error."""
    remote.on(PATH, responds({"id": "1"}, headers={header: value}), responds({"id": "2"}))

    assert session.send(GET).json() == {"id": "1"}
    assert session.send(GET).json() == {"id": "2"}


def test_a_used_up_limit_ends_the_retries(remote: FakeRemote, session: Session) -> None:
    """If a failed response says that a limit is used up, there is no retry."""
    usage = json.dumps({"call_count": 100})
    remote.on(PATH, responds("busy", 503, {"x-app-usage": usage}))

    with pytest.raises(ThrottledError):
        session.send(GET)

    assert len(remote.requests) == 1
    assert session.exchanges()[-1].error


def only(session: Session) -> Exchange:
    (exchange,) = session.exchanges()
    return exchange


def test_an_exchange_is_recorded(remote: FakeRemote, session: Session) -> None:
    """Method, URL, request, status, selected headers, body and times are recorded."""
    remote.on(
        PATH,
        responds({"id": "1"}, headers={"facebook-api-version": "v26.0", "x-fb-debug": "xdaMt4RW"}),
    )

    session.send(Request(method="POST", url=URL, json={"Name": "x"}))

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
        responds(
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


def test_a_token_learned_later_is_masked_in_earlier_exchanges(
    remote: FakeRemote, session: Session
) -> None:
    """A secret that becomes known after an exchange is masked in its record too."""
    remote.on(PATH, responds('issued: "fresh-token-1"'))
    session.send(GET)
    session.redactor.learn(Secret("fresh-token-1"))

    assert only(session).response == f'issued: "{MASK}"'


def test_text_like_a_token_is_masked_in_bodies(remote: FakeRemote, session: Session) -> None:
    """Text of a token's form is masked in JSON and in text."""
    remote.on(PATH, responds(f"<a href='?t={USER_TOKEN}'>"), responds({"next": f"?t={USER_TOKEN}"}))
    session.send(GET)
    session.send(replace(GET, recorded_fields=("next",)))

    text, document = session.exchanges()
    assert text.response == f"<a href='?t={MASK}'>"
    assert document.response == {"next": f"?t={MASK}"}


@pytest.mark.parametrize(
    ("body", "pattern"),
    [
        (["x" * 100] * 200, r".{1,8269}… \(2\d{4} characters in all\)"),
        ("y" * 20_000, r".{1,8269}… \(2\d{4} characters in all\)"),
        # Letters are kept, without JSON escapes.
        (["Zürich"] * 20_000, r'\["Zürich", "Zürich".*'),
        # A body up to the limit is not cut.
        ("y" * 8_192, "y{8192}"),
    ],
    ids=["JSON", "text", "letters", "short"],
)
def test_a_long_body_is_cut_and_says_so(
    remote: FakeRemote, session: Session, body: Any, pattern: str
) -> None:
    """A long body is cut in the record, which has its full length; the response is whole."""
    remote.on(PATH, responds(body))

    response = session.send(GET)

    assert re.fullmatch(pattern, str(only(session).response), re.DOTALL)
    assert response.text == (body if isinstance(body, str) else json.dumps(body))


def test_no_part_of_a_secret_remains_at_the_cut(remote: FakeRemote) -> None:
    """A body is redacted before it is cut."""
    secret = "abcdefghij" * 4
    session = open_session(remote, Redactor([Secret(secret)]))
    remote.on(PATH, responds("." * 8_180 + secret + "." * 1000))

    session.send(GET)

    assert "abcde" not in only(session).response


@pytest.mark.parametrize("length", [10_000, 100_000])
def test_the_value_of_a_secret_property_is_masked_however_long_it_is(
    remote: FakeRemote, session: Session, length: int
) -> None:
    """A value is masked by its name even if the name comes after a value longer than the record."""
    remote.on(PATH, responds({"Value": "Zürich" * length, "Name": "ClientSecret"}))

    session.send(replace(GET, recorded_fields=("Value",)))

    assert "Zürich" not in str(only(session).response)
    assert MASK in str(only(session).response)


def test_exchanges_below_http_are_in_the_record(session: Session) -> None:
    """DNS queries and TLS connections are recorded like exchanges."""
    note = Exchange(
        method="DNS", url="acme-h.cyclr.com", sent_on="2026-11-24T12:00:00.000Z", elapsed=0.0
    )
    session.note(note)

    assert session.exchanges() == (note,)


def test_sessions_record_separately(remote: FakeRemote) -> None:
    """Each session of a transport records its own exchanges only."""
    remote.on(PATH, responds("{}"))
    client = HTTPClient(Redactor(), transport=remote)
    one = Session(client)
    other = Session(client)

    one.send(GET)

    assert len(one.exchanges()) == 1
    assert other.exchanges() == ()


def test_clients_with_shared_pools_share_open_circuits(remote: FakeRemote) -> None:
    """A host that did not respond to one run fails at once for the next on the same route."""
    remote.on(PATH, fails_with(httpx.ConnectError))
    pools = ConnectionPools()

    def asked(**options: Any) -> int:
        before = len(remote.requests)
        with pytest.raises(UnreachableError):
            open_session(remote, pools=pools, **options).send(GET)
        return len(remote.requests) - before

    assert asked() == 3
    assert asked() == 0
    assert asked(connect_to={"graph.example:443": "127.0.0.1:1"}) == 3
    assert asked(limits=Limits(exchange_seconds=1)) == 3
