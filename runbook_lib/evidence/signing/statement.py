"""
Statements and their envelopes: the claims about a run, and who signed them.

in-toto Statement v1 in a DSSE v1 envelope (https://github.com/in-toto/attestation,
https://github.com/secure-systems-lab/dsse). `bundle` chooses the files, `verify`
checks that they are unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runbook_lib.core.json_text import parse_json
from runbook_lib.errors import EnvelopeError, SignatureError, SigningError
from runbook_lib.evidence.signing.keys import SigningKey

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey


PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"

LARGEST_ENVELOPE = 4 * 1024 * 1024
# The order n of P-256 (NIST SP 800-186 §3.2.1.3).
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Resource:
    """A file by name (relative, `/` between its parts), SHA-256 in hexadecimal, size in bytes."""

    name: str
    sha256: str
    size: int

    def descriptor(self) -> dict[str, Any]:
        """Return the in-toto ResourceDescriptor of this file."""
        return {
            "name": self.name,
            "digest": {"sha256": self.sha256},
            "annotations": {"size": self.size},
        }


@dataclass(frozen=True, slots=True)
class ChainLink:
    """
    A run's place in its tenant's chain: `sequence` from 1, and the previous statement.

    `bundle` is the previous folder's name and `sha256` the digest of its
    `statement.dsse.json`; both are empty for the first.
    """

    sequence: int
    bundle: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement with a checked signature: who signed, the claims, and the files."""

    key_id: str
    predicate: Mapping[str, Any]
    subjects: tuple[Resource, ...]


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def link_claim(link: ChainLink) -> dict[str, Any]:
    """Return the place in a chain as a statement claims it; `read_link` reads it."""
    previous = {"name": link.bundle, "digest": {"sha256": link.sha256}} if link.sha256 else None
    return {"sequence": link.sequence, "previous": previous}


def sign_statement(
    key: SigningKey, subjects: Sequence[Resource], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Return the bytes of a DSSE envelope; raises `SigningError` if the key fails."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415  (slow to import)

    statement = {
        "_type": STATEMENT,
        "subject": [subject.descriptor() for subject in subjects],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    envelope = Envelope(_canonical(statement), PAYLOAD_TYPE, {})
    key.sign(envelope)
    try:
        for signature in envelope.signatures.values():
            signature.signature = _low(bytes.fromhex(signature.signature)).hex()
    except ValueError:
        raise SigningError("The signing key did not return an ECDSA signature.") from None
    return _canonical(envelope.to_dict()) + b"\n"


def open_envelope(
    content: bytes, keys: Mapping[str, SSlibKey], predicate_type: str
) -> SignedStatement:
    """
    Return the statement in the envelope `content`, if a trusted key has signed it.

    Raises `EnvelopeError` unless it is such an envelope, to the byte, and
    `SignatureError` if no key in `keys` has signed.
    """
    from securesystemslib.exceptions import VerificationError  # noqa: PLC0415  (slow to import)

    envelope = _envelope(content)
    (key_id,) = envelope.signatures
    if key_id not in keys:
        raise SignatureError(
            f"It is signed with the key {key_id[:16]}, which is not a trusted key."
        )
    try:
        envelope.verify([keys[key_id]], 1)
    except VerificationError:
        raise SignatureError(
            f"The signature is not from the key {key_id[:16]}: it was altered, or moved here."
        ) from None
    statement = _statement(envelope.payload, predicate_type)
    return SignedStatement(key_id, statement["predicate"], _subjects(statement))


def claimed_statement(content: bytes) -> Any:
    """
    Return the statement in the envelope `content`, whoever signed it.

    Raises `ValueError`, `KeyError` or `TypeError` for anything else.
    """
    return parse_json(base64.b64decode(parse_json(content)["payload"]))


def claimed_link(content: bytes) -> ChainLink:
    """Return the place in a chain that the envelope `content` claims, whoever signed it."""
    try:
        return read_link(SignedStatement("", claimed_statement(content)["predicate"], ()))
    except (ValueError, KeyError, TypeError):
        raise EnvelopeError("It is not a statement in a DSSE envelope.") from None


def read_link(signed: SignedStatement) -> ChainLink:
    """Return the claimed place in the chain; raises `EnvelopeError` without one."""
    try:
        chain = signed.predicate["runbook_chain"]
        before = chain["previous"] or {"name": "", "digest": {"sha256": ""}}
        return ChainLink(
            int(chain["sequence"]), str(before["name"]), str(before["digest"]["sha256"])
        )
    except (KeyError, TypeError, ValueError):
        raise EnvelopeError("It does not claim a place in a chain.") from None


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )


def _low(signature: bytes) -> bytes:
    """
    Return the form of a signature that the runbook writes, of two possible ones.

    Raises `ValueError` unless it is ECDSA in DER (RFC 3279 §2.2.3).
    """
    from cryptography.hazmat.primitives.asymmetric.utils import (  # noqa: PLC0415  (slow to import)
        decode_dss_signature,
        encode_dss_signature,
    )

    # NOTE: if (r, s) is a signature, so is (r, n - s), and anybody can compute it without the key;
    # as in Bitcoin's BIP 146, only the lower s counts.
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _P256_ORDER - s))


def _envelope(content: bytes) -> Envelope:
    """Return an envelope with one signature that is byte for byte as `sign_statement` writes it."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415  (slow to import)

    if len(content) > LARGEST_ENVELOPE:
        raise EnvelopeError(
            f"It is too large for an envelope: over {LARGEST_ENVELOPE // 2**20} MiB."
        )
    try:
        envelope = Envelope.from_dict(parse_json(content))
        # NOTE: JSON and base64 can write one value in many ways; another way means it was altered.
        is_ours = content == _canonical(envelope.to_dict()) + b"\n"
        is_ours = is_ours and envelope.payload_type == PAYLOAD_TYPE
        (signature,) = envelope.signatures.values()
        written = bytes.fromhex(signature.signature)
        is_ours = is_ours and not signature.unrecognized_fields and written == _low(written)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise EnvelopeError(
            "It is not a DSSE envelope with one signature, as the runbook writes it."
        )
    return envelope


def _statement(payload: bytes, predicate_type: str) -> Mapping[str, Any]:
    try:
        statement: Mapping[str, Any] = parse_json(payload)
        is_known = statement["_type"] == STATEMENT and statement["predicateType"] == predicate_type
        is_known = is_known and isinstance(statement["predicate"], dict)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_known = False
    if not is_known:
        raise EnvelopeError(f"It is not an in-toto statement v1 of the type {predicate_type}.")
    return statement


def _subjects(statement: Mapping[str, Any]) -> tuple[Resource, ...]:
    try:
        subjects = tuple(
            Resource(
                str(subject["name"]),
                str(subject["digest"]["sha256"]),
                int(subject["annotations"]["size"]),
            )
            for subject in statement["subject"]
        )
    except (ValueError, KeyError, TypeError):
        subjects = ()
    if not subjects or len({subject.name for subject in subjects}) < len(subjects):
        raise EnvelopeError(
            "Its subjects are not files by name, SHA-256 and size, each named once."
        )
    return subjects
