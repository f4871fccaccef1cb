"""A body is decoded as its header says, up to a size."""

from __future__ import annotations

import gzip

import httpx
import pytest

from runbook_lib.remote.response_body import _GzipDecoder, read_body
from tests.support.wording import refused_naming


@pytest.mark.parametrize("encoding", ["", "identity", "Identity, identity", "gzip", "X-GZIP"])
def test_a_body_is_decoded_as_its_header_says(encoding: str) -> None:
    """`identity` is no encoding (RFC 9110 §12.5.3), and `x-gzip` is gzip (§8.4.1.3)."""
    sent = gzip.compress(b"body") if "gzip" in encoding.lower() else b"body"
    response = httpx.Response(
        200, headers={"content-encoding": encoding}, stream=httpx.ByteStream(sent)
    )

    assert read_body(response, 100) == b"body"


@pytest.mark.parametrize("first", [0, 99, 100, 101, 102, 1_000])
def test_members_of_gzip_are_inflated_up_to_the_limit_together(first: int) -> None:
    """The limit applies to all members of a gzip body together (RFC 1952 §2.2)."""
    content = b"x" * first + b"y" * 1_000_000
    decoder = _GzipDecoder(100)

    decoded = decoder.decode(gzip.compress(content[:first]) + gzip.compress(content[first:]))

    assert decoded == content[:101]
    assert decoder.decode(b"more") == b""


def test_gzip_that_ends_too_early_is_an_error() -> None:
    """An incomplete gzip body is an error; bytes after its end are ignored."""
    whole = gzip.compress(b"x" * 50)
    decoder = _GzipDecoder(100)
    assert decoder.decode(whole[:20]) + decoder.decode(whole[20:] + b"\0\0") == b"x" * 50
    decoder.finish()

    decoder = _GzipDecoder(100)
    decoder.decode(whole[:-1])
    with refused_naming(httpx.DecodingError, "incomplete"):
        decoder.finish()
