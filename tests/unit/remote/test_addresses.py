"""Which addresses are public."""

from __future__ import annotations

import pytest

from runbook_lib.remote.addresses import is_public


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
