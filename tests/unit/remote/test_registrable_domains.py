"""Which hosts belong together, by the Public Suffix List."""

from __future__ import annotations

import pytest

from runbook_lib.remote.registrable_domains import is_same_registrable_domain, parent_domain


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("www.acme.com", "acme.com", True),
        ("www.acme.com", "LEGAL.ACME.COM.", True),
        ("acme.co.uk", "other.co.uk", False),
        ("acme.github.io", "other.github.io", False),
        ("com", "com", False),
        ("a.xn--55qx5d.cn", "b.xn--55qx5d.cn", False),
        ("acme.com", "", False),
    ],
)
def test_hosts_of_one_owner_share_a_registrable_domain(
    one: str, other: str, *, is_same: bool
) -> None:
    """Hosts below one public suffix, by the Public Suffix List, have different owners."""
    assert is_same_registrable_domain(one, other) is is_same


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("acme-h.cyclr.com", "cyclr.com"),
        ("acme-h.eu.cyclr.com", "eu.cyclr.com"),
        ("a.b.acme.co.uk", "b.acme.co.uk"),
        ("connect.partner.test", "partner.test"),
        ("acme.com", "acme.com"),
        ("acme.co.uk", "acme.co.uk"),
        ("acme.github.io", "acme.github.io"),
        ("partner.test", "partner.test"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.xn--p1ai", "xn--bcher-kva.xn--p1ai"),
    ],
)
def test_a_host_shares_the_domain_above_it(host: str, domain: str) -> None:
    """The domain above counts unless it is a public suffix: then the host's own does."""
    assert parent_domain(host) == domain
