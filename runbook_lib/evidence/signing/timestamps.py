"""
Time-stamps: an independent authority confirms when a statement existed (RFC 3161).

A time-stamp is requested when evidence is sealed, and checked against the
authorities that the verifier names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.core.files import read_plain
from runbook_lib.errors import SettingsError, TimestampError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.quoting import shorten

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client.tsp import TimeStampResponse


_QUERY = "application/timestamp-query"
_REPLY = "application/timestamp-reply"
# PKIStatus (RFC 3161 §2.4.2).
_GRANTED = (0, 1)
# Hundreds of certificates, a few KiB each.
_LARGEST = 1024 * 1024


def request_timestamp(session: Session, authority: str, content: bytes) -> bytes:
    """
    Return the authority's time-stamp of `content` (DER, RFC 3161 §2.4.2).

    `authority` is an address for requests over HTTP (§3.4). Raises `TimestampError` if it refuses
    or stamps something else, and `RemoteError` if it does not respond.
    """
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # noqa: PLC0415

    query = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build()
    request = Request(
        method="POST",
        url=authority,
        headers={"content-type": _QUERY, "accept": _REPLY},
        content=query.as_bytes(),
    )
    answer = session.send(request, is_repeatable=True)
    if answer.status != 200:
        raise TimestampError(f"{request.host} answered {answer.status} instead of a time-stamp.")
    response = _decoded(answer.content)
    if response.tst_info.nonce != query.nonce:
        raise TimestampError(f"{request.host} answered a different request.")
    check_imprint(answer.content, content)
    return answer.content


def stamped_at(token: bytes, content: bytes, authorities: Sequence[Certificate]) -> datetime:
    """
    Return when `content` existed, according to one of `authorities` (root certificates).

    Raises `TimestampError` if the token is for another file or from another
    authority.
    """
    from rfc3161_client import VerificationError, VerifierBuilder  # noqa: PLC0415

    check_imprint(token, content)
    response = _decoded(token)
    builder = VerifierBuilder()
    for certificate in authorities:
        builder = builder.add_root_certificate(certificate)
    try:
        builder.build().verify_message(response, content)
    except (VerificationError, ValueError):
        raise TimestampError("The time-stamp is not from one of the named authorities.") from None
    return response.tst_info.gen_time


def check_imprint(token: bytes, content: bytes) -> None:
    """Raise `TimestampError` unless `token` is a granted time-stamp of `content`, by anybody."""
    imprint = _decoded(token).tst_info.message_imprint.message
    if imprint not in (hashlib.sha256(content).digest(), hashlib.sha512(content).digest()):
        raise TimestampError("The time-stamp is for another file.")


def read_certificates(path: Path) -> list[Certificate]:
    """Return the certificates in the PEM file `path`; raises `SettingsError`."""
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415  (slow to import)

    try:
        return load_pem_x509_certificates(read_plain(path, _LARGEST))
    except (OSError, ValueError):
        raise SettingsError(f"The file {path} contains no readable certificate in PEM.") from None


def _decoded(token: bytes) -> TimeStampResponse:
    from rfc3161_client import decode_timestamp_response  # noqa: PLC0415  (slow to import)

    try:
        response = decode_timestamp_response(token)
        if response.status not in _GRANTED:
            reason = shorten("; ".join(response.status_string)) or f"status {response.status}"
            raise TimestampError(f"The time-stamp authority refused: {reason}.")
        _ = response.tst_info  # decoded on first access
    except ValueError:
        raise TimestampError("The time-stamp is not an RFC 3161 response.") from None
    return response
