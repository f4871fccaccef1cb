"""Secrets are masked in every encoding and place."""

from __future__ import annotations

import base64
import copy
import html
import json
import logging
import pickle
import re
import tracemalloc
from collections.abc import Callable
from itertools import zip_longest
from urllib.parse import quote, quote_plus

import markupsafe
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from runbook_lib.core.redaction import MASK, RedactingFilter, Redactor, Secret, encoded_forms
from tests.unit.bodies import APP_SECRET, APP_TOKEN, USER_TOKEN


def lower_hex(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), text)


def json_text(value: str) -> str:
    return json.dumps(value)[1:-1]


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "url": lambda value: quote(value, safe=""),
    "url, lower case": lambda value: lower_hex(quote(value, safe="")),
    "url path": quote,
    "form": quote_plus,
    "form, lower case": lambda value: lower_hex(quote_plus(value)),
    "html by Jinja": lambda value: str(markupsafe.escape(value)),
    "bytes taken for latin-1": lambda value: value.encode().decode("latin-1"),
    "hex": lambda value: value.encode().hex(),
    "hex, upper case": lambda value: value.encode().hex().upper(),
    "json": json_text,
    "json, unescaped": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json, slashes": lambda value: json_text(value).replace("/", "\\/"),
    "json, as Graph": lambda value: json_text(value).replace("/", "\\/").replace("@", "\\u0040"),
    "json, twice": lambda value: json_text(json_text(value)),
    "html": html.escape,
    "html, quotes kept": lambda value: html.escape(value, quote=False),
}

SECRETS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=5, max_size=40)
AROUND = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
# No form of a secret of these letters can be in a text of digits or in the mask.
LETTERS = st.text("ghijklmnopqrstuvwxyz", min_size=5, max_size=20)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@given(value=SECRETS, before=AROUND, after=AROUND)
# It has a character of each kind that an encoding changes, so no run depends on luck.
@example(value="gehé\\im\"'/@ +%<&x", before="", after="")
def test_a_secret_is_masked_in_every_encoding(
    encode: Callable[[str], str], value: str, before: str, after: str
) -> None:
    """No encoded form of a secret remains, whatever the surrounding text."""
    assume("*" not in value + before + after)

    redacted = Redactor([Secret(value)]).redact(f"{before}{encode(value)}{after}")

    first, *_, last = redacted.split(MASK)
    assert MASK in redacted
    assert len(first) <= len(before)
    assert len(last) <= len(after)


@given(
    value=SECRETS,
    before=st.binary(max_size=20),
    after=st.binary(max_size=20),
    alphabet=st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
)
def test_a_secret_inside_base64_is_masked_at_every_alignment(
    value: str, before: bytes, after: bytes, alphabet: Callable[[bytes], bytes]
) -> None:
    """In base64 of a longer text, the characters that depend on the secret alone are masked."""
    raw = value.encode()
    text = alphabet(before + raw + after).decode()
    first = -(-len(before) * 8 // 6)
    last = (len(before) + len(raw)) * 8 // 6

    redactor = Redactor([Secret(value)])
    redacted = redactor.redact(text)

    assert redactor.find_secret(text) >= 0
    assert len(redacted.split(MASK)[0]) <= first
    assert len(redacted.split(MASK)[-1]) <= len(text) - last
    assert redactor.find_secret(redacted) < 0


@given(secret=LETTERS, text=st.text("0123456789 .,;:-", max_size=200))
def test_a_text_without_any_form_is_unchanged(secret: str, text: str) -> None:
    """Text without a secret is not changed."""
    assume(not re.search("[0-9]{10,}", text))  # hex of letters is digits

    redactor = Redactor([Secret(secret)])

    assert redactor.redact(text) == text
    assert redactor.find_secret(text) < 0


@given(
    unit=st.text("ab", min_size=1, max_size=4),
    text=st.text("abc", max_size=60),
)
def test_a_secret_that_overlaps_itself_is_masked_to_its_end(unit: str, text: str) -> None:
    """A secret that overlaps itself is masked at each of its positions."""
    secret = (unit * 5)[:6]
    if len(secret) < 5:
        return
    covered = {
        place
        for start in range(len(text))
        if text.startswith(secret, start)
        for place in range(start, start + len(secret))
    }
    expected = "".join("*" if at in covered else each for at, each in enumerate(text))

    assert Redactor([Secret(secret)]).redact(text) == re.sub(r"\*+", MASK, expected)


def test_a_long_row_of_a_secret_is_one_mask() -> None:
    """A hundred thousand repetitions become one mask, with bounded memory."""
    text = "abab" * 100_000
    tracemalloc.start()
    try:
        assert Redactor([Secret("abababab")]).redact(text) == MASK
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_a_document_of_any_depth_is_masked(wrap: Callable[[object], object]) -> None:
    """A document deeper than the recursion limit is masked."""
    document: object = "x hush-hush"
    for _ in range(100_000):
        document = wrap(document)
    redactor = Redactor([Secret("hush-hush")])

    for each in (redactor.redact_document(document), redactor.redact_values(document)):
        masked = each
        while not isinstance(masked, str):
            (masked,) = masked.values() if isinstance(masked, dict) else masked
        assert masked == f"x {MASK}"


@pytest.mark.parametrize("blank", ["\\u0020", "\\x20", "%20", "&#32;"])
def test_a_secret_of_words_that_hides_its_blank_leaves_none_of_them(blank: str) -> None:
    """Word for word nothing hides it, so the whole text is masked."""
    text = f"a correct{blank}horse battery b"

    assert Redactor([Secret("correct horse battery")]).redact(text) == MASK


def test_the_last_of_two_equally_masked_keys_counts() -> None:
    """If two keys become the same mask, the last value counts; the order of keys stays."""
    redactor = Redactor([Secret("hush-hush"), Secret("hush-hash")])

    masked = redactor.redact_document({"hush-hush": [1], "b": {"c": 2}, "hush-hash": [3]})

    assert list(masked.items()) == [(MASK, [3]), ("b", {"c": 2})]


@given(first=LETTERS, second=LETTERS, overlap=st.integers(1, 4))
def test_overlapping_secrets_leave_no_rest(first: str, second: str, overlap: int) -> None:
    """If two secrets overlap, both are masked completely."""
    second = first[-overlap:] + second
    text = f"[{first}{second[overlap:]}]"

    redacted = Redactor([Secret(first), Secret(second)]).redact(text)

    assert redacted == f"[{MASK}]"


@given(prefix=LETTERS, rest=LETTERS, is_longer_first=st.booleans())
def test_a_secret_that_begins_another_does_not_uncover_its_rest(
    prefix: str, rest: str, is_longer_first: bool
) -> None:
    """If one secret begins with another, the longer one is masked, in any order of learning."""
    secrets = [Secret(prefix), Secret(prefix + rest)]
    if is_longer_first:
        secrets.reverse()

    assert Redactor(secrets).redact(f"<{prefix + rest}>") == f"<{MASK}>"


@pytest.mark.parametrize("is_longer_first", [True, False])
def test_the_longer_of_two_secrets_is_found(is_longer_first: bool) -> None:
    """If one secret ends with another, the place that is found is the start of the longer one."""
    secrets = [Secret("hush-hush"), Secret("never-say-hush-hush")]
    if is_longer_first:
        secrets.reverse()

    assert Redactor(secrets).find_secret("He: never-say-hush-hush") == 4


@given(value=LETTERS, times=st.integers(2, 4))
def test_every_occurrence_is_masked(value: str, times: int) -> None:
    """Every occurrence of a secret is masked."""
    redacted = Redactor([Secret(value)]).redact("0".join([value] * times))

    assert redacted == "0".join([MASK] * times)


@pytest.mark.parametrize("value", ["", "a", "abcd"])
def test_very_short_values_are_ignored(value: str) -> None:
    """A value under five characters is not masked, since it would match by accident."""
    assert all(len(form) >= 5 for form in encoded_forms(Secret(value)))
    assert Redactor([Secret(value)]).redact("abcd and a") == "abcd and a"


def test_five_characters_are_enough() -> None:
    """A secret of five characters is masked."""
    assert Redactor([Secret("abcde")]).redact("xabcdex") == f"x{MASK}x"


@pytest.mark.parametrize(
    "token",
    [
        USER_TOKEN,
        APP_TOKEN,
        APP_TOKEN.replace("|", "%7C"),
        APP_TOKEN.replace("|", "%7c"),
        "1234567891011121|0123456789abcdef0123456789abcdef",
    ],
)
def test_an_unknown_facebook_token_is_masked(token: str) -> None:
    """A Facebook token is recognised by its form, even if it is unknown."""
    redactor = Redactor()

    assert redactor.find_secret(f"token={token}&x=1") >= 0
    assert redactor.redact(f"token={token}&x=1") == f"token={MASK}&x=1"


@pytest.mark.parametrize("text", ["EAA short", "app 1234567891011121 has 2 pages", "2026|11|24"])
def test_ordinary_text_is_no_token(text: str) -> None:
    """Ids, dates and short words are not masked as tokens."""
    assert Redactor().redact(text) == text


def test_an_app_secrets_form_is_masked_unless_allowed() -> None:
    """32 hexadecimal digits alone are masked, unless the value is allowed."""
    text = f"app_secret={APP_SECRET}, id {APP_SECRET[:31]}, digest {APP_SECRET * 2}"
    redactor = Redactor()

    assert redactor.redact(text) == text.replace(f"={APP_SECRET}", f"={MASK}")
    assert redactor.find_secret(text) == text.index(APP_SECRET)

    redactor.allow([APP_SECRET, 7, ("a", "b")])
    assert redactor.redact(text) == text
    assert redactor.find_secret(text) == -1


@pytest.mark.parametrize(
    ("value", "known"), [(USER_TOKEN, []), (APP_TOKEN, []), (APP_SECRET, [Secret(APP_SECRET)])]
)
def test_neither_a_token_nor_a_known_secret_can_be_allowed(value: str, known: list[Secret]) -> None:
    """A token and a known secret are masked even if they are allowed."""
    redactor = Redactor(known)
    redactor.allow([value])

    assert redactor.redact(value) == MASK
    assert redactor.find_secret(value) == 0


@given(secrets=st.lists(SECRETS, max_size=3), pieces=st.lists(st.text(max_size=30), max_size=4))
def test_redact_and_find_secret_agree(secrets: list[str], pieces: list[str]) -> None:
    """`redact` changes a text if and only if `find_secret` finds a secret in it."""
    redactor = Redactor([Secret(value) for value in secrets])
    plain = "".join(pieces)
    text = "".join(part for pair in zip_longest(pieces, secrets, fillvalue="") for part in pair)
    for each in (plain, text):
        assert (redactor.redact(each) != each) is (redactor.find_secret(each) >= 0)
        assert redactor.find_secret(redactor.redact(each).replace(MASK, "\x00")) < 0


def test_a_token_is_masked_once_it_is_learned() -> None:
    """A learned secret is masked from then on."""
    redactor = Redactor()
    assert redactor.redact("issued-token") == "issued-token"

    redactor.learn(Secret("issued-token"))

    assert redactor.redact("issued-token") == MASK


def test_document_is_masked_by_value_at_any_depth_and_in_keys() -> None:
    """Lists, tuples, objects and keys are masked; other types stay unchanged."""
    redactor = Redactor([Secret("hush-hush")])
    document = {"a": [{"b": ("x hush-hush", 1, None, True, 1.5)}], "hush-hush": "kept"}

    assert redactor.redact_document(document) == {
        "a": [{"b": [f"x {MASK}", 1, None, True, 1.5]}],
        MASK: "kept",
    }


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("\ud83d", "\ufffd"),
        ("a\ude00b", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\U0001f600 ä", "\U0001f600 ä"),
    ],
)
def test_half_a_surrogate_pair_is_replaced(cut: str, whole: str) -> None:
    """Half a surrogate pair is replaced, so that a document can be written as UTF-8."""
    document = Redactor().redact_document({"name": [cut], cut: 1})

    assert document == {"name": [whole], whole: 1}
    assert json.dumps(document, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "name",
    [
        "access_token",
        "accessToken",
        "client_secret",
        "ClientSecret",
        "app_secret",
        "AuthValue",
        "password",
        "refresh_token",
        "appsecret_proof",
        "Token",
        "code",
        "Authorization",
        "cookie",
        "Set-Cookie",
        "input_token",
        "fb_exchange_token",
        "logging_token",
    ],
)
def test_document_is_masked_by_the_name_of_a_field(name: str) -> None:
    """The value of a field that is named as a credential is masked."""
    assert Redactor().redact_document({name: "never seen before"}) == {name: MASK}


@pytest.mark.parametrize("name", ["token_type", "ExpiresAtUtc", "error_code", "encoding", "name"])
def test_harmless_fields_are_kept(name: str) -> None:
    """Fields that only resemble credentials are not masked."""
    assert Redactor().redact_document({name: "bearer"}) == {name: "bearer"}


def test_numbers_and_empty_texts_are_not_masked() -> None:
    """A number, such as Graph's `code`, and an empty text are not masked."""
    document = {"code": 190, "access_token": ""}

    assert Redactor().redact_document(document) == document


def test_cyclr_properties_are_masked_by_their_name() -> None:
    """In Cyclr's list of names and values, a secret's value is masked."""
    properties = [
        {"Name": "ClientSecret", "Value": "0123abcd", "Id": 1},
        {"Name": "ClientId", "Value": "1234567891011121", "Id": 2},
    ]

    assert Redactor().redact_document({"Properties": properties}) == {
        "Properties": [{"Name": "ClientSecret", "Value": MASK, "Id": 1}, properties[1]]
    }


@pytest.mark.parametrize(
    "show",
    [str, repr, "{}".format, "{!s}".format, "{!r}".format, lambda s: f"{s}", lambda s: f"{[s]}"],
)
def test_a_secret_prints_as_stars(show: Callable[[Secret], str]) -> None:
    """A secret prints as stars in every form of output."""
    assert "hush-hush" not in show(Secret("hush-hush"))
    assert MASK in show(Secret("hush-hush"))


@pytest.mark.parametrize(
    "serialise",
    [
        *(lambda s, p=protocol: pickle.dumps(s, p) for protocol in range(pickle.HIGHEST_PROTOCOL)),
        copy.copy,
        copy.deepcopy,
        json.dumps,
        lambda s: json.dumps({"a": s}),
        lambda s: copy.deepcopy({"a": [s]}),
        vars,
    ],
)
def test_a_secret_cannot_be_serialised_or_copied(serialise: Callable[[Secret], object]) -> None:
    """Serialising or copying a secret raises `TypeError`, which does not quote it."""
    with pytest.raises(TypeError) as caught:
        serialise(Secret("hush-hush"))

    assert "hush-hush" not in str(caught.value)


def test_reveal_is_the_way_to_the_value() -> None:
    """`reveal` returns the value."""
    assert Secret("hush-hush").reveal() == "hush-hush"


def test_log_messages_arguments_and_tracebacks_are_redacted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A log line is redacted in its message, its arguments and its traceback."""
    logger = logging.getLogger("tests.redaction")
    logger.setLevel(logging.DEBUG)
    logger.filters.clear()
    logger.addFilter(RedactingFilter(Redactor([Secret("hush-hush")])))
    caplog.set_level(logging.DEBUG)

    logger.info("GET %s?token=%s %d", "https://x", "hush-hush", 200)
    logger.info("hush-hush")
    try:
        raise ValueError("bad hush-hush")
    except ValueError:
        logger.exception("it broke")

    assert caplog.messages == [f"GET https://x?token={MASK} 200", MASK, "it broke"]
    assert all(record.args is None for record in caplog.records)
    assert caplog.records[2].exc_info is None
    assert "hush-hush" not in caplog.text
    assert f"ValueError: bad {MASK}" in caplog.text
    assert "Traceback" in caplog.text


_BASIC = base64.b64encode(b"user:hush-hush").decode()


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Basic {_BASIC}",
        f"> proxy-authorization:basic {_BASIC}\r\nHost: a",
        f"Authorization:\r\n Basic {_BASIC}",
        f"it refused Basic {_BASIC} here",
        f"Basic%20{_BASIC}",
        json.dumps({"Authorization": f"Basic {_BASIC}", "x": 1}),
        json.dumps(json.dumps({"Authorization": f"Basic {_BASIC}", "x": 1})),
        "Authorization: Basic ab\\/hush=",
        "Authorization: hush",
        "Authorization: Negotiate hush",
        'Authorization: Digest username="hush", response="hush", uri="/"',
        "Authorization: AWS4-HMAC-SHA256 Credential=hush/2026, Signature=hush",
        "Cookie: hush",
        'Cookie: sid=hush; other="hush hush"; x=1\nHost: a',
        "set-cookie: sid=hush; Path=/",
        '"Cookie":["a=hush","b=hush"], "z":1',
        '{"name":"Cookie","value":"sid=hush"}',
        '["x-api-key","hush"]',
        "{'X-Api-Key': 'hush', 'b': 1}",
        "&quot;x-api-key&quot;:&quot;hush&quot;",
        "<x-api-key>hush</x-api-key>",
        'curl -H "x-api-key: hush" https://a.example',
        "X-API-KEY:\thush",
        "X-Api-Key\u200b\uff1a hush",
        "X_API_KEY=hush",
        "the key was apikey=hush and it ended",
        "https://a.example/?apikey=hush&x=1",
        "api-key: hush",
        "Ocp-Apim-Subscription-Key: hush",
        "X-Auth-Token: hush",
        "X-Hub-Signature-256: sha256=hush",
    ],
)
def test_a_header_that_signs_in_is_masked(text: str) -> None:
    """A stranger's text may have it as a line, a field, an item or a part of a query."""
    for around in (text, f"400 Bad Request\r\n{text}\r\nmore", f"It got {text}"):
        shown = Redactor().redact_remote(around)
        assert "hush" not in shown
        assert _BASIC[:8] not in shown
        assert MASK in shown
        assert Redactor().redact_document({"said": [around]}) == {"said": [shown]}


@pytest.mark.parametrize(
    "text",
    [
        "Open Settings > Basic of the app",
        "Use Basic authentication.",
        "The Basic plan ended: see basic permissions",
        "Error validating access token: Session has expired on Saturday, 13-Jun-26",
        "Invalid OAuth access token - Cannot parse access token",
        "Error in authorization: the user denied access",
        "Cookies: accept or refuse",
        "API key: not the one of this app",
        "The access_token: is missing",
    ],
)
def test_prose_about_signing_in_is_kept(text: str) -> None:
    """The names of headers and schemes are words as well."""
    assert Redactor().redact_remote(text) == text
