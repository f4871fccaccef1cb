"""The layer below the transport: time limits and decoding, with a size limit."""

from __future__ import annotations

import gzip

import httpx
import pytest

from runbook_lib.remote.limits import Deadline
from runbook_lib.remote.network import (
    CONNECT_SECONDS,
    OutOfTimeError,
    _Gunzip,
    deadline_now,
    is_public,
    read_body,
    seconds_now,
    within,
)


def test_a_call_has_its_own_time_and_no_more_than_the_exchange() -> None:
    """A call's time-out is what it asks for, but no more than the exchange has left."""
    now = 0.0
    with within(Deadline(30, lambda: now), 1):
        assert [seconds_now(longest) for longest in (15, 60, None)] == [15, 30, 30]

        now = 30.0
        with pytest.raises(OutOfTimeError):
            seconds_now(15)


def test_a_connection_ends_with_its_exchange() -> None:
    """The deadline is that of the exchange; outside of one it is the time for a connection."""
    deadline = Deadline(30)
    with within(deadline, 1):
        assert deadline_now() is deadline

    assert deadline_now().seconds == CONNECT_SECONDS


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::10.0.0.5", False),
        ("64:ff9b::127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.5", False),
        ("2002:808:808::1", True),
        ("2002:a00:5::1", False),
    ],
)
def test_an_ipv4_address_in_an_ipv6_one_decides(address: str, expected: bool) -> None:
    """An IPv6 address that stands for an IPv4 one is as public as that (RFC 6052, 4291, 3056)."""
    assert is_public(address) is expected


@pytest.mark.parametrize("encoding", ["", "identity", "Identity, identity", "gzip", "X-GZIP"])
def test_a_body_is_decoded_as_its_header_says(encoding: str) -> None:
    """`identity` is no encoding (RFC 9110 §12.5.3), and `x-gzip` is gzip (§8.4.1.3)."""
    sent = gzip.compress(b"body") if "gzip" in encoding.lower() else b"body"
    answer = httpx.Response(
        200, headers={"content-encoding": encoding}, stream=httpx.ByteStream(sent)
    )

    assert read_body(answer, 100) == b"body"


@pytest.mark.parametrize("first", [0, 99, 100, 101, 102, 1_000])
def test_members_of_gzip_are_inflated_up_to_the_limit_together(first: int) -> None:
    """The limit applies to all members of a gzip body together (RFC 1952 §2.2)."""
    content = b"x" * first + b"y" * 1_000_000
    decoder = _Gunzip(100)

    decoded = decoder.decode(gzip.compress(content[:first]) + gzip.compress(content[first:]))

    assert decoded == content[:101]
    assert decoder.decode(b"more") == b""


def test_gzip_that_ends_too_early_is_an_error() -> None:
    """An incomplete gzip body is an error; bytes after its end are ignored."""
    whole = gzip.compress(b"x" * 50)
    decoder = _Gunzip(100)
    assert decoder.decode(whole[:20]) + decoder.decode(whole[20:] + b"\0\0") == b"x" * 50
    decoder.finish()

    decoder = _Gunzip(100)
    decoder.decode(whole[:-1])
    with pytest.raises(httpx.DecodingError, match="incomplete"):
        decoder.finish()
