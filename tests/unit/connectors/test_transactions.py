"""Cyclr's two webhooks: who failed, why, and nothing of a credential."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from runbook_lib.connectors.cyclr.transactions import LARGEST, Failures, read_failures
from runbook_lib.connectors.fault_domain import ADVICE, FaultDomain
from runbook_lib.connectors.known_errors import KnownErrors
from runbook_lib.connectors.registry import find_procedure
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import wording
from tests.unit.connectors.payloads import REFUSALS, TOKEN, detail, payload, refusal

MARKETING = find_procedure("facebook_marketing")
OUR_HOSTS = ("graph.facebook.com", "graph-video.facebook.com", "GRAPH.FACEBOOK.COM")
OTHER_HOSTS = ("api.hubapi.com", "graph.facebook.com.evil.example", "notfacebook.com")


def read(*payloads: Any) -> Failures:
    """Return the failures in a list of these payloads."""
    return read_failures(json.dumps(payloads).encode(), MARKETING)


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
@pytest.mark.parametrize(
    ("message", "code", "subcode", "status", "cause"), REFUSALS, ids=lambda value: str(value)[:40]
)
def test_each_refusal_has_its_cause(
    name: str, message: str, code: int, subcode: int | None, status: str, cause: FaultDomain
) -> None:
    """Payloads of the documented form, over thirty: where the cause lies, and what was answered."""
    body = payload(Detail=detail(refusal(message, code, subcode), status))
    (failure,) = read_failures(json.dumps(body).encode(), find_procedure(name)).items

    assert (failure.cause, failure.codes[0], failure.trace) == (cause, code, "AbCdEf1234x")
    assert failure.remote_message.rstrip("…") in message
    assert failure.advice
    assert failure.at == "2026-11-24T11:02:03.123Z"
    assert (failure.account_name, failure.cycle_name) == ("Sandbox Bakery", "Leads to CRM")
    assert TOKEN not in json.dumps(to_builtins(failure))


@pytest.mark.parametrize(
    ("message", "answer", "cause"),
    [
        ("Failed to authenticate the connector", "", FaultDomain.CUSTOMER),
        ("Out of retries", "", FaultDomain.CYCLR),
        ("Transaction Stopped", "", FaultDomain.CYCLR),
        ("Failed to call the method", "", FaultDomain.UNKNOWN),
        ("Another of the fixed texts", "", FaultDomain.UNKNOWN),
        ("Failed to call the method", "429 Too Many Requests\r\n\r\n", FaultDomain.LIMIT),
        (
            "Failed to call the method",
            "502 Bad Gateway\r\n<html>Bad</html>\r\n",
            FaultDomain.UNKNOWN,
        ),
        (
            "Failed to authenticate the connector",
            detail(refusal("Error validating client secret.", 1)),
            FaultDomain.APP,
        ),
        (
            "Failed to authenticate the connector",
            detail(refusal("New.", 4711)),
            FaultDomain.UNKNOWN,
        ),
    ],
)
def test_cyclrs_own_message_counts_where_nothing_else_tells(
    message: str, answer: str, cause: FaultDomain
) -> None:
    """The remote system's refusal decides; Cyclr's message only without one."""
    (failure,) = read(payload(Message=message, Detail=answer)).items

    assert failure.cause is cause


PAUSED = {
    "accountId": "0f6b6cb4-9d0f-4d32-9d7b-70a9bd2b9f11",
    "title": "Cycle Error: Leads to CRM",
    "message": "There was an error when we were running your cycle: Leads to CRM. We have paused "
    "it for now.",
}


def test_a_paused_cycle_is_read() -> None:
    """The Notification Webhook's body: whose cycle is paused, and that it must be started again."""
    (failure,) = read(PAUSED).items
    causes = read(PAUSED, payload(), PAUSED).causes()
    (cause,) = (cause for cause in causes if "paused" in cause["meaning"])

    assert (failure.account, failure.cycle_name) == (PAUSED["accountId"], "Leads to CRM")
    assert failure.is_known
    assert wording("explain.start-the-cycle-again") in failure.advice
    assert (cause["failures"], cause["accounts"], cause["cause"]) == (2, 1, "not known")


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
def test_the_step_asks_for_both_webhooks(name: str) -> None:
    """A person sets both of Cyclr's webhooks, and confirms what both post."""
    (step,) = (step for step in find_procedure(name).steps if step.id.endswith("a-error-webhook"))

    for webhook, posted in {
        "Transaction Error Webhook": "failed transactions",
        "Notification Webhook": "paused cycles",
    }.items():
        assert f"**{webhook}**" in step.instructions
        assert posted in step.title
        assert posted in step.own_sentence
    assert "Notification Webhook" in step.checks[0].needs_confirmation
    assert "explain --webhook" in step.prose


@pytest.mark.parametrize("field", ["accountId", "message"])
def test_a_notification_without_account_or_message_is_not_read(field: str) -> None:
    """A payload without one of the two is counted as unread."""
    assert (
        read({**PAUSED, field: None}, {k: v for k, v in PAUSED.items() if k != field}).unread >= 1
    )


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        ("Step data cannot be split", "not a list"),
        ("Required source is empty", "value that the step needs"),
        ("Webhook failed", "webhook step"),
    ],
)
def test_cyclrs_own_texts_are_explained(message: str, meant: str) -> None:
    """A failure in the cycle itself is not taken for the remote system's."""
    for answer in ("", "No data\r\n"):
        (failure,) = read(payload(Message=message, Detail=answer)).items
        assert meant in failure.meaning
        assert failure.cause is FaultDomain.CYCLR


@pytest.mark.parametrize(
    ("refused", "quoted"),
    [
        # A text or a subcode names the cause; a code alone quotes what was answered.
        (refusal("Session has expired on Monday", 190), ""),
        (refusal("Un autre texte", 190, 463), ""),
        (refusal("Demasiadas llamadas", 80004), "Demasiadas llamadas"),
        (refusal("We have had no leads since yesterday", 190), "We have had no leads since"),
    ],
)
def test_a_letter_names_a_cause_only_by_text_or_subcode(refused: str, quoted: str) -> None:
    """A code alone, or words, name no cause to a customer: the answer is quoted."""
    (failure,) = read(payload(Detail=detail(refused))).items

    assert failure.is_known is not bool(quoted)
    assert failure.meaning.startswith(quoted or wording("connections.token-has-ended"))


def test_an_unknown_refusal_keeps_its_code_and_trace_id() -> None:
    """An unknown refusal is not given a cause: its code and its trace id are there to ask with."""
    first, second = (
        payload(AccountId=name, Detail=detail(refusal("New.", 4711, 9))) for name in "ab"
    )
    (cause,) = read(first, second).causes()

    assert (cause["cause"], cause["known"]) == ("not known", False)
    assert (cause["codes"], cause["traces"]) == ([4711, 9], ["AbCdEf1234x"])
    assert (cause["remote_message"], cause["advice"]) == ("New.", ADVICE[FaultDomain.UNKNOWN])


def test_failures_of_one_cause_are_one_entry() -> None:
    """A cause says how many accounts it hits, and from when to when; the widest comes first."""
    ended = detail(refusal("The access token could not be decrypted", 190))
    limit = detail(refusal("(#4) Application request limit reached", 4))
    failures = read(
        payload(AccountId="a", AccountName="A", Detail=limit),
        *(
            payload(AccountId=name, AccountName="", Detail=ended, Timestamp=f"2026-11-2{day}")
            for name, day in (("b", 2), ("c", 3), ("b", 1))
        ),
    )
    causes = list(failures.causes())

    assert [(cause["cause"], cause["accounts"], cause["failures"]) for cause in causes] == [
        (wording("connections.cause-token"), 2, 3),
        ("a limit", 1, 1),
    ]
    assert (causes[0]["first"], causes[0]["last"]) == (
        "2026-11-21T00:00:00.000Z",
        "2026-11-23T00:00:00.000Z",
    )
    assert [cause["names"] for cause in causes] == [["b", "c"], ["A"]]
    assert failures.last["b"].at == "2026-11-22T00:00:00.000Z"


@pytest.mark.parametrize(
    ("texts", "groups"),
    [
        (("Item 17 failed", "Item 18 failed", "Item 19000 failed"), 1),
        (
            (
                "Row 6f1d1c1e-0a5b-4c5e-9f5e-aaaaaaaaaaaa",
                "Row aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            ),
            1,
        ),
        (("Order AB-12x is gone", "Order AB-13y is gone"), 1),
        (("Item 17 failed", "Item 17 is gone"), 2),
        (("500 Error", "502 Error"), 2),
    ],
)
def test_failures_that_differ_in_ids_are_one_cause(texts: tuple[str, ...], groups: int) -> None:
    """Failures without a code are grouped by text without ids and numbers; a status stays."""
    for field in ("Message", "Detail"):
        failures = read(*(payload(**{"Message": "", "Detail": "", field: text}) for text in texts))
        causes = list(failures.causes())
        assert len(causes) == groups or field == "Message"
        assert sum(cause["failures"] for cause in causes) == len(texts)
        assert causes[-1]["meaning"] in texts


def test_refusals_with_other_ids_are_recognised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 failures differ in their ids: what they mean is worked out once, not for each."""
    asked: list[object] = []
    decide = KnownErrors.decide
    monkeypatch.setattr(KnownErrors, "decide", lambda *given: asked.append(given) or decide(*given))
    known = "Unsupported get request. Object with ID '{}' does not exist"
    texts = [known.format(10**14 + number) for number in range(300)]
    failures = read(*(payload(Detail=detail(refusal(text, 100, 33))) for text in texts))
    (cause,) = failures.causes()

    assert cause["failures"] == 300
    assert len(asked) < 10


@pytest.mark.parametrize(
    ("message", "code", "subcode", "status", "cause"), REFUSALS, ids=lambda value: str(value)[:40]
)
def test_an_id_in_a_refusal_changes_nothing(
    message: str, code: int, subcode: int | None, status: str, cause: FaultDomain
) -> None:
    """A text is recognised whatever ids stand around it."""
    found = []
    for name in ("", " Request 6f1d1c1e-0a5b-4c5e-9f5e-0a5b4c5e9f5e, item 4711."):
        body = payload(Detail=detail(refusal(message + name, code, subcode), status))
        found.append(read(body).items[0])

    assert found[0].cause is found[1].cause is cause
    assert (found[0].is_known, found[0].advice) == (found[1].is_known, found[1].advice)


@pytest.mark.parametrize("as_lines", [True, False])
def test_progress_is_told_of_many_entries_alone(as_lines: bool) -> None:
    """Progress is reported now and then for a long file, and never for a short one."""
    told: list[tuple[int, int]] = []
    entry = json.dumps(payload(Detail=""))
    for number in (3, 1_200):
        text = "\n".join([entry] * number) if as_lines else f"[{','.join([entry] * number)}]"
        read_failures(text.encode(), MARKETING, lambda *now: told.append(now))

    assert told == [(0, 1_200), (500, 1_200), (1_000, 1_200)]


@pytest.mark.parametrize(
    ("sent", "is_ours"),
    [
        *((detail('{"status":"error"}', host=host), True) for host in OUR_HOSTS),
        *((detail('{"status":"error"}', host=host), False) for host in OTHER_HOSTS),
        # The beginning of a request in a Detail is undocumented: it comes after the refusal.
        (f"400 Bad Request\r\n{refusal('New.', 4711)}\r\nHost: api.hubapi.com\r\n", False),
        # Only the request says who was asked; a refusal may name any address.
        (detail(refusal("See https://example.com/help", 4711)), True),
        (detail('{"error":"See https://graph.facebook.com/"}', host="api.hubapi.com"), False),
    ],
)
def test_the_host_tells_the_connector(sent: str, is_ours: bool) -> None:
    """The payload names no connector: what was asked of another company's host is not counted."""
    failures = read(payload(Detail=sent))

    assert (len(failures.items), failures.others) == ((1, 0) if is_ours else (0, 1))


@pytest.mark.parametrize("answer", ["", "<html>Bad gateway</html>\r\n"])
def test_a_request_is_not_read_as_a_refusal(answer: str) -> None:
    """The JSON of a request is no refusal: nothing of it is shown, and its host is seen."""
    sent = '{"error":{"message":"card 4111","code":190}}'
    request = "POST https://api.hubapi.com/x\r\nHost: api.hubapi.com\r\n\r\n" + sent
    ours = request.replace("api.hubapi.com", "graph.facebook.com")
    other = read(payload(Detail=f"502 Bad Gateway\r\n{answer}{request}"))
    (failure,) = read(payload(Detail=f"502 Bad Gateway\r\n{answer}{ours}")).items

    assert other.others == 1
    assert (failure.cause, failure.codes) == (FaultDomain.UNKNOWN, ())
    assert "4111" not in json.dumps(to_builtins(failure))


@pytest.mark.parametrize(
    ("text", "number", "unread"),
    [
        ("{}", 1, 0),
        ("[{}, {}]", 2, 0),
        ("\ufeff{}", 1, 0),
        ("{}\n{}\n\n{}", 3, 0),
        ("2026-11-24T10:00:00Z INFO webhook {}\nnothing here\n{} (posted)", 2, 1),
        ("\r\n  {}  \r\n", 1, 0),
        ("[]", 0, 0),
        ("null", 0, 1),
        ("7", 0, 1),
        ('["text", 7, null, [{}]]', 0, 4),
        ("not JSON at all", 0, 1),
        ('{"AccountId": "a"}', 0, 1),
        ('{"Message": "Out of retries"}', 0, 1),
        ('{"AccountId": true, "Message": "m"}', 0, 1),
    ],
)
def test_a_payload_a_list_and_log_lines_are_read(text: str, number: int, unread: int) -> None:
    """Unreadable entries are counted, and hide no others."""
    failures = read_failures(text.replace("{}", json.dumps(payload())).encode(), MARKETING)

    assert (len(failures.items), failures.unread) == (number, unread)


@pytest.mark.parametrize("value", [None, True, 1.5, [], {}, [1], {"a": 1}, "", " ", 7, -(10**400)])
@pytest.mark.parametrize("field", list(payload()))
def test_a_field_of_another_type_breaks_nothing(field: str, value: object) -> None:
    """Each field may be missing or of any type; only an account, and a text, must be there."""
    failures = read(payload(**{field: value}))
    without = read({name: text for name, text in payload().items() if name != field})

    assert len(failures.items) + failures.unread == 1
    assert len(without.items) + without.unread == 1
    json.dumps(failures.document())


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 1_000_000,
        b'{"a":' * 500_000,
        b"\xff\xfe\x00{}",
        b'{"AccountId": "a", "AccountId": "b", "Message": "m"}',
        b'{"AccountId": "a", "Message": "m", "Detail": NaN}',
        b'{"AccountId": "a", "Message": "m", "Timestamp": 1e999}',
        b"\x00" * 1_000,
        b"{" * 100 + b"}" * 100,
    ],
)
def test_hostile_bytes_are_refused(content: bytes) -> None:
    """Deep, not UTF-8, doubled names, numbers that JSON has not: counted, and nothing breaks."""
    failures = read_failures(content, MARKETING)

    assert (failures.items, failures.unread >= 1) == ((), True)


def test_bytes_that_are_not_utf_8_spoil_only_their_place() -> None:
    """A name in another encoding is shown with a mark; the failure counts."""
    text = json.dumps(payload(AccountName="M?ller")).encode().replace(b"?", b"\xfc")
    (failure,) = read_failures(text, MARKETING).items

    assert failure.account_name == "M\ufffdller"


def test_too_many_bytes_are_cut_and_reported() -> None:
    """No more than so many bytes are read."""
    line = json.dumps(payload(Detail="x" * 60_000)).encode() + b"\n"
    failures = read_failures(line * (LARGEST // len(line) + 2), MARKETING)

    assert failures.is_cut
    assert failures.items


def test_a_huge_detail_is_bounded() -> None:
    """One sentence of a refusal of a megabyte is kept."""
    (failure,) = read(payload(Detail=detail(refusal("word " * 200_000, 4711)))).items

    assert len(failure.remote_message) < 400


@pytest.mark.parametrize("field", ["AccountName", "CycleName", "StepName", "Message", "Detail"])
@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b]0;owned\x07", "a\u202eb", "a\r\nb\tc", "\x00\x9b31m"]
)
def test_nothing_moves_a_terminals_cursor(field: str, text: str) -> None:
    """Control characters, escapes and changes of direction are shown as such."""
    for sent in (text, detail(refusal(text, 4711)), detail(f"{text} {text}")):
        (failure,) = read(payload(**{field: sent})).items
        for value in to_builtins(failure).values():
            assert not isinstance(value, str) or value.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://graph.facebook.com/me?access_token={TOKEN}",
        f"Authorization: Bearer {TOKEN}",
        "Bearer short-1234",
        'the body was {"access_token":"shortone","x":1}',
        "client_secret=s3cr3tvalue&x=1",
        "appsecret_proof=0123456789abcdef",
        f"token%3D{TOKEN}",
        "Authorization: Basic dXNlcjpodXNoLWh1c2g=",
        "it refused Basic dXNlcjpodXNoLWh1c2g=",
        'Proxy-Authorization: Digest username="u1", response="s3cr3tvalue"',
        "Cookie: sid=s3cr3tvalue; other=shortone",
        '{"set-cookie":["sid=s3cr3tvalue","b=shortone"]}',
        "X-Api-Key: s3cr3tvalue",
        '{"headers":{"x-api-key":"shortone"}}',
    ],
)
def test_a_credential_in_a_detail_is_masked(text: str) -> None:
    """In an address, a header or a body, by its form or by its name."""
    secrets = (TOKEN, "short-1234", "shortone", "s3cr3tvalue", "0123456789abcdef", "dXNlcjpo")
    for sent in (text, f"400 Bad Request\r\n{text}\r\n", detail(refusal(text, 4711))):
        for field in ("Detail", "Message", "AccountName"):
            shown = json.dumps(to_builtins(read(payload(**{field: sent})).items[0]))
            assert not [secret for secret in secrets if secret in shown]


def test_a_sentence_about_a_token_is_kept() -> None:
    """Only values are masked, not what a refusal says of a token."""
    (failure,) = read(payload()).items

    assert failure.remote_message.startswith(
        "Error validating access token: Session has expired on"
    )


def test_unknown_fields_are_left_out() -> None:
    """Fields that no page documents are not shown."""
    shown = to_builtins(read(payload(Secret="hush", StepData={"card": "4111"})).items[0])

    assert "hush" not in json.dumps(shown)
    assert "4111" not in json.dumps(shown)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from([*payload(), "x"]), inner, max_size=6)
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read(document: Any) -> None:
    """Any posted JSON is counted, and can be shown."""
    failures = read_failures(json.dumps(document).encode(), MARKETING)

    json.dumps(failures.document())
    assert len(failures.items) + failures.unread + failures.others <= 5
