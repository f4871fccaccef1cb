"""Only a statement of a known kind is signed and accepted."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signature

from runbook_lib.errors import EnvelopeError, EvidenceError, SigningError
from runbook_lib.evidence.signing import statement as attestation
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import (
    TEST_RESULT,
    Resource,
    open_envelope,
    sign_statement,
)
from tests.support.wording import refused

FILE = Resource("a", "00" * 32, 1)
KINDS = "application/vnd.in-toto+json"


def signed_as_it_is(key: SigningKey, payload: bytes, kind: str = KINDS) -> bytes:
    """Return a signed envelope around any bytes."""
    envelope = Envelope(payload, kind, {})
    key.sign(envelope)
    for signature in envelope.signatures.values():
        signature.signature = attestation._low(bytes.fromhex(signature.signature)).hex()
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
    """Key, claims and files are read as they were signed, in any script."""
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
def test_another_signed_payload_is_no_statement(key: SigningKey, payload: bytes) -> None:
    """A valid signature of any other payload raises `EnvelopeError`."""
    with pytest.raises(EnvelopeError):
        open_envelope(signed_as_it_is(key, payload), {key.key_id: key.public}, TEST_RESULT)


def test_an_envelope_of_another_type_is_refused(key: SigningKey) -> None:
    """The payload type is signed too (DSSE, PAE), and only one is accepted."""
    envelope = signed_as_it_is(key, json.dumps(statement()).encode(), "text/plain")

    with refused(EnvelopeError, "not-an-envelope"):
        open_envelope(envelope, {key.key_id: key.public}, TEST_RESULT)


def with_signature(envelope: bytes, signature: bytes) -> bytes:
    """Return the same envelope with another signature."""
    document = json.loads(envelope)
    document["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def order_of_the_curve() -> int:
    """Return the order in the product's code; assert that it is that of P-256."""
    order = attestation._P256_ORDER
    # The private key n - 1 has the public point -G: the same x as G, and another y.
    below, one = (
        ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
        for number in (order - 1, 1)
    )
    assert below.x == one.x
    assert below.y != one.y
    return order


def signature_of(envelope: bytes) -> tuple[int, int]:
    return decode_dss_signature(base64.b64decode(json.loads(envelope)["signatures"][0]["sig"]))


def test_only_the_low_s_signature_is_accepted(key: SigningKey) -> None:
    """Only the lower of (r, s) and (r, n - s) is written and accepted: envelopes are unique."""
    order = order_of_the_curve()
    for number in range(16):  # half of what a key signs is high
        envelope = sign_statement(key, [FILE], TEST_RESULT, {"number": number})
        r, s = signature_of(envelope)
        assert s <= order // 2
        open_envelope(envelope, {key.key_id: key.public}, TEST_RESULT)
        twin = with_signature(envelope, encode_dss_signature(r, order - s))
        Envelope.from_dict(json.loads(twin)).verify([key.public], 1)
        with refused(EnvelopeError, "not-as-written"):
            open_envelope(twin, {key.key_id: key.public}, TEST_RESULT)


@dataclass
class Service:
    """A key service that returns the given signature."""

    key: SigningKey
    signature: str

    def sign(self, _payload: bytes) -> Signature:
        """Return the signature."""
        return Signature(self.key.key_id, self.signature)


@pytest.mark.parametrize("signature", ["", "00", "ff" * 64, "no hexadecimal"])
def test_an_invalid_signature_of_a_key_service_is_refused(key: SigningKey, signature: str) -> None:
    """An invalid signature from a key service raises `SigningError`."""
    odd = SigningKey(key.public, Service(key, signature))  # type: ignore[arg-type]

    with refused(SigningError, "no-signature-returned"):
        sign_statement(odd, [FILE], TEST_RESULT, {})


@given(content=st.binary(max_size=300))
def test_no_bytes_break_the_reader(key: SigningKey, content: bytes) -> None:
    """Any bytes raise an `EvidenceError`."""
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
    """Fields of any type raise an `EvidenceError`."""
    with pytest.raises(EvidenceError):
        open_envelope(json.dumps(document).encode(), {key.key_id: key.public}, TEST_RESULT)
