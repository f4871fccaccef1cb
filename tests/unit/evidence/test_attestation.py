"""What is signed is a statement of a known kind; whatever else a key signed is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope

from runbook_lib.errors import EnvelopeError, EvidenceError
from runbook_lib.evidence.attestation import (
    TEST_RESULT,
    Resource,
    open_envelope,
    sign_statement,
    sigstore_bundle,
)
from runbook_lib.evidence.keys import SigningKey

FILE = Resource("a", "00" * 32, 1)
KINDS = "application/vnd.in-toto+json"


def signed_as_it_is(key: SigningKey, payload: bytes, kind: str = KINDS) -> bytes:
    """Return an envelope around any bytes, signed."""
    envelope = Envelope(payload, kind, {})
    key.sign(envelope)
    return json.dumps(envelope.to_dict(), separators=(",", ":")).encode() + b"\n"


def statement(**more: Any) -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [FILE.descriptor()],
        "predicateType": TEST_RESULT,
        "predicate": {},
        **more,
    }


def test_a_statement_is_read_as_it_was_signed(key: SigningKey) -> None:
    """Key, claims and files come back, in whatever language the claims are."""

    claims = {"who": "Zoë \U0001f9fe", "half": "\ud83d"}
    envelope = sign_statement(key, [FILE], TEST_RESULT, claims)

    signed = open_envelope(envelope, {key.key_id: key.public}, TEST_RESULT)

    assert (signed.key_id, signed.predicate, signed.subjects) == (key.key_id, claims, (FILE,))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no JSON",
        b"null",
        b"[]",
        b"[" * 100_000,
        json.dumps(statement(_type="https://in-toto.io/Statement/v0.1")).encode(),
        json.dumps(statement(predicateType="https://slsa.dev/provenance/v1")).encode(),
        json.dumps(statement(predicate=[])).encode(),
        json.dumps(statement(subject=[])).encode(),
        json.dumps(statement(subject=None)).encode(),
        json.dumps(statement(subject=[{"name": "a"}])).encode(),
        json.dumps(statement(subject=[{**FILE.descriptor(), "digest": {"md5": "0"}}])).encode(),
        json.dumps(
            statement(subject=[{**FILE.descriptor(), "annotations": {"size": "x"}}])
        ).encode(),
    ],
)
def test_whatever_else_the_key_signed_is_no_statement(key: SigningKey, payload: bytes) -> None:
    """A good signature under something else proves nothing."""

    with pytest.raises(EnvelopeError):
        open_envelope(signed_as_it_is(key, payload), {key.key_id: key.public}, TEST_RESULT)


def test_an_envelope_of_another_type_is_refused(key: SigningKey) -> None:
    """The type is signed with the payload (DSSE, PAE), and only one counts."""

    envelope = signed_as_it_is(key, json.dumps(statement()).encode(), "text/plain")

    with pytest.raises(EnvelopeError):
        open_envelope(envelope, {key.key_id: key.public}, TEST_RESULT)


@given(content=st.binary(max_size=300))
def test_no_bytes_break_the_reader(key: SigningKey, content: bytes) -> None:
    """Anything at all is refused with an error of ours."""

    with pytest.raises(EvidenceError):
        open_envelope(content, {key.key_id: key.public}, TEST_RESULT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    document=st.fixed_dictionaries(
        {}, optional={"payload": JSON, "payloadType": JSON, "signatures": JSON}
    )
)
def test_no_document_breaks_the_reader(key: SigningKey, document: dict[str, Any]) -> None:
    """Fields of any type are refused with an error of ours."""

    with pytest.raises(EvidenceError):
        open_envelope(json.dumps(document).encode(), {key.key_id: key.public}, TEST_RESULT)


def test_the_sigstore_bundle_holds_the_very_envelope(key: SigningKey) -> None:
    """With the key's id as its hint, and no log entry that nobody made."""

    envelope = sign_statement(key, [FILE], TEST_RESULT, {})

    bundle = json.loads(sigstore_bundle(envelope))

    assert bundle["dsseEnvelope"] == json.loads(envelope)
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": key.key_id}, "tlogEntries": []}
