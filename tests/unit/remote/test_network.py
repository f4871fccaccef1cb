"""What lies beneath the transport: an answer's bytes, counted and decoded up to a limit."""

from __future__ import annotations

import gzip

import httpx
import pytest

from runbook_lib.remote.network import _Gunzip


@pytest.mark.parametrize("first", [0, 99, 100, 101, 102, 1_000])
def test_members_of_gzip_are_inflated_up_to_the_limit_together(first: int) -> None:
    """A second member (RFC 1952 §2.2) does not begin where the first one used up the limit."""

    content = b"x" * first + b"y" * 1_000_000
    decoder = _Gunzip(100)

    decoded = decoder.decode(gzip.compress(content[:first]) + gzip.compress(content[first:]))

    assert decoded == content[:101]
    assert decoder.decode(b"more") == b""


def test_gzip_that_ends_too_early_is_an_error() -> None:
    """Half an answer is not taken for a whole one; bytes after the end are padding."""

    whole = gzip.compress(b"x" * 50)
    decoder = _Gunzip(100)
    assert decoder.decode(whole[:20]) + decoder.decode(whole[20:] + b"\0\0") == b"x" * 50
    decoder.finish()

    decoder = _Gunzip(100)
    decoder.decode(whole[:-1])
    with pytest.raises(httpx.DecodingError, match="incomplete"):
        decoder.finish()
