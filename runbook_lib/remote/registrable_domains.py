"""
Which hosts belong together, by the Public Suffix List.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


def is_same_registrable_domain(*hosts: str) -> bool:
    """Return whether all hosts are in one registrable domain (Public Suffix List)."""
    names = [host.lower().rstrip(".") for host in hosts]
    domains = {_suffixes_for(name).privatesuffix(name) for name in names}
    return len(domains) == 1 and None not in domains


def parent_domain(host: str) -> str:
    """
    Return the domain above `host`, or `host` itself if only a public suffix is above it.

    A setting that allows `host` by a domain above it allows every host of that domain.
    """
    parent = host.partition(".")[2]
    return parent if parent and not _suffixes_for(parent).is_public(parent) else host


def _suffixes_for(host: str) -> PublicSuffixList:
    return _suffixes(with_encoded="xn--" in host.lower())


@cache
def _suffixes(*, with_encoded: bool) -> PublicSuffixList:
    """Return the list; the encoded forms of its names (RFC 5891) take three times as long."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  (slow: it parses its list)

    return PublicSuffixList(accept_encoded_idn=with_encoded)
